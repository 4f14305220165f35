"""What an expression is for is checked against croniter by the hundred in test_recurrences."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import crons
from tests.recurrences import clock


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0 6 * * *", "0 6 * * *"),
        ("  0\t6  * *   mon-fri ", "0 6 * * MON-FRI"),
        ("@daily", "0 0 * * *"),
        ("@Hourly", "0 * * * *"),
        ("0 0 1,15,L * *", "0 0 1,15,L * *"),
        ("0 0 LW jan,3 *", "0 0 LW JAN,3 *"),
        ("0 0 * * mon#2,5L", "0 0 * * MON#2,5L"),
        ("5/15 0-6/2 * * 0-7", "5/15 0-6/2 * * 0-7"),
        ("*/1 * * * *", "*/1 * * * *"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        # Or on Mondays.
        ("0 0 30 2 1", "0 0 30 2 1"),
    ],
)
def test_an_expression_has_five_fields(written: str, read: str) -> None:
    assert crons.expression(written) == read
    assert crons.expression(read) == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "it has 0 fields, and five are wanted"),
        ("0 6 * *", "it has 4 fields, and five are wanted: minute, hour"),
        ("0 0 6 * * *", "no seconds and no years: without the first it is '0 6 * * *'"),
        ("0 0 6 ? * MON 2026", "it has 7 fields"),
        ("@reboot", "write five fields"),
        ("@every 5m", "write `every`, as in every: PT5M"),
        ("60 * * * *", "minute 60 is not from 0 to 59"),
        ("0 24 * * *", "hour 24 is not from 0 to 23; midnight is 0"),
        ("0 0 0 * *", "day of the month 0 is not from 1 to 31"),
        ("0 0 * 13 *", "month 13 is not from 1 to 12"),
        ("0 0 * * 8", "day of the week 8 is not from 0 to 7"),
        ("0 0 * * MONDAY", "'MONDAY' is no day of the week; it is a number from 0 to 7, or SUN"),
        ("0 0 * JUNE *", "or JAN to DEC"),
        ("x * * * *", "'X' is no minute; it is a number from 0 to 59"),
        ("٣ 6 * * *", "is no minute"),
        ("0,,1 6 * * *", "'' is no minute"),
        ("-5 6 * * *", "'' is no minute"),
        ("*-5 6 * * *", "'*' is no minute"),
        ("0 0 ? * MON", "write '*' for any day of the month"),
        ("H 6 * * *", "write a minute, and a `jitter`"),
        ("0~30 6 * * *", "write a minute, and a `jitter`"),
        ("0 0 15W * *", "L is a month's last day, LW its last from Monday to Friday"),
        ("0 0 L-3 * *", "L is a month's last day"),
        ("0 0 L/2 * *", "L is a month's last day"),
        ("0 0 * * FRIL", "5L is the last Friday"),
        ("0 0 * * L", "5L is the last Friday"),
        ("0 0 * * MON#6", "MON#2 is the second"),
        ("0 0 * * MON#", "MON#2 is the second"),
        ("0 0 * * #2", "'' is no day of the week"),
        ("0 22-2 * * *", "'22-2' goes backwards; write 22-23,0-2"),
        ("0 0 * * FRI-MON", "'FRI-MON' goes backwards; write 5-6,0-1"),
        ("0 0 * * SAT-SUN", "'SAT-SUN' goes backwards; Sunday is also 7: write 6-7"),
        ("*/0 * * * *", "'*/0' has no number from 1 behind '/'"),
        ("*/ * * * *", "has no number from 1 behind '/'"),
        ("*/-5 * * * *", "has no number from 1 behind '/'"),
        ("1/2/3 * * * *", "has no number from 1 behind '/'"),
        ("*/90 * * * *", "for every 90 minutes write every: PT90M"),
        ("0 */36 * * *", "for every 36 hours write every: PT36H"),
        ("0 0 */40 * *", "the step of '*/40' is longer than what it goes through"),
        ("0 0 * * 1/2", "write 1-6/2"),
        ("0 0 */2 * 1", "write 1-31/2 in place of */2, and one of them has to hold"),
        ("0 0 1 * */2", "write 0-6/2 in place of */2, and one of them has to hold"),
        ("0 0 30 2 *", "it never comes, for no month of 2 has a day 30"),
        ("0 0 31 4,6,9,11 *", "it never comes, for no month of 4,6,9,11 has a day 31"),
        ("0 " * 200, "longer than 200 characters"),
    ],
)
def test_what_is_no_expression_is_told_with_what_to_write(written: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        crons.expression(written)

    assert said in str(caught.value)


#: What looks like a term, and mostly is one.
_TERMS = st.one_of(
    st.text("0123456789*/,-#LW?~H", min_size=1, max_size=6),
    st.sampled_from(
        ["*", "0", "7", "L", "LW", "1-5", "*/2", "MON-FRI", "JAN/3", "5L", "0#1", "6-7"]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_TERMS, min_size=5, max_size=5).map(" ".join), st.dates(date(1999, 1, 1)))
def test_what_is_taken_is_what_is_written_and_all_else_is_told(written: str, day: date) -> None:
    try:
        read = crons.expression(written)
    except ValueError as error:
        never = "never comes" in str(error)
        assert not never or int(written.split()[2].split(",")[0].split("-")[0][:2]) >= 30
        return
    cron = crons.read(read)

    minutes = [datetime(day.year, day.month, day.day, n // 60, n % 60) for n in range(0, 1440, 7)]
    found = [cron.on(day) and bool(cron.minutes >> n & 1) for n in range(0, 1440, 7)]
    assert found == [clock.fits(read, minute) for minute in minutes]


def days(expression: str, year: int) -> list[str]:
    cron = crons.read(expression)
    first = date(year, 1, 1)
    every = [first + timedelta(days=n) for n in range(366)]
    return [f"{day:%m-%d}" for day in every if day.year == year and cron.on(day)]


@pytest.mark.parametrize(
    ("expression", "year", "on"),
    [
        ("0 0 L 1-4 *", 2028, ["01-31", "02-29", "03-31", "04-30"]),
        # 31 January 2026 is a Saturday, 28 February too.
        ("0 0 LW 1-3 *", 2026, ["01-30", "02-27", "03-31"]),
        ("0 0 * 1-3 MON#2", 2026, ["01-12", "02-09", "03-09"]),
        ("0 0 * 1-3 5L", 2026, ["01-30", "02-27", "03-27"]),
        ("0 0 * 1 MON#5,0L", 2026, ["01-25"]),
        ("0 0 13 2 FRI", 2026, ["02-06", "02-13", "02-20", "02-27"]),
        ("0 0 29 2 *", 2026, []),
        ("0 0 29 2 *", 2028, ["02-29"]),
        ("0 0 1 1 7", 2028, ["01-01", "01-02", "01-09", "01-16", "01-23", "01-30"]),
    ],
)
def test_days_are_those_of_an_expression(expression: str, year: int, on: list[str]) -> None:
    assert days(expression, year) == on


def test_minutes_of_a_day_are_bits() -> None:
    cron = crons.read("5,50 1,23 * * *")
    times = [datetime(2026, 1, 1) + timedelta(minutes=n) for n in range(1440)]

    assert [f"{each:%H:%M}" for n, each in enumerate(times) if cron.minutes >> n & 1] == [
        "01:05",
        "01:50",
        "23:05",
        "23:50",
    ]
    assert cron.minutes < 1 << 1440
