from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.moments import Moment

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-03-14T06:00:00", datetime(2026, 3, 14, 6)),
        ("2026-03-14T06:00", datetime(2026, 3, 14, 6)),
        ("2026-03-14 06:00", datetime(2026, 3, 14, 6)),
        ("2026-03-14T06:00:00Z", datetime(2026, 3, 14, 6, tzinfo=UTC)),
        (
            "2026-03-14T06:00:30+01:00",
            datetime(2026, 3, 14, 6, 0, 30, tzinfo=timezone(timedelta(hours=1))),
        ),
        # YAML has made one of what was not quoted.
        (datetime(2026, 3, 14, 6), datetime(2026, 3, 14, 6)),
    ],
)
def test_a_moment_has_a_time_of_day_and_maybe_an_offset(written: object, meant: datetime) -> None:
    found = MOMENT.validate_python(written)

    assert (found, found.utcoffset()) == (meant, meant.utcoffset())
    again = MOMENT.validate_json(MOMENT.dump_json(found))
    assert (again, again.utcoffset()) == (meant, meant.utcoffset())


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-14",
        date(2026, 3, 14),
        datetime(2026, 3, 14, 6, 0, 0, 5),
        "2026-03-14T06:00:00.5",
        "06:00",
        "tomorrow",
        1773468000,
        True,
        None,
    ],
)
def test_anything_else_is_no_moment(value: object) -> None:
    with pytest.raises(ValidationError, match="is no date with a time of day; write 2026-03-14T06"):
        MOMENT.validate_python(value)


@pytest.mark.parametrize("value", ["1969-12-31T23:59", "3000-01-01T00:00", "9999-12-31T23:59:59Z"])
def test_a_moment_is_in_our_time(value: str) -> None:
    with pytest.raises(ValidationError, match="write one from 1970 to 2999"):
        MOMENT.validate_python(value)


def test_what_is_not_in_the_calendar_is_told() -> None:
    with pytest.raises(ValidationError, match="valid datetime"):
        MOMENT.validate_python("2026-02-30T06:00")
