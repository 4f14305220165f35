"""Figures that tests count, printed once at the end, whichever process ran them."""

from typing import Any

import pytest


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "counted":
                terminalreporter.write_line(str(value))


@pytest.fixture
def counted(record_property: Any) -> Any:
    """Call it with a line that whoever runs the tests should see."""
    return lambda line: record_property("counted", line)
