"""The trigger of an AzureML schedule's YAML, as a schedule of ours that means the same. Pure.

Source: "CLI (v2) schedule YAML schema", learn.microsoft.com, and azure-ai-ml's own schema.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared import time_zones, windows_zones
from shared.durations import in_iso

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_UNITS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_FREQUENCIES = (*_UNITS, "month")
_COMMON = {"type", "start_time", "end_time", "time_zone"}
_KEYS = {
    "cron": {*_COMMON, "expression"},
    "recurrence": {*_COMMON, "frequency", "interval", "schedule"},
}
_PATTERN = {"hours": range(24), "minutes": range(60), "month_days": range(1, 32)}

#: Where it stays when nothing of ours means the same.
_KEEP = "or leave this schedule to `az ml schedule`"

Place = tuple[str, ...]


@dataclass
class ScheduleRead:
    """A schedule's `spec.schedule` as it would be written, and where each key of it comes from."""

    spec: dict[str, Any] = field(default_factory=lambda: {"engine": "azureml"})
    #: Key of the spec -> place in the trigger.
    places: dict[str, Place] = field(default_factory=dict)
    #: Place in the trigger, what is wrong there.
    problems: list[tuple[Place, str]] = field(default_factory=list)

    def say(self, key: str, value: Any, *place: str) -> None:
        self.spec[key] = value
        self.places[key] = place

    def refuse(self, why: str, *place: str) -> None:
        self.problems.append((place, why))


def read(trigger: Any) -> ScheduleRead:
    """What a `trigger` says, with everything that is wrong with it."""
    made = ScheduleRead()
    kind = str(trigger.get("type", "")).lower() if isinstance(trigger, Mapping) else ""
    if not isinstance(trigger, Mapping) or kind not in _KEYS:
        made.refuse("trigger has a type, which is cron or recurrence", "type")
        return made
    for key in trigger.keys() - _KEYS[kind]:
        known = ", ".join(sorted(_KEYS[kind]))
        made.refuse(f"{key} is no key of a trigger of type {kind}; there are: {known}", key)
    _times(trigger, made)
    if kind == "cron":
        _cron(trigger, made)
    else:
        _recurrence(trigger, made)
    return made


def _times(trigger: Mapping[str, Any], made: ScheduleRead) -> None:
    for key in ("start_time", "end_time"):
        if trigger.get(key) is not None:
            made.say(key, trigger[key], key)
    name = str(trigger.get("time_zone") or "UTC")
    zone = "UTC" if name.upper() == "UTC" else windows_zones.iana_name(name)
    if zone is not None:
        made.say("time_zone", zone, "time_zone")
        return
    windows = windows_zones.windows_name(name)
    remedy = f"write {windows!r}" if windows else "as 'W. Europe Standard Time', or 'UTC'"
    made.refuse(
        f"time_zone is {name!r}; AzureML takes time zones of Windows: {remedy}", "time_zone"
    )


def _cron(trigger: Mapping[str, Any], made: ScheduleRead) -> None:
    expression = str(trigger.get("expression") or "")
    fields = expression.split()
    if len(fields) == 5:
        for what, said in (("day of the month", fields[2]), ("month", fields[3])):
            if said != "*":
                made.refuse(
                    f"AzureML ignores the {what} of an expression, {said!r} in {expression!r}, and "
                    "starts the job in every one; write *, or a recurrence with month_days, or a "
                    "trigger of Signalbox's own",
                    "expression",
                )
    made.say("cron", expression, "expression")


def _recurrence(trigger: Mapping[str, Any], made: ScheduleRead) -> None:
    frequency = str(trigger.get("frequency", "")).lower()
    interval, pattern = trigger.get("interval"), trigger.get("schedule")
    if frequency not in _FREQUENCIES:
        said = trigger.get("frequency")
        made.refuse(f"frequency is {said!r}; there are: {', '.join(_FREQUENCIES)}", "frequency")
    if type(interval) is not int or interval < 1:
        made.refuse(f"interval is {interval!r}; it is a whole number from 1", "interval")
    parts = _pattern(pattern, made)
    start = _local(trigger.get("start_time"))
    if made.problems:
        return
    assert isinstance(interval, int)
    if not parts and (start is None or frequency in ("minute", "hour") or interval > 1):
        _elapsed(frequency, interval, made)
    elif frequency in ("minute", "hour"):
        made.refuse(
            f"with frequency {frequency} AzureML takes no hours and minutes; leave schedule out",
            "schedule",
        )
    elif interval > 1:
        made.refuse(
            f"Signalbox has nothing for every {interval} {frequency}s at given times; write an "
            f"expression, or interval 1, {_KEEP}",
            "interval",
        )
    elif (expression := _expression(frequency, parts, start, made)) is not None:
        made.say("cron", expression, "schedule" if parts else "frequency")


def _elapsed(frequency: str, interval: int, made: ScheduleRead) -> None:
    """So much time from one to the next, as long as days are all alike."""
    zone = str(made.spec.get("time_zone"))
    if frequency == "month":
        made.refuse(
            f"with frequency month say in schedule which month_days, hours and minutes; {_KEEP}",
            "frequency",
        )
    elif frequency in ("day", "week") and _changes(zone):
        made.refuse(
            f"in {zone} days are not all alike, and so many {frequency}s no fixed time; say in "
            "schedule at which hours and minutes, with interval 1, or write time_zone: UTC",
            "frequency",
        )
    else:
        made.say("every", in_iso(interval * _UNITS[frequency]), "interval")


def _expression(
    frequency: str, parts: Mapping[str, list[int]], start: datetime | None, made: ScheduleRead
) -> str | None:
    """Days with hours and minutes, which start_time says where the pattern does not."""
    if "month_days" in parts and frequency != "month":
        made.refuse("month_days go with frequency month", "schedule", "month_days")
        return None
    if "week_days" in parts and frequency != "week":
        made.refuse("week_days go with frequency week", "schedule", "week_days")
        return None
    hours = parts.get("hours") or ([start.hour] if start else None)
    minutes = parts.get("minutes") or ([start.minute] if start else None)
    days, week_days = parts.get("month_days"), parts.get("week_days")
    if start and frequency == "month" and not days:
        days = [start.day]
    if start and frequency == "week" and not week_days:
        week_days = [(start.weekday() + 1) % 7]
    if hours is None or minutes is None:
        made.refuse("schedule has hours and minutes, as in hours: [6], minutes: [0]", "schedule")
        return None
    if frequency != "day" and not (days or week_days):
        made.refuse(f"schedule does not say which {frequency}_days", "schedule")
        return None
    return f"{_said(minutes)} {_said(hours)} {_said(days)} * {_said(week_days)}"


def _pattern(pattern: Any, made: ScheduleRead) -> dict[str, list[int]]:
    parts: dict[str, list[int]] = {}
    if pattern is None:
        return parts
    if not isinstance(pattern, Mapping):
        made.refuse("schedule is a mapping with hours and minutes", "schedule")
        return parts
    for key, value in pattern.items():
        values = value if isinstance(value, list) else [value]
        if key == "week_days":
            named = [str(each).lower() for each in values]
            if strange := sorted(set(named) - set(_DAYS)):
                said, known = ", ".join(strange), ", ".join(_DAYS)
                made.refuse(f"week_days has {said}; there are: {known}", "schedule", key)
                continue
            parts[key] = sorted(_DAYS.index(each) for each in named)
        elif key in _PATTERN:
            bounds = _PATTERN[key]
            if not all(type(each) is int and each in bounds for each in values):
                said = f"they are from {bounds.start} to {bounds.stop - 1}"
                made.refuse(f"{key} are {values}; {said}", "schedule", key)
                continue
            parts[key] = sorted(values)
        else:
            known = ", ".join([*_PATTERN, "week_days"])
            made.refuse(f"schedule has no {key}; there are: {known}", "schedule", key)
    return {key: values for key, values in parts.items() if values}


def _said(values: list[int] | None) -> str:
    return ",".join(map(str, values)) if values else "*"


def _local(text: Any) -> datetime | None:
    """A start time as far as it says a local time of day; its form is looked at elsewhere."""
    if isinstance(text, datetime):
        return text if text.tzinfo is None else None
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d)?", str(text)):
        return None
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _changes(zone: str) -> bool:
    """Whether clocks of a zone are changed in our time."""
    return len({moment.utcoffset() for moment in _moments(zone)}) > 1


def _moments(zone: str) -> Iterator[datetime]:
    there = time_zones.zone(zone)
    return (
        datetime(year, month, 1, tzinfo=there) for year in range(2020, 2040) for month in (1, 7)
    )
