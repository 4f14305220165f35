"""Histories of schedules: ticks that are late, doubled and killed anywhere, on workers with wrong
clocks, while somebody publishes, pauses, resumes and deletes.

The scheduler is that of `simulation`; what must hold is told by what was written to the index.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Literal

from greenlet import getcurrent, greenlet

from shared import changes
from shared.binding import RUN_TAG
from shared.clocks import Clock, Clocks
from shared.definitions import Definitions, TriggerDefinition, TriggerFile
from shared.errors import SignalboxError, StorageUnavailable
from shared.index import Index, IndexedTrigger, Snapshot
from shared.ledger import FUNCTION_TIMEOUT, TRANSITIONS, Record, State
from shared.orders import Orders
from shared.pauses import Pauses
from shared.published import Published
from shared.recurrences import Recurrence, fires_at
from shared.schedules import Schedules
from tests.fakes import MemoryLakes, World
from tests.simulation.fickle import (
    FickleBlobs,
    FickleOutcomes,
    FickleTargets,
    FickleWorkspace,
    Odds,
)
from tests.simulation.histories import Tally
from tests.simulation.scenario import DEPLOYMENT, PIPELINE
from tests.simulation.workers import Parts, Worker, worker

#: So few are written down by one tick that its end comes within one second.
MOST = 3
#: Ticks once nothing goes wrong any more, and those in which everything must come to its end then.
_CALM, _TICKS = 8, 400
#: Times that two days go by after that.
_DAYS = 2

#: In the end one that has the minutes of the first, and other seconds.
SPECS: Sequence[Mapping[str, Any]] = (
    {"cron": "* * * * *"},
    {"cron": "*/2 * * * *"},
    {"every": "PT1M"},
    {"every": "PT90S"},
    {"every": "PT70S", "jitter": "PT2M"},
    {"cron": "* * * * *", "jitter": "PT3M"},
    {"cron": "*/3 * * * *", "catchup_window": "PT5M"},
    {"every": "PT1M", "start_time": "2026-03-01T12:00:30Z"},
)
_SAID: list[Literal["hold", "drop"] | None] = [None, "drop", "hold"]
_POLICIES: list[dict[str, Any]] = [
    {},
    {"while_paused": "hold"},
    {"overlap": "buffer_one"},
    {"overlap": "buffer_all", "concurrency": {"limit": 2}},
    {"overlap": "buffer_all", "concurrency": {"limit": "unlimited"}},
]


@dataclass(frozen=True)
class Machinery:
    """The classes that schedules are made of; a trap replaces one."""

    schedules: type[Schedules] = Schedules
    clocks: type[Clocks] = Clocks
    orders: type[Orders] = Orders
    index: type[Index] = Index
    pauses: type[Pauses] = Pauses


@dataclass(eq=False)
class _Activity:
    """One call of a function, paused before or after a request."""

    process: "_Process"
    thread: greenlet
    began: datetime
    #: How often it gets to go on, beside others: ticks come while somebody publishes.
    pace: float


@dataclass(eq=False)
class _Process:
    worker: Worker
    schedules: Schedules
    pauses: Pauses


@dataclass
class _Period:
    """A schedule while it was a trigger's, by what was written to the index."""

    trigger: str
    indexed: IndexedTrigger
    #: Scheduled times are its own: since < time <= until, and may be until `ended`.
    since: datetime
    until: datetime | None = None
    ended: datetime | None = None
    #: It was deleted when the clock was there: what fired later never was.
    deleted: Clock | None = None

    def times(self, last: datetime) -> dict[datetime, datetime]:
        """Scheduled times to one that it may have, and when each fires."""
        spec = self.indexed.definition.spec.schedule
        assert spec is not None
        found = {}
        for at in Recurrence(spec, self.indexed.anchor).after(self.since):
            if at > last:
                break
            found[at] = fires_at(self.trigger, spec, at)
        return found


@dataclass
class _Pause:
    trigger: str
    at: datetime
    #: It was written then; whoever looked before knows nothing of it.
    written: datetime
    until: datetime | None = None
    #: What fired then was to be dropped, whoever asked.
    drops: bool = True


class Occurrences:
    """Runs one history from a seed and says what it broke."""

    def __init__(
        self,
        seed: int,
        *,
        machinery: Machinery | None = None,
        odds: Odds | None = None,
        specs: Sequence[Mapping[str, Any]] = SPECS,
        pace: float = 0.4,
    ) -> None:
        self.rng = Random(seed)
        self.machinery = machinery or Machinery()
        self.odds = odds or Odds.of_the_day(self.rng)
        self._specs = specs
        self._pace = pace
        self.world = World(before=self._before, after=self._after)
        self.blobs = FickleBlobs(self.world, self.rng, self.odds, self._wrote)
        self.workspace = FickleWorkspace(self.world, self.rng, self.odds, lambda _name: None)
        self.broken: list[str] = []
        self.seen: Counter[str] = Counter()
        self.crashes = 0
        self._calm = True
        self._activities: list[_Activity] = []
        self._periods: list[_Period] = []
        self._pauses: list[_Pause] = []
        self._triggers: dict[str, IndexedTrigger] = {}
        self._clock: Clock | None = None
        self._made: dict[tuple[str, datetime], datetime] = {}
        self._names = [f"s{number}" for number in range(self.rng.randint(1, 5))]
        self._processes = [self._process() for _ in range(self.rng.randint(2, 4))]

    def run(self) -> list[str]:
        """Trouble first, then calm until all is done; the promises that it broke."""
        self._publish(self._names, self._processes[0])
        self._drain()
        self._tick()
        self._drain()
        self._calm = False
        for _ in range(self.rng.randint(100, 500)):
            self._step()
        self._calm = True
        for part in (self.blobs, self.workspace):
            part.odds = Odds.calm()
        self._drain()
        self._resume_all()
        # What is late, then nothing is due any more, and what has begun comes to its end.
        for _ in range(_CALM):
            self._calm_round()
        for name in self._names:
            self._begin(
                self._processes[0], partial(self._processes[0].worker.index.change, _without(name))
            )
        self._drain()
        for _ in range(_TICKS):
            self._calm_round()
            left = [name for name in self.blobs.stored if name.startswith(("open/", "held/"))]
            if not left and not self.workspace.late:
                break
        for _ in range(_DAYS):
            # A slot goes when nobody wanted it for long, with whatever was left in its line.
            self.world.pass_time(timedelta(days=2, seconds=1).total_seconds())
            self._calm_round()
        return self.broken + self._violations()

    def _calm_round(self) -> None:
        self.world.pass_time(61)
        self._tick()
        self._drain()
        for _ in range(4):
            self.workspace.progress()

    # What happens

    def _step(self) -> None:
        self.world.pass_time(self.rng.random() * 0.4)
        if self.rng.random() < 0.05:
            self._leap(self.rng.choice([0, 0, 0, 60, 300, 900]))
        if self.rng.random() < 0.2:
            self.workspace.progress()
        roll, idle = self.rng.random(), not any(each.pace == 1 for each in self._activities)
        if roll < (0.5 if idle else 0.06):
            self._tick()
        elif roll < (0.8 if idle else 0.09):
            self._meddle()
        elif self.rng.random() < self.odds.crash:
            self._crash()
        elif self._activities:
            paces = [each.pace for each in self._activities]
            self._go_on(*self.rng.choices(self._activities, paces))

    def _meddle(self) -> None:
        """Somebody publishes, pauses, resumes or deletes one."""
        name, process = self.rng.choice(self._names), self.rng.choice(self._processes)
        match self.rng.choice(["edit", "edit", "pause", "resume", "resume", "delete"]):
            case "edit":
                self._publish([name], process)
                if self.rng.random() < 0.2:
                    self._while_a_minute_ends(self._activities[-1])
            case "pause":
                said = self.rng.choice(_SAID)
                self._begin(
                    process,
                    lambda: process.pauses.pause(name, note="tea", by="key", while_paused=said),
                )
            case "resume":
                self._begin(process, lambda: process.pauses.resume(name))
            case _:
                self._begin(process, lambda: process.worker.index.change(_without(name)))

    def _while_a_minute_ends(self, publishing: _Activity) -> None:
        """Who publishes has read the index, and a tick comes before it is written."""
        for _ in range(2):
            self._go_on(publishing)
        self._leap(0)
        self._tick()

    def _leap(self, far: float) -> None:
        """To about a whole minute, or far beyond."""
        rest = 60 - self.world.now.second - self.world.now.microsecond / 1e6
        self.world.pass_time(max(0.0, rest + self.rng.choice([-1, -0.2, 0, 0.3, 2, 30]) + far))

    def _publish(self, names: list[str], process: _Process) -> None:
        files = tuple(
            TriggerFile(trigger=self._drawn(name), document=None)  # type: ignore[arg-type]
            for name in names
        )
        wanted = changes.Wanted(
            [PIPELINE.model_copy(update={"inputs": {}})],
            Definitions(pipelines=(), triggers=files),
        )
        self._begin(
            process,
            lambda: process.worker.index.change(
                lambda before, at: changes.applied(before, at, wanted)
            ),
        )

    def _drawn(self, name: str) -> TriggerDefinition:
        return TriggerDefinition.model_validate(
            {
                "name": name,
                "spec": {"schedule": self.rng.choice(self._specs)},
                "action": {"pipeline": PIPELINE.name},
                "policies": self.rng.choice(_POLICIES),
            }
        )

    def _tick(self) -> None:
        process = self.rng.choice(self._processes)
        # How far its time goes.
        looks = self.rng.choice([0, 1, 2, 1000])

        def over() -> bool:
            nonlocal looks
            looks -= 1
            return looks < 0

        def tick() -> None:
            with suppress(SignalboxError):
                process.schedules.run_due(over)
            process.worker.tick.run()

        self._begin(process, tick, pace=1)

    def _resume_all(self) -> None:
        for name in self._names:
            self._begin(self._processes[0], partial(self._processes[0].pauses.resume, name))
        self._drain()

    # How it goes on

    def _begin(
        self, process: _Process, call: Callable[[], object], pace: float | None = None
    ) -> None:
        def body() -> None:
            with suppress(SignalboxError):
                call()

        self._activities.append(
            _Activity(process, greenlet(body), self.world.now, pace or self._pace)
        )

    def _go_on(self, activity: _Activity) -> None:
        if self.world.now - activity.began > FUNCTION_TIMEOUT:
            self._activities.remove(activity)
            return
        activity.thread.switch()
        if activity.thread.dead:
            self._activities.remove(activity)

    def _drain(self) -> None:
        while self._activities:
            self._go_on(self.rng.choice(self._activities))

    def _crash(self) -> None:
        self.crashes += 1
        number = self.rng.randrange(len(self._processes))
        dead, self._processes[number] = self._processes[number], self._process()
        self._activities = [each for each in self._activities if each.process is not dead]

    def _process(self) -> _Process:
        skew = timedelta(seconds=self.rng.uniform(-3600, 3600))
        made = worker(
            Parts(index=self.machinery.index),
            rng=self.rng,
            blobs=self.blobs,
            workspace=self.workspace,
            outcomes=FickleOutcomes(self.world, self.rng, Odds.calm()),
            targets=FickleTargets(self.world, self.rng, Odds.calm(), ready_at=None),
            lakes=MemoryLakes(self.world),
            clock=lambda: (self.world.now + skew).timestamp(),
        )
        schedules = self.machinery.schedules(
            index=made.index,
            clocks=self.machinery.clocks(self.blobs),
            orders=self.machinery.orders(
                deployment=DEPLOYMENT, variables={}, published=Published(self.blobs)
            ),
            dispatcher=made.dispatcher,
            most=MOST,
        )
        return _Process(made, schedules, self.machinery.pauses(made.index))

    def _before(self, call: str) -> None:
        if self._yield() and self._unlucky(call, self.odds.storage_fails):
            raise StorageUnavailable("storage did not do it")

    def _after(self, call: str) -> None:
        if self._yield() and self._unlucky(call, self.odds.storage_answer_lost):
            raise StorageUnavailable("storage did it, its answer was lost")

    def _unlucky(self, call: str, odds: float) -> bool:
        storage = not call.startswith(("PUT", "GET", "cancel", "steps", "send"))
        return storage and not self._calm and self.rng.random() < odds

    def _yield(self) -> bool:
        parent = getcurrent().parent
        if parent is None:
            return False
        parent.switch()
        return True

    # What is seen

    def _wrote(self, name: str, data: bytes) -> None:
        if name == "index.json":
            self._published(Snapshot.model_validate_json(data).triggers)
        elif name == "clock.json":
            self._moved(Clock.model_validate_json(data))
        elif name.startswith("ledger/"):
            self._recorded(json.loads(data))

    def _published(self, triggers: Mapping[str, IndexedTrigger]) -> None:
        now = self.world.now
        for name in {*triggers, *self._triggers}:
            before, after = self._triggers.get(name), triggers.get(name)
            known = [one for one in self._periods if one.trigger == name and one.ended is None]
            if after is None or before is None or after.edition != before.edition:
                for one in known:
                    one.ended = now
                    one.until = after.since if after and before else now
                    one.deleted = None if after else self._clock
                if after is not None:
                    self._periods.append(_Period(name, after, after.since))
                    self.seen["published"] += 1
            self._paused(name, before, after)
        self._triggers = dict(triggers)

    def _paused(
        self, name: str, before: IndexedTrigger | None, after: IndexedTrigger | None
    ) -> None:
        was = before.paused if before else None
        now = after.paused if after else None
        if now is not None and was is None:
            self._pauses.append(_Pause(name, now.at, self.world.now))
            self.seen["paused"] += 1
        mine = [one for one in self._pauses if one.trigger == name]
        if after and now is not None:
            said = now.while_paused or after.definition.policies.while_paused
            mine[-1].drops = mine[-1].drops and said == "drop"
        if was is not None and now is None:
            mine[-1].until = after.pauses[-1].until if after and after.pauses else self.world.now

    def _moved(self, clock: Clock) -> None:
        if self._clock is not None and _place(clock) < _place(self._clock):
            self.broken.append(f"the clock went back from {self._clock} to {clock}")
        if clock.last_evaluated > self.world.now:
            self.broken.append(f"the clock is ahead of time: {clock}")
        self.seen["clock moved within a second"] += clock.through is not None
        self._clock = clock

    def _recorded(self, record: dict[str, Any]) -> None:
        trigger, at = record["trigger"], datetime.fromisoformat(record["event"]["time"])
        if (trigger, at) not in self._made:
            self._made[trigger, at] = self.world.now
            self.seen[record["state"]] += 1

    # What must hold

    def _violations(self) -> list[str]:
        records: dict[tuple[str, datetime], list[Record]] = {}
        for name, blob in self.blobs.stored.items():
            if name.startswith("ledger/"):
                record = Record.model_validate_json(blob.data)
                records.setdefault((record.trigger, record.event.time), []).append(record)
        found = [
            f"{len(some)} records of {which}" for which, some in records.items() if len(some) > 1
        ]
        allowed: dict[tuple[str, datetime], list[_Period]] = {}
        for period in self._periods:
            last = period.ended or self.world.now
            for at, fires in period.times(last).items():
                allowed.setdefault((period.trigger, at), []).append(period)
                if self._must_be(period, at, fires) and (period.trigger, at) not in records:
                    found.append(f"lost: {period.trigger} at {at}, which fires at {fires}")
        for which, [record, *_] in records.items():
            if which not in allowed:
                found.append(f"{record.run_id} is of {which[1]}, which was no time of {which[0]}")
            else:
                found += self._wrong(record, allowed[which])
        for marker in self.blobs.stored:
            if marker.startswith(("open/", "held/", "queue/", "slots/")):
                found.append(f"left: {marker}")
        jobs = Counter(job.tags[RUN_TAG] for job in self.workspace.jobs.values())
        found += [f"{run} has {number} jobs" for run, number in jobs.items() if number > 1]
        return found

    def _must_be(self, period: _Period, at: datetime, fires: datetime) -> bool:
        """Whether a time has to have a record by now."""
        if period.until is not None and at > period.until:
            return False
        clock = period.deleted if period.ended and period.deleted else self._clock
        if clock is None or fires >= clock.last_evaluated:
            return False
        # What was deleted later than its successor came was evaluated by nobody who knew it.
        return clock.edition >= period.indexed.edition and not self._deleted_later(period, fires)

    def _deleted_later(self, period: _Period, fires: datetime) -> bool:
        """Whether the trigger was deleted after an edit, before the clock had passed this."""
        return any(
            other.trigger == period.trigger
            and other.deleted is not None
            and other.since >= period.since
            and fires >= other.deleted.last_evaluated
            for other in self._periods
        )

    def _wrong(self, record: Record, periods: list[_Period]) -> list[str]:
        """What is wrong with the record of a time."""
        found = []
        made = self._made[record.trigger, record.event.time]
        specs = [one.indexed.definition.spec.schedule for one in periods]
        fires = [fires_at(record.trigger, spec, record.event.time) for spec in specs if spec]
        windows = [spec.catchup_window for spec in specs if spec]
        if TRANSITIONS[record.state]:
            found.append(f"{record.run_id} in limbo: {record.state}")
        if made < min(fires):
            found.append(f"{record.run_id} was made at {made}, and fires at {fires}")
        code = record.reason.code if record.reason else None
        if record.state is State.MISSED and made - min(fires) <= min(windows):
            found.append(f"{record.run_id} is missed after {made - min(fires)}")
        late = max(windows) + FUNCTION_TIMEOUT + timedelta(minutes=1)
        if record.state is not State.MISSED and made - max(fires) > late:
            found.append(f"{record.run_id} was made up for after {made - max(fires)}")
        mine = [one for one in self._pauses if one.trigger == record.trigger]
        if code == "paused" and not any(one.at <= made for one in mine):
            found.append(f"{record.run_id} is skipped for a pause that was not")
        for one in mine:
            inside = one.written < min(fires) and (one.until is None or max(fires) <= one.until)
            if one.drops and inside and code != "paused" and record.state is not State.MISSED:
                found.append(f"{record.run_id} began though {one} was")
        return found


def _without(name: str) -> Callable[[Snapshot, datetime], Snapshot]:
    def change(before: Snapshot, _at: datetime) -> Snapshot:
        triggers = {key: one for key, one in before.triggers.items() if key != name}
        return before.model_copy(update={"triggers": triggers})

    return change


def _place(clock: Clock) -> tuple[datetime, str]:
    return clock.last_evaluated, "\uffff" if clock.through is None else clock.through


def simulate(seeds: Iterator[int], seconds: float) -> Tally:
    """Histories of these seeds, until the time is over."""
    logging.getLogger("shared").setLevel(logging.CRITICAL)
    tally, ends = Tally(), time.monotonic() + seconds
    for seed in seeds:
        history = Occurrences(seed)
        if found := history.run():
            tally.broken["schedules", seed] = found
        tally += Tally(
            histories=Counter({"schedules": 1}),
            requests=len(history.world.calls),
            crashes=history.crashes,
            seen=history.seen,
        )
        if time.monotonic() > ends:
            break
    return tally
