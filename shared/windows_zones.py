"""Time zones by the names that Windows has for them, as AzureML's schedules do.

Source: CLDR's windowsZones, by way of tzlocal.
"""

from tzlocal.windows_tz import tz_win, win_tz

#: IANA names that CLDR leaves out, or gives the clock they once had; and what has the same clock.
_SAME = {
    "America/Scoresbysund": "America/Nuuk",
    "Antarctica/Casey": "Australia/Perth",
    "Antarctica/Vostok": "Asia/Tashkent",
    "CST6CDT": "America/Chicago",
    "EST5EDT": "America/New_York",
    "Europe/Uzhgorod": "Europe/Kyiv",
    "Europe/Zaporozhye": "Europe/Kyiv",
    "GMT": "Africa/Abidjan",
    "MST7MDT": "America/Denver",
    "PST8PDT": "America/Los_Angeles",
    "US/East-Indiana": "America/Indiana/Indianapolis",
}


def windows_name(zone: str) -> str | None:
    """What Windows calls an IANA time zone; None when it has no such zone."""
    return tz_win.get(_SAME.get(zone, zone)) if zone else None


def iana_name(windows: str) -> str | None:
    """The IANA time zone that a Windows name stands for, in any case; None when it is none."""
    return _BY_WINDOWS.get(windows.casefold())


_BY_WINDOWS = {windows.casefold(): zone for windows, zone in win_tz.items()}
