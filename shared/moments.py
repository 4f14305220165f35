"""Moments as users write them."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d)?(?: ?(?:[Zz]|[+-]\d\d:?\d\d))?")


def _moment(value: Any) -> Any:
    """A date and a time of day, of which pydantic alone would take more forms than anyone means."""
    if isinstance(value, datetime) and not value.microsecond:
        return value
    if isinstance(value, date) or not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ValueError(
            "is no date with a time of day; write 2026-03-14T06:00:00, which is local in "
            "time_zone, or with an offset, as 2026-03-14T06:00:00Z or 2026-03-14T06:00:00+01:00"
        )
    return value


def _year(value: datetime) -> datetime:
    # Where calendars and clocks are what they are now, also in other time zones.
    if not 1970 <= value.year < 3000:
        raise ValueError(f"is in the year {value.year}; write one from 1970 to 2999")
    return value


#: A local time in the schedule's time zone when it has no offset.
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    AfterValidator(_year),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d"}),
]
