"""The API as an OpenAPI document, written for somebody who has never seen it."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import compile_path

from shared.api import problems
from shared.api.bodies import (
    BackfillRange,
    BackfillRequest,
    PauseRequest,
    PromptRequest,
    ReplayRequest,
    ReplaySelection,
    RunRequest,
    SweepRequest,
    TestRequest,
)
from shared.api.door import Call, call_of
from shared.api.problems import Place, Problem, Refused
from shared.specs import NAME

VERSION = "1"

_DESCRIPTION = """\
Signalbox starts Azure Machine Learning pipelines because something happened: a file was uploaded,
a message came, another run ended, or a client of this API asked for it.

- A **pipeline** is what can be run; it is published with the `signalbox` command.
- A **trigger** says which events start which pipeline, and with what inputs.
- A **run** is the intention to have one AzureML job succeed. `POST /api/pipelines/{name}/runs`
  starts one and answers before the job has begun; follow it with `GET /api/runs/{id}`.
- A **dead letter** is a run that could never be submitted, with the reason.
- **explain** says in sentences why something ran, or did not.

Send the functions app's key as the header `x-functions-key`. Send an `Idempotency-Key` with what
starts something, and repeat the request whenever you got no answer: nothing starts twice.
Errors are problem details (RFC 9457): `detail` says what is wrong and what to do, `errors` where.
Times are ISO 8601 in UTC. Fields may be added to answers; unknown fields in requests are refused.
"""

_TAGS = [
    {"name": "runs", "description": "Start runs, follow them, stop them, run them once more."},
    {"name": "events", "description": "Hand events over, and see what each trigger made of them."},
    {"name": "triggers", "description": "Which events start which pipeline; try it without risk."},
    {"name": "schedules", "description": "When each runs, and running what is past, or now."},
    {"name": "replays", "description": "Run once more what was decided before, many at a time."},
    {"name": "pipelines", "description": "What can be run, and with which inputs."},
    {"name": "computes", "description": "What pipelines run on, and what differs."},
    {"name": "explain", "description": "Why something ran, or did not."},
    {"name": "service", "description": "Whether Signalbox works, and what it offers."},
]

_MEANINGS = {
    400: "It cannot be read: malformed JSON, an event that is none, a malformed header.",
    401: "No key, or no caller that platform authentication knows.",
    404: "There is no such thing.",
    409: "It is there, but not in a state for that.",
    413: "The body is larger than 1 MiB.",
    415: "The body is no JSON.",
    422: "It can be read, but something in it is wrong; `errors` says where.",
    500: "A mistake in Signalbox; `instance` names it in the log.",
    503: "Storage, messaging or AzureML does not answer, or settings are missing; try again.",
}

#: What any request may be answered with.
_ALWAYS = (400, 401, 413, 422, 500, 503)

#: Models that only requests or problems use, and that FastAPI therefore does not find.
_MODELS: tuple[type[BaseModel], ...] = (
    Problem,
    Place,
    RunRequest,
    TestRequest,
    PauseRequest,
    SweepRequest,
    ReplaySelection,
    ReplayRequest,
    BackfillRange,
    BackfillRequest,
    PromptRequest,
)

_REFERENCE = "#/components/schemas/{model}"

NamePath = Annotated[
    str,
    Path(pattern=f"^{NAME.pattern}$", description="Its name.", examples=["on-upload"]),
]
ReferencePath = Annotated[
    str,
    Path(
        pattern=f"^{NAME.pattern}(@[A-Za-z0-9_.-]{{1,64}})?$",
        description="A pipeline: its name for the latest version, or name@version.",
        examples=["churn-training"],
    ),
]
NameQuery = Annotated[str | None, Query(pattern=f"^{NAME.pattern}$")]
Limit = Annotated[int, Query(ge=1, le=200, description="The most that one page holds.")]
Cursor = Annotated[
    str | None,
    Query(max_length=4096, description="The `cursor` of the page before this one."),
]
NameCursor = Annotated[
    str | None,
    Query(
        pattern=f"^{NAME.pattern}$", description="The `cursor` of the page before: its last name."
    ),
]
Called = Annotated[Call, Depends(call_of)]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems an operation may answer with, besides those of every operation."""
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}}
    return {
        status: {"description": _MEANINGS[status], "content": content}
        for status in sorted({*_ALWAYS, *statuses})
    }


def body(model: type[BaseModel], *, required: bool, **examples: Any) -> dict[str, Any]:
    """A JSON body in the document."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    content = {"schema": schema, "examples": {k: {"value": v} for k, v in examples.items()}}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def page(names: Iterable[str], limit: int, cursor: str | None) -> tuple[list[str], str | None]:
    """The names behind a cursor, in order, and the cursor for what follows them."""
    rest = sorted(name for name in names if cursor is None or name > cursor)
    return rest[:limit], rest[limit - 1] if len(rest) > limit else None


def known_query(request: Request) -> None:
    """A misspelt filter would answer another question. Raises Refused."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    names = [name for name, _ in request.query_params.multi_items()]
    wrong = [
        Place(place=f"query.{name[:100]}", message=why)
        for name in sorted(set(names))
        if (why := _wrong(name, names.count(name), known))
    ]
    if wrong:
        raise Refused(422, "The request is not as it should be.", errors=wrong)


def _wrong(name: str, times: int, known: set[str]) -> str | None:
    if name not in known:
        return f"is not known here; known are: {', '.join(sorted(known)) or 'none'}"
    return "is there more than once" if times > 1 else None


def document(api: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, made once."""
    if api.openapi_schema is None:
        made = get_openapi(
            title="Signalbox",
            version=VERSION,
            summary="Starts Azure Machine Learning pipelines because something happened.",
            description=_DESCRIPTION,
            routes=api.routes,
            tags=_TAGS,
        )
        components = made.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for model in _MODELS:
            schema = model.model_json_schema(ref_template=_REFERENCE)
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        components["securitySchemes"] = {
            "key": {
                "type": "apiKey",
                "in": "header",
                "name": "x-functions-key",
                "description": "A key of the functions app. With platform authentication, sign in "
                "there instead.",
            }
        }
        made["security"] = [{"key": []}]
        api.openapi_schema = made
    return api.openapi_schema


def methods(api: FastAPI, path: str) -> list[str]:
    """The methods that a path knows."""
    return sorted(
        {
            method.upper()
            for template, item in document(api)["paths"].items()
            if compile_path(template)[0].match(path)
            for method in item
        }
    )
