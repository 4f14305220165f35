"""What one call costs: requests, processor time, time on the clock, and what Azure took of it."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from emulator.stack import LocalAzure
from emulator.topology import Topology
from tests.integration.counting import arm_requests, clear_arm_requests, storage_requests


@dataclass(frozen=True)
class Place:
    """A running local Azure, as another process can be told of it."""

    topology: Topology
    control_url: str
    storage_log: Path

    @classmethod
    def of(cls, azure: LocalAzure) -> "Place":
        return cls(azure.topology, azure.control_url, azure.logs / "azurite.log")


@dataclass(frozen=True)
class Cost:
    """Of one call, in this process, all of its threads; programs that it starts are not in it."""

    #: To Azure Resource Manager.
    requests: int
    #: To the container with Signalbox's state.
    storage_requests: int
    #: Processor time.
    cpu_ms: float
    wall_ms: float
    #: How long the local AzureML took for its answers, which is part of the time on the clock;
    #: more than that where requests went side by side.
    served_ms: float


class Meter:
    """Measures calls one after the other; nothing else may talk to the local Azure meanwhile."""

    def __init__(self, place: Place) -> None:
        self._place = place
        account = place.topology.account("signalboxstate")
        self._state: Any = ContainerClient(
            account.url, account.containers[0], DefaultAzureCredential()
        )

    def cost(self, call: Callable[[], object]) -> Cost:
        before = self._storage()
        clear_arm_requests(self._place.control_url)
        gc.collect()
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        arm = arm_requests(self._place.control_url)
        return Cost(
            requests=len(arm),
            storage_requests=self._storage() - before,
            cpu_ms=cpu * 1000,
            wall_ms=wall * 1000,
            served_ms=sum(request["ms"] or 0.0 for request in arm),
        )

    def _storage(self) -> int:
        return len(storage_requests(self._place.storage_log, self._state))
