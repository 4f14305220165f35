"""What is said of a schedule's times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.definitions import TriggerDefinition
from shared.index import IndexedTrigger
from shared.timetables import Timetable, hints

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def trigger(**spec: Any) -> TriggerDefinition:
    return TriggerDefinition.model_validate(
        {"name": "nightly", "spec": {"schedule": spec}, "action": {"pipeline": "p"}}
    )


def timetable(**spec: Any) -> Timetable:
    return Timetable(IndexedTrigger(definition=trigger(**spec), revision="1", effective_from=SINCE))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


BERLIN = {"time_zone": "Europe/Berlin"}


def test_times_to_come_are_told_by_both_clocks() -> None:
    [first, second] = timetable(cron="0 6 * * *", **BERLIN).coming(utc("2026-03-28T00:00"), 2)

    assert (first.scheduled, first.local.isoformat()) == (
        utc("2026-03-28T05:00"),
        "2026-03-28T06:00:00+01:00",
    )
    # Clocks went forward meanwhile.
    assert (second.scheduled, second.local.isoformat()) == (
        utc("2026-03-29T04:00"),
        "2026-03-29T06:00:00+02:00",
    )
    assert (first.note, second.note) == (None, None)
    assert first.fires == first.scheduled


def test_jitter_moves_the_beginning_and_nothing_else() -> None:
    times = timetable(cron="0 * * * *", jitter="PT10M").coming(SINCE, 5)

    assert [each.scheduled.minute for each in times] == [0] * 5
    assert all(timedelta() <= each.fires - each.scheduled < timedelta(minutes=10) for each in times)
    assert len({each.fires - each.scheduled for each in times}) > 1


@pytest.mark.parametrize(
    ("spec", "day", "note"),
    [
        ({"cron": "30 2 * * *"}, "2026-03-29", "stands for 02:30, which clocks skip on that day"),
        (
            {"cron": "0,15,30,45 2 * * *"},
            "2026-03-29",
            "stands for 02:00, 02:15, 02:30 and 1 more, which clocks skip on that day",
        ),
        ({"cron": "0 3 * * *"}, "2026-03-29", None),
        (
            {"cron": ["0 3 * * *", "30 2 * * *"]},
            "2026-03-29",
            "stands for 02:30, which clocks skip",
        ),
        ({"cron": ["0 3 * * *", "30 2 * * *"], "exclude": "30 2 * * *"}, "2026-03-29", None),
        ({"cron": ["0 3 * * *", "30 2 * * *"], "exclude": "2026-03-28"}, "2026-03-29", "stands"),
        ({"cron": "30 2 * * *"}, "2026-10-25", "comes twice on that day; it runs the first time"),
        ({"cron": "30 3 * * *"}, "2026-10-25", None),
        ({"every": "PT1H", "start_time": "2026-03-29T03:00:00"}, "2026-03-29", None),
        ({"every": "PT24H", "start_time": "2026-10-25T02:30:00"}, "2026-10-25", None),
    ],
)
def test_a_note_says_what_clocks_make_of_a_time(
    spec: dict[str, Any], day: str, note: str | None
) -> None:
    [coming] = timetable(**spec, **BERLIN).coming(utc(f"{day}T00:00") - timedelta(seconds=1), 1)

    assert coming.scheduled.date().isoformat() == day
    assert (coming.note or "").startswith(note or "")
    assert (coming.note is None) == (note is None)


def test_clocks_that_go_forward_by_half_an_hour() -> None:
    table = timetable(cron="15 2 * * *", time_zone="Australia/Lord_Howe")
    [coming] = table.coming(utc("2026-10-03T15:00"), 1)

    assert coming.local.isoformat() == "2026-10-04T02:30:00+11:00"
    assert coming.note == "stands for 02:15, which clocks skip on that day"


def test_a_range_has_its_beginning_and_not_its_end() -> None:
    table = timetable(cron="0 6 * * *")
    found = [*table.within(utc("2026-02-01T06:00"), utc("2026-02-03T06:00"))]

    assert found == [utc("2026-02-01T06:00"), utc("2026-02-02T06:00")]
    # However finely it is asked.
    since = utc("2026-02-01T06:00") + timedelta(microseconds=1)
    assert next(table.within(since, utc("2026-02-03T06:00"))) == utc("2026-02-02T06:00")


@settings(deadline=None)
@given(
    at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    minutes=st.integers(1, 3000),
    spec=st.sampled_from(
        [
            {"cron": "*/7 * * * *", **BERLIN},
            {"cron": "30 2 * * *", "exclude": ["2026-03-28/2026-04-02", "* * * * SUN"], **BERLIN},
            {"every": "PT37M", "start_time": "2026-01-01T00:00:00Z"},
        ]
    ),
)
def test_a_time_is_found_by_asking_and_in_its_range_or_neither(
    at: datetime, minutes: int, spec: dict[str, Any]
) -> None:
    table, since = timetable(**spec), at.replace(tzinfo=UTC, microsecond=0)
    for found in table.within(since, since + timedelta(minutes=minutes)):
        assert table.at(found) == found
        assert table.at(found.astimezone(table.zone)) == found
    minute = since.replace(second=0)
    assert (table.at(since) is None) == (not [*table.within(minute, minute + timedelta(minutes=1))])


def test_a_time_without_an_offset_is_the_schedule_s() -> None:
    table = timetable(cron="0 6 * * *", **BERLIN)

    assert table.at(datetime(2026, 7, 1, 6)) == utc("2026-07-01T04:00")
    assert table.at(datetime(2026, 7, 1, 6, 0, 30)) == utc("2026-07-01T04:00")
    assert table.at(utc("2026-07-01T06:00")) is None


@pytest.mark.parametrize(
    ("spec", "at", "why"),
    [
        ({"cron": "0 6 * * *", "start_time": "2026-03-01T00:00:00"}, "2026-02-01T06:00", "begins"),
        ({"cron": "0 6 * * *", "end_time": "2026-03-01T00:00:00"}, "2026-03-01T06:00", "has ended"),
        (
            {"cron": "0 6 * * *", "exclude": ["2026-12-24/2026-12-31", "* * * * SAT"]},
            "2026-12-25T06:00",
            "It is left out by exclude: 2026-12-24/2026-12-31.",
        ),
        (
            {"cron": "0 6 * * *", "exclude": ["2026-12-24", "* * * * SAT"]},
            "2026-11-21T06:00",
            "It is left out by exclude: * * * * SAT.",
        ),
        # Excluded or not, it would be none.
        (
            {"cron": "0 6 * * *", "exclude": "2026-12-24"},
            "2026-12-24T07:00",
            "The schedule is 0 6 * * * (Europe/Berlin); the time before is "
            "2026-12-23 06:00:00 CET (05:00:00 UTC) and the next one "
            "2026-12-25 06:00:00 CET (05:00:00 UTC).",
        ),
        (
            {"every": "PT6H", "start_time": "2026-03-01T00:00:00Z"},
            "2026-03-01T09:00+00:00",
            "The schedule is every PT6H; the time before is",
        ),
        # The second time that it is 02:30.
        (
            {"cron": "30 2 * * *"},
            "2026-10-25T02:30+01:00",
            "02:30 comes twice on that day, as clocks go back; it runs the first time, at "
            "2026-10-25 02:30:00 CEST (00:30:00 UTC).",
        ),
    ],
)
def test_why_a_time_is_none_is_said(spec: dict[str, Any], at: str, why: str) -> None:
    table = timetable(**spec, **BERLIN)
    asked = datetime.fromisoformat(at)

    assert table.at(asked) is None
    assert why in table.why_not(asked)


def test_a_local_time_that_there_never_was_leads_to_what_ran_instead() -> None:
    table = timetable(cron="30 2 * * *", **BERLIN)
    asked = datetime(2026, 3, 29, 2, 30)

    assert table.at(asked) == utc("2026-03-29T01:00")
    assert table.skipped(asked) == (
        "There is no 02:30 on 2026-03-29 in Europe/Berlin: clocks go forward over it. What is due "
        "then runs at 03:00."
    )
    assert table.skipped(datetime(2026, 3, 29, 3, 30)) is None
    assert table.skipped(utc("2026-03-29T02:30")) is None


def test_a_schedule_that_is_over_has_no_next_time() -> None:
    table = timetable(cron="0 6 * * *", end_time="2026-02-01T00:00:00")

    assert table.coming(utc("2026-02-01T00:00"), 3) == []
    assert "has ended" in table.why_not(utc("2026-02-01T06:00"))


@pytest.mark.parametrize(
    ("spec", "key", "why"),
    [
        ({"cron": "0 3 * * *", "exclude": "* 3 * * *"}, "exclude", "leaves out all of its times"),
        ({"every": "PT1H", "end_time": "2025-12-31T23:00"}, "end_time", "lies in the past"),
        (
            {
                "cron": "0 6 * * *",
                "start_time": "2026-05-01T07:00",
                "end_time": "2026-05-02T06:00",
                "exclude": "2027-01-01",
            },
            "end_time",
            "none of its times lies before end_time",
        ),
    ],
)
def test_a_schedule_that_would_never_run_is_told(spec: dict[str, Any], key: str, why: str) -> None:
    [(place, said)] = hints(trigger(**spec), SINCE)

    assert place == ("spec", "schedule", key)
    assert why in said


def test_nothing_is_told_of_a_schedule_that_will_run_or_that_azureml_keeps() -> None:
    assert [*hints(trigger(cron="0 6 * * *", end_time="2026-01-01T06:01"), SINCE)] == []
    over = {"cron": "0 6 * * *", "end_time": "2025-01-01T06:01", "engine": "azureml"}
    assert [*hints(trigger(**over), SINCE)] == []
