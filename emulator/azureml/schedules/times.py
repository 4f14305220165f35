"""When a schedule fires, from its trigger as it came over the wire. Pure.

What the service ignores is ignored here: the day and the month of a cron expression. What it skips
is skipped: the 29th to 31st in months without one. Source: "Schedule machine learning pipeline
jobs" and "CLI (v2) job schedule YAML schema", learn.microsoft.com.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter
from dateutil.rrule import DAILY, MONTHLY, WEEKLY, rrule
from tzlocal.windows_tz import win_tz

from emulator.azureml.schedules.errors import InvalidTrigger

_ZONES = {name.lower(): zone for name, zone in win_tz.items()}
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?")
_FIELD = re.compile(r"[0-9A-Za-z*,/-]+")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

#: Frequency -> the longest interval. Source: limits of recurrences in Azure Logic Apps, on which
#: schedules are built.
_INTERVALS = {"minute": 72_000, "hour": 12_000, "day": 500, "week": 71, "month": 16}
_ELAPSED = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
_CALENDAR = {"day": DAILY, "week": WEEKLY, "month": MONTHLY}
#: Frequency -> the parts that its pattern may have.
_PATTERNS: Mapping[str, frozenset[str]] = {
    "minute": frozenset(),
    "hour": frozenset(),
    "day": frozenset({"hours", "minutes"}),
    "week": frozenset({"hours", "minutes", "weekDays"}),
    "month": frozenset({"hours", "minutes", "weekDays", "monthDays"}),
}
#: What is skipped by a change of the clocks lies no further ahead.
_SHIFT = timedelta(hours=2)


class Times:
    """The moments of one trigger. Raises InvalidTrigger when it is none."""

    def __init__(self, trigger: Mapping[str, Any], *, created: datetime) -> None:
        self._zone = _zone(trigger.get("timeZone") or "UTC")
        start = _local_time(trigger.get("startTime"), "startTime")
        end = _local_time(trigger.get("endTime"), "endTime")
        #: Without a start time the first job runs at once.
        self.runs_at_once = start is None
        self._start = self._instant(start) if start else created.replace(microsecond=0)
        self._end = self._instant(end) if end else None
        if self._end is not None and self._end <= max(created, self._start):
            raise InvalidTrigger("endTime is in the past, or before startTime.")
        kind = str(trigger.get("triggerType"))
        self._cron: str | None = None
        self._rule: _Rule | None = None
        if kind == "Cron":
            self._cron = _cron(str(trigger.get("expression") or ""))
        elif kind == "Recurrence":
            self._rule = _Rule(trigger, self._start.astimezone(self._zone).replace(tzinfo=None))
        else:
            raise InvalidTrigger(f"triggerType is {kind!r}; there are Cron and Recurrence.")

    def after(self, at: datetime) -> datetime | None:
        """The first moment after `at`, never before the start and before the end; None: over."""
        at = max(at, self._start - timedelta(seconds=1))
        found = next(moment for moment in self._moments(at) if moment > at)
        return found if self._end is None or found < self._end else None

    def _moments(self, at: datetime) -> Iterator[datetime]:
        """Ascending but for changes of the clocks, from about `at` on."""
        if self._rule is not None and self._rule.elapsed:
            passed = max(0, (at - self._start) // self._rule.elapsed)
            for number in itertools.count(passed):
                yield self._start + number * self._rule.elapsed
        local = at.astimezone(self._zone).replace(tzinfo=None) - _SHIFT
        found: Any = (
            self._rule.calendar.xafter(local)
            if self._rule
            else croniter(str(self._cron), local, ret_type=datetime)
        )
        yield from map(self._instant, found)

    def _instant(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self._zone).astimezone(UTC)


class _Rule:
    """A recurrence: so much time from moment to moment, or days of a calendar."""

    def __init__(self, trigger: Mapping[str, Any], start: datetime) -> None:
        frequency = str(trigger.get("frequency")).lower()
        if frequency not in _INTERVALS:
            raise InvalidTrigger(f"frequency is {frequency!r}; there are {', '.join(_INTERVALS)}.")
        interval = trigger.get("interval")
        if not isinstance(interval, int) or not 1 <= interval <= _INTERVALS[frequency]:
            raise InvalidTrigger(
                f"interval is {interval!r}; for {frequency} it is 1 to {_INTERVALS[frequency]}."
            )
        pattern = {
            key: value if isinstance(value, list) else [value]
            for key, value in (trigger.get("schedule") or {}).items()
            if value not in (None, [])
        }
        if strange := set(pattern) - _PATTERNS[frequency]:
            raise InvalidTrigger(f"With frequency {frequency}, schedule has no {sorted(strange)}.")
        self.elapsed = interval * _ELAPSED[frequency] if frequency in _ELAPSED else None
        make: Any = rrule
        self.calendar: Any = None
        if self.elapsed is None:
            self.calendar = make(
                _CALENDAR[frequency],
                dtstart=start,
                interval=interval,
                byhour=_numbers(pattern, "hours", 0, 23),
                byminute=_numbers(pattern, "minutes", 0, 59),
                bymonthday=_numbers(pattern, "monthDays", 1, 31),
                byweekday=_week_days(pattern),
                bysecond=0 if pattern else None,
            )


def _numbers(pattern: Mapping[str, Any], key: str, least: int, most: int) -> list[int] | None:
    values = pattern.get(key)
    if values is None:
        return None
    if not all(isinstance(value, int) and least <= value <= most for value in values):
        raise InvalidTrigger(f"{key} are {values}; they are {least} to {most}.")
    return list(values)


def _week_days(pattern: Mapping[str, Any]) -> list[int] | None:
    values = pattern.get("weekDays")
    if values is None:
        return None
    names = [str(value).lower() for value in values]
    if strange := set(names) - set(_DAYS):
        raise InvalidTrigger(f"weekDays has {sorted(strange)}; there are {', '.join(_DAYS)}.")
    return [_DAYS.index(name) for name in names]


def _cron(expression: str) -> str:
    fields = expression.split()
    if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
        raise InvalidTrigger(
            f"expression is {expression!r}; it has five fields: minutes, hours, days, months, "
            "days of the week."
        )
    minutes, hours, _days, _months, week_days = fields
    treated = f"{minutes} {hours} * * {week_days}"
    try:
        croniter(treated)
    except CroniterError as error:
        raise InvalidTrigger(f"expression {expression!r}: {error}.") from None
    return treated


def _zone(name: str) -> ZoneInfo:
    found = _ZONES.get(name.lower())
    if found is None:
        raise InvalidTrigger(
            f"timeZone is {name!r}, which is no time zone of Windows such as "
            "'W. Europe Standard Time' or 'UTC'."
        )
    return ZoneInfo(found)


def _local_time(text: Any, key: str) -> datetime | None:
    if text is None:
        return None
    if not _LOCAL_TIME.fullmatch(str(text)):
        raise InvalidTrigger(
            f"{key} is {text!r}; it is local time of timeZone without an offset from UTC, as "
            "2026-07-10T10:00:00."
        )
    try:
        return datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InvalidTrigger(f"{key} is {text!r}: {error}.") from None
