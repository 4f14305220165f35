"""What comes first, and figures that tests count, printed once at the end by whichever process."""

from typing import Any

import pytest

#: What takes longest, in this order: at the end, only short files are left to share among workers.
_FIRST = (
    # To the byte, what the SDK writes: in a process in which nobody has used it before.
    "tests/unit/test_compiler",
    "tests/simulation",
    "tests/e2e/test_demo",
    "tests/faults",
    "tests/e2e",
    "tests/integration",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((n for n, begin in enumerate(_FIRST) if item.nodeid.startswith(begin)), 99)

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "counted":
                terminalreporter.write_line(str(value))


@pytest.fixture
def counted(record_property: Any) -> Any:
    """Call it with a line that whoever runs the tests should see."""
    return lambda line: record_property("counted", line)
