"""The whole of Signalbox, running in a local Azure of its own for each test file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulator.stack import LocalAzure
from tests.e2e.running_demo import Demo, demos
from tests.e2e.running_signalbox import APP, DEFINITIONS, RunningSignalbox
from tests.integration.conftest import exported


@pytest.fixture(scope="module")
def bare_signalbox() -> Iterator[RunningSignalbox]:
    """Nothing is published yet."""
    with LocalAzure(APP) as azure, exported(azure):
        yield RunningSignalbox(azure)


@pytest.fixture(scope="module")
def signalbox(bare_signalbox: RunningSignalbox) -> RunningSignalbox:
    """The definitions beside this file are published."""
    published = bare_signalbox.publish(DEFINITIONS)
    assert published.returncode == 0, published.stderr
    return bare_signalbox


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts a demo, of another folder than the example's when one is given."""
    temporary = tmp_path / "left"
    temporary.mkdir()
    with demos(temporary) as start:
        yield start
