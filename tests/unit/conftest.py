"""Options and profiles of the unit tests, and what several modules of them begin with."""

from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import settings

from tests.unit.desk import Desk

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


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Nothing is published yet."""
    return Desk(tmp_path / "definitions")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Everything is published, once for all tests of a module."""
    desk = Desk(tmp_path_factory.mktemp("once") / "definitions")
    desk.publish()
    return desk


@pytest.fixture
def standing(tmp_path: Path, once: Desk) -> Desk:
    """Everything is published; what this desk does to it, no other sees."""
    desk = Desk(tmp_path / "definitions")
    desk.blobs = deepcopy(once.blobs)
    desk.registry.versions = {*once.registry.versions}
    desk.blobs.world.calls.clear()
    return desk
