"""The broker of one namespace: an AMQP 1.0 listener on loopback and its control routes.

async with Broker(Namespace(queues=(Queue(name="work"),)), port=5672) as broker:
    ...
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from starlette.routing import Route

from emulator.service_bus.entities import Namespace


class Broker:
    """Listens on 127.0.0.1:port from entering to leaving the context; messages live in memory."""

    def __init__(
        self, namespace: Namespace, *, port: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._namespace = namespace
        self._port = port
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def routes(self) -> list[Route]:
        """Control of the emulator: what the entities hold."""
        return []
