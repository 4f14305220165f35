"""The web application: every resource behind one door."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.api import (
    backfills,
    computes,
    contract,
    events,
    explain,
    health,
    pipelines,
    problems,
    replays,
    runs,
    schedules,
    sweeps,
    triggers,
)
from shared.api.door import Door, call_of
from shared.bootstrap import App
from shared.errors import SignalboxError


def create_app(
    app: Callable[[], App], *, new_id: Callable[[], str], now: Callable[[], datetime]
) -> FastAPI:
    """The HTTP API of an app, which is asked for on each request.

    `new_id` gives text that nothing was ever named before; `now` is the worker's time.
    """
    api = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A redirect would lose the body, and the key with it.
        redirect_slashes=False,
        dependencies=[Depends(contract.known_query)],
    )
    for error in (SignalboxError, problems.Refused, RequestValidationError):
        api.add_exception_handler(error, _handle)
    api.add_exception_handler(HTTPException, _unrouted)
    for resource in (
        pipelines,
        triggers,
        schedules,
        sweeps,
        runs,
        replays,
        backfills,
        events,
        computes,
        explain,
    ):
        api.include_router(resource.router)
    api.include_router(health.router(now))

    @api.get(
        "/api/openapi.json",
        tags=["service"],
        operation_id="describe",
        summary="This document",
        responses=contract.refusals(),
    )
    def describe() -> dict[str, Any]:
        return contract.document(api)

    api.add_middleware(Door, app=app, new_id=new_id, now=now)
    return api


def _handle(request: Request, error: Exception) -> Response:
    return problems.of(error, call_of(request).id)


def _unrouted(request: Request, error: Exception) -> Response:
    """What Starlette finds out by itself: no such path, no such method."""
    answer = _handle(request, error)
    if answer.status_code == 405:
        # Starlette names the methods of the path's first operation only.
        answer.headers["Allow"] = ", ".join(contract.methods(request.app, request.url.path))
    return answer
