"""Time zones by their IANA names, and when their wall clocks come to a local time.

The rules are those of the package tzdata, and so the same wherever this runs.
"""

import difflib
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from shared import windows_zones

_SECOND = timedelta(seconds=1)

#: Characters that are told of what is no time zone.
_LENGTH = 60


@cache
def names() -> frozenset[str]:
    """Every time zone there is."""
    listed = resources.files("tzdata").joinpath("zones").read_text().split()
    # Stands for a computer that nobody told where it is.
    return frozenset(listed) - {"Factory"}


@cache
def zone(name: str) -> ZoneInfo:
    """A time zone. Raises ValueError, with the names that may be meant."""
    if name not in names():
        cut = name[:_LENGTH]
        raise ValueError(f"{cut!r} is no time zone; {_meant(cut)}")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def reached(local: datetime, zone: ZoneInfo) -> datetime:
    """When the wall clock of a zone first comes to a local time, or passes it; in UTC.

    A time that the clock shows twice is the first of them; one that it skips is the end of what
    is skipped.
    """
    early = local.replace(tzinfo=zone, fold=0)
    found = early.astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None, fold=0) == local:
        return found
    # Skipped: by the offset that comes, it would be before the clock is put forward; by the one
    # that went, it is after that.
    before, after = local.replace(tzinfo=zone, fold=1).astimezone(UTC), found
    new = after.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2 // _SECOND * _SECOND
        if middle.astimezone(zone).utcoffset() == new:
            after = middle
        else:
            before = middle
    return after


def _meant(name: str) -> str:
    if windows := windows_zones.iana_name(name):
        return f"Windows calls one so: write {windows!r}"
    if name[:1] in ("+", "-") or name.upper()[:4] in ("UTC+", "UTC-", "GMT+", "GMT-"):
        return (
            "write a place, such as 'Europe/Berlin'; for a clock that is always two hours ahead of "
            "UTC there is 'Etc/GMT-2' (its sign is the other way round)"
        )
    if name.isupper() and len(name) < 6:
        # A near one would have another clock: what is CEST's is not EST's.
        return "write a place that has it, such as 'Europe/Berlin' or 'America/New_York'"
    by_folded = {each.casefold(): each for each in sorted(names())}
    wanted = name.strip().replace(" ", "_").casefold()
    by_place = {each.rpartition("/")[2]: each for each in by_folded}
    places = difflib.get_close_matches(wanted.rpartition("/")[2], by_place, n=3, cutoff=0.75)
    whole = difflib.get_close_matches(wanted, by_folded, n=3, cutoff=0.75)
    near = list(dict.fromkeys(by_folded[each] for each in (*whole, *(by_place[p] for p in places))))
    if near:
        return f"did you mean {' or '.join(repr(each) for each in near[:3])}?"
    return "write an IANA name, such as 'Europe/Berlin', 'America/New_York' or 'UTC'"
