"""A Service Bus broker in a thread of the test process, and clients of it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import httpx
from azure.servicebus import ServiceBusClient
from azure.servicebus.aio import ServiceBusClient as AsyncServiceBusClient
from starlette.applications import Starlette

from emulator.ports import ReservedPorts
from emulator.service_bus.broker import Broker
from emulator.service_bus.codec import Described, Symbol, ULong
from emulator.service_bus.entities import Namespace
from emulator.service_bus.frames import AMQP, AMQP_HEADER, SASL, SASL_HEADER, FrameReader, frame
from emulator.service_bus.messages import response
from emulator.service_bus.performatives import (
    RECEIVER,
    SENDER,
    SOURCE,
    TARGET,
    Attach,
    Begin,
    Flow,
    Open,
    Performative,
    SaslInit,
    Transfer,
    read_performative,
)


class RunningBroker:
    """The broker's address, its clock and its control."""

    def __init__(self, port: int, loop: asyncio.AbstractEventLoop) -> None:
        self.port = port
        self._loop = loop
        self._ahead = 0.0
        self.http: httpx.AsyncClient | None = None

    @property
    def connection_string(self) -> str:
        return (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=name;SharedAccessKey=key;"
            "UseDevelopmentEmulator=true;"
        )

    def client(self) -> ServiceBusClient:
        """A client that tells of the first failure."""
        return ServiceBusClient.from_connection_string(self.connection_string, retry_total=0)

    def async_client(self) -> AsyncServiceBusClient:
        return AsyncServiceBusClient.from_connection_string(self.connection_string, retry_total=0)

    def now(self) -> float:
        return time.time() + self._ahead

    def pass_time(self, seconds: float) -> None:
        """Let the broker's clock, and nobody else's, move on."""
        self._ahead += seconds

    def entity(self, path: str) -> dict[str, Any]:
        """What GET /service_bus says of an entity."""
        found: dict[str, Any] = self._call("GET", "/service_bus").json()[path]
        return found

    def faults(self, **request: Any) -> httpx.Response:
        return self._call("POST", "/service_bus/faults", request)

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        async def call() -> httpx.Response:
            assert self.http is not None
            return await self.http.request(method, path, json=body)

        return self.run(call())

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the broker's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)


@contextlib.contextmanager
def running_broker(namespace: Namespace, *, idle_seconds: float = 240.0) -> Iterator[RunningBroker]:
    """A broker on a free port until the context is left."""
    ports = ReservedPorts()
    loop = asyncio.new_event_loop()
    running = RunningBroker(ports.take(), loop)
    broker = Broker(namespace, port=running.port, clock=running.now, idle_seconds=idle_seconds)
    stop, up = asyncio.Event(), threading.Event()

    async def serve() -> None:
        transport = httpx.ASGITransport(Starlette(routes=broker.routes()))
        async with broker, httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            running.http = http
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert up.wait(timeout=20)
        yield running
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=20)
        loop.close()
        ports.release()


class RawClient:
    """A client of bare frames, for what the official SDK would never send."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._reader = FrameReader()

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def negotiate(self) -> None:
        """SASL and the AMQP header."""
        self.socket.sendall(SASL_HEADER)
        assert self._header() == SASL_HEADER
        self._frame()
        self.socket.sendall(frame(SASL, 0, SaslInit(mechanism=Symbol("ANONYMOUS")).encode()))
        self._frame()
        self.socket.sendall(AMQP_HEADER)
        assert self._header() == AMQP_HEADER

    def open(self, *, idle_milliseconds: int | None = None) -> None:
        """All that comes before links: a session on channel 0."""
        self.negotiate()
        self.send(Open(container_id="raw", idle_timeout=idle_milliseconds))
        assert isinstance(self.receive(), Open)
        self.send(Begin(next_outgoing_id=0, incoming_window=100, outgoing_window=100))
        assert isinstance(self.receive(), Begin)

    def receive_from(self, queue: str, *, credit: int) -> None:
        """Ask for messages of a queue, with the token that this needs."""
        self.open()
        self.send(Attach(name="c", handle=0, role=SENDER, target=terminus(TARGET, "$cbs")))
        self.send(Attach(name="d", handle=1, role=RECEIVER, source=terminus(SOURCE, "$cbs")))
        request = {"operation": "put-token", "name": f"sb://127.0.0.1/{queue}"}
        token = response(correlation_id=None, application_properties=request)
        self.send(Transfer(handle=0, delivery_id=0, delivery_tag=b"1"), token)
        self.send(Attach(name="q", handle=2, role=RECEIVER, source=terminus(SOURCE, queue)))
        self.send(
            Flow(
                incoming_window=5000,
                next_outgoing_id=1,
                outgoing_window=5000,
                handle=2,
                delivery_count=0,
                link_credit=credit,
            )
        )

    def send(self, performative: Performative, payload: bytes = b"", channel: int = 0) -> None:
        self.socket.sendall(frame(AMQP, channel, performative.encode() + payload))

    def receive(self) -> Performative | None:
        """The next frame's performative; None for a heartbeat; EOFError at the end."""
        body = self._frame()
        return read_performative(body)[0] if body else None

    def _header(self) -> bytes:
        while (header := self._reader.header()) is None:
            self._fill()
        return header

    def _frame(self) -> bytes:
        while (found := self._reader.frame()) is None:
            self._fill()
        return found.body

    def _fill(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            raise EOFError
        self._reader.feed(data)


def terminus(code: int, *fields: Any) -> Described:
    """A source or target."""
    return Described(ULong(code), list(fields))
