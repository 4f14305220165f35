"""What the next times of ten thousand schedules cost, beside croniter."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from pydantic import BaseModel

from shared.recurrences import Recurrence
from shared.specs import BlobSpec, ScheduleSpec
from tests.benchmarks.timing import Figure, compared

_NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
MANY = 10_000
#: Times of one schedule in a row.
_ROW = 500

_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo")
#: As people write them: many by the day, some by the quarter of an hour, few by the month.
_KINDS = (
    "{minute} {hour} * * *",
    "{minute} {hour} * * MON-FRI",
    "{minute} {hour} * * SUN",
    "*/15 * * * *",
    "{minute} {hour} 1 * *",
)


def figures() -> Iterator[Figure]:
    given = [_written(number) for number in range(MANY)]
    specs = [ScheduleSpec.model_validate(each) for each in given]
    yield compared(
        f"the next time of {MANY:,} schedules just read, beside croniter: ms",
        lambda: [next(Recurrence(spec, _NOW).after(_NOW)) for spec in specs],
        lambda: [_croniter(each).get_next() for each in given],
        rounds=5,
    )
    texts = [spec.model_dump_json() for spec in specs]
    events = ['{"account":"contosolake","container":"landing","path":"in/{file}"}'] * MANY
    yield compared(
        f"read {MANY:,} specs of schedules, beside specs of uploads: ms",
        lambda: _read(ScheduleSpec, texts),
        lambda: _read(BlobSpec, events),
        rounds=5,
    )
    one = given[0] | {"cron": ["*/5 2-9 * * *"], "time_zone": "Europe/Berlin"}
    spec = ScheduleSpec.model_validate(one)
    yield compared(
        f"{_ROW} times of one schedule in a row, beside croniter: ms",
        lambda: list(islice(Recurrence(spec, _NOW).after(_NOW), _ROW)),
        lambda: list(islice(_croniter(one), _ROW)),
    )


def _read(model: type[BaseModel], texts: Sequence[str]) -> None:
    for text in texts:
        model.model_validate_json(text)


def _croniter(written: dict[str, Any]) -> Any:
    now = _NOW.astimezone(ZoneInfo(written["time_zone"]))
    return croniter(written["cron"][0], now, ret_type=datetime)


def _written(number: int) -> dict[str, Any]:
    kind = _KINDS[number % len(_KINDS)]
    # So that hardly two are the same.
    expression = kind.format(minute=number % 60, hour=number // 60 % 24)
    return {"cron": [expression], "time_zone": _ZONES[number // 7 % len(_ZONES)]}
