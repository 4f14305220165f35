"""When a schedule is due. Pure.

Local times are worked out by days: the minutes of a day at which something is due are the bits of
one number, so that several expressions and what is left out of them are single steps, and a
schedule that is hardly ever due, or never, costs milliseconds.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from shared import crons, exclusions, time_zones
from shared.crons import Cron
from shared.specs import ScheduleSpec

_SECOND, _MINUTE, _DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)

#: Every minute of a day.
_WHOLE_DAY = (1 << 1440) - 1

#: What was not due for so long is never due: 29 February on a given weekday takes up to 40 years.
_PATIENCE = timedelta(days=50 * 366)

#: So many times of an interval in a row that are all left out are taken for the end as well.
_LEFT_OUT = 20_000

#: Between these, no time zone leads out of the calendar.
_FIRST, _LAST = datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)


class _Times(Protocol):
    """Times without beginning or end."""

    def after(self, at: datetime) -> Iterator[datetime]: ...

    def before(self, at: datetime) -> Iterator[datetime]: ...


class Recurrence:
    """The times at which a schedule is due: UTC, whole seconds.

    `anchor` is where a schedule counts from that is `every` so often and has no `start_time`: such
    times go on into the past as well.
    """

    def __init__(self, spec: ScheduleSpec, anchor: datetime) -> None:
        zone = time_zones.zone(spec.time_zone)
        excluded = _Excluded(spec.exclude)
        self._start, self._end = spec.starts or _FIRST, spec.ends or _LAST
        self._times: _Times
        if spec.every is None:
            self._times = _Local(spec.cron, zone, excluded)
        else:
            self._times = _Elapsed(spec.starts or anchor, spec.every, zone, excluded)

    def after(self, at: datetime) -> Iterator[datetime]:
        """Those after a moment, ascending; ends where the schedule does, or when nothing was due
        for 50 years.
        """
        for due in self._times.after(max(at, self._start - _SECOND)):
            if due >= self._end:
                return
            yield due

    def before(self, at: datetime) -> Iterator[datetime]:
        """Those before a moment, descending; ends where the schedule begins, or when nothing was
        due for 50 years.
        """
        for due in self._times.before(min(at, self._end)):
            if due < self._start:
                return
            yield due


def fires_at(trigger: str, spec: ScheduleSpec, scheduled: datetime) -> datetime:
    """When the run of a scheduled time begins: later by less than `jitter`, always as much."""
    seconds = int(spec.jitter.total_seconds()) if spec.jitter else 0
    if not seconds:
        return scheduled
    named = f"{trigger} {scheduled.astimezone(UTC).isoformat()}"
    digest = hashlib.sha256(named.encode()).digest()
    return scheduled + timedelta(seconds=int.from_bytes(digest[:8]) % seconds)


class _Excluded:
    """Local times that are left out."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        read = [exclusions.read(text) for text in texts]
        self._crons = [each for each in read if isinstance(each, Cron)]
        #: First and last days, as ordinals, that do not touch.
        self._firsts, self._lasts = list[int](), list[int]()
        for first, last in sorted(
            (each[0].toordinal(), each[1].toordinal()) for each in read if isinstance(each, tuple)
        ):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def on(self, day: date) -> int:
        """The minutes of a day that are left out."""
        if self._firsts:
            place = bisect_right(self._firsts, number := day.toordinal()) - 1
            if place >= 0 and number <= self._lasts[place]:
                return _WHOLE_DAY
        minutes = 0
        for cron in self._crons:
            if cron.on(day):
                minutes |= cron.minutes
        return minutes

    def __bool__(self) -> bool:
        return bool(self._crons or self._firsts)

    def has(self, local: datetime) -> bool:
        """Whether the minute that a wall clock shows is left out."""
        return bool(self.on(local.date()) >> _minute(local) & 1)


class _Local:
    """Times by the wall clock of a zone."""

    def __init__(self, texts: tuple[str, ...], zone: ZoneInfo, excluded: _Excluded) -> None:
        self._crons = [crons.read(text) for text in texts]
        self._months = frozenset[int]().union(*(cron.months for cron in self._crons))
        self._zone = zone
        self._excluded = excluded

    def after(self, at: datetime) -> Iterator[datetime]:
        at = max(at, _FIRST)
        wall = _wall(min(at, _LAST), self._zone)
        day, since = wall.date(), at
        # Nothing earlier on the clock is still to come: the clock was there.
        minutes = self._on(day) >> _minute(wall) << _minute(wall)
        while at - since < _PATIENCE and day < _LAST.date():
            while minutes:
                lowest = minutes & -minutes
                minutes ^= lowest
                due = self._due(day, lowest.bit_length() - 1)
                if due is not None and due > since:
                    since = due
                    yield due
            day = self._next(day)
            at = datetime(day.year, day.month, day.day, tzinfo=UTC)
            minutes = self._on(day)

    def before(self, at: datetime) -> Iterator[datetime]:
        at = min(at, _LAST)
        wall = _furthest(max(at, _FIRST), self._zone)
        day, since = wall.date(), at
        minutes = self._on(day) & (1 << _minute(wall) + 1) - 1
        while since - at < _PATIENCE and day > _FIRST.date():
            while minutes:
                highest = minutes.bit_length() - 1
                minutes ^= 1 << highest
                due = self._due(day, highest)
                if due is not None and due < since:
                    since = due
                    yield due
            day -= _DAY
            at = datetime(day.year, day.month, day.day, tzinfo=UTC)
            minutes = self._on(day)

    def _on(self, day: date) -> int:
        """The minutes of a day at which something is due."""
        minutes = 0
        for cron in self._crons:
            if cron.on(day):
                minutes |= cron.minutes
        return minutes & ~self._excluded.on(day) if minutes else 0

    def _due(self, day: date, minute: int) -> datetime | None:
        """When a local time comes; None when it is moved to one that is left out."""
        local = datetime(day.year, day.month, day.day, *divmod(minute, 60))
        due = time_zones.reached(local, self._zone)
        shown = _wall(due, self._zone)
        return due if shown == local or not self._excluded.has(shown) else None

    def _next(self, day: date) -> date:
        """The day after, or the first of the month after when nothing is due in that month."""
        day += _DAY
        while day.month not in self._months and day < _LAST.date():
            day = (day.replace(day=1) + 31 * _DAY).replace(day=1)
        return day


class _Elapsed:
    """Times at an even distance, whatever clocks do."""

    def __init__(
        self, anchor: datetime, every: timedelta, zone: ZoneInfo, excluded: _Excluded
    ) -> None:
        self._anchor = anchor.astimezone(UTC).replace(microsecond=0)
        self._every = every
        self._zone = zone
        self._excluded = excluded

    def after(self, at: datetime) -> Iterator[datetime]:
        at = max(at, _FIRST)
        number, left, since = (at - self._anchor) // self._every + 1, 0, at
        while (due := self._at(number)) is not None:
            if due - since > _PATIENCE or left > _LEFT_OUT:
                return
            if not (self._excluded and self._excluded.has(_wall(due, self._zone))):
                left, since = 0, due
                yield due
                number += 1
                continue
            left += 1
            free = self._free_after(due)
            number = max(number + 1, -((self._anchor - free) // self._every))

    def before(self, at: datetime) -> Iterator[datetime]:
        at = min(at, _LAST)
        number, left, since = -((self._anchor - at) // self._every) - 1, 0, at
        while (due := self._at(number)) is not None:
            if since - due > _PATIENCE or left > _LEFT_OUT:
                return
            if not (self._excluded and self._excluded.has(_wall(due, self._zone))):
                left, since = 0, due
                yield due
                number -= 1
                continue
            left += 1
            free = self._free_before(due)
            number = min(number - 1, (free - self._anchor) // self._every)

    def _at(self, number: int) -> datetime | None:
        """One of the times; None outside the calendar."""
        try:
            due = self._anchor + number * self._every
        except OverflowError:
            return None
        return due if _FIRST <= due < _LAST else None

    def _free_after(self, due: datetime) -> datetime:
        """No time is free from one that is left out to this: the next free minute of its day, or
        the day after.
        """
        local = _wall(due, self._zone)
        free = (~self._excluded.on(local.date()) & _WHOLE_DAY) >> _minute(local)
        ahead = (free & -free).bit_length() - 1 if free else 1440 - _minute(local)
        minute = local.replace(second=0)
        return self._unless_changed(due, due + (minute + ahead * _MINUTE - local))

    def _free_before(self, due: datetime) -> datetime:
        """The same to the past: the last second of a free minute, or of the day before."""
        local = _wall(due, self._zone)
        day = local.date()
        free = ~self._excluded.on(day) & (1 << _minute(local)) - 1
        minute = datetime(day.year, day.month, day.day) + free.bit_length() * _MINUTE
        return self._unless_changed(due, due + (minute - _SECOND - local))

    def _unless_changed(self, due: datetime, free: datetime) -> datetime:
        """A moment by distance, unless the clock is put forward or back on the way there."""
        same = _wall(free, self._zone) - _wall(due, self._zone) == free - due
        return free if same else due


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    """What the wall clock shows."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _furthest(at: datetime, zone: ZoneInfo) -> datetime:
    """The latest time that the wall clock has shown by then: it may have been put back since."""
    local = at.astimezone(zone)
    shown = local.replace(tzinfo=None, fold=0)
    if not local.fold:
        return shown
    first, second = local.replace(fold=0).utcoffset(), local.utcoffset()
    assert first is not None
    assert second is not None
    return shown + (first - second)


def _minute(local: datetime) -> int:
    return local.hour * 60 + local.minute
