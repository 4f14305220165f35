"""What fires next, of all schedules; pure.

Scheduled times are found one by one, and what fires is told in order: by the moment it fires, then
by trigger. Looking again costs what has come since, however many schedules there are.
"""

import heapq
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count, islice

from shared.clocks import Clock
from shared.index import IndexedTrigger, Paused
from shared.recurrences import Recurrence, fires_at
from shared.specs import ScheduleSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True, kw_only=True)
class Due:
    """One time of one schedule, and when it fires."""

    fires: datetime
    trigger: str
    scheduled: datetime
    #: The trigger as it was when this was due.
    indexed: IndexedTrigger = field(compare=False)
    #: It fired before the clock came to know its schedule, and counts all the same.
    late: bool = field(compare=False, default=False)

    @property
    def place(self) -> tuple[datetime, str]:
        """Where it stands in the order that the clock goes by."""
        return self.fires, self.trigger


class Upcoming:
    """The times of the triggers of a snapshot, behind what a clock has passed."""

    def __init__(self, triggers: Mapping[str, IndexedTrigger], clock: Clock) -> None:
        self._passed = _place(clock)
        self._edition = clock.edition
        #: Those that the lines are of.
        self._triggers: Mapping[str, IndexedTrigger] = {}
        #: The edition of the newest of them.
        self._latest = 0
        self._numbers = count()
        #: By the next scheduled time, which is no later than it fires.
        self._lines: list[tuple[datetime, int, _Line]] = []
        #: What was scheduled by then and may not fire yet; what has fired, in order.
        self._scheduled: list[Due] = []
        self._fired: deque[Due] = deque()
        self.change(triggers, clock)

    def change(self, triggers: Mapping[str, IndexedTrigger], clock: Clock) -> None:
        """Go by the triggers of another snapshot: what did not change is not worked out again.

        For a clock that it `knows`.
        """
        self._pass(_place(clock), clock.edition)
        before, self._triggers = self._triggers, triggers
        self._latest = max((one.edition for one in triggers.values()), default=0)
        new = {name: one for name, one in triggers.items() if before.get(name) != one}
        gone = new.keys() | (before.keys() - triggers.keys())
        self._lines = [one for one in self._lines if one[2].trigger not in gone]
        # What comes to be may fire before what has.
        waiting = (*self._scheduled, *self._fired)
        self._scheduled = [due for due in waiting if due.trigger not in gone]
        self._fired.clear()
        heapq.heapify(self._lines)
        heapq.heapify(self._scheduled)
        for line in _lines(new, clock):
            self._go_on(next(self._numbers), line)

    def knows(self, clock: Clock) -> bool:
        """Whether a clock is not behind what is kept here."""
        return _place(clock) >= self._passed and clock.edition >= self._edition

    def due(self, clock: Clock, now: datetime, at_most: int) -> tuple[list[Due], bool]:
        """The first of what fires until now and the clock has not passed, and whether that is all
        of it.

        What stands at one place is never parted, and what comes late never cut off: the clock
        stays where it is until all of that is done.
        """
        place = _place(clock)
        self._pass(place, clock.edition)
        fired = self._fired
        end = sum(one.late for one in fired) + at_most
        while len(fired) <= end or fired[-1].place == fired[end - 1].place:
            found = self._next(now)
            if found is None:
                break
            if self._is_open(found):
                fired.append(found)
                end += found.late
        while end < len(fired) and fired[end].place == fired[end - 1].place:
            end += 1
        return list(islice(fired, end)), len(fired) <= end

    def _pass(self, place: tuple[datetime, str], edition: int) -> None:
        """Forget what a clock has passed that knew of it."""
        self._passed = place
        if edition != self._edition:
            self._edition = edition
            for _, _, line in self._lines:
                line.new = line.edition > edition
        self._fired = deque(due for due in map(self._seen, self._fired) if self._is_open(due))
        if self._latest > edition:
            # In order as before: that is by when they fire.
            self._scheduled = [self._seen(due) for due in self._scheduled]

    def _seen(self, due: Due) -> Due:
        """With whether the clock came by before it knew its schedule: whoever moved it may have
        looked at an older index, also after this was found."""
        late = due.place <= self._passed and due.indexed.edition > self._edition
        return replace(due, late=True) if late and not due.late else due

    def _is_open(self, due: Due) -> bool:
        """Whether the clock is not behind it, or did not know of it."""
        return due.place > self._passed or (due.late and due.indexed.edition > self._edition)

    def _next(self, now: datetime) -> Due | None:
        """What fires next, if it does until now."""
        while self._lines:
            scheduled, number, line = self._lines[0]
            # Nothing that is scheduled later fires before this.
            if scheduled > now or (self._scheduled and self._scheduled[0].fires < scheduled):
                break
            heapq.heappop(self._lines)
            heapq.heappush(self._scheduled, line.due(scheduled, self._passed))
            self._go_on(number, line)
        if self._scheduled and self._scheduled[0].fires <= now:
            return heapq.heappop(self._scheduled)
        return None

    def _go_on(self, number: int, line: "_Line") -> None:
        try:
            following = next(line.times, None)
        except Exception:
            # One that cannot be read keeps no other from its time.
            log.exception("The schedule of trigger %s cannot be read", line.trigger)
            return
        if following is not None and (line.until is None or following <= line.until):
            heapq.heappush(self._lines, (following, number, line))


@dataclass(eq=False)
class _Line:
    """A schedule while it is, or was, a trigger's."""

    trigger: str
    indexed: IndexedTrigger
    spec: ScheduleSpec
    times: Iterator[datetime]
    until: datetime | None
    edition: int
    #: The clock knows nothing of it.
    new: bool

    def due(self, scheduled: datetime, passed: tuple[datetime, str]) -> Due:
        fires = fires_at(self.trigger, self.spec, scheduled)
        return Due(
            fires=fires,
            trigger=self.trigger,
            scheduled=scheduled,
            indexed=self.indexed,
            late=self.new and (fires, self.trigger) <= passed,
        )


def paused_when(due: Due) -> Paused | None:
    """The pause in which something fired, which may be over; else the one that is now."""
    for past in due.indexed.pauses:
        drops = past.paused.while_paused or due.indexed.definition.policies.while_paused
        # What was to wait for the end of the pause may begin now.
        if past.paused.at < due.fires <= past.until and drops == "drop":
            return past.paused
    return due.indexed.paused


def without_past(indexed: IndexedTrigger, clock: Clock) -> IndexedTrigger:
    """A trigger without what the clock has passed; the same one when there is none."""
    at = clock.last_evaluated
    former = tuple(
        one
        for one in indexed.former
        if one.until + _longest_delay(one.definition.spec.schedule) >= at
    )
    pauses = tuple(one for one in indexed.pauses if one.until >= at)
    if (former, pauses) == (indexed.former, indexed.pauses):
        return indexed
    return indexed.model_copy(update={"former": former, "pauses": pauses})


def _lines(triggers: Mapping[str, IndexedTrigger], clock: Clock) -> Iterator[_Line]:
    for name, indexed in triggers.items():
        for former in indexed.former:
            as_it_was = indexed.model_copy(
                update={
                    "definition": former.definition,
                    "anchored": former.anchor,
                    "spec_since": former.since,
                    "edition": former.edition,
                }
            )
            yield from _line(name, as_it_was, former.until, clock)
        if indexed.schedule is not None:
            yield from _line(name, indexed, None, clock)


def _line(
    name: str, indexed: IndexedTrigger, until: datetime | None, clock: Clock
) -> Iterator[_Line]:
    """A schedule, unless it cannot be read: that keeps no other from its time."""
    spec = indexed.definition.spec.schedule
    assert spec is not None
    new = indexed.edition > clock.edition
    # What was scheduled earlier has fired before.
    passed = clock.last_evaluated - _longest_delay(spec) - timedelta(seconds=1)
    try:
        times = Recurrence(spec, indexed.anchor).after(
            indexed.since if new else max(indexed.since, passed)
        )
    except Exception:
        log.exception("The schedule of trigger %s cannot be read", name)
        return
    yield _Line(
        trigger=name,
        indexed=indexed,
        spec=spec,
        times=times,
        until=until,
        edition=indexed.edition,
        new=new,
    )


def _longest_delay(spec: ScheduleSpec | None) -> timedelta:
    return (spec.jitter if spec else None) or timedelta(0)


#: After every trigger's name.
_LAST = "\uffff"


def _place(clock: Clock) -> tuple[datetime, str]:
    return clock.last_evaluated, _LAST if clock.through is None else clock.through
