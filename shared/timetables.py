"""What can be said of a schedule's times: which come next, and why a time is none of them. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile

from shared import crons, exclusions, recurrences, time_zones
from shared.definitions import TriggerDefinition
from shared.documents import Place
from shared.index import IndexedTrigger
from shared.recurrences import Recurrence
from shared.specs import ScheduleSpec

_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)

#: Local times that one note names.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Coming:
    """One time of a schedule."""

    #: UTC.
    scheduled: datetime
    #: The same in the schedule's time zone.
    local: datetime
    #: When its run begins: later than that by the schedule's jitter.
    fires: datetime
    #: What the clocks of that zone do then, where that changes anything.
    note: str | None


class Timetable:
    """The times of one trigger's schedule, as it is published."""

    def __init__(self, indexed: IndexedTrigger) -> None:
        spec = indexed.definition.spec.schedule
        assert spec is not None
        self._trigger = indexed.definition.name
        self._spec = spec
        self._anchor = indexed.anchor
        self.since = indexed.since
        self.zone = time_zones.zone(spec.time_zone)
        self._recurrence = Recurrence(spec, indexed.anchor)

    def coming(self, after: datetime, count: int) -> list[Coming]:
        """The next times after one."""
        return [self.told(at) for at in islice(self._recurrence.after(after), count)]

    def last(self, until: datetime) -> datetime | None:
        """The last time that has come by then."""
        return next(self._recurrence.before(until + _SECOND), None)

    def within(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Scheduled times in [since, until), ascending, UTC."""
        times = self._recurrence.after(since - _SECOND)
        return takewhile(lambda at: at < until, (at for at in times if at >= since))

    def told(self, scheduled: datetime) -> Coming:
        """A time with all that is said of it."""
        return Coming(
            scheduled=scheduled,
            local=scheduled.astimezone(self.zone),
            fires=recurrences.fires_at(self._trigger, self._spec, scheduled),
            note=self._note(scheduled),
        )

    def instant(self, at: datetime) -> datetime:
        """A time that is asked about, UTC: without an offset it is the schedule's wall clock's."""
        return (at if at.tzinfo else time_zones.reached(at, self.zone)).astimezone(UTC)

    def at(self, at: datetime) -> datetime | None:
        """The scheduled time within the minute that is asked about, if there is one."""
        minute = self.instant(at).replace(second=0, microsecond=0)
        return next(self.within(minute, minute + _MINUTE), None)

    def why_not(self, at: datetime) -> str:
        """Why a time that is asked about is none of the schedule's, as a sentence."""
        instant = self.instant(at)
        minute = instant.replace(second=0, microsecond=0)
        if (starts := self._spec.starts) and instant < starts:
            return f"The schedule begins at {self.stamp(starts)} (start_time)."
        if (ends := self._spec.ends) and instant >= ends:
            return f"The schedule has ended at {self.stamp(ends)} (end_time)."
        if why := self._excluded(minute):
            return f"It is left out by exclude: {why}."
        if self._spec.every is None and (again := self._second_time(minute)):
            return (
                f"{minute.astimezone(self.zone):%H:%M} comes twice on that day, as clocks go back; "
                f"it runs the first time, at {self.stamp(again)}."
            )
        return f"The schedule is {self._spec.text}{self._neighbours(minute)}."

    def skipped(self, at: datetime) -> str | None:
        """A sentence about a local time that the clock of the zone never shows; None if it does."""
        if at.tzinfo is not None or self._spec.every is not None:
            return None
        shown = self.instant(at).astimezone(self.zone).replace(tzinfo=None)
        if shown.replace(second=0) == at.replace(second=0, microsecond=0):
            return None
        return (
            f"There is no {at:%H:%M} on {at:%Y-%m-%d} in {self.zone.key}: clocks go forward over "
            f"it. What is due then runs at {shown:%H:%M}."
        )

    def stamp(self, at: datetime) -> str:
        """A time for a person: in the schedule's zone, and in UTC."""
        local = at.astimezone(self.zone)
        here = f"{local:%Y-%m-%d %H:%M:%S %Z}"
        return here if here.endswith(" UTC") else f"{here} ({at.astimezone(UTC):%H:%M:%S} UTC)"

    def _note(self, at: datetime) -> str | None:
        if self._spec.every is not None:
            return None
        local = at.astimezone(self.zone)
        if moved := self._moved(at):
            more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
            times = ", ".join(f"{each:%H:%M}" for each in moved[:_NAMED])
            return f"stands for {times}{more}, which clocks skip on that day"
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            return "comes twice on that day; it runs the first time"
        return None

    def _moved(self, at: datetime) -> list[datetime]:
        """Local times of the schedule that the clock skips right before this instant."""
        local, before = at.astimezone(self.zone), (at - _SECOND).astimezone(self.zone)
        gap = (local.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
        if gap <= timedelta():
            return []
        wall, found = local.replace(tzinfo=None), []
        expressions = [crons.read(each) for each in self._spec.cron]
        for number in range(int(gap / _MINUTE), 0, -1):
            skipped = wall - number * _MINUTE
            minute = skipped.hour * 60 + skipped.minute
            due = any(
                each.minutes >> minute & 1 and each.on(skipped.date()) for each in expressions
            )
            if due and not any(_leaves_out(each, skipped) for each in self._spec.exclude):
                found.append(skipped)
        return found

    def _second_time(self, minute: datetime) -> datetime | None:
        """The first of two instants with one local time, if this is the second and that is due."""
        local = minute.astimezone(self.zone)
        if local.fold == 0:
            return None
        first = local.replace(fold=0).astimezone(UTC)
        return next(self.within(first, first + _MINUTE), None)

    def _excluded(self, minute: datetime) -> str | None:
        """What leaves out a time that would be one."""
        if not self._spec.exclude or not self._would_be(minute):
            return None
        for each in self._spec.exclude:
            if not self._would_be(minute, each):
                return each
        return None

    def _would_be(self, minute: datetime, *exclude: str) -> bool:
        spec: ScheduleSpec = self._spec.model_copy(update={"exclude": exclude})
        found = next(Recurrence(spec, self._anchor).after(minute - _SECOND), None)
        return found is not None and found < minute + _MINUTE

    def _neighbours(self, minute: datetime) -> str:
        before = next(self._recurrence.before(minute), None)
        after = next(self._recurrence.after(minute), None)
        words = [
            f"the time before is {self.stamp(before)}" if before else "",
            f"the next one {self.stamp(after)}" if after else "",
        ]
        told = " and ".join(word for word in words if word)
        return f"; {told}" if told else ""


def backfill(trigger: str, scheduled: datetime) -> str:
    """The command that runs one time of a schedule."""
    since, until = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (scheduled, scheduled + _SECOND))
    return f"`signalbox backfill {trigger} --since {since} --until {until}`"


def hints(trigger: TriggerDefinition, now: datetime) -> Iterator[tuple[Place, str]]:
    """Why a schedule would never run though each part of it is right, with the place."""
    spec = trigger.spec.schedule
    if spec is None or spec.engine != "signalbox" or _comes(spec, now):
        return
    if spec.ends is not None and spec.ends <= now:
        key, why = "end_time", "end_time lies in the past, so it never runs"
    elif spec.exclude and _comes(spec.model_copy(update={"exclude": ()}), now):
        key, why = "exclude", "exclude leaves out all of its times, so it never runs"
    else:
        key, why = "end_time", "none of its times lies before end_time, so it never runs"
    yield ("spec", "schedule", key), why


def _comes(spec: ScheduleSpec, now: datetime) -> bool:
    return next(Recurrence(spec, now).after(now), None) is not None


def _leaves_out(exclusion: str, local: datetime) -> bool:
    found = exclusions.read(exclusion)
    if isinstance(found, tuple):
        return found[0] <= local.date() <= found[1]
    return found.on(local.date()) and bool(found.minutes >> (local.hour * 60 + local.minute) & 1)
