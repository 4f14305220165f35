"""When a schedule is due, found by watching a wall clock minute by minute.

Nothing of `shared` is used. An expression is tried on one minute after the other, and a minute
comes when the clock first shows it or something later.
"""

import calendar
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)

_MONTHS = tuple(name.upper() for name in calendar.month_abbr)
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

#: A schedule as a document has it, but for `every`, which is a time delta, and start and end, which
#: are UTC.
Written = Mapping[str, Any]


@cache
def zone(name: str) -> ZoneInfo:
    # Of the package, as this computer may have older rules.
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zones() -> list[str]:
    listed = resources.files("tzdata").joinpath("zones").read_text().split()
    return [name for name in listed if name != "Factory"]


def different() -> list[str]:
    """One name of every clock: some have several."""
    root = resources.files("tzdata").joinpath("zoneinfo")
    named = {root.joinpath(*name.split("/")).read_bytes(): name for name in zones()}
    return sorted(named.values())


def wall(at: datetime, zone: ZoneInfo) -> datetime:
    """What the clock shows."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def due(written: Written, begin: datetime, end: datetime, anchor: datetime) -> list[datetime]:
    """The times of a schedule with begin <= time < end."""
    here = zone(written["time_zone"])
    found: list[datetime] = []
    if "every" in written:
        at = written.get("start_time", anchor)
        while at > begin:
            at -= written["every"]
        while at < end:
            if at >= begin and not left_out(written, wall(at, here)):
                found.append(at)
            at += written["every"]
    else:
        for local, at in watched(here, begin, end):
            fitting = any(fits(each, local) for each in written["cron"])
            # Moved to the end of what is skipped, it may be another minute that is left out.
            out = left_out(written, local) or left_out(written, wall(at, here))
            if fitting and not out and at not in found[-1:]:
                found.append(at)
    first, last = written.get("start_time", begin), written.get("end_time", end)
    return [at for at in found if first <= at < last]


def watched(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Every local minute that the clock comes to or passes for the first time, with when it does.

    `begin` and `end` are whole minutes; the clock is watched from two days earlier, as no clock was
    ever put back by more than one.
    """
    at = begin - 2 * DAY
    shown = furthest = wall(at, zone)
    while at < end:
        ahead = wall(at + MINUTE, zone)
        # When the clock is put forward or back, it is watched by the second.
        changed = ahead - shown != MINUTE
        for step in range(1, 61) if changed else (60,):
            now = at + step * SECOND
            shown = wall(now, zone) if changed else ahead
            minute = furthest.replace(second=0) + MINUTE
            while minute <= shown:
                came = now if changed else now - (shown - minute)
                if begin <= came < end:
                    yield minute, came
                minute += MINUTE
            furthest = max(furthest, shown)
        at += MINUTE


def came(local: datetime, zone: ZoneInfo) -> datetime:
    """When a clock first showed a local time or a later one."""
    at = local.replace(tzinfo=UTC) - 27 * timedelta(hours=1)
    assert wall(at, zone) < local
    for step in (15 * MINUTE, MINUTE, SECOND):
        while wall(at + step, zone) < local:
            at += step
    return at + SECOND


def left_out(written: Written, local: datetime) -> bool:
    """Whether a minute of the clock is excluded."""
    for each in written.get("exclude", ()):
        if " " in each:
            if fits(each, local):
                return True
            continue
        first, _, last = each.partition("/")
        if date.fromisoformat(first) <= local.date() <= date.fromisoformat(last or first):
            return True
    return False


def fits(expression: str, local: datetime) -> bool:
    """Whether a local minute is one of a cron expression's."""
    return _of_day(expression, local.hour, local.minute) and _on(expression, local.date())


@cache
def _of_day(expression: str, hour: int, minute: int) -> bool:
    minutes, hours, *_ = expression.split()
    return any(_holds(term, minute, 59) for term in minutes.split(",")) and any(
        _holds(term, hour, 23) for term in hours.split(",")
    )


@lru_cache(maxsize=100_000)
def _on(expression: str, today: date) -> bool:
    _, _, day, month, weekday = expression.split()
    if not any(_holds(term, today.month, 12, _MONTHS, 1) for term in month.split(",")):
        return False
    by_day = any(_of_month(term, today) for term in day.split(","))
    by_weekday = any(_of_week(term, today) for term in weekday.split(","))
    # A star alone asks for nothing.
    both = day.startswith("*") or weekday.startswith("*")
    return by_day and by_weekday if both else by_day or by_weekday


@cache
def _holds(term: str, value: int, high: int, names: Any = (), low: int = 0) -> bool:
    span, _, step = term.partition("/")
    if span == "*":
        first, last = low, high
    else:
        left, _, right = span.partition("-")
        first = _number(left, names)
        last = _number(right, names) if right else high if step else first
    return first <= value <= last and (value - first) % int(step or 1) == 0


def _number(text: str, names: Any) -> int:
    return names.index(text) if text in names else int(text)


def _of_month(term: str, today: date) -> bool:
    days = calendar.monthrange(today.year, today.month)[1]
    if term == "L":
        return today.day == days
    if term == "LW":
        working = [n for n in range(1, days + 1) if date(today.year, today.month, n).weekday() < 5]
        return today.day == working[-1]
    return _holds(term, today.day, 31, low=1)


def _of_week(term: str, today: date) -> bool:
    which, days = today.isoweekday() % 7, calendar.monthrange(today.year, today.month)[1]
    if term.endswith("L"):
        return int(term[:-1]) % 7 == which and today.day > days - 7
    if "#" in term:
        day, _, number = term.partition("#")
        of_month = [n for n in range(1, days + 1) if (n - today.day) % 7 == 0]
        return _number(day, _WEEKDAYS) % 7 == which and of_month.index(today.day) == int(number) - 1
    # Sunday is 7 as well.
    return any(_holds(term, each, 7, _WEEKDAYS) for each in ((0, 7) if which == 0 else (which,)))
