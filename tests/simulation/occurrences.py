"""Histories of schedules: ticks that are late, doubled and killed anywhere, on workers with wrong
clocks, while somebody publishes, pauses, resumes and deletes.

The scheduler is that of `simulation`; what must hold is told by what was written to the index.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Literal

from greenlet import greenlet

from shared import changes
from shared.errors import SignalboxError, StorageUnavailable
from shared.index import Snapshot
from shared.ledger import FUNCTION_TIMEOUT
from shared.occurrences import Range
from shared.replay_states import Replay
from tests.fakes import World
from tests.simulation.fickle import FickleBlobs, FickleLakes, FickleWorkspace, Odds
from tests.simulation.occurrence_scenario import OccurrenceScenario, upload
from tests.simulation.occurrence_watch import OccurrenceWatch
from tests.simulation.scenario import PIPELINE
from tests.simulation.timers import Machinery, Timer, timer
from tests.simulation.trouble import Trouble

#: Ticks once nothing goes wrong any more, and those in which everything must come to its end then.
_CALM, _TICKS = 8, 400
#: Times that two days go by after that.
_DAYS = 2

_SAID: list[Literal["hold", "drop"] | None] = [None, "drop", "hold"]


@dataclass(eq=False)
class _Activity:
    """One call of a function, paused before or after a request."""

    process: Timer
    thread: greenlet
    began: datetime
    #: How often it gets to go on, beside others: ticks come while somebody publishes.
    pace: float


class Occurrences(Trouble):
    """Runs one history from a seed and leaves its end for inspection."""

    def __init__(
        self,
        seed: int,
        *,
        machinery: Machinery | None = None,
        odds: Odds | None = None,
        scenario: OccurrenceScenario | None = None,
    ) -> None:
        self.rng = Random(seed)
        #: Of what happens beside: where nothing does, a seed's history is as it was without.
        self._beside = Random(f"beside {seed}")
        self.machinery = machinery or Machinery()
        self.odds = odds or Odds.of_the_day(self.rng)
        self.scenario = scenario or OccurrenceScenario.drawn(self._beside)
        self.world = World(before=self._before, after=self._after)
        self.watch = OccurrenceWatch(self.world)
        self.blobs = FickleBlobs(self.world, self.rng, self.odds, self.watch.wrote)
        self.workspace = FickleWorkspace(self.world, self.rng, self.odds, lambda _name: None)
        self.lakes = FickleLakes(self.world, self.rng, lambda: self.blobs.odds)
        self.crashes = 0
        self._activities: list[_Activity] = []
        self._asked = 0
        self._names = [f"s{number}" for number in range(self.rng.randint(1, 5))]
        self._processes = [self._process() for _ in range(self.rng.randint(2, 4))]

    @property
    def replays(self) -> list[Replay]:
        """All backfills that there are."""
        return [
            Replay.model_validate_json(blob.data)
            for name, blob in self.blobs.stored.items()
            if name.startswith("replays/")
        ]

    def run(self) -> None:
        """Trouble first, then calm until all is done."""
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
            self._delete(name, self._processes[0])
        self._drain()
        for _ in range(_TICKS):
            self._calm_round()
            left = [name for name in self.blobs.stored if name.startswith(("open/", "held/"))]
            if not left and not self.workspace.late and all(one.over for one in self.replays):
                break
        for _ in range(_DAYS):
            # A slot goes when nobody wanted it for long, with whatever was left in its line.
            self.world.pass_time(timedelta(days=2, seconds=1).total_seconds())
            self._calm_round()
        self.watch.seen["backfilled"] += sum(one.started for one in self.replays)
        self.watch.seen["lists of uploads"] += len(self.lakes.written)

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
        self._more()
        roll, idle = self.rng.random(), not any(each.pace == 1 for each in self._activities)
        if roll < (0.5 if idle else 0.06):
            self._tick()
        elif roll < (0.8 if idle else 0.09):
            self._meddle()
        elif self.rng.random() < self.odds.crash:
            self._crash()
        elif self._activities:
            paces = [each.pace for each in self._activities]
            [going] = self.rng.choices(self._activities, paces)
            self._go_on(going)

    def _meddle(self) -> None:
        """Somebody publishes, pauses, resumes or deletes one."""
        name, process = self.rng.choice(self._names), self.rng.choice(self._processes)
        match self.rng.choice(["edit", "edit", "pause", "resume", "resume", "delete"]):
            case "edit":
                self._publish([name], process)
                if self.rng.random() < 0.2:
                    self._while_a_minute_ends(self._activities[-1])
            case "pause":
                self._pause(name, process, self.rng.choice(_SAID))
            case "resume":
                self._begin(process, lambda: process.pauses.resume(name))
            case _:
                self._delete(name, process)

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

    def _publish(self, names: list[str], process: Timer) -> None:
        triggers = [self.scenario.trigger(name, self.rng, self._beside) for name in names]
        wanted = changes.Wanted([PIPELINE.model_copy(update={"inputs": {}})], triggers)
        self._begin(
            process,
            lambda: process.worker.index.change(
                lambda before, at: changes.applied(before, at, wanted)
            ),
        )

    def _delete(self, name: str, process: Timer) -> None:
        def change(before: Snapshot, _at: datetime) -> Snapshot:
            triggers = {key: one for key, one in before.triggers.items() if key != name}
            return before.model_copy(update={"triggers": triggers})

        self._begin(process, lambda: process.worker.index.change(change))

    def _pause(self, name: str, process: Timer, said: Literal["hold", "drop"] | None) -> None:
        self._begin(
            process, lambda: process.pauses.pause(name, note="tea", by="key", while_paused=said)
        )

    def _tick(self, process: Timer | None = None) -> None:
        process = process or self.rng.choice(self._processes)
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

    # What happens beside, where the scenario says so

    def _more(self) -> None:
        scenario = self.scenario
        happenings = {
            self._overtake: scenario.overtaken,
            self._pause_twice: scenario.paused_twice,
            self._lose_index: scenario.lost,
            self._upload: scenario.uploaded,
            self._backfill: scenario.backfilled,
        }
        for happen, odds in happenings.items():
            if odds and self._beside.random() < odds:
                happen(self._beside.choice(self._names), self._beside.choice(self._processes))

    def _overtake(self, name: str, process: Timer) -> None:
        """A tick has read the index and is slow; another comes to what was published since, and
        then the slow one moves the clock past that."""
        self._drain()
        self._publish([name], process)
        publishing = self._activities[-1]
        self._go_on(publishing, 2)
        self._leap(self._beside.choice([0, 0, 60]))
        self._tick()
        slow = self._activities[-1]
        # It has read the clock as well, and so has the other, which cannot write what it found.
        self._go_on(slow, 4)
        self._go_on(publishing, 100)
        self._tick()
        quick = self._activities[-1]
        self._go_on(quick, 5)
        if quick in self._activities and self._beside.random() < 0.5:
            quick.thread.throw(StorageUnavailable("storage did not do it"))
        self._go_on(slow, self._beside.choice([10, 30, 100]))
        self._tick(quick.process)

    def _pause_twice(self, name: str, process: Timer) -> None:
        """What fired in a pause is come to only in the next one, of which something else is
        said."""
        first, second = self._beside.sample(_SAID, 2)
        self._pause(name, process, first)
        self._go_on(self._activities[-1], 100)
        self._leap(self._beside.choice([0, 60]))
        self._begin(process, lambda: process.pauses.resume(name))
        self._go_on(self._activities[-1], 100)
        self._pause(name, process, second)
        self._go_on(self._activities[-1], 100)
        self._tick()

    def _lose_index(self, _name: str, process: Timer) -> None:
        """Somebody puts the index back as it was, or deletes it and publishes everything."""
        copies, old = self.watch.copies, self._beside.random() ** 2
        copy = None if self._beside.random() < 0.3 else copies[int(len(copies) * old)]
        self.watch.lost_index()
        self.blobs.delete("index.json")
        if copy is not None:
            self.blobs.create("index.json", copy)
        else:
            # A tick may see that there is none.
            self._tick()
            self._publish(self._names, process)

    def _upload(self, _name: str, _process: Timer) -> None:
        self.lakes.uploads.append(upload(len(self.lakes.uploads), self.world.now))

    def _backfill(self, name: str, process: Timer) -> None:
        """Somebody has the last few times of a schedule run once more."""
        self._asked += 1
        wish = Range(
            trigger=name,
            since=self.world.now - timedelta(minutes=self._beside.choice([2, 5])),
            newest_first=self._beside.random() < 0.3,
        )
        limit, key = self._beside.choice([1, 2]), f"key-{self._asked}"
        for _ in range(self._beside.choice([1, 1, 2])):
            self._begin(
                process, lambda: process.backfills.ask(wish, limit=limit, by="anna", key=key)
            )

    def given(self, manifest: str) -> list[str]:
        """What a list of uploads says that a job is to read."""
        path = manifest.rpartition("/paths/")[2]
        [data] = [data for name, data in self.lakes.written.items() if name.endswith(path)]
        return [json.loads(line)["event"]["data"]["url"] for line in data.splitlines()]

    # How it goes on

    def _begin(self, process: Timer, call: Callable[[], object], pace: float | None = None) -> None:
        def body() -> None:
            with suppress(SignalboxError):
                call()

        self._activities.append(
            _Activity(process, greenlet(body), self.world.now, pace or self.scenario.pace)
        )

    def _go_on(self, activity: _Activity, steps: int = 1) -> None:
        """So far, or until it is over."""
        for _ in range(steps):
            if activity not in self._activities:
                return
            late = self.world.now - activity.began > FUNCTION_TIMEOUT
            if not late:
                activity.thread.switch()
            if late or activity.thread.dead:
                self._activities.remove(activity)

    def _drain(self) -> None:
        while self._activities:
            self._go_on(self.rng.choice(self._activities))

    def _crash(self) -> None:
        self.crashes += 1
        number = self.rng.randrange(len(self._processes))
        dead, self._processes[number] = self._processes[number], self._process()
        self._activities = [each for each in self._activities if each.process is not dead]

    def _process(self) -> Timer:
        skew = timedelta(seconds=self.rng.uniform(-3600, 3600))
        return timer(
            self.machinery,
            rng=self.rng,
            world=self.world,
            blobs=self.blobs,
            workspace=self.workspace,
            lakes=self.lakes,
            clock=lambda: (self.world.now + skew).timestamp(),
            backfills=self.scenario.backfilled > 0,
        )
