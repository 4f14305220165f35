"""The broker of one namespace: an AMQP 1.0 listener on loopback and its control routes.

async with Broker(Namespace(queues=(Queue(name="work"),)), port=5672) as broker:
    ...
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from starlette.routing import Route

from emulator.service_bus.connection import Connection
from emulator.service_bus.control import control_routes
from emulator.service_bus.entities import Namespace
from emulator.service_bus.faults import FaultRequest, Faults
from emulator.service_bus.nodes import Nodes

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
#: silence after which a client is given up; Azure's
IDLE_SECONDS = 240.0
#: how late locks end and scheduled messages come, at most, seconds
TICK = 0.05
#: what clients are given to take the last frame
SECONDS_TO_CLOSE = 1.0


class Broker:
    """Listens on 127.0.0.1:port from entering to leaving the context; messages live in memory.

    `clock` gives seconds since 1970: locks, expiry and schedules follow it.
    """

    def __init__(
        self,
        namespace: Namespace,
        *,
        port: int,
        clock: Callable[[], float] = time.time,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._port = port
        self._idle_seconds = idle_seconds
        self._nodes = Nodes(namespace, clock)
        self._faults = Faults()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, HOST, self._port)
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ticking:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        for connection in list(self._connections):
            connection.close()
        if self._server:
            self._server.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SECONDS_TO_CLOSE):
                    await self._server.wait_closed()
            for connection in list(self._connections):
                connection.cut()
            await self._server.wait_closed()

    def routes(self) -> list[Route]:
        """Control of the emulator: what the entities hold, and what shall go wrong."""
        return control_routes(self._nodes, self._plan)

    def _connection(self) -> Connection:
        connection = Connection(
            self._nodes,
            self._faults,
            idle_seconds=self._idle_seconds,
            on_end=self._connections.discard,
        )
        self._connections.add(connection)
        return connection

    def _plan(self, request: FaultRequest) -> None:
        self._faults.plan(request)
        if request.cut_connections:
            for connection in list(self._connections):
                connection.cut()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self._nodes.advance()
                for connection in list(self._connections):
                    connection.tick()
            except Exception:
                log.exception("a mistake of the broker")
