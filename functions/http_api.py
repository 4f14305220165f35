"""HTTP: the whole API behind one function. What serves it is imported on the first call."""

import asyncio
import json
import os
import threading
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

import azure.functions as func

from shared import telemetry

bp = func.Blueprint()  # type: ignore[no-untyped-call]

#: Other ways to say yes leave the key in place, and the API asks for a principal besides.
_ON = ("true", "1")

_PROBLEM = "application/problem+json"
_UNREADABLE = json.dumps(
    {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The path is not UTF-8.",
    }
)


def _level() -> func.AuthLevel:
    """The host asks for a key, unless platform authentication stands before it."""
    settings = ("SIGNALBOX_PLATFORM_AUTHENTICATION", "WEBSITE_AUTH_ENABLED")
    if all(os.environ.get(name, "").lower() in _ON for name in settings):
        return func.AuthLevel.ANONYMOUS
    return func.AuthLevel.FUNCTION


@bp.function_name("http_api")
@bp.route(
    route="{*path}",
    # Wrong methods are answered by the API as well.
    methods=["GET", "POST", "OPTIONS", "PUT", "PATCH", "DELETE", "HEAD"],
    auth_level=_level(),
)
async def http_api(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    # Importing takes most of a second, which other calls on this event loop should not wait for.
    middleware = await asyncio.to_thread(_middleware)
    try:
        with telemetry.continued(context.trace_context.trace_parent):
            answer: func.HttpResponse = await middleware.handle_async(req, context)
    except UnicodeDecodeError:
        # The adapter's: the path is no UTF-8 once it is decoded.
        return func.HttpResponse(_UNREADABLE, status_code=400, mimetype=_PROBLEM)
    return answer


def _middleware() -> Any:
    with _lock:
        return _made()


_lock = threading.Lock()


@cache
def _made() -> Any:
    from shared import bootstrap
    from shared.api.application import create_app

    api = create_app(bootstrap.app, new_id=_new_id, now=lambda: datetime.now(UTC))
    return func.AsgiMiddleware(api)  # type: ignore[no-untyped-call]


def _new_id() -> str:
    return str(uuid.uuid4())
