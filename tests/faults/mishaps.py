"""What goes wrong: hosts that die, services that answer badly or not at all, triggers paused."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.running_signalbox import Json
from tests.faults.world import STATE, World
from tests.loopback import loopback

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
#: What blob storage does instead of answering, and how often beside the others.
_STORAGE_FAULTS: tuple[tuple[int, Json], ...] = (
    (3, {"action": {"status": 500, "code": "InternalError"}}),
    (3, {"action": {"status": 503, "code": "ServerBusy"}}),
    (3, {"action": {"drop": True}}),
    # the client's own second try then meets what the first has done
    (4, {"action": {"apply_then_drop": True}}),
    (1, {"action": {"delay_seconds": 2.0}}),
    # somebody else was faster, as it seems
    (4, {"if_match": True, "action": {"status": 412, "code": "ConditionNotMet"}}),
)
#: Whose requests: all blobs, or those of one kind. Lists, which the test asks for too, are spared.
_BLOBS = ("", "", "ledger/", "open/", "slots/", "queue/", "inbox/", "groups/", "index.json")

#: Triggers that somebody pauses now and then.
_PAUSED = ("news", "together", "two-a-shop")
#: Seconds for which somebody tries to resume a trigger.
_PATIENCE = 120.0


class Mishaps:
    """A thread that kills and restarts hosts, one that pauses triggers, one for all the rest.

    Each time is seconds on average; where it is None, that does not happen.
    """

    def __init__(
        self,
        world: World,
        seed: int,
        *,
        kills_every: float | None,
        pauses_every: float | None,
        faults_every: float | None,
    ) -> None:
        self._world = world
        self._stop = threading.Event()
        self.met: Counter[str] = Counter()
        #: What went wrong in a thread; there should be nothing.
        self.errors: list[str] = []
        works = (
            (faults_every, self._fault),
            (kills_every, self._kill),
            (pauses_every, self._pause),
        )
        self._works = [
            (every, work, Random(f"{seed} {n}"))
            for n, (every, work) in enumerate(works)
            if every is not None
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
        self._disarm_storage()

    def lacks(self, least: Mapping[str, int]) -> bool:
        """Whether too little went wrong so far of something, by the beginning of its name."""
        met = self.met.copy()
        return any(
            sum(n for what, n in met.items() if what.startswith(begin)) < count
            for begin, count in least.items()
        )

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
            [self._azureml, self._storage, self._cut_storage, self._broker, self._again],
            weights=[6, 6, 2, 1, 3],
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

    def _pause(self, random: Random) -> None:
        """Somebody pauses a trigger, and resumes it after some seconds."""
        trigger = random.choice(_PAUSED)
        self._ask(f"triggers/{trigger}/pause", {"note": "a storm"})
        self._stop.wait(random.uniform(2, 6))
        self._ask(f"triggers/{trigger}/resume")
        self.met["triggers paused"] += 1

    def _ask(self, path: str, body: Json | None = None) -> None:
        """Repeat a request until it is answered, also after the storm."""
        pause, deadline = threading.Event(), time.monotonic() + _PATIENCE
        while True:
            try:
                answer = self._world.ask(path, body)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code < 500:
                assert answer.status_code == 200, answer.text
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} was not answered for {_PATIENCE:g} s")
            pause.wait(0.5)

    def _storage(self, random: Random) -> None:
        weights, faults = zip(*_STORAGE_FAULTS, strict=True)
        [fault] = random.choices(faults, weights=weights)
        kind = random.choice(_BLOBS)
        # One at a time, as above. The client tries three times: some see that all failed.
        self._disarm_storage()
        where = {"path_contains": f"/signalbox-state/{kind}", "times": random.randint(1, 6)}
        self._world.storage_faults("POST", {**where, **fault})

    def _disarm_storage(self) -> None:
        for fault in self._world.storage_faults("DELETE"):
            self.met[f"storage: {_said(fault['action'])}"] += fault["met"]

    def _cut_storage(self, _: Random) -> None:
        host = self._world.azure.topology.account(STATE).host
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
            loopback.post(
                f"{host.url}/runtime/webhooks/EventGrid",
                params={"functionName": "blob_uploads", "code": host.keys.event_grid},
                headers={"aeg-event-type": "Notification"},
                json=[event],
                timeout=60,
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
