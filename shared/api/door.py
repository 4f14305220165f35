"""What every request passes: settings, caller, size, and the last resort when all else fails."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.api import callers, problems
from shared.api.problems import Refused
from shared.bootstrap import App

#: Bytes of a request's body; those of Event Grid's largest event.
MAX_BODY = 1 << 20

#: The functions host has read these of the query; a key goes no further.
_HOST_S = (b"code", b"clientId")

#: Answers are for whoever asked, and names in them may be anything: never markup, never kept.
_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a handler works with."""

    app: App
    #: Who calls; see `callers`.
    principal: str
    #: Names this request in the log.
    id: str
    new_id: Callable[[], str]
    #: The worker's time: of events that state none, and for nothing else.
    now: Callable[[], datetime]
    body: bytes


class Door:
    """ASGI middleware: lets a request in as a `Call`, and nothing but an answer out."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        app: Callable[[], App],
        new_id: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        self._inner = inner
        self._app = app
        self._new_id = new_id
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        id, started = self._new_id(), False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            call = await self._let_in(scope, receive, id)
            inner = {
                **scope,
                "query_string": _without_keys(scope["query_string"]),
                "state": {**(scope.get("state") or {}), "call": call},
            }
            await self._inner(inner, _replayed(call.body), answer)
        except Exception as error:
            if started:
                raise
            await problems.of(error, id)(scope, receive, answer)

    async def _let_in(self, scope: Scope, receive: Receive, id: str) -> Call:
        headers = Headers(scope=scope)
        # Putting the app together takes a moment, and another thread may be at it.
        app = await run_in_threadpool(self._app)
        principal = callers.principal(app.settings, headers)
        body = await _body(headers, receive)
        return Call(
            app=app, principal=principal, id=id, new_id=self._new_id, now=self._now, body=body
        )


async def _body(headers: Headers, receive: Receive) -> bytes:
    too_large = Refused(413, f"The body is larger than {MAX_BODY} bytes; send a reference to data.")
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:12]) > MAX_BODY:
        raise too_large
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "The request ended before its body did.")
        parts += message.get("body", b"")
        if len(parts) > MAX_BODY:
            raise too_large
        if not message.get("more_body", False):
            return bytes(parts)


def _without_keys(query: bytes) -> bytes:
    return b"&".join(part for part in query.split(b"&") if part.partition(b"=")[0] not in _HOST_S)


def _replayed(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def call_of(request: Request) -> Call:
    found = request.scope["state"]["call"]
    assert isinstance(found, Call)
    return found
