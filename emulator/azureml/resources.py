"""The JSON around every resource: who made it and when, and lists in pages."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from emulator.azureml.errors import UserError

#: Items in one page of a list. Small, so that clients which forget to page are found out.
PAGE_SIZE = 10


def now() -> datetime:
    return datetime.now(UTC)


def timestamp(when: datetime | None) -> str | None:
    """An instant as the service writes it, or None."""
    return when.isoformat().replace("+00:00", "Z") if when else None


def system_data(created: datetime, modified: datetime | None = None) -> dict[str, Any]:
    return {
        "createdAt": timestamp(created),
        "createdBy": "Local User",
        "createdByType": "User",
        "lastModifiedAt": timestamp(modified or created),
        "lastModifiedBy": "Local User",
        "lastModifiedByType": "User",
    }


def page(request: Request, items: Sequence[dict[str, Any]], size: int = PAGE_SIZE) -> JSONResponse:
    """One page of `items`, continued by `nextLink` through `$skip`, capped by `$top`."""
    start = _number(request, "$skip") or 0
    top = _number(request, "$top")
    wanted = items[start : start + (min(size, top) if top else size)]
    answer: dict[str, Any] = {"value": wanted}
    if start + len(wanted) < len(items) and not (top and top <= size):
        following = request.url.include_query_params(**{"$skip": start + len(wanted)})
        answer["nextLink"] = str(following.replace(scheme="https"))
    return JSONResponse(answer)


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise UserError(f"Query parameter {name} must be a number, not {text!r}.")
    return int(text)


async def json_object(request: Request) -> dict[str, Any]:
    """The request's body, which must be a JSON object."""
    try:
        document = await request.json()
    except ValueError as error:
        raise UserError(f"The request body is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise UserError("The request body must be a JSON object.")
    return document
