"""Errors in the words and the JSON of AzureML's management front end.

ServiceError
    NotFound             404, the resource itself is not there
    UserError            400, the request can never succeed as it is
    NotImplementedHere   501, a real feature that this workspace does not have
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """An answer that is not a success: HTTP status, code, message, and the inner codes."""

    def __init__(
        self, status: int, code: str, message: str, *, inner: Sequence[str] = (), target: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.inner = tuple(inner)
        self.target = target


class NotFound(ServiceError):
    """A resource that does not exist."""

    def __init__(self, message: str, *, code: str = "UserError") -> None:
        super().__init__(404, code, message, inner=("NotFound",))


class UserError(ServiceError):
    """A request that can never succeed as it is."""

    def __init__(self, message: str, *, inner: Sequence[str] = ("BadArgument",)) -> None:
        super().__init__(400, "UserError", message, inner=inner)


class NotImplementedHere(ServiceError):
    """A feature of AzureML that this workspace does not have, by its name."""

    def __init__(self, feature: str, *, plural: bool = True, remedy: str = "") -> None:
        verb = "are" if plural else "is"
        message = f"{feature} {verb} not implemented by the local AzureML workspace."
        super().__init__(501, "NotImplemented", f"{message} {remedy}".strip())


def body(error: ServiceError, region: str = "") -> dict[str, Any]:
    """The error as AzureML's management front end writes it."""
    inner: dict[str, Any] | None = None
    for code in reversed(error.inner):
        inner = {"code": code, "innerError": inner}
    additional: list[dict[str, Any]] = [
        {"type": "ComponentName", "info": {"value": "managementfrontend"}},
        {"type": "Environment", "info": {"value": region}},
        {"type": "Location", "info": {"value": region}},
        {"type": "Time", "info": {"value": datetime.now(UTC).isoformat()}},
    ]
    if inner:
        additional.append({"type": "InnerError", "info": {"value": inner}})
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "target": error.target,
            "details": [],
            "additionalInfo": additional,
        }
    }


async def answer_service_error(_: Request, error: Exception) -> Response:
    """Starlette's exception handler for `ServiceError`."""
    assert isinstance(error, ServiceError)
    return JSONResponse(body(error), status_code=error.status)


async def answer_unknown_route(request: Request, _: Exception) -> Response:
    """Every path this workspace does not serve is refused by name, never with a bare 404."""
    refusal = NotImplementedHere(f"{request.method} {request.url.path}", plural=False)
    return JSONResponse(body(refusal), status_code=refusal.status)


async def answer_crash(request: Request, error: Exception) -> Response:
    """Starlette's handler of last resort: a defect of the emulator, said so."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    crash = ServiceError(
        500, "InternalServerError", f"The local AzureML workspace failed: {error!r}"
    )
    return JSONResponse(body(crash), status_code=crash.status)
