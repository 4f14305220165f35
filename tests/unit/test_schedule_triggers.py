"""AzureML's triggers as schedules of ours: what means the same, and what nothing does."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tzlocal.windows_tz import win_tz

from shared.native_triggers import trigger_of
from shared.recurrences import Recurrence
from shared.schedule_triggers import read
from shared.specs import ScheduleSpec

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def spec(**trigger: Any) -> dict[str, Any]:
    made = read(trigger)
    assert made.problems == []
    ScheduleSpec.model_validate(made.spec)
    assert made.spec.pop("engine") == "azureml"
    return made.spec


def refused(**trigger: Any) -> list[str]:
    return [why for _, why in read(trigger).problems]


def recurrence(frequency: str, interval: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "recurrence", "frequency": frequency, "interval": interval, **more}


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ({"type": "cron", "expression": "0 * * * *"}, {"cron": "0 * * * *", "time_zone": "UTC"}),
        (
            {
                "type": "cron",
                "expression": "15 16 * * 1",
                "time_zone": "pacific standard time",
                "start_time": "2022-07-10T10:00:00",
                "end_time": "2032-07-10T10:00:00",
            },
            {
                "cron": "15 16 * * 1",
                "time_zone": "America/Los_Angeles",
                "start_time": "2022-07-10T10:00:00",
                "end_time": "2032-07-10T10:00:00",
            },
        ),
        (recurrence("minute", 30), {"every": "PT30M"}),
        (recurrence("hour", 36, time_zone="W. Europe Standard Time"), {"every": "P1DT12H"}),
        (recurrence("day", 2), {"every": "P2D"}),
        (recurrence("week", 2, time_zone="Tokyo Standard Time"), {"every": "P14D"}),
        (
            recurrence("day", schedule={"hours": [10, 4], "minutes": [0, 30]}),
            {"cron": "0,30 4,10 * * *"},
        ),
        (recurrence("day", start_time="2022-07-10T10:15:00"), {"cron": "15 10 * * *"}),
        (
            recurrence("week", schedule={"hours": 6, "minutes": 0, "week_days": ["Sunday"]}),
            {"cron": "0 6 * * 0"},
        ),
        # 10 July 2022 was a Sunday.
        (recurrence("week", start_time="2022-07-10T10:00:00"), {"cron": "0 10 * * 0"}),
        (
            recurrence("month", schedule={"hours": 6, "minutes": 0, "month_days": [15, 1]}),
            {"cron": "0 6 1,15 * *"},
        ),
        (recurrence("month", start_time="2022-07-31T10:00:00"), {"cron": "0 10 31 * *"}),
    ],
)
def test_what_means_the_same(trigger: dict[str, Any], expected: dict[str, Any]) -> None:
    made = spec(**trigger)
    assert {key: made.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ({}, "cron or recurrence"),
        ({"type": "event"}, "cron or recurrence"),
        ({"type": "cron", "expression": "0 3 1 * *"}, "ignores the day of the month"),
        ({"type": "cron", "expression": "0 3 * 7 *"}, "ignores the month"),
        ({"type": "cron", "expression": "0 3 * * *", "frequency": "day"}, "no key of a trigger"),
        ({"type": "cron", "expression": "0 3 * * *", "time_zone": "CEST"}, "Windows"),
        (
            {"type": "cron", "expression": "0 3 * * *", "time_zone": "Europe/Berlin"},
            "write 'W. Europe Standard Time'",
        ),
        (recurrence("year"), "frequency is 'year'"),
        (recurrence("day", 0), "interval is 0"),
        (recurrence("hour", schedule={"hours": 1, "minutes": 2}), "takes no hours"),
        (recurrence("day", 2, schedule={"hours": 1, "minutes": 2}), "every 2 days"),
        (recurrence("day", 2, time_zone="W. Europe Standard Time"), "not all alike"),
        (recurrence("month"), "which month_days"),
        (recurrence("month", schedule={"hours": 1, "minutes": 2}), "which month_days"),
        (recurrence("week", schedule={"hours": 1, "minutes": 2}), "which week_days"),
        (recurrence("day", schedule={"hours": 1}), "hours and minutes"),
        (recurrence("day", schedule={"hours": 24, "minutes": 0}), "from 0 to 23"),
        (recurrence("day", schedule={"hours": 2, "minutes": 0, "weekdays": "monday"}), "weekdays"),
        (
            recurrence("day", schedule={"hours": 2, "minutes": 0, "month_days": 1}),
            "frequency month",
        ),
        (
            recurrence("month", schedule={"hours": 2, "minutes": 0, "week_days": "monday"}),
            "frequency week",
        ),
        (
            recurrence("week", schedule={"hours": 2, "minutes": 0, "week_days": "moonday"}),
            "moonday",
        ),
        (recurrence("day", schedule=[4]), "is a mapping"),
    ],
)
def test_what_nothing_means_the_same_as_is_refused(trigger: dict[str, Any], said: str) -> None:
    found = refused(**trigger)
    assert len(found) == 1
    assert said in found[0]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert len(refused(type="recurrence", frequency="year", interval=0, time_zone="x", y=1)) == 4


@pytest.mark.parametrize("name", sorted(win_tz))
def test_every_zone_of_windows_comes_back_as_it_was(name: str) -> None:
    made = ScheduleSpec.model_validate(
        {**spec(type="cron", expression="0 6 * * *", time_zone=name)}
    )
    assert trigger_of(made, NOW).time_zone == name


_LISTS = {
    "hours": st.lists(st.integers(0, 23), min_size=1, max_size=3),
    "minutes": st.lists(st.integers(0, 59), min_size=1, max_size=3),
}


@given(
    st.fixed_dictionaries(
        _LISTS,
        optional={"month_days": st.lists(st.integers(1, 31), min_size=1, max_size=3)},
    )
)
def test_it_is_due_when_the_pattern_says(pattern: dict[str, list[int]]) -> None:
    frequency = "month" if "month_days" in pattern else "day"
    made = ScheduleSpec.model_validate(spec(**recurrence(frequency, schedule=pattern)))
    for due in islice(Recurrence(made, NOW).after(NOW), 20):
        assert (due.hour in pattern["hours"], due.minute in pattern["minutes"]) == (True, True)
        assert due.day in pattern.get("month_days", [due.day])
        assert due < NOW + timedelta(days=366 * 3)
