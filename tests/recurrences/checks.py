"""Schedules by chance, and what `shared` says of them beside what a watched clock says."""

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, takewhile
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from shared import time_zones
from shared.durations import in_iso
from shared.recurrences import Recurrence
from shared.specs import ScheduleSpec
from tests.recurrences import clock
from tests.recurrences.clock import DAY, MINUTE, SECOND, Written

#: More of what is met where clocks are changed: small hours, month ends, leap days.
_MINUTES = ("*", "0", "0", "30", "59", "15,45", "*/5", "*/7", "10-20/3", "5/20", "0-29", "1")
_HOURS = ("*", "*", "0", "1", "2", "3", "0-4", "1,2,3", "*/2", "23", "22-23", "1/6", "12")
_DAYS = ("*", "*", "*", "*", "1", "31", "L", "LW", "28-31", "29", "1-7", "15/5", "*/2", "L,1")
_MONTHS = ("*", "*", "*", "*", "2", "3,10", "MAR-APR", "*/3", "JAN,12", "9-11")
_WEEKDAYS = (
    *("*", "*", "*", "*", "MON-FRI", "0", "7", "SUN,SAT"),
    *("MON#2", "0L", "1-5/2", "*/2", "0#5"),
)


class Wrong(AssertionError):
    """Two that should agree and do not, with the schedule."""


def watched(random: Random, name: str, begin: datetime, days: int = 4) -> int:
    """A schedule by chance through some days in a time zone: every time, from both sides, and what
    comes before and after moments by chance. Answers how many were compared. Raises Wrong.
    """
    end, anchor = begin + days * DAY, begin + random.randrange(-20_000, 20_000) * SECOND
    written = schedule(random, name, begin, end)
    expected = clock.due(written, begin, end, anchor)
    recurrence = Recurrence(spec(written), anchor)
    since = begin - SECOND
    ahead = list(takewhile(lambda at: at < end, recurrence.after(since)))
    back = list(takewhile(lambda at: at > since, recurrence.before(end)))[::-1]
    _same(written, anchor, f"after {since}", ahead, expected)
    _same(written, anchor, f"before {end}", back, expected)
    moments = [begin + random.randrange(days * 86_400) * SECOND for _ in range(8)]
    for at in random.sample(expected, min(4, len(expected))):
        moments += [at - SECOND, at, at + SECOND, at + timedelta(microseconds=1)]
    for at in moments:
        later = [due for due in islice(recurrence.after(at), 1) if due < end]
        earlier = [due for due in islice(recurrence.before(at), 1) if due >= begin]
        place = bisect_right(expected, at)
        _same(written, anchor, f"after {at}", later, expected[place : place + 1])
        place = bisect_left(expected, at)
        _same(written, anchor, f"before {at}", earlier, expected[max(0, place - 1) : place])
    return 2 * len(expected) + 2 * len(moments)


def rare(random: Random, name: str, years: int) -> int:
    """A schedule by chance that is due at one local time on few days, through many years. Answers
    how many times were compared. Raises Wrong.
    """
    local = datetime(random.randrange(1970, 2100 - years), 1, 1, random.randrange(24))
    local += random.choice((0, 0, 30, 59)) * MINUTE
    day, month, weekday = random.choice(
        (
            ("29", "2", "*"),
            ("L", "2", "*"),
            ("L", "*", "*"),
            ("31", "*", "*"),
            ("29-31", "2,3,10", "*"),
            ("LW", "*/2", "*"),
            ("*", "2", "MON#5"),
            ("*", "*", "0L"),
            ("*", "3,10,11", "SUN"),
            ("*", "4,9,10", "SUN#1"),
            ("1", "1", "*"),
            ("30", "12", "*"),
            ("1-5", "3,4", "FRI#1"),
        )
    )
    expression = f"{local.minute} {local.hour} {day} {month} {weekday}"
    here, end = clock.zone(name), local.replace(year=local.year + years)
    expected, begin = list[datetime](), local.replace(tzinfo=UTC)
    while local < end:
        if clock.fits(expression, local):
            expected.append(clock.came(local, here))
        local += DAY
    # A day skipped may leave two at its end.
    expected = [at for at in dict.fromkeys(expected) if at >= begin + 2 * DAY]
    written = {"cron": [expression], "time_zone": name}
    recurrence = Recurrence(spec(written), begin)
    least, most = begin + 2 * DAY, end.replace(tzinfo=UTC) - 2 * DAY
    expected = [at for at in expected if at < most]
    ahead = list(takewhile(lambda at: at < most, recurrence.after(least - SECOND)))
    back = list(takewhile(lambda at: at >= least, recurrence.before(most)))[::-1]
    _same(written, begin, f"after {least}", ahead, expected)
    _same(written, begin, f"before {most}", back, expected)
    return 2 * len(expected)


def schedule(random: Random, name: str, begin: datetime, end: datetime) -> dict[str, Any]:
    """A schedule that is taken, as a document may have it."""
    minutes = round((end - begin) / MINUTE)
    made: dict[str, Any] = {"time_zone": name}
    if random.random() < 0.25:
        made["every"] = random.choice((60, 61, 90, 600, 3600, 5400, 86_400)) * SECOND
    else:
        made["cron"] = [_expression(random) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    if random.random() < 0.5:
        made["exclude"] = [_exclusion(random, begin) for _ in range(random.choice((1, 1, 2, 3)))]
    # No schedule begins or ends in the days when clocks were minutes and seconds off the hour.
    bounded = begin.year >= 1970
    if bounded and random.random() < 0.3:
        made["start_time"] = begin + random.randrange(minutes) * MINUTE
    if bounded and random.random() < 0.3:
        earliest = made.get("start_time", begin)
        made["end_time"] = earliest + random.randrange(1, minutes) * MINUTE
    return made


def spec(written: Written) -> ScheduleSpec:
    """What a schedule is read as."""
    every = {"every": in_iso(written["every"])} if "every" in written else {}
    return ScheduleSpec.model_validate({**written, **every})


def _expression(random: Random) -> str:
    while True:
        fields = (_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS)
        made = " ".join(random.choice(field) for field in fields)
        if _is_taken(made):
            return made


@cache
def _is_taken(expression: str) -> bool:
    # Some days never come, and some crons disagree about others.
    try:
        spec({"cron": [expression]})
    except ValidationError:
        return False
    return True


def _exclusion(random: Random, begin: datetime) -> str:
    first = begin.date() + random.randrange(-1, 5) * DAY
    match random.randrange(4):
        case 0:
            return first.isoformat()
        case 1:
            return f"{first}/{first + random.randrange(3) * DAY}"
        case _:
            return _expression(random)


def changes(name: str, first: int, last: int) -> list[datetime]:
    """When the clock of a zone is put forward or back, to the minute, from one year to another.

    What is undone within a week is not seen.
    """
    at, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last, 1, 1, tzinfo=UTC)
    zone, found = clock.zone(name), list[datetime]()
    while at < end:
        if _ahead(at, zone) != (now := _ahead(at + 7 * DAY, zone)):
            before, after = at, at + 7 * DAY
            while after - before > MINUTE:
                middle = before + (after - before) // 2 // MINUTE * MINUTE
                before, after = (before, middle) if _ahead(middle, zone) == now else (middle, after)
            found.append(after)
        at += 7 * DAY
    return found


def _ahead(at: datetime, zone: ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def edges(name: str, at: datetime) -> int:
    """Local times about a change of a clock, each beside when a clock that is watched comes to it.
    Answers how many were compared. Raises Wrong.
    """
    here = clock.zone(name)
    sides = clock.wall(at - MINUTE, here) + MINUTE, clock.wall(at, here)
    middle = min(sides) + (max(sides) - min(sides)) // 2 // MINUTE * MINUTE
    locals_ = {each + step for each in (*sides, middle) for step in (-MINUTE, timedelta(0), MINUTE)}
    for local in locals_:
        found, wanted = time_zones.reached(local, here), clock.came(local, here)
        if found != wanted:
            raise Wrong(f"{local} in {name} is {found}, and the clock came to it at {wanted}")
    return len(locals_)


def _same(
    written: Written, anchor: datetime, what: str, found: list[datetime], wanted: list[datetime]
) -> None:
    if found != wanted:
        odd = sorted({*found} ^ {*wanted})[:5]
        raise Wrong(
            f"{written} from {anchor}: {what} there are {len(found)}, and the clock came to "
            f"{len(wanted)}; in one of them only: {', '.join(map(str, odd))}"
        )
