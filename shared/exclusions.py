"""What a schedule leaves out: days, ranges of days, and minutes by cron expressions."""

import re
from datetime import date

from shared import crons
from shared.crons import Cron

#: Characters that are told of what is none of them.
_LENGTH = 60

_DAYS = re.compile(r"(\d{4}-\d\d-\d\d)(?:/(\d{4}-\d\d-\d\d))?")


def exclusion(text: str) -> str:
    """A cron expression as `crons.expression` returns it, a day, or a range of days.

    Raises ValueError.
    """
    said = text.strip()
    found = _DAYS.fullmatch(said)
    if found is None:
        if re.match(r"\d{4}-", said):
            raise ValueError(
                f"{said[:_LENGTH]!r} is no day and no range of days; write 2026-12-25, or "
                "2026-12-24/2027-01-01, which is both of these days and what is between"
            )
        return crons.expression(said)
    try:
        first, last = (date.fromisoformat(day or found[1]) for day in found.groups())
    except ValueError as error:
        raise ValueError(f"{said!r} is not in the calendar: {error}") from None
    if last < first:
        raise ValueError(f"{said!r} goes backwards; write {last}/{first}")
    return said


def read(exclusion: str) -> Cron | tuple[date, date]:
    """What is left out: of which minutes, or from which day to which."""
    found = _DAYS.fullmatch(exclusion)
    if found is None:
        return crons.read(exclusion)
    first, last = (date.fromisoformat(day or found[1]) for day in found.groups())
    return first, last
