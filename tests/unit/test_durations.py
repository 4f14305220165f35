from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.durations import Duration, in_iso

DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT30S", 30), ("PT2M", 120), ("P1D", 86400), ("P1DT1H", 90000), ("P1W", 604800)],
)
def test_durations_are_iso_8601(text: str, seconds: int) -> None:
    assert DURATION.validate_python(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", [60, "60", "1h", "5 minutes", "01:00:00", "", "P", None, True, [], "-PT5M", "P1Y"]
)
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValidationError, match="no duration"):
        DURATION.validate_python(value)


@pytest.mark.parametrize("text", ["PT0S", "PT30S", "PT1H30M", "P1D", "P1DT1S", "P366D"])
def test_a_duration_is_told_as_it_is_written(text: str) -> None:
    assert in_iso(DURATION.validate_python(text)) == text


@given(st.integers(0, 10**9))
def test_what_is_told_is_read_as_the_same(seconds: int) -> None:
    duration = timedelta(seconds=seconds)

    assert DURATION.validate_python(in_iso(duration)) == duration
