from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import time_zones


def reached(zone: str, local: str) -> str:
    at = time_zones.reached(datetime.fromisoformat(local), time_zones.zone(zone))
    assert at.tzinfo is UTC
    return f"{at:%Y-%m-%d %H:%M:%S}"


def test_zones_are_those_of_the_package() -> None:
    assert {"Europe/Berlin", "Europe/Kiev", "Europe/Kyiv", "UTC", "Etc/GMT-2"} <= time_zones.names()
    # A link of this computer, and one that stands for none.
    assert not {"localtime", "posixrules", "Factory"} & time_zones.names()
    assert time_zones.zone("Europe/Berlin").key == "Europe/Berlin"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("europe/berlin", "did you mean 'Europe/Berlin'"),
        ("Berlin", "did you mean 'Europe/Berlin'"),
        ("new york", "did you mean 'America/New_York'"),
        ("W. Europe Standard Time", "Windows calls one so: write 'Europe/Berlin'"),
        ("Pacific standard time", "Windows calls one so: write 'America/Los_Angeles'"),
        ("CEST", "write a place that has it"),
        ("UTC+2", "there is 'Etc/GMT-2'"),
        ("+02:00", "there is 'Etc/GMT-2'"),
        ("../../etc/passwd", "write an IANA name"),
        ("Factory", "write an IANA name"),
        ("", "write an IANA name"),
        ("x" * 10_000, "write an IANA name"),
    ],
)
def test_what_is_no_zone_is_told_with_what_may_be_meant(name: str, said: str) -> None:
    with pytest.raises(ValueError, match="is no time zone") as caught:
        time_zones.zone(name)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("UTC", "2026-03-14T06:00", "2026-03-14 06:00:00"),
        ("Europe/Berlin", "2026-03-14T06:00", "2026-03-14 05:00:00"),
        # 02:00 to 03:00 is skipped: all of it is the end of that.
        ("Europe/Berlin", "2026-03-29T01:59", "2026-03-29 00:59:00"),
        ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29 01:00:00"),
        ("Europe/Berlin", "2026-03-29T02:59", "2026-03-29 01:00:00"),
        ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29 01:00:00"),
        ("Europe/Berlin", "2026-03-29T03:01", "2026-03-29 01:01:00"),
        # 02:00 to 03:00 is shown twice: it is the first time.
        ("Europe/Berlin", "2026-10-25T02:00", "2026-10-25 00:00:00"),
        ("Europe/Berlin", "2026-10-25T02:59", "2026-10-25 00:59:00"),
        ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25 02:00:00"),
        # Half an hour.
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03 15:30:00"),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04 14:45:00"),
        # A whole day is skipped.
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30 10:00:00"),
        ("Pacific/Apia", "2011-12-31T00:00", "2011-12-30 10:00:00"),
        ("Pacific/Apia", "2011-12-29T23:59", "2011-12-30 09:59:00"),
        # Midnight is skipped.
        ("Africa/Cairo", "2026-04-24T00:00", "2026-04-23 22:00:00"),
        # Clocks were ahead by 53 minutes and 28 seconds, then by an hour.
        ("Europe/Berlin", "1893-04-01T00:03", "1893-03-31 23:06:32"),
    ],
)
def test_a_local_time_is_when_the_clock_first_comes_to_it(zone: str, local: str, utc: str) -> None:
    assert reached(zone, local) == utc


@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]),
    st.datetimes(datetime(1980, 1, 1), datetime(2040, 1, 1)),
)
def test_a_second_earlier_the_clock_had_not_come_there(name: str, local: datetime) -> None:
    zone, local = time_zones.zone(name), local.replace(microsecond=0)

    def shown(at: datetime) -> datetime:
        return at.astimezone(zone).replace(tzinfo=None)

    at = time_zones.reached(local, zone)

    assert shown(at) >= local
    assert shown(at - timedelta(seconds=1)) < local
