"""Everything that calls functions without being called: timers, and pumps of messages."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from emulator.functions_host.host_settings import HostSettings
from emulator.functions_host.service_bus import Pump
from emulator.functions_host.timers import Timer
from emulator.functions_host.worker import Worker


class Listeners:
    """The app's timers and pumps."""

    def __init__(self, worker: Worker, timers: Sequence[Timer], pumps: Sequence[Pump]) -> None:
        self._worker = worker
        self._timers = timers
        self._pumps = pumps
        self._ticking: list[asyncio.Task[None]] = []
        self._pumping: list[asyncio.Task[None]] = []

    @classmethod
    def of(cls, worker: Worker, settings: HostSettings, *, state: Path) -> Self:
        """HostError when a function's trigger cannot be served."""
        functions = worker.functions.values()
        return cls(
            worker,
            [
                Timer(worker, function, folder=state / "timers")
                for function in functions
                if function.kind == "timerTrigger"
            ],
            [
                Pump(worker, function, settings=settings.service_bus, environment=os.environ)
                for function in functions
                if function.kind == "serviceBusTrigger"
            ],
        )

    @property
    def are_ready(self) -> bool:
        """Whether every pump has come to listen."""
        return all(pump.listening.is_set() for pump in self._pumps)

    def start(self) -> None:
        self._ticking = [asyncio.create_task(timer.run()) for timer in self._timers]
        self._pumping = [asyncio.create_task(pump.run()) for pump in self._pumps]

    def stop(self) -> None:
        """Call nothing more; safe to call twice."""
        for task in self._ticking:
            task.cancel()
        for pump in self._pumps:
            pump.stop()

    async def drain(self, *, seconds: float) -> None:
        """After `stop`: wait for functions that run and for messages to be settled, so long."""
        over = asyncio.create_task(self._worker.drain(seconds=seconds))
        await asyncio.wait([over, *self._pumping], timeout=seconds)
