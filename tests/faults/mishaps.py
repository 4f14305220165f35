"""What goes wrong: hosts that die, a workspace that answers badly, connections that are cut."""

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.running_signalbox import Json
from tests.faults.world import World

#: What AzureML does instead of answering, and how often beside the others.
_FAULTS: tuple[tuple[int, Json], ...] = (
    (4, {"status": 429, "headers": {"Retry-After": "1"}}),
    (4, {"status": 500}),
    (2, {"status": 503}),
    (3, {"drop": True}),
    (3, {"apply_then_drop": True}),
    (2, {"delay_seconds": 3.0}),
    (1, {"hold": True}),
)


class Mishaps:
    """Two threads: one kills and restarts hosts, one does everything else.

    `kills_every` and `faults_every` are seconds on average; no kills when it is None.
    """

    def __init__(
        self, world: World, seed: int, *, kills_every: float | None, faults_every: float
    ) -> None:
        self._world = world
        self._stop = threading.Event()
        self.met: Counter[str] = Counter()
        #: What went wrong in a thread; there should be nothing.
        self.errors: list[str] = []
        works: list[tuple[float, Callable[[Random], None]]] = [(faults_every, self._fault)]
        if kills_every is not None:
            works.append((kills_every, self._kill))
        self._works = [
            (every, work, Random(f"{seed} {n}")) for n, (every, work) in enumerate(works)
        ]
        self._pool = ThreadPoolExecutor(len(works))
        self._under_way: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._under_way = [self._pool.submit(self._work, *work) for work in self._works]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Everything works again, but for what it has left behind."""
        self._stop.set()
        self._pool.shutdown()
        self.errors = [repr(error) for work in self._under_way if (error := work.exception())]
        self._disarm()

    def _work(self, every: float, work: Callable[[Random], None], random: Random) -> None:
        while not self._stop.wait(random.uniform(0.5, 1.5) * every):
            work(random)

    def _kill(self, random: Random) -> None:
        hosts = self._world.hosts
        dying = hosts if random.random() < 0.2 else [random.choice(hosts)]
        for host in dying:
            host.kill()
            self.met["hosts killed"] += 1
        self._stop.wait(random.uniform(0, 1))
        for host in dying:
            host.start()

    def _fault(self, random: Random) -> None:
        mishap: Callable[[Random], None] = random.choices(
            [self._azureml, self._storage, self._broker, self._again], weights=[6, 2, 1, 3]
        )[0]
        mishap(random)

    def _azureml(self, random: Random) -> None:
        weights, actions = zip(*_FAULTS, strict=True)
        [action] = random.choices(actions, weights=weights)
        fault = {
            "method": random.choice(["PUT", "PUT", None]),
            "path_contains": "/jobs/",
            "times": random.randint(1, 3),
            "action": action,
        }
        # One at a time: those that nobody met would wait for whoever comes next, and meet them all.
        self._disarm()
        self._world.control("POST", "/faults", json=fault)

    def _disarm(self) -> None:
        for fault in self._world.control("GET", "/faults"):
            self.met[f"azureml: {_said(fault['action'])}"] += fault["met"]
        self._world.control("DELETE", "/faults")

    def _storage(self, _: Random) -> None:
        host = self._world.azure.topology.account("signalboxstate").host
        cut = self._world.control("POST", "/cuts", params={"host": host})
        self.met["connections to storage cut"] += cut["cut"]

    def _broker(self, random: Random) -> None:
        if random.random() < 0.5:
            self._world.control("POST", "/service_bus/faults", json={"cut_connections": True})
            self.met["broker: all connections cut"] += 1
        else:
            self._world.control("POST", "/service_bus/faults", json={"refuse_sends": 2})
            self.met["broker: sends refused"] += 2

    def _again(self, random: Random) -> None:
        """Event Grid delivers an upload once more."""
        uploads = list(self._world.landing.list_blobs(name_starts_with="unbounded/"))
        if not uploads:
            return
        event = _event(self._world, random.choice(uploads))
        host = random.choice(self._world.hosts)
        try:
            httpx.post(
                f"{host.url}/runtime/webhooks/EventGrid",
                params={"functionName": "blob_uploads", "code": host.keys.event_grid},
                headers={"aeg-event-type": "Notification"},
                json=[event],
                timeout=60,
                trust_env=False,
            )
        except httpx.TransportError:
            return
        self.met["uploads delivered once more"] += 1


def _event(world: World, blob: Any) -> Json:
    topology = world.azure.topology
    return {
        "id": str(uuid.uuid4()),
        "topic": topology.account_id("contosolake"),
        "subject": f"/blobServices/default/containers/landing/blobs/{blob.name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {
            "api": "PutBlob",
            "eTag": blob.etag.strip('"'),
            "url": f"{topology.account('contosolake').url}/landing/{blob.name}",
        },
        "dataVersion": "",
        "metadataVersion": "1",
    }


def _said(action: Json) -> str:
    if "status" in action:
        return str(action["status"])
    return next(iter(action)).replace("_", " ")
