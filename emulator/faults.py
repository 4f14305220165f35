"""Faults on demand: requests that are refused, late, lost on the way, or lost on the way back.

An ASGI middleware directly below the server, around the application of some host names, and
routes for the control of the emulator. Every request to those hosts is also written down.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Requests that are written down; older ones are forgotten.
_REMEMBERED = 100_000


class _Action(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Action):
    """Answered with this status; the application never sees the request."""

    status: int = Field(ge=200, le=599)
    headers: dict[str, str] = {}
    body: Any = None


class Delay(_Action):
    """Applied and answered, so many seconds later, or as soon as the faults are disarmed."""

    delay_seconds: float = Field(gt=0)


class ApplyThenDrop(_Action):
    """Applied; the connection is cut instead of an answer."""

    apply_then_drop: Literal[True]


class Drop(_Action):
    """Not applied; the connection is cut."""

    drop: Literal[True]


class Hold(_Action):
    """Not applied; kept open until the client goes away, then forgotten."""

    hold: Literal[True]


class Fault(BaseModel):
    """What happens to the next `times` requests that match."""

    model_config = ConfigDict(extra="forbid")

    method: str | None = None
    path_contains: str
    times: int = Field(default=1, ge=1)
    action: Answer | Delay | ApplyThenDrop | Drop | Hold
    #: How often it was met so far.
    met: int = 0

    def matches(self, method: str, path: str) -> bool:
        return (
            self.met < self.times and self.method in (None, method) and self.path_contains in path
        )


class RequestRecord(BaseModel):
    """One request. `status` and `ms` are None while it is open; `status` stays None when cut."""

    method: str
    host: str
    path: str
    query: str
    status: int | None = None
    started: datetime
    ms: float | None = None
    #: Size of the request's body as far as the application read it.
    bytes: int = 0


class Faults:
    """The armed faults and the log of requests, shared by the middleware and the control."""

    def __init__(self, hosts: Collection[str]) -> None:
        self._hosts = frozenset(hosts)
        self._armed: list[Fault] = []
        self._disarmed = asyncio.Event()
        self._requests: deque[RequestRecord] = deque(maxlen=_REMEMBERED)

    def around(self, app: ASGIApp) -> ASGIApp:
        """`app` with faults for requests to the given hosts; everything else passes unseen."""

        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            host = Headers(scope=scope).get("host", "") if scope["type"] == "http" else ""
            if host.partition(":")[0] not in self._hosts:
                await app(scope, receive, send)
                return
            record = RequestRecord(
                method=scope["method"],
                host=host,
                path=scope["path"],
                query=scope["query_string"].decode(),
                started=datetime.now(UTC),
            )
            self._requests.append(record)
            begun = time.monotonic()
            try:
                await self._handle(app, scope, receive, send, record)
            finally:
                record.ms = round((time.monotonic() - begun) * 1000, 1)

        return middleware

    def routes(self) -> list[BaseRoute]:
        """Routes for the control of the emulator."""
        return [
            Route("/requests", self._show_requests, methods=["GET"]),
            Route("/requests", self._clear_requests, methods=["DELETE"]),
            Route("/faults", self._show_faults, methods=["GET"]),
            Route("/faults", self._arm, methods=["POST"]),
            Route("/faults", self._disarm, methods=["DELETE"]),
        ]

    async def _handle(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, record: RequestRecord
    ) -> None:
        async def counted() -> Message:
            message = await receive()
            record.bytes += len(message.get("body", b""))
            return message

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)

        async def swallowed(message: Message) -> None:
            pass

        match self._meet(record):
            case None:
                await app(scope, counted, noted)
            case Answer() as answer:
                await _read_all(counted)
                await _response(answer)(scope, counted, noted)
            case Delay(delay_seconds=seconds):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._disarmed.wait(), seconds)
                await app(scope, counted, noted)
            case ApplyThenDrop():
                await app(scope, counted, swallowed)
                await _cut(receive, send)
            case Drop():
                await _read_all(counted)
                await _cut(receive, send)
            case Hold():
                await _until_gone(counted)

    def _meet(self, record: RequestRecord) -> _Action | None:
        for fault in self._armed:
            if fault.matches(record.method, record.path):
                fault.met += 1
                return fault.action
        return None

    async def _show_requests(self, _: Request) -> JSONResponse:
        return JSONResponse([record.model_dump(mode="json") for record in self._requests])

    async def _clear_requests(self, _: Request) -> Response:
        self._requests.clear()
        return Response(status_code=204)

    async def _show_faults(self, _: Request) -> JSONResponse:
        return JSONResponse([fault.model_dump(mode="json") for fault in self._armed])

    async def _arm(self, request: Request) -> JSONResponse:
        try:
            fault = Fault.model_validate_json(await request.body())
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return JSONResponse({"problems": problems}, status_code=400)
        fault.met = 0
        self._armed.append(fault)
        return JSONResponse(fault.model_dump(mode="json"), status_code=201)

    async def _disarm(self, _: Request) -> Response:
        self._armed.clear()
        # Whoever is late waits for the event of before.
        self._disarmed.set()
        self._disarmed = asyncio.Event()
        return Response(status_code=204)


def _response(answer: Answer) -> Response:
    body = answer.body
    if body is None:
        body = {"error": {"code": "InjectedFault", "message": "A fault of the local Azure."}}
    if isinstance(body, str):
        return Response(body, answer.status, answer.headers)
    return JSONResponse(body, answer.status, answer.headers)


async def _read_all(receive: Receive) -> None:
    """Take the whole request in, so that the client is not cut while it still sends."""
    while (await receive()).get("more_body"):
        pass


async def _cut(receive: Receive, send: Send) -> None:
    """Cut the client's connection in the first bytes of an answer.

    ASGI has no word for it: an application that sends nothing is answered 500 by its server. So
    this reaches for the transport behind uvicorn's own `send`, which is why the middleware must
    be the outermost one.

    The bytes are there for the error that clients see. When nothing at all comes back through a
    proxy, urllib3 takes the proxy for unreachable and azure-core reports ServiceRequestError, as
    if nothing had been sent. Without a proxy, as on Azure, it is ServiceResponseError.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if not isinstance(transport, asyncio.Transport):
        raise TypeError("faults must be the application that uvicorn itself calls")
    transport.write(b"HTTP/1.1 ")
    transport.close()
    await _until_gone(receive)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
