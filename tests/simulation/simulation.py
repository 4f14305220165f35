"""One history: the real modules, run by workers that interleave at every call, die anywhere and
see services fail.

Each delivery, tick and cancel is a greenlet that pauses at every call to a service; the scheduler
picks who goes on, and whose process dies instead.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import ClassVar

from greenlet import greenlet

from shared.compute import COMPUTE_PATIENCE, Computes
from shared.errors import SignalboxError
from shared.events import Event
from shared.index import Index, Paused, Snapshot
from shared.ledger import FUNCTION_TIMEOUT
from shared.policies import Policies
from tests.fakes import MemoryLakes, World
from tests.simulation.fickle import (
    FickleBlobs,
    FickleOutcomes,
    FickleTargets,
    FickleWorkspace,
    Odds,
)
from tests.simulation.scenario import COMPUTE, Scenario
from tests.simulation.trouble import Trouble
from tests.simulation.watch import Caller, Watch
from tests.simulation.workers import Parts, Worker, worker

MOST_WORKERS = 4
#: How often a trigger is published anew, for each step: most histories have none of that.
ANEW = (0, 0, 0, 0.015)
#: After this a compute that was begun is there, if it ever is.
LATEST = timedelta(minutes=15)
#: Ticks in which everything must come to its end once nothing goes wrong any more.
TICKS = 400
#: So often a day passes then, for what may begin only on another.
TICKS_A_DAY = 12


@dataclass
class Activity:
    """One call of a function, paused before or after a request."""

    worker: Worker
    thread: greenlet
    began: datetime
    caller: Caller
    #: What is to be told when the call returned without an error.
    answered: Callable[[], None]
    #: How often it gets to go on, beside others: at some call it may be stuck for long.
    pace: float = 1.0


@dataclass
class Source:
    """One upload, as Event Grid delivers it: until it is answered, and sometimes again."""

    event: Event
    uploaded: datetime
    deliveries: int = 0
    #: Steps at which it was first delivered, and first answered.
    first_delivery: int | None = None
    answered: int | None = None
    #: Nobody delivers it any more, or ever did.
    lost: bool = False

    @property
    def awaits_answer(self) -> bool:
        return self.answered is None and not self.lost


class Simulation(Trouble):
    """Runs one history from a seed and leaves its end for inspection.

    Kinds of histories override what is marked as theirs; see `kinds`.
    """

    #: What scenarios are drawn of.
    scenarios: ClassVar[type[Scenario]] = Scenario
    #: Names of blobs that begin so are left while there is something to do.
    left: ClassVar[tuple[str, ...]] = ("open/", "held/", "inbox/")
    #: What a tick does beside runs and slots.
    parts_of_tick: ClassVar[tuple[str, ...]] = ("the batches",)

    def __init__(
        self,
        seed: int,
        *,
        parts: Parts | None = None,
        odds: Odds | None = None,
        scenario: Callable[[Random], Scenario] | None = None,
    ) -> None:
        self.rng = Random(seed)
        #: Of its own, so that histories in which nobody publishes anew stay as they are.
        self.publisher = Random(f"who publishes in {seed}")
        self.parts = parts or Parts()
        self.odds = odds or Odds.of_the_day(self.rng)
        self.scenario = (scenario or self.scenarios.drawn)(self.rng)
        anew = self.publisher.choice(ANEW)
        self.anew = anew if self.scenario.anew is None else self.scenario.anew
        self.world = World(before=self._before, after=self._after)
        self.watch = self._watch()
        self.blobs = FickleBlobs(self.world, self.rng, self.odds, self.watch.wrote)
        timed = {name for name, each in self.scenario.policies.items() if each.run_timeout}
        self.workspace = FickleWorkspace(
            self.world, self.rng, self.odds, self.watch.came, patient=frozenset(timed)
        )
        self.outcomes = FickleOutcomes(self.world, self.rng, self.odds)
        never = self.scenario.late_compute and self.rng.random() < 0.2
        self.targets = FickleTargets(
            self.world,
            self.rng,
            self.odds,
            ready_at=None if never else self.world.now + LATEST * self.rng.random(),
        )
        self.lakes = self._lakes()
        self.activities: list[Activity] = []
        self.sources: list[Source] = []
        self.canceled: set[tuple[str, str]] = set()
        self.crashes = 0
        self._publish(self.scenario.triggers[:1])
        self.workers = [self._worker() for _ in range(self.rng.randint(2, MOST_WORKERS))]
        if self.rng.random() < 0.5:
            # Their copy of the index will be behind the next publish.
            for worker in self.workers:
                worker.index.read()
        self.world.pass_time(1)
        self._publish(self.scenario.triggers)
        if self.scenario.late_compute:
            Computes(self.blobs, self.targets).adopt([COMPUTE], lambda _line: None)

    def run(self) -> None:
        """Trouble first, then calm until nothing is left to do, and then for days."""
        for _ in range(self.scenario.uploads):
            self._upload()
        self._calm = False
        for _ in range(self.scenario.steps):
            self._step()
        self._calm = True
        self.blobs.odds = self.workspace.odds = self.outcomes.odds = self.odds = Odds.calm()
        self.targets.odds = self.odds
        for trigger in list(self.watch.paused):
            self._pause(trigger)
        self._come_to_rest()
        for _ in range(2):
            # What is kept for a while only goes as well.
            self.world.pass_time(timedelta(days=2, seconds=1).total_seconds())
            self._calm_round()

    def at_rest(self) -> bool:
        """Whether all is answered and nothing is marked as left to do."""
        return (
            not any(source.awaits_answer for source in self.sources)
            and not self.workspace.late
            and not any(name.startswith(self.left) for name in self.blobs.stored)
        )

    def _come_to_rest(self) -> None:
        """Nothing goes wrong any more, until nothing is left to do. For kinds to add to."""
        ticks = TICKS
        if self._has_cap:
            # One of them a day, at the worst.
            ticks += TICKS_A_DAY * sum(name.startswith("ledger/") for name in self.blobs.stored)
        for number in range(ticks):
            if self.targets.ready_at is None and number in (0, 10):
                # What waits for it waits in vain; also what is delivered only now.
                self.world.pass_time(COMPUTE_PATIENCE.total_seconds())
            if number % TICKS_A_DAY == TICKS_A_DAY - 1 and self._has_cap:
                self._end_day()
            self._calm_round()
            if number > 1 and self.at_rest():
                break

    def _calm_round(self) -> None:
        for source in self.sources:
            if source.awaits_answer:
                self._deliver(source)
        self._tick()
        while self.activities:
            self._resume_one()
        self.world.pass_time(61)
        for _ in range(4):
            self.workspace.progress()

    @property
    def _has_cap(self) -> bool:
        now = [self.watch.editions.now(name) for name in self.scenario.policies]
        return any(each.there and each.policies.max_runs_per_day is not None for each in now)

    def _step(self) -> None:
        if self.anew and self.publisher.random() < self.anew:
            self._publish_anew()
        self.world.pass_time(self.rng.random() * 0.4)
        if self.rng.random() < self.odds.leap:
            self.world.pass_time(self.rng.choice([30, 95, 200, 400]))
        if self._has_cap and self.rng.random() < self.odds.midnight:
            self._end_day()
        if self.rng.random() < 0.2:
            self.workspace.progress()
        idle = not any(activity.pace == 1 for activity in self.activities)
        if self.rng.random() < (0.4 if idle else 0.04):
            self._deliver(self.rng.choice(self.sources))
        elif self.rng.random() < (0.9 if idle else 0.04):
            # A tick that comes while nothing else goes on comes a while later.
            self.world.pass_time(self.rng.choice([1, 61, 95]) if idle else 0)
            self._tick()
        elif self.rng.random() < self.odds.cancel:
            self._cancel()
        elif self.rng.random() < self.odds.pause:
            self._pause(self.rng.choice(self.scenario.triggers))
        elif self.rng.random() < self.odds.crash:
            self._crash(self.rng.randrange(len(self.workers)))
        elif not self._other():
            self._resume_one()

    def _other(self) -> bool:
        """Whether something happened that only some kinds of histories know. For kinds."""
        return False

    def _upload(self) -> None:
        """Somebody writes a file. For kinds."""
        self.world.pass_time(1)
        event = self.scenario.upload(self.rng, len(self.sources), self.world.now)
        self.sources.append(Source(event=event, uploaded=self.world.now))

    def _end_day(self) -> None:
        tomorrow = (self.world.now + timedelta(days=1)).replace(hour=0, minute=0, second=0)
        self.world.now = tomorrow - timedelta(seconds=self.rng.choice([-1, 0, 1, 2]))

    def _deliver(self, source: Source) -> None:
        if source.lost:
            return
        self.watch.step += 1
        source.deliveries += 1
        if source.first_delivery is None:
            source.first_delivery = self.watch.step
        # One write may come as two events with ids of their own.
        id = source.event.id if self.rng.random() < 0.5 else f"{source.event.id}-again"
        event = source.event.model_copy(update={"id": id})

        def answered() -> None:
            if source.answered is None:
                source.answered = self.watch.step

        self._begin(lambda worker: worker.dispatcher.handle(event), answered, reads_the_index=True)

    def _tick(self) -> None:
        self._begin(lambda worker: worker.tick.run(), reads_the_index=True)

    def _cancel(self) -> None:
        """Somebody cancels any run; not always does the call come to look at it as well."""
        records = [name for name in self.blobs.stored if name.startswith("ledger/")]
        if not records:
            return
        _, trigger, file = self.rng.choice(records).split("/")
        key = file.removesuffix(".json")
        looks = self.rng.random() < 0.5
        self.canceled.add((trigger, key))

        def cancel(worker: Worker) -> None:
            if worker.submission.request_cancel(trigger, key) and looks:
                with suppress(SignalboxError):
                    worker.submission.resume(trigger, key)

        self._begin(cancel)

    def _publish_anew(self) -> None:
        """Somebody publishes a trigger with other policies, removes it, or publishes it again."""
        trigger = self.publisher.choice(self.scenario.triggers)
        known = self.watch.editions.now(trigger)
        if not known.there:
            before = [each for each in self.watch.editions.ever(trigger) if each.there]
            self._publish_trigger(trigger, before[-1].policies)
            if self.publisher.random() < 0.7:
                self._upload()
        elif changed := self.scenario.changed(self.publisher, trigger, known.policies):
            self._publish_trigger(trigger, changed)
        else:
            self._remove(trigger)

    def _publish_trigger(self, trigger: str, policies: Policies) -> None:
        self.watch.step += 1

        def change(snapshot: Snapshot, at: datetime) -> Snapshot:
            changed = self.scenario.indexed(trigger, at, policies)
            if known := snapshot.triggers.get(trigger):
                kept = {"effective_from": known.effective_from, "paused": known.paused}
                changed = changed.model_copy(update=kept)
            return snapshot.model_copy(update={"triggers": {**snapshot.triggers, trigger: changed}})

        Index(self.blobs).change(change)
        there = self.watch.editions.now(trigger).there
        self.watch.editions.add(trigger, policies, self.watch.step, self.world.now)
        self.watch.seen["published anew" if there else "published again"] += 1

    def _remove(self, trigger: str) -> None:
        """Somebody removes a trigger, and what was said of its pause with it."""
        self.watch.step += 1

        def change(snapshot: Snapshot, _at: datetime) -> Snapshot:
            left = {name: each for name, each in snapshot.triggers.items() if name != trigger}
            return snapshot.model_copy(update={"triggers": left})

        Index(self.blobs).change(change)
        self.watch.editions.add(trigger, None, self.watch.step, self.world.now)
        self.watch.paused.pop(trigger, None)
        self.watch.seen["removed"] += 1

    def _pause(self, trigger: str) -> None:
        """Somebody pauses a trigger, or lets it go on."""
        if not self.watch.editions.now(trigger).there:
            return
        self.watch.step += 1
        paused = None if trigger in self.watch.paused else Paused(note="", at=self.world.now)

        def change(snapshot: Snapshot, _at: datetime) -> Snapshot:
            changed = snapshot.triggers[trigger].model_copy(update={"paused": paused})
            return snapshot.model_copy(update={"triggers": {**snapshot.triggers, trigger: changed}})

        Index(self.blobs).change(change)
        if paused:
            self.watch.paused[trigger] = self.watch.step
            self.watch.seen["paused"] += 1
        else:
            del self.watch.paused[trigger]

    def _begin(
        self,
        call: Callable[[Worker], object],
        answered: Callable[[], None] = lambda: None,
        *,
        reads_the_index: bool = False,
    ) -> None:
        worker = self.rng.choice(self.workers)
        self.watch.step += 1

        def body() -> bool:
            try:
                call(worker)
            except SignalboxError:
                return False
            return True

        self.activities.append(
            Activity(
                worker=worker,
                thread=greenlet(body),
                began=self.world.now,
                caller=Caller(
                    self.watch.step, reads_the_index=reads_the_index, counted=worker.counted
                ),
                answered=answered,
            )
        )

    def _resume_one(self) -> None:
        if not self.activities:
            return
        paces = [activity.pace for activity in self.activities]
        (activity,) = self.rng.choices(self.activities, paces)
        if self.world.now - activity.began > FUNCTION_TIMEOUT:
            self.activities.remove(activity)
            return
        self.watch.step += 1
        self.watch.caller = activity.caller
        self.watch.known_since = self._known_since(activity)
        fine = activity.thread.switch()
        slow = self.scenario.slow and self.world.calls[-1].startswith(self.scenario.slow)
        stuck = 0.5 if slow else self.odds.stuck
        activity.pace = 0.02 if self.rng.random() < stuck else 1.0
        if activity.thread.dead:
            self.activities.remove(activity)
            if fine:
                activity.answered()

    def _known_since(self, activity: Activity) -> int:
        """The step since which what was published may be what somebody decides by: another call of
        its process may do for it what it wants, and the other way round."""
        if not activity.caller.reads_the_index:
            return 0
        beside = [each for each in self.activities if each.worker is activity.worker]
        return min(each.caller.began for each in beside)

    def _crash(self, number: int) -> None:
        self.crashes += 1
        dead, self.workers[number] = self.workers[number], self._worker()
        self.activities = [each for each in self.activities if each.worker is not dead]

    def _worker(self) -> Worker:
        skew = timedelta(seconds=self.rng.uniform(-3600, 3600))
        return worker(
            self.parts,
            rng=self.rng,
            blobs=self.blobs,
            workspace=self.workspace,
            outcomes=self.outcomes,
            targets=self.targets,
            lakes=self.lakes,
            clock=lambda: (self.world.now + skew).timestamp(),
            parts_of_tick=self.parts_of_tick,
        )

    def _watch(self) -> Watch:
        """Who sees what happens. For kinds."""
        return Watch(self.scenario, jobs=lambda: self.workspace.jobs, now=lambda: self.world.now)

    def _lakes(self) -> MemoryLakes:
        """Where the data is. For kinds."""
        return MemoryLakes(self.world)

    def _publish(self, names: list[str]) -> None:
        def change(snapshot: Snapshot, at: datetime) -> Snapshot:
            return snapshot.model_copy(
                update={
                    "triggers": {name: self.scenario.indexed(name, at) for name in names},
                    "pipelines": {
                        "train": self.scenario.pipeline.model_dump(mode="json", by_alias=True)
                    },
                    "computes": {COMPUTE.name: "r1"} if self.scenario.late_compute else {},
                }
            )

        Index(self.blobs).change(change)
