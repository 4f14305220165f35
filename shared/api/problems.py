"""What went wrong, as RFC 9457 has it: never a stack trace, never a value that was sent."""

import logging
import math
import traceback
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.errors import (
    Conflict,
    EventInvalid,
    NotFound,
    RecordUnreadable,
    RequestInvalid,
    SettingsInvalid,
    SignalboxError,
    Transient,
)
from shared.inputs import redacted
from shared.mistakes import in_words
from shared.specs import NAME, NAME_IN_WORDS

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

#: Seconds after which to come again, when the service that was not there did not say.
_COME_AGAIN = 5

#: Characters. What is wrong with a request is said in a line, not by repeating it.
_TEXT, _PLACE, _PLACES = 2_000, 200, 100

#: Pattern -> what is said of a text that does not fit it.
FORMS = {
    rf"^{NAME.pattern}$": f"is no name: {NAME_IN_WORDS}",
    rf"^{NAME.pattern}(@[A-Za-z0-9_.-]{{1,64}})?$": "is no pipeline: name, or name@version",
    rf"^{NAME.pattern}\.[0-9a-f]{{32}}$": "is no run id: <trigger>.<32 hexadecimal digits>",
    r"^[0-9a-f]{16}$": "is no replay's id: 16 hexadecimal digits",
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$": "is no scheduled time that a page gave",
    r"^[A-Za-z][A-Za-z0-9_-]{0,62}$": "is no compute's name: letters, digits, '_' and '-', at most "
    "63, beginning with a letter",
    r"^[A-Za-z_][A-Za-z0-9_]{0,254}$": "is no name of an input: letters, digits and '_', at most "
    "255, beginning with no digit",
    r"^[A-Za-z_][A-Za-z0-9_.-]{0,254}$": "is no name of a tag: letters, digits, '_', '.' and '-', "
    "at most 255, beginning with a letter or '_'",
}

_STATUSES: Mapping[type[SignalboxError], int] = {
    EventInvalid: 400,
    NotFound: 404,
    Conflict: 409,
    RequestInvalid: 422,
    SettingsInvalid: 503,
    Transient: 503,
}


class Place(BaseModel):
    """One thing that is wrong, and where."""

    model_config = ConfigDict(extra="forbid")

    #: `inputs.region`, `query.limit`, `path.name`; empty for the body as a whole.
    place: str
    message: str


class Problem(BaseModel):
    """What went wrong. Source: RFC 9457."""

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    #: The status in words.
    title: str
    status: int
    #: What is wrong here, and what to do about it.
    detail: str
    #: For what went wrong inside: the id under which the app's log tells more.
    instance: str | None = Field(default=None)
    #: Each thing that is wrong with the request.
    errors: list[Place] | None = Field(default=None)


class Refused(Exception):
    """The API itself says no."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Iterable[Place] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(detail)


def response(
    status: int,
    detail: str,
    *,
    errors: Iterable[Place] = (),
    headers: Mapping[str, str] | None = None,
    instance: str | None = None,
) -> Response:
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=_line(detail, _TEXT),
        instance=instance,
        errors=list(errors)[:_PLACES] or None,
    )
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def places(error: ValidationError | RequestValidationError) -> list[Place]:
    """What pydantic says, without the values, which may be secrets."""
    return [
        Place(place=_place(item["loc"]), message=_line(in_words(item, FORMS), _TEXT))
        for item in error.errors()
    ]


def of(error: Exception, id: str) -> Response:
    """The answer that an error becomes; `id` names what nobody foresaw, here and in the log."""
    match error:
        case Refused():
            return response(error.status, error.detail, errors=error.errors, headers=error.headers)
        case RequestInvalid():
            errors = [
                Place(place=_line(at, _PLACE), message=_line(why, _TEXT))
                for at, why in sorted(error.problems.items())
            ]
            return response(422, str(error), errors=errors)
        case RequestValidationError():
            return response(422, "The request is not as it should be.", errors=places(error))
        case HTTPException():
            return _of_http(error)
        case RecordUnreadable():
            _log(error, id)
            detail = "Something that Signalbox has stored cannot be read; its log says what."
            return response(500, detail, instance=_instance(id))
    for family, status in _STATUSES.items():
        if isinstance(error, family):
            return response(status, str(error), headers=_headers(error))
    _log(error, id)
    detail = "Signalbox made a mistake. Its log tells more under this problem's instance."
    return response(500, detail, instance=_instance(id))


def _of_http(error: HTTPException) -> Response:
    detail = {
        404: "There is nothing at this path. GET /api/openapi.json tells the paths there are.",
        405: "This path does not know this method; the header Allow names those it knows.",
    }.get(error.status_code, "The request cannot be taken.")
    return response(error.status_code, detail, headers=error.headers)


def _headers(error: SignalboxError) -> dict[str, str]:
    if not isinstance(error, Transient):
        return {}
    wait = getattr(error, "retry_after", None) or _COME_AGAIN
    return {"Retry-After": str(max(1, math.ceil(min(wait, 3600))))}


def _log(error: Exception, id: str) -> None:
    # Only where it happened: messages of validation and frames of libraries hold what was sent.
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[-8:]]
    log.error(
        "Request %s failed: %s at %s",
        id,
        type(error).__name__,
        " > ".join(where) or "unknown",
        extra={"action": "request_failed", "request": id},
    )


def _instance(id: str) -> str:
    return f"urn:signalbox:request:{id}"


def _place(loc: tuple[Any, ...]) -> str:
    # What is wrong with a key is said of the key; pydantic adds that it is one.
    parts = [str(part) for part in loc if part != "[key]"]
    return _line(".".join(parts[1:] if parts[:1] == ["body"] else parts), _PLACE)


def _line(text: str, length: int) -> str:
    # Names in it are a sender's: text that is not Unicode could not be written down.
    return redacted(text).encode(errors="replace").decode()[:length]
