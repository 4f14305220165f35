"""Rules of schedules left out: each is a bug that histories of occurrences must find."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from shared.clocks import Clock, Clocks, KeptClock
from shared.definitions import TriggerDefinition
from shared.errors import NotFound
from shared.events import Event
from shared.index import Index, IndexedTrigger, Reading, Snapshot
from shared.ledger import Kept, State, run_key
from shared.new_blobs import NewBlobs, Progress
from shared.orders import Order, Orders
from shared.pauses import Pauses
from shared.schedules import Schedules
from shared.specs import ScheduleSpec
from shared.upcoming import Due, Upcoming
from tests.simulation.fickle import Odds
from tests.simulation.histories import broken
from tests.simulation.kinds import ALL, SCHEDULES
from tests.simulation.occurrence_scenario import SPECS, OccurrenceScenario
from tests.simulation.occurrences import Occurrences
from tests.simulation.timers import Machinery
from tests.simulation.trap import FAIR


class ClockBeforeRecords(Schedules):
    """The clock is moved first: who dies then has lost what was due."""

    def run_due(self, until: Callable[[], bool]) -> None:
        reading, kept = self._index.read(), self._clocks.read()
        if kept is None:
            self._clocks.begin(reading.at, reading.snapshot.edition)
        elif not kept.clock.is_past(reading.at):
            due, complete = self._due(reading, kept.clock)
            moved = self._moved(kept.clock, due, [], reading, complete=complete)
            if self._clocks.move(kept, moved):
                _, begun, _ = self._written(due, reading, lambda: False)
                self._submit(begun, until)


class WorkersClock(Index):
    """What is due is told by the worker's own clock."""

    _next = 0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        WorkersClock._next += 1
        self._skew = timedelta(seconds=[-200, 300, 40][WorkersClock._next % 3])

    def read(self) -> Reading:
        return replace(reading := super().read(), at=reading.at + self._skew)


class CatchUpAfterAnEdit(Schedules):
    """A schedule is looked at from where the clock is, also before it was published."""

    def _due(self, reading: Reading, clock: Clock) -> tuple[list[Due], bool]:
        def sooner(one: IndexedTrigger) -> dict[str, Any]:
            return {"spec_since": min(one.since, clock.last_evaluated)}

        return _with(self, reading, clock, sooner)


class FormerIsForgotten(Schedules):
    """An edit forgets what was due before it, and a late tick does not come to it."""

    def _due(self, reading: Reading, clock: Clock) -> tuple[list[Due], bool]:
        return _with(self, reading, clock, lambda _: {"former": ()})


class FormerIsForgottenEarly(Schedules):
    """A former schedule is forgotten although some of it fires later, as it has jitter."""

    def _due(self, reading: Reading, clock: Clock) -> tuple[list[Due], bool]:
        def kept(one: IndexedTrigger) -> dict[str, Any]:
            at = clock.last_evaluated
            return {"former": tuple(each for each in one.former if each.until >= at)}

        return _with(self, reading, clock, kept)


class FoundIsPassed(Schedules):
    """What was found stays as it was found, though somebody with an older index moved the clock
    past it."""

    def _due(self, reading: Reading, clock: Clock) -> tuple[list[Due], bool]:
        known = self._upcoming
        if known is None or not known[1].knows(clock):
            self._upcoming = reading.snapshot, _Unseeing(reading.snapshot.triggers, clock)
        return super()._due(reading, clock)


class _Unseeing(Upcoming):
    def _seen(self, due: Due) -> Due:
        return due


class OlderIndexIsWaitedOut(Schedules):
    """Where the clock has seen a newer index, that is waited for, also when it was lost."""

    def run_due(self, until: Callable[[], bool]) -> None:
        reading, kept = self._index.read(), self._clocks.read()
        if kept is None or reading.snapshot.edition >= kept.clock.edition:
            super().run_due(until)


class PauseIsForgotten(Pauses):
    """A resume forgets the pause: a late tick makes up for it."""

    def resume(self, trigger: str) -> IndexedTrigger:
        def change(snapshot: Snapshot, _at: datetime) -> Snapshot:
            if (known := snapshot.triggers.get(trigger)) is None:
                raise NotFound(trigger)
            resumed = known.model_copy(update={"paused": None})
            return snapshot.model_copy(update={"triggers": {**snapshot.triggers, trigger: resumed}})

        return self._index.change(change).triggers[trigger]


class PauseOfNow(Schedules):
    """A pause of now counts for what fired in one that is over."""

    def _decide(self, due: Due, reading: Reading, until: Callable[[], bool]) -> Kept | None:
        if due.indexed.paused is not None:
            due = replace(due, indexed=due.indexed.model_copy(update={"pauses": ()}))
        return super()._decide(due, reading, until)


class KeyWithoutSecond(Orders):
    """Two times within one minute are the same."""

    def key(self, trigger: TriggerDefinition, event: Event) -> str:  # noqa: ARG002
        minute = event.model_copy(update={"id": event.id[:16]})
        return run_key(self._deployment, minute)


class KeyByTheTick(Orders):
    """The key says when the time was come to: another tick comes to it again."""

    _ticks = 0

    def key(self, trigger: TriggerDefinition, event: Event) -> str:
        KeyByTheTick._ticks += 1
        said = f"{super().key(trigger, event)}{self._ticks}"
        return hashlib.sha256(said.encode()).hexdigest()[:32]


class CutWithinASecond(Schedules):
    """Where a tick ends in the middle of a second, the clock says that second is done."""

    def _moved(self, clock: Clock, *given: Any, **more: Any) -> Clock:
        moved = super()._moved(clock, *given, **more)
        return moved.model_copy(update={"through": None})


class PassedOver(Schedules):
    """The clock passes what could not be written down."""

    def _written(
        self, due: Sequence[Due], reading: Reading, until: Callable[[], bool]
    ) -> tuple[int, list[Kept], Any]:
        _, begun, stopped = super()._written(due, reading, until)
        return len(due), begun, stopped


class ClockGoesBack(Clocks):
    """The clock is written, whatever was written since it was read."""

    def move(self, kept: KeptClock, clock: Clock) -> bool:
        now = self.read()
        return super().move(now or kept, clock)


class MissedByTheWorker(Schedules):
    """What is late is made up for, however late."""

    def _due(self, reading: Reading, clock: Clock) -> tuple[list[Due], bool]:
        def patient(one: IndexedTrigger) -> dict[str, Any]:
            spec = one.definition.spec
            assert isinstance(spec.schedule, ScheduleSpec)
            window = {"catchup_window": timedelta(days=300)}
            schedule = spec.schedule.model_copy(update=window)
            definition = one.definition.model_copy(
                update={"spec": spec.model_copy(update={"schedule": schedule})}
            )
            return {"definition": definition}

        return _with(self, reading, clock, patient)


class ListsAreNotNoted(NewBlobs):
    """Nobody knows which runs were given uploads."""

    def _note(self, order: Order) -> None:
        pass


class FailedListsCount(NewBlobs):
    """What any run was given is worked through when that is over, however it ended."""

    def _settled(
        self, trigger: str, progress: Progress, at: datetime | None, first: datetime
    ) -> Progress:
        settled = super()._settled(trigger, progress, at, first)
        since = settled.since or first
        for key in progress.runs.keys() - settled.runs.keys():
            kept = self._ledger.read(trigger, key)
            if kept is not None and kept.record.state is State.FAILED:
                told = kept.record.event.data["new_blobs"]
                since = max(since, datetime.fromisoformat(told["until"]))
        return settled.model_copy(update={"since": since})


class BackfillHasNoKey(Orders):
    """A time that is backfilled is the schedule's own."""

    def backfilled(self, order: Order, *, replay: str, limit: int) -> Order:
        return replace(super().backfilled(order, replay=replay, limit=limit), key=order.key)


def _with(
    schedules: Schedules,
    reading: Reading,
    clock: Clock,
    changed: Callable[[IndexedTrigger], dict[str, Any]],
) -> tuple[list[Due], bool]:
    """What is due of triggers that are not as they were published."""
    triggers = {
        name: one.model_copy(update=changed(one)) for name, one in reading.snapshot.triggers.items()
    }
    return Upcoming(triggers, clock).due(clock, reading.at, schedules._most)


#: Ticks, edits, pauses and crashes alone.
_PLAIN = OccurrenceScenario()


@dataclass(frozen=True)
class OccurrenceTrap:
    """A rule left out, and what shows that soonest."""

    machinery: Machinery
    odds: Odds = FAIR
    scenario: OccurrenceScenario = _PLAIN

    def broken(self, seed: int, *, laid: bool = True) -> list[str]:
        """The promises that a history breaks in which the trap shows; the same one without it."""
        machinery = self.machinery if laid else None
        history = Occurrences(seed, machinery=machinery, odds=self.odds, scenario=self.scenario)
        return broken(history, ALL[SCHEDULES])


_JITTERY = OccurrenceScenario(specs=[each for each in SPECS if "jitter" in each])
_CRASHES = replace(FAIR, crash=0.06)
_FAILS = replace(FAIR, storage_fails=0.05)
_OVERTAKEN = OccurrenceScenario(overtaken=0.05)
_UPLOADED = OccurrenceScenario(uploaded=0.1)

OCCURRENCE_TRAPS: dict[str, OccurrenceTrap] = {
    "clock before records": OccurrenceTrap(Machinery(schedules=ClockBeforeRecords), _CRASHES),
    "due by the worker's clock": OccurrenceTrap(Machinery(index=WorkersClock)),
    "catch-up after an edit": OccurrenceTrap(Machinery(schedules=CatchUpAfterAnEdit)),
    "edit forgets what was due": OccurrenceTrap(Machinery(schedules=FormerIsForgotten)),
    "edit forgets what is to fire": OccurrenceTrap(
        Machinery(schedules=FormerIsForgottenEarly), scenario=_JITTERY
    ),
    "found is passed": OccurrenceTrap(
        Machinery(schedules=FoundIsPassed), _FAILS, scenario=_OVERTAKEN
    ),
    "an older index stops the clock": OccurrenceTrap(
        Machinery(schedules=OlderIndexIsWaitedOut), scenario=OccurrenceScenario(lost=0.02)
    ),
    "pause is forgotten": OccurrenceTrap(Machinery(pauses=PauseIsForgotten)),
    "pause of now counts": OccurrenceTrap(
        Machinery(schedules=PauseOfNow), scenario=OccurrenceScenario(paused_twice=0.05)
    ),
    "key without the second": OccurrenceTrap(
        Machinery(orders=KeyWithoutSecond),
        scenario=OccurrenceScenario(specs=(SPECS[0], SPECS[-1])),
    ),
    "key by the tick": OccurrenceTrap(Machinery(orders=KeyByTheTick), _CRASHES),
    "cut within a second": OccurrenceTrap(Machinery(schedules=CutWithinASecond)),
    "passed over": OccurrenceTrap(Machinery(schedules=PassedOver), _FAILS),
    "clock goes back": OccurrenceTrap(Machinery(clocks=ClockGoesBack)),
    "made up for, however late": OccurrenceTrap(Machinery(schedules=MissedByTheWorker)),
    "lists are not noted": OccurrenceTrap(
        Machinery(new_blobs=ListsAreNotNoted), scenario=_UPLOADED
    ),
    "failed lists count": OccurrenceTrap(Machinery(new_blobs=FailedListsCount), scenario=_UPLOADED),
    "backfill has no key": OccurrenceTrap(
        Machinery(orders=BackfillHasNoKey), scenario=OccurrenceScenario(backfilled=0.1)
    ),
}

#: Where to begin looking for what few histories show, as for other traps.
SEEN: dict[str, int] = {
    "edit forgets what is to fire": 18,
    "found is passed": 1,
    "key without the second": 16,
    "pause is forgotten": 6,
    "pause of now counts": 12,
}
