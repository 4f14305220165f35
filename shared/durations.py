"""Durations as users write them."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, WithJsonSchema

#: ISO 8601 without months and years, which are no fixed time.
_DURATION = re.compile(
    r"P(?:\d{1,4}W|(?:\d{1,6}D)?(?:T(?=\d)(?:\d{1,6}H)?(?:\d{1,6}M)?(?:\d{1,6}S)?)?)"
)

#: Characters that are told of what is none.
_LENGTH = 60

#: Made once: that takes longer than what it does.
_FROM_TEXT = TypeAdapter(timedelta)


def _duration(value: Any) -> timedelta:
    # pydantic would also take a number of seconds, and clock times.
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str) and _DURATION.fullmatch(value):
        try:
            return _FROM_TEXT.validate_python(value)
        except ValueError:
            pass
    raise ValueError(
        f"{str(value)[:_LENGTH]!r} is no duration; write it as ISO 8601 does, and never negative: "
        "PT30S, PT5M, PT1H, P1D"
    )


#: ISO 8601, as in PT5M.
Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "format": "duration", "pattern": "^P"}),
]


def in_iso(duration: timedelta) -> str:
    """A duration as it is written: PT5M."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((hours, "H"), (minutes, "M"), (seconds, "S"))
    time = "".join(f"{number}{unit}" for number, unit in parts if number)
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}" if days or time else "PT0S"
