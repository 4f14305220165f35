"""When schedules are due, also beside a clock that is watched: see tests/recurrences."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random
from typing import Any

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import crons
from shared.recurrences import Recurrence, fires_at
from shared.specs import ScheduleSpec
from tests.recurrences import checks

ANCHOR = datetime(2026, 1, 1, 10, 30, 17, 250, tzinfo=UTC)
BERLIN = {"time_zone": "Europe/Berlin"}
SECOND = timedelta(seconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def recurrence(**given: Any) -> Recurrence:
    return Recurrence(ScheduleSpec.model_validate(given), ANCHOR)


def told(found: Iterator[datetime], count: int) -> list[str]:
    return [f"{at:%Y-%m-%d %H:%M}" for at in islice(found, count)]


# Local times


def test_times_are_local_and_after_or_before_a_moment_but_never_at_it() -> None:
    found = recurrence(cron=["0 6 * * *", "30 18 * * SAT"], **BERLIN)

    assert told(found.after(utc("2026-11-20T05:00")), 3) == [
        "2026-11-21 05:00",
        "2026-11-21 17:30",
        "2026-11-22 05:00",
    ]
    assert told(found.before(utc("2026-11-22T05:00")), 3) == [
        "2026-11-21 17:30",
        "2026-11-21 05:00",
        "2026-11-20 05:00",
    ]
    assert next(found.after(utc("2026-11-20T04:59:59.999999"))) == utc("2026-11-20T05:00")
    assert next(found.before(utc("2026-11-20T05:00:00.000001"))) == utc("2026-11-20T05:00")
    assert next(found.after(utc("2026-11-20T05:00"))).tzinfo is UTC


def test_what_two_expressions_are_for_is_due_once() -> None:
    found = recurrence(cron=["*/30 6 * * *", "0 6,7 * * *"])

    assert told(found.after(utc("2026-11-20T00:00")), 4) == [
        "2026-11-20 06:00",
        "2026-11-20 06:30",
        "2026-11-20 07:00",
        "2026-11-21 06:00",
    ]


def test_what_the_clock_skips_is_due_once_at_the_end_of_that() -> None:
    found = recurrence(cron=["15,45 2 * * *", "0 3 * * *"], **BERLIN)

    assert told(found.after(utc("2026-03-28T00:00")), 5) == [
        "2026-03-28 01:15",
        "2026-03-28 01:45",
        "2026-03-28 02:00",
        "2026-03-29 01:00",
        "2026-03-30 00:15",
    ]
    assert told(found.before(utc("2026-03-30T00:15")), 2) == [
        "2026-03-29 01:00",
        "2026-03-28 02:00",
    ]


def test_what_the_clock_shows_twice_is_due_the_first_time() -> None:
    found = recurrence(cron="*/30 * * * *", **BERLIN)
    around = ["2026-10-25 00:00", "2026-10-25 00:30", "2026-10-25 02:00", "2026-10-25 02:30"]

    assert told(found.after(utc("2026-10-24T23:30")), 4) == around
    # From within the hour that is shown again.
    assert told(found.after(utc("2026-10-25T01:10")), 2) == around[2:]
    assert told(found.before(utc("2026-10-25T01:10")), 2) == around[1::-1]
    assert told(found.before(utc("2026-10-25T02:30")), 3) == around[2::-1]


def test_half_an_hour_is_skipped_and_shown_twice() -> None:
    found = recurrence(cron="*/15 2 * * *", time_zone="Australia/Lord_Howe")
    assert told(found.after(utc("2026-10-03T15:00")), 3) == [
        # 02:00 and 02:15 come with 02:30.
        "2026-10-03 15:30",
        "2026-10-03 15:45",
        "2026-10-04 15:00",
    ]
    found = recurrence(cron="*/15 1 * * *", time_zone="Australia/Lord_Howe")
    assert told(found.after(utc("2026-04-04T13:50")), 5) == [
        "2026-04-04 14:00",
        "2026-04-04 14:15",
        "2026-04-04 14:30",
        "2026-04-04 14:45",
        "2026-04-05 14:30",
    ]


def test_a_day_that_was_skipped_is_due_when_the_next_begins() -> None:
    # Samoa had no 30 December 2011.
    found = recurrence(cron=["0 12 * * *", "0 18 30 12 *"], time_zone="Pacific/Apia")

    assert told(found.after(utc("2011-12-29T00:00")), 3) == [
        "2011-12-29 22:00",
        "2011-12-30 10:00",
        "2011-12-30 22:00",
    ]


def test_months_end_on_other_days_and_leap_days_are_rare() -> None:
    ends = recurrence(cron="0 0 L * *")
    assert told(ends.after(utc("2028-01-01T00:00")), 3) == [
        "2028-01-31 00:00",
        "2028-02-29 00:00",
        "2028-03-31 00:00",
    ]
    leap = recurrence(cron="0 0 29 2 *")
    assert told(leap.after(utc("2096-03-01T00:00")), 1) == ["2104-02-29 00:00"]
    assert told(leap.before(utc("2104-02-29T00:00")), 1) == ["2096-02-29 00:00"]
    fifth = recurrence(cron="0 0 * 2 MON#5")
    assert told(fifth.after(utc("2026-01-01T00:00")), 2) == ["2044-02-29 00:00", "2072-02-29 00:00"]
    # Forty years, as 2100 is none; and a year with months between.
    longest = recurrence(cron="0 0 * 2 MON#5")
    assert told(longest.after(utc("2072-03-01T00:00")), 1) == ["2112-02-29 00:00"]
    assert told(longest.before(utc("2112-02-29T00:00")), 1) == ["2072-02-29 00:00"]
    assert told(recurrence(cron="0 0 * 2 *").after(utc("2026-01-30T00:00")), 1) == [
        "2026-02-01 00:00"
    ]
    assert told(recurrence(cron="0 0 31 * *").after(utc("2026-03-31T00:00")), 2) == [
        "2026-05-31 00:00",
        "2026-07-31 00:00",
    ]


# Elapsed time


def test_every_counts_from_the_start_whatever_clocks_do() -> None:
    found = recurrence(every="P1D", start_time="2026-03-28T06:00", **BERLIN)

    assert told(found.after(utc("2026-01-01T00:00")), 3) == [
        "2026-03-28 05:00",
        "2026-03-29 05:00",
        "2026-03-30 05:00",
    ]
    assert told(found.before(utc("2026-03-30T00:00")), 3) == [
        "2026-03-29 05:00",
        "2026-03-28 05:00",
    ]


def test_every_without_a_start_counts_from_the_anchor_both_ways() -> None:
    found = recurrence(every="PT90M")

    assert list(islice(found.after(ANCHOR), 2)) == [
        datetime(2026, 1, 1, 12, 0, 17, tzinfo=UTC),
        datetime(2026, 1, 1, 13, 30, 17, tzinfo=UTC),
    ]
    assert list(islice(found.before(ANCHOR), 2)) == [
        datetime(2026, 1, 1, 10, 30, 17, tzinfo=UTC),
        datetime(2026, 1, 1, 9, 0, 17, tzinfo=UTC),
    ]


# Beginning and end


@pytest.mark.parametrize("times", [{"cron": "0 * * * *"}, {"every": "PT1H"}])
def test_the_start_is_in_and_the_end_is_out(times: dict[str, str]) -> None:
    found = recurrence(**times, start_time="2026-05-01T06:00", end_time="2026-05-01T08:00")
    both = ["2026-05-01 06:00", "2026-05-01 07:00"]

    assert told(found.after(utc("2020-01-01T00:00")), 9) == both
    assert told(found.before(utc("2030-01-01T00:00")), 9) == both[::-1]
    assert told(found.after(utc("2026-05-01T07:00")), 9) == []
    assert told(found.before(utc("2026-05-01T06:00")), 9) == []


# What is left out


def test_what_is_excluded_is_by_local_days_and_minutes() -> None:
    found = recurrence(
        cron="30 0,12 * * *",
        exclude=["2026-12-24/2026-12-25", "2026-12-26", "* 12 28 12 *"],
        **BERLIN,
    )

    assert told(found.after(utc("2026-12-23T12:00")), 5) == [
        "2026-12-26 23:30",
        "2026-12-27 11:30",
        "2026-12-27 23:30",
        "2026-12-28 23:30",
        "2026-12-29 11:30",
    ]
    assert told(found.before(utc("2026-12-26T23:30")), 1) == ["2026-12-23 11:30"]


@pytest.mark.parametrize("excluded", ["* 2 * * *", "* 3 * * *", "2026-03-29"])
def test_what_is_moved_is_excluded_by_either_time(excluded: str) -> None:
    found = recurrence(cron=["30 2 * * *", "0 6 * * *"], exclude=excluded, **BERLIN)
    day = [utc("2026-03-29T00:00") <= at < utc("2026-03-29T02:00") for at in _some(found)]

    assert not any(day)


def _some(found: Recurrence) -> list[datetime]:
    return list(islice(found.after(utc("2026-03-28T00:00")), 5))


def test_elapsed_time_is_excluded_by_the_minute_that_the_clock_shows() -> None:
    # 06:30:17, 07:00:17 and so on.
    found = recurrence(every="PT30M", exclude=["0-29 * * * *", "2026-05-01"])

    assert told(found.after(utc("2026-04-30T22:45")), 3) == [
        "2026-04-30 23:30",
        "2026-05-02 00:30",
        "2026-05-02 01:30",
    ]
    assert told(found.before(utc("2026-05-02T00:30")), 1) == ["2026-04-30 23:30"]


def test_what_is_free_when_the_clock_is_put_back_is_not_passed_over() -> None:
    # 02:30 to 03:15 is left out, and 02:00 to 02:30 comes again after the first of these.
    excluded = ["30-59 2 * * *", "0-14 3 * * *"]
    found = recurrence(every="PT10M", exclude=excluded, start_time="2026-10-24T22:00Z", **BERLIN)

    assert told(found.after(utc("2026-10-25T00:15")), 5) == [
        "2026-10-25 00:20",
        "2026-10-25 01:00",
        "2026-10-25 01:10",
        "2026-10-25 01:20",
        "2026-10-25 02:20",
    ]
    assert told(found.before(utc("2026-10-25T02:20")), 4) == [
        "2026-10-25 01:20",
        "2026-10-25 01:10",
        "2026-10-25 01:00",
        "2026-10-25 00:20",
    ]


def test_nor_is_what_was_free_before_the_clock_was_put_back() -> None:
    # From 02:10, shown again, back past what is left out by the clock.
    excluded = ["45-59 1 * * *", "0-14 2 * * *"]
    found = recurrence(every="PT10M", exclude=excluded, start_time="2026-10-24T22:00Z", **BERLIN)

    assert told(found.before(utc("2026-10-25T01:20")), 2) == [
        "2026-10-25 00:50",
        "2026-10-25 00:40",
    ]


def test_the_last_free_minute_and_the_first_are_free() -> None:
    found = recurrence(every="PT1M", exclude="30-59 6 * * *")

    assert told(found.after(utc("2026-05-01T06:29")), 2) == ["2026-05-01 06:29", "2026-05-01 07:00"]
    assert told(found.before(utc("2026-05-01T07:00")), 1) == ["2026-05-01 06:29"]


def test_ranges_of_days_may_hold_and_touch_each_other() -> None:
    ranges = ["2026-05-01/2026-05-10", "2026-05-03", "2026-05-11/2026-05-12", "2026-05-12"]
    found = recurrence(cron="0 6 * * *", exclude=[*ranges, "2026-05-15"])

    assert told(found.after(utc("2026-04-30T00:00")), 4) == [
        "2026-04-30 06:00",
        "2026-05-13 06:00",
        "2026-05-14 06:00",
        "2026-05-16 06:00",
    ]


@pytest.mark.parametrize(
    "times",
    [
        {"cron": "* * * * *", "exclude": ["0-29 * * * *", "30-59 * * * *"]},
        {"cron": "0 0 29 2 *", "exclude": "* * 29 2 *"},
        {"every": "PT1M", "exclude": "* * * * *"},
        {"every": "PT2M", "start_time": "1980-01-01T00:00", "exclude": "*/2 * * * *"},
        {"cron": "* * * * *", "exclude": "1900-01-01/2900-01-01"},
    ],
)
def test_nothing_left_is_found_out_in_bounded_time(times: dict[str, Any]) -> None:
    began = time.process_time()
    found = recurrence(**times)

    assert list(found.after(utc("2026-01-01T00:00"))) == []
    assert list(found.before(utc("2026-01-01T00:00"))) == []
    assert time.process_time() - began < 10


@pytest.mark.parametrize("times", [{"cron": "0 6 * * *"}, {"every": "PT1H"}])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue", "UTC"])
def test_the_calendar_has_an_end(times: dict[str, str], zone: str) -> None:
    found = recurrence(**times, time_zone=zone)
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    assert list(found.after(last)) == []
    assert list(found.before(first)) == []
    assert next(found.after(first)).year == 2
    assert next(found.before(last)).year == 9997


def test_the_first_of_many_is_there_before_the_last_is_looked_for() -> None:
    began = time.process_time()

    next(recurrence(cron="* * * * *").after(ANCHOR))

    assert time.process_time() - began < 1


# Jitter


def jittered(jitter: str | None) -> ScheduleSpec:
    return ScheduleSpec.model_validate({"every": "PT1H", "jitter": jitter})


@given(st.text(max_size=63), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_jitter_moves_a_run_by_less_than_it_says_and_always_as_much(
    trigger: str, at: datetime
) -> None:
    scheduled = at.replace(microsecond=0, tzinfo=UTC)
    later = fires_at(trigger, jittered("PT5M"), scheduled) - scheduled

    assert timedelta(0) <= later < timedelta(minutes=5)
    assert later == fires_at(trigger, jittered("PT5M"), scheduled) - scheduled
    assert later.microseconds == 0


def test_jitter_spreads_triggers_and_times() -> None:
    at, spec = utc("2026-05-01T06:00"), jittered("PT1H")
    triggers = {fires_at(f"trigger-{n}", spec, at) for n in range(200)}
    times = {fires_at("t", spec, at + n * timedelta(hours=1)).minute for n in range(200)}

    assert len(triggers) > 150
    assert len(times) > 50
    # It is what other versions and processes find.
    assert fires_at("nightly", spec, at) == utc("2026-05-01T06:06:04")


@pytest.mark.parametrize("jitter", [None, "PT0S"])
def test_without_jitter_a_run_begins_when_it_is_scheduled(jitter: str | None) -> None:
    assert fires_at("t", jittered(jitter), ANCHOR) == ANCHOR


# Beside a clock that is watched, and beside croniter

#: Changed by an hour in both hemispheres, by half an hour, by a day, twice a year around Ramadan,
#: at midnight, by 20 minutes at a time long ago, never.
ZONES = (
    *("Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe"),
    *("Pacific/Apia", "Africa/Casablanca", "Africa/Cairo", "Antarctica/Troll"),
    *("Europe/Dublin", "Asia/Tehran", "Asia/Kolkata", "UTC"),
)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(ZONES))
def test_around_changed_clocks_schedules_are_due_when_the_clock_comes_there(
    random: Random, zone: str
) -> None:
    changes = checks.changes(zone, 2008, 2030)
    at = random.choice(changes or [utc("2026-02-27T00:00")])

    assert checks.watched(random, zone, at.replace(hour=0) - timedelta(days=1), days=2) > 0


@settings(max_examples=10, deadline=None)
@given(
    st.randoms(use_true_random=False),
    st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "America/Caracas", "Africa/Monrovia"]),
    st.datetimes(datetime(1880, 1, 1), datetime(2090, 1, 1)),
)
def test_also_when_clocks_were_minutes_and_seconds_off_the_hour(
    random: Random, zone: str, day: datetime
) -> None:
    begin = day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC)

    assert checks.watched(random, zone, begin, days=1) > 0


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(ZONES))
def test_rare_times_are_found_through_many_years(random: Random, zone: str) -> None:
    checks.rare(random, zone, years=12)


def _numbers(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    # croniter takes 3-3 for any.
    two = st.lists(number, min_size=2, max_size=2, unique=True).map(sorted)
    return st.one_of(
        st.just("*"),
        number.map(str),
        two.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.lists(number, min_size=1, max_size=4).map(lambda some: ",".join(map(str, some))),
        st.integers(1, (high - low) // 2).map(lambda step: f"*/{step}"),
        two.map(lambda pair: f"{pair[0]}-{pair[1]}/{max(1, (pair[1] - pair[0]) // 3)}"),
    )


EXPRESSIONS = st.tuples(
    _numbers(0, 59), _numbers(0, 23), _numbers(1, 28), _numbers(1, 12), _numbers(0, 6)
).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1)))
def test_expressions_mean_what_croniter_reads(expression: str, since: datetime) -> None:
    try:
        crons.expression(expression)
    except ValueError:
        # Where crons disagree, or a step is longer than its range.
        return
    since = since.replace(tzinfo=UTC)
    times: Any = croniter(expression, since, ret_type=datetime)
    wanted: list[datetime] = [times.get_next() for _ in range(8)]

    assert list(islice(recurrence(cron=expression).after(since), 8)) == wanted


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(ZONES))
def test_times_before_and_after_are_the_same_times(random: Random, zone: str) -> None:
    begin = utc("2026-03-20T00:00")
    written = checks.schedule(random, zone, begin, begin + timedelta(days=10))
    found = Recurrence(checks.spec(written), ANCHOR)
    ahead = list(islice(found.after(begin), 30))

    assert all(one < other for one, other in pairwise(ahead))
    for one, other in pairwise(ahead):
        assert next(found.before(other)) == one
        assert next(found.after(one)) == other
