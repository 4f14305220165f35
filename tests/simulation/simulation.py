"""One history of the unbatched protocol: the real modules, run by workers that interleave at
every call, die anywhere and see services fail.

Each delivery, tick and cancel is a greenlet that pauses at every call to a service; the scheduler
picks who goes on, and whose process dies instead.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet

from shared.batches import Batches
from shared.compute import COMPUTE_PATIENCE, Computes
from shared.compute_definitions import ComputeDefinition
from shared.definitions import TriggerDefinition
from shared.dispatcher import Dispatcher, in_turn
from shared.errors import SignalboxError, StorageUnavailable
from shared.events import BLOB_CREATED, Event
from shared.history import History
from shared.inbox import Inbox
from shared.index import Index, IndexedTrigger, Snapshot
from shared.inputs import PipelineInput
from shared.ledger import FUNCTION_TIMEOUT, Ledger
from shared.manifests import Manifests
from shared.orders import Orders
from shared.published import Published, PublishedPipeline
from shared.slots import Slots
from shared.submission import Submission
from shared.tick import Tick
from shared.turns import Turns
from tests.fakes import MemoryLakes, World
from tests.simulation.fickle import (
    FickleBlobs,
    FickleOutcomes,
    FickleTargets,
    FickleWorkspace,
    Odds,
)

DEPLOYMENT = "sim"
WORKERS = 3
#: After this a compute that was begun is there, if it ever is.
LATEST = timedelta(minutes=15)


@dataclass(frozen=True)
class Parts:
    """The classes a worker is made of; a trap replaces one."""

    index: type[Index] = Index
    ledger: type[Ledger] = Ledger
    turns: type[Turns] = Turns
    submission: type[Submission] = Submission
    dispatcher: type[Dispatcher] = Dispatcher
    tick: type[Tick] = Tick


@dataclass
class Worker:
    """One process: its rooms, and what it has under way."""

    index: Index
    dispatcher: Dispatcher
    tick: Tick
    submission: Submission
    activities: list["Activity"] = field(default_factory=list)


@dataclass
class Activity:
    """One call of a function, paused before or after a request."""

    thread: greenlet
    began: datetime
    #: What is to be told when the call returned without an error.
    answered: Callable[[], None]
    #: How often it gets to go on, beside others: at some call it may be stuck for long.
    pace: float = 1.0


@dataclass
class Source:
    """One upload, as Event Grid delivers it: until it is answered, and sometimes again."""

    event: Event
    uploaded: datetime
    answered: bool = False
    deliveries: int = 0


class Simulation:
    """Runs one history from a seed and leaves its end for inspection."""

    def __init__(
        self,
        seed: int,
        *,
        parts: Parts | None = None,
        odds: Odds | None = None,
        chains: bool | None = None,
        late_compute: bool | None = None,
        labels: bool | None = None,
    ) -> None:
        self.rng = Random(seed)
        #: Whether jobs read the latest version of a table, which is another one every time.
        self.labels = labels if labels is not None else seed % 5 == 0
        self.parts = parts or Parts()
        self.odds = odds or Odds.of_the_day(self.rng)
        self.world = World(before=self._before, after=self._after)
        self.blobs = FickleBlobs(self.world, self.rng, self.odds)
        self.workspace = FickleWorkspace(self.world, self.rng, self.odds)
        self.outcomes = FickleOutcomes(self.world, self.rng, self.odds)
        #: Whether the pipeline's compute is defined, and there only later, or never.
        self.late_compute = late_compute if late_compute is not None else self.rng.random() < 0.3
        never = self.late_compute and self.rng.random() < 0.2
        self.targets = FickleTargets(
            self.world,
            self.rng,
            self.odds,
            ready_at=None if never else self.world.now + LATEST * self.rng.random(),
        )
        self.sources: list[Source] = []
        self.canceled: set[tuple[str, str]] = set()
        self.crashes = 0
        self._calm = True
        self._publish(["all"])
        self.workers = [self._worker() for _ in range(WORKERS)]
        if self.rng.random() < 0.5:
            # Their copy of the index will be behind the next publish.
            for worker in self.workers:
                worker.index.read()
        self.world.pass_time(1)
        #: Whether runs follow on runs: that makes a history several times as long.
        self.chains = chains if chains is not None else self.rng.random() < 0.3
        self._publish(["all", "north", *(["after"] if self.chains else [])])
        if self.late_compute:
            Computes(self.blobs, self.targets).adopt([COMPUTE], lambda _line: None)

    def run(self) -> None:
        """Trouble first, then calm until nothing is left to do."""
        for number in range(self.rng.randint(1, 3)):
            self._upload(number)
        self._calm = False
        for _ in range(self.rng.randint(20, 250)):
            self._step()
        self._calm = True
        self.blobs.odds = self.workspace.odds = self.outcomes.odds = self.odds = Odds.calm()
        self.targets.odds = self.odds
        for number in range(80 if self.chains else 40):
            if self.targets.ready_at is None and number in (0, 10):
                # What waits for it waits in vain; also what is delivered only now.
                self.world.pass_time(COMPUTE_PATIENCE.total_seconds())
            for source in self.sources:
                if not source.answered:
                    self._deliver(source)
            self._begin(self.rng.choice(self.workers), lambda worker: worker.tick.run())
            while any(worker.activities for worker in self.workers):
                self._resume_one()
            self.world.pass_time(61)
            for _ in range(4):
                self.workspace.progress()

    def _step(self) -> None:
        self.world.pass_time(self.rng.random() * 0.4)
        if self.rng.random() < self.odds.leap:
            self.world.pass_time(self.rng.choice([30, 95, 200]))
        if self.rng.random() < 0.2:
            self.workspace.progress()
        idle = not any(
            activity.pace == 1 for worker in self.workers for activity in worker.activities
        )
        if self.rng.random() < (0.4 if idle else 0.04):
            self._deliver(self.rng.choice(self.sources))
        elif self.rng.random() < (0.9 if idle else 0.04):
            # A tick that comes while nothing else goes on comes a while later.
            self.world.pass_time(self.rng.choice([1, 61, 95]) if idle else 0)
            self._begin(self.rng.choice(self.workers), lambda worker: worker.tick.run())
        elif self.rng.random() < self.odds.cancel:
            self._cancel()
        elif self.rng.random() < self.odds.crash:
            self._crash(self.rng.randrange(WORKERS))
        else:
            self._resume_one()

    def _upload(self, number: int) -> None:
        self.world.pass_time(1)
        path = self.rng.choice(["in/north/a.csv", "in/south/b.csv", "in/north/c.txt"])
        event = Event(
            id=f"upload-{number}",
            source="/accounts/lake",
            type=BLOB_CREATED,
            subject=f"/blobServices/default/containers/landing/blobs/{path}",
            time=self.world.now,
            data={
                "api": "PutBlob",
                # The same path again is another upload.
                "eTag": f"0x{number}",
                "url": f"https://lake.blob.core.windows.net/landing/{path}",
                **({"contentType": "text/csv"} if self.rng.random() < 0.8 else {}),
            },
        )
        self.sources.append(Source(event=event, uploaded=self.world.now))

    def _deliver(self, source: Source) -> None:
        source.deliveries += 1
        # One write may come as two events with ids of their own.
        id = source.event.id if self.rng.random() < 0.5 else f"{source.event.id}-again"
        event = source.event.model_copy(update={"id": id})

        def answered() -> None:
            source.answered = True

        worker = self.rng.choice(self.workers)
        self._begin(worker, lambda worker: worker.dispatcher.handle(event), answered)

    def _cancel(self) -> None:
        records = [name for name in self.blobs.stored if name.startswith("ledger/")]
        if records and self.rng.random() < 0.5:
            _, trigger, file = self.rng.choice(records).split("/")
            key = file.removesuffix(".json")
            self.canceled.add((trigger, key))
            self._begin(
                self.rng.choice(self.workers),
                lambda worker: worker.submission.request_cancel(trigger, key),
            )

    def _begin(
        self,
        worker: Worker,
        call: Callable[[Worker], object],
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        def body() -> bool:
            try:
                call(worker)
            except SignalboxError:
                return False
            return True

        worker.activities.append(
            Activity(
                thread=greenlet(body),
                began=self.world.now,
                answered=answered,
            )
        )

    def _resume_one(self) -> None:
        under_way = [
            (worker, activity) for worker in self.workers for activity in worker.activities
        ]
        if not under_way:
            return
        paces = [activity.pace for _, activity in under_way]
        ((worker, activity),) = self.rng.choices(under_way, paces)
        if self.world.now - activity.began > FUNCTION_TIMEOUT:
            worker.activities.remove(activity)
            return
        fine = activity.thread.switch()
        activity.pace = 0.02 if self.rng.random() < 0.08 else 1.0
        if activity.thread.dead:
            worker.activities.remove(activity)
            if fine:
                activity.answered()

    def _crash(self, number: int) -> None:
        self.crashes += 1
        self.workers[number] = self._worker()

    def _worker(self) -> Worker:
        index, ledger = self.parts.index(self.blobs), self.parts.ledger(self.blobs)
        history = History(self.blobs)
        computes = Computes(self.blobs, self.targets)
        slots = Slots(self.blobs)
        turns = self.parts.turns(index=index, ledger=ledger, slots=slots)
        submission = self.parts.submission(
            deployment=DEPLOYMENT,
            ledger=ledger,
            workspace=self.workspace,
            history=history,
            computes=computes,
            turns=turns,
            chain=lambda event: dispatcher.handle(event),
            outcomes=self.outcomes,
        )
        skew = timedelta(seconds=self.rng.uniform(-3600, 3600))
        monotonic = partial(self._clock, skew)
        orders = Orders(deployment=DEPLOYMENT, variables={}, published=Published(self.blobs))
        batches = Batches(
            deployment=DEPLOYMENT,
            index=index,
            orders=orders,
            ledger=ledger,
            inbox=Inbox(self.blobs),
            slots=slots,
            manifests=Manifests(
                deployment=DEPLOYMENT, lakes=MemoryLakes(self.world), workspace=self.workspace
            ),
            begin=lambda order, binding, snapshot: dispatcher.begin(order, binding, snapshot),
            submit=submission.submit,
            new_id=lambda: f"{self.rng.getrandbits(64):016x}",
            side_by_side=in_turn,
        )
        dispatcher = self.parts.dispatcher(
            deployment=DEPLOYMENT,
            variables={},
            index=index,
            orders=orders,
            ledger=ledger,
            history=history,
            computes=computes,
            submission=submission,
            turns=turns,
            batches=batches,
            monotonic=monotonic,
        )
        tick = self.parts.tick(
            index=index,
            ledger=ledger,
            slots=slots,
            computes=computes,
            submission=submission,
            dispatcher=dispatcher,
            monotonic=monotonic,
            shuffle=self.rng.shuffle,
        )
        return Worker(index=index, dispatcher=dispatcher, tick=tick, submission=submission)

    def _clock(self, skew: timedelta) -> float:
        return (self.world.now + skew).timestamp()

    def _before(self, call: str) -> None:
        if self._pause() and self._unlucky(call, self.odds.storage_fails):
            raise StorageUnavailable("storage did not do it")

    def _after(self, call: str) -> None:
        if self._pause() and self._unlucky(call, self.odds.storage_answer_lost):
            raise StorageUnavailable("storage did it, its answer was lost")

    def _unlucky(self, call: str, odds: float) -> bool:
        """Whether a storage call fails; the workspace's calls fail in ways of their own."""
        storage = not call.startswith(("PUT", "GET", "cancel", "steps", "send"))
        return storage and not self._calm and self.rng.random() < odds

    def _pause(self) -> bool:
        """Let others go first; False in the simulation's own calls."""
        parent = getcurrent().parent
        if parent is None:
            return False
        parent.switch(False)
        return True

    def _publish(self, names: list[str]) -> None:
        index = Index(self.blobs)
        pipeline = PIPELINE
        if self.labels:
            inputs = {**PIPELINE.inputs, "table": TABLE}
            pipeline = PIPELINE.model_copy(update={"inputs": inputs})

        def change(snapshot: Snapshot, at: datetime) -> Snapshot:
            return snapshot.model_copy(
                update={
                    "triggers": {name: _indexed(name, at) for name in names},
                    "pipelines": {"train": pipeline.model_dump(mode="json", by_alias=True)},
                    "computes": {COMPUTE.name: "r1"} if self.late_compute else {},
                }
            )

        index.change(change)


PIPELINE = PublishedPipeline(
    name="train",
    version="0123456789abcdef",
    component_id="/components/train/versions/0123456789abcdef",
    inputs={"data": PipelineInput(type="uri_file"), "site": PipelineInput(type="string")},
    outputs={},
    settings={"default_compute": "cluster"},
    tags={},
)

TABLE = PipelineInput(type="mltable", path="azureml:sales@latest")

COMPUTE = ComputeDefinition.kept({"name": "cluster", "type": "amlcompute"})

#: `all` takes every file under in/, `north` the CSV files of one folder: there a text file is a
#: near miss, and an upload without a content type is a dead letter. `after` follows on every run
#: that completes or fails, its own as well.
SPECS: dict[str, dict[str, Any]] = {
    "all": {"blob": {"account": "lake", "container": "landing", "path": "in/{site}/{file}"}},
    "north": {"blob": {"account": "lake", "container": "landing", "path": "in/north/{file}.csv"}},
    "after": {"run": {"pipeline": "train", "status": ["completed", "failed"]}},
}
INPUTS = {
    "all": {"data": "${{ event.data.url }}", "site": "${{ captures.site }}"},
    "north": {"data": "${{ event.data.url }}", "site": "${{ event.data.contentType }}"},
    "after": {"data": "${{ event.data.inputs.data }}", "site": "${{ event.data.status }}"},
}
MAX_DEPTH = 2


def _indexed(name: str, at: datetime) -> IndexedTrigger:
    return IndexedTrigger(
        definition=TriggerDefinition.model_validate(
            {
                "name": name,
                "spec": SPECS[name],
                "action": {"pipeline": "train", "inputs": INPUTS[name]},
                "policies": {"max_depth": MAX_DEPTH},
            }
        ),
        revision=name,
        effective_from=at,
    )
