from datetime import UTC, datetime, timedelta

import pytest

from shared import time_zones, windows_zones

#: Two hours ahead of UTC in summer, not at all in winter: Windows has no such zone.
TROLL = "Antarctica/Troll"


@pytest.mark.parametrize(
    ("zone", "windows"),
    [
        ("Europe/Berlin", "W. Europe Standard Time"),
        ("Europe/Kyiv", "FLE Standard Time"),
        ("Europe/Kiev", "FLE Standard Time"),
        ("Asia/Kolkata", "India Standard Time"),
        ("Asia/Calcutta", "India Standard Time"),
        ("America/New_York", "Eastern Standard Time"),
        ("US/Eastern", "Eastern Standard Time"),
        ("UTC", "UTC"),
        ("Etc/UTC", "UTC"),
        # No summer time, other than what Windows calls GMT.
        ("GMT", "Greenwich Standard Time"),
        ("Nowhere/Land", None),
        ("", None),
    ],
)
def test_windows_has_names_of_its_own(zone: str, windows: str | None) -> None:
    assert windows_zones.windows_name(zone) == windows


def test_every_zone_but_one_has_a_name_in_windows_and_the_clock_of_that_name() -> None:
    moments = [datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=3 * n) for n in range(500)]
    clocks: dict[str, list[timedelta | None]] = {}

    def clock(name: str) -> list[timedelta | None]:
        zone = time_zones.zone(name)
        if name not in clocks:
            clocks[name] = [each.astimezone(zone).utcoffset() for each in moments]
        return clocks[name]

    for zone in time_zones.names() - {TROLL}:
        windows = windows_zones.windows_name(zone)
        assert windows is not None, zone
        named = windows_zones.iana_name(windows)
        assert named is not None, zone
        assert clock(named) == clock(zone), zone
    assert windows_zones.windows_name(TROLL) is None


@pytest.mark.parametrize("windows", ["W. Europe Standard Time", "w. europe standard time"])
def test_a_name_of_windows_is_known_in_any_case(windows: str) -> None:
    assert windows_zones.iana_name(windows) == "Europe/Berlin"


def test_other_names_are_none_of_windows() -> None:
    assert windows_zones.iana_name("Europe/Berlin") is None
    assert windows_zones.iana_name("") is None
