"""Options and profiles of the unit tests."""

import pytest
from hypothesis import settings

# Derandomised: a run on CI says the same as the run before it. The machine may be slow: no deadline
# for single examples, the tests that promise speed measure it themselves.
settings.register_profile("unit", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("unit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write tests/unit/golden/ anew from what the compiler makes now",
    )


@pytest.fixture(scope="session")
def regenerate_golden(pytestconfig: pytest.Config) -> bool:
    # Without tests/unit on the command line pytest meets this file too late for its option.
    return bool(pytestconfig.getoption("--regenerate-golden", default=False))
