"""Cron expressions: five fields, of which each mistake is told with what to write instead.

What a field means is cronsim's reading, which is that of Debian's cron.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from cronsim import CronSim, CronSimError

#: Names for expressions, as every cron has them.
_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_LENGTH = 200


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    #: Names of its values, from `first` on.
    names: tuple[str, ...] = ()
    first: int = 0

    def value(self, text: str) -> int:
        """A value of this field. Raises ValueError."""
        if text in self.names:
            return self.names.index(text) + self.first
        if not re.fullmatch(r"[0-9]{1,4}", text):
            why = f"{text!r} is no {self.name}"
            known = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(f"{why}; it is a number from {self.low} to {self.high}{known}")
        number = int(text)
        if not self.low <= number <= self.high:
            hint = "; midnight is 0" if (self.name, number) == ("hour", 24) else ""
            raise ValueError(f"{self.name} {number} is not from {self.low} to {self.high}{hint}")
        return number


_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_DAY, _WEEKDAY = "day of the month", "day of the week"
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field(_DAY, 1, 31),
    _Field("month", 1, 12, _MONTHS, 1),
    _Field(_WEEKDAY, 0, 7, _DAYS),
)


@dataclass(frozen=True)
class Cron:
    """An expression: of which days, and at which minutes of each."""

    _read: CronSim
    months: frozenset[int]
    #: Bit n is minute n of the day, 0 to 1439.
    minutes: int

    def on(self, day: date) -> bool:
        """Whether it is for a day."""
        return day.month in self.months and self._read.match_day(day)


@lru_cache(maxsize=20_000)
def expression(text: str) -> str:
    """An expression in five fields with one space between them, names in upper case.

    Raises ValueError.
    """
    said = text.strip()
    if len(said) > _LENGTH:
        raise ValueError(f"is longer than {_LENGTH} characters; write several expressions")
    if said.startswith("@"):
        return _alias(said)
    parts = said.upper().split()
    try:
        _five(parts)
        for field, part in zip(_FIELDS, parts, strict=True):
            for term in part.split(","):
                _term(field, term)
        _days(parts[2], parts[4])
        made = " ".join(parts)
        read(made)
    except ValueError as error:
        raise ValueError(f"{said!r} is no cron expression: {error}") from None
    return made


@lru_cache(maxsize=20_000)
def read(expression: str) -> Cron:
    """An expression as `expression` returns it. Raises ValueError when it never comes."""
    parsed = _parsed(expression)
    hour = sum(1 << minute for minute in parsed.minutes)
    return Cron(parsed, frozenset(parsed.months), sum(hour << 60 * each for each in parsed.hours))


def _parsed(expression: str) -> CronSim:
    try:
        return CronSim(expression, datetime(2000, 1, 1))
    except CronSimError:
        # Everything else was looked at before.
        _, _, days, months, _ = expression.split()
        raise ValueError(
            f"it never comes, for no month of {months} has a day {days}; for the last day of a "
            "month write L"
        ) from None


def _alias(said: str) -> str:
    if found := _ALIASES.get(said.lower()):
        return found
    remedy = (
        "write `every`, as in every: PT5M"
        if said.lower().startswith("@every")
        else "write five fields, as in '0 6 * * *'"
    )
    raise ValueError(f"{said!r} is no cron expression that is known here; {remedy}")


def _five(parts: list[str]) -> None:
    five = "minute, hour, day of the month, month, day of the week, as in '0 6 * * *'"
    if len(parts) in (6, 7):
        rest = " ".join(parts[1:6])
        raise ValueError(
            f"it has {len(parts)} fields, and five are wanted: {five}. There are no seconds and no "
            f"years: without the first it is {rest!r}"
        )
    if len(parts) != 5:
        raise ValueError(f"it has {len(parts)} fields, and five are wanted: {five}")


def _term(field: _Field, term: str) -> None:
    """One of the values of a field that are separated by commas."""
    if term == "?":
        raise ValueError(f"'?' is not known here; write '*' for any {field.name}")
    if term.startswith("H") or "~" in term:
        raise ValueError(f"{term!r} is not known here; write a {field.name}, and a `jitter`")
    if _special(field, term):
        return
    values, slash, step = term.partition("/")
    first, dash, last = values.partition("-")
    low, high = field.low, field.high
    if values != "*":
        low = field.value(first)
        high = field.value(last) if dash else field.high if slash else low
        if high < low:
            raise ValueError(_backwards(field, values, low, high))
        if field.name == _WEEKDAY and slash and not dash:
            raise ValueError(f"{term!r} does not say where it ends; write {first}-6/{step}")
    if slash:
        _step(field, term, step, high - low)


def _special(field: _Field, term: str) -> bool:
    """The last day, the last working day; the last or the nth of a weekday."""
    if field.name == _DAY and term in ("L", "LW"):
        return True
    if field.name == _DAY and re.search("[LW]", term):
        raise ValueError(
            f"{term!r} is not known here; L is a month's last day, LW its last from Monday to "
            "Friday"
        )
    if field.name != _WEEKDAY:
        return False
    if "#" in term:
        day, _, number = term.partition("#")
        field.value(day)
        if not re.fullmatch("[1-5]", number):
            raise ValueError(f"{term!r} has no number from 1 to 5 behind '#'; MON#2 is the second")
        return True
    if term.endswith("L"):
        if not re.fullmatch("[0-7]L", term):
            raise ValueError(
                f"{term!r} is not known here; 5L is the last Friday of a month, and 0L its last "
                "Sunday"
            )
        return True
    return False


def _backwards(field: _Field, values: str, low: int, high: int) -> str:
    if field.name == _WEEKDAY and high == 0:
        return f"{values!r} goes backwards; Sunday is also 7: write {low}-7"
    top = 6 if field.name == _WEEKDAY else field.high
    return f"{values!r} goes backwards; write {low}-{top},{field.low}-{high}"


def _step(field: _Field, term: str, step: str, span: int) -> None:
    if not re.fullmatch(r"[0-9]{1,4}", step) or int(step) == 0:
        raise ValueError(f"{term!r} has no number from 1 behind '/'")
    if int(step) > span and int(step) > 1:
        unit = {"minute": "M", "hour": "H"}.get(field.name)
        remedy = f"; for every {step} {field.name}s write every: PT{step}{unit}" if unit else ""
        raise ValueError(f"the step of {term!r} is longer than what it goes through{remedy}")


def _days(day: str, weekday: str) -> None:
    """Both narrow it, and one begins with a star: some crons want both to hold, others either."""
    for field, stepped, other in ((_FIELDS[2], day, weekday), (_FIELDS[4], weekday, day)):
        if stepped != "*" and stepped.startswith("*") and other != "*":
            top = 6 if field.name == _WEEKDAY else field.high
            plain = stepped.replace("*", f"{field.low}-{top}")
            raise ValueError(
                f"with {day!r} for the day of the month and {weekday!r} for that of the week, some "
                f"crons want both to hold and others one of them; write {plain} in place of "
                f"{stepped}, and one of them has to hold"
            )
