"""How the demo ends when something is wrong, or when it is ended itself."""

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.running_demo import Demo, shown_by
from tests.e2e.running_signalbox import APP
from tests.faults.world import DEFINITIONS as SHORT
from tests.integration.test_stack import descendants, is_alive
from tests.integration.waiting import eventually

# each starts a local Azure and publishes
pytestmark = pytest.mark.timeout(300)

_EXAMPLE = APP / "examples" / "tumour-screening"


def _copy(tmp_path: Path, file: str, old: str, new: str) -> Path:
    """The example with a change."""
    folder = tmp_path / "changed"
    shutil.copytree(_EXAMPLE, folder)
    text = (folder / file).read_text()
    assert text.count(old) == 1, f"{old!r} in {file}"
    (folder / file).write_text(text.replace(old, new))
    return folder


def test_a_demo_whose_steps_fail_says_which_and_shows_their_logs(
    start_demo: Callable[..., Demo], tmp_path: Path
) -> None:
    train = "components/train/src/train.py"
    demo = start_demo(_copy(tmp_path, train, "import joblib", 'raise OSError("no seats left")'))
    shown = shown_by(demo)
    assert demo.returncode == 1, shown
    ours, told = shown.split("The demo failed: ")
    assert "Traceback" not in ours
    runs = re.findall(r"-> run (\S+)", ours)
    assert len(set(runs)) == 3
    for run in runs:
        # whichever training fails first has the other one canceled
        assert re.search(rf"run {run} is failed: .+ failed in .*train_", told)
    logs = re.findall(r"--- end of the log of (\w+) ---\n", told)
    assert len(logs) >= 2
    assert set(logs) <= {"train_logistic", "train_boosting"}
    # each step's own, and none besides
    assert told.count("Traceback") == told.count("\nOSError: no seats left\n") == len(logs)
    assert "all logs are kept in" in told


def test_a_demo_of_wrong_definitions_shows_the_problems(
    start_demo: Callable[..., Demo], tmp_path: Path
) -> None:
    trigger = "triggers/retrain-on-upload.yml"
    demo = start_demo(
        _copy(tmp_path, trigger, "${{ captures.site }}\n  exp", "${{ captures.sight }}\n  exp")
    )
    shown = shown_by(demo)
    assert demo.returncode == 1, shown
    assert re.search(rf"^{trigger}:\d+: .*captures\.sight", shown, re.MULTILINE)
    assert "The demo failed: `signalbox publish` says above what is wrong" in shown
    assert "Traceback" not in shown


def test_a_demo_whose_request_is_refused_says_why(
    start_demo: Callable[..., Demo], tmp_path: Path
) -> None:
    trigger = "triggers/retrain-on-request.yml"
    folder = _copy(tmp_path, trigger, "event.data.site }}\n    sel", "event.data.place }}\n    sel")
    # The run of the upload has begun, and nobody waits for it.
    (folder / "components/prepare/src/prepare.py").write_text("raise SystemExit")
    demo = start_demo(folder)
    shown = shown_by(demo)
    assert demo.returncode == 1, shown
    told = shown.split("The demo failed: ")[1]
    assert re.match(r"run retrain-on-request\.\w+ is dead_letter: .*event\.data\.place", told)
    assert "Traceback" not in shown


def test_a_demo_that_meets_something_unexpected_says_so_in_one_line(
    start_demo: Callable[..., Demo],
) -> None:
    # it is published, and then there is no data for the lake
    demo = start_demo(SHORT)
    shown = shown_by(demo)
    assert demo.returncode == 1, shown
    assert re.search(r"^The demo failed: FileNotFoundError: .+lakeside\.csv", shown, re.MULTILINE)
    assert "Traceback" not in shown
    (log,) = re.findall(r"where that was is in (.+)", shown)
    assert "Traceback" in Path(log).read_text()


def test_a_demo_that_is_ended_while_it_publishes_leaves_nothing(
    start_demo: Callable[..., Demo],
) -> None:
    demo = start_demo()
    assert demo.stdout
    below: set[int] = set()
    for line in demo.stdout:
        if "$ signalbox publish" in line:
            # the three of the local Azure, and the command
            eventually(lambda: len(descendants(demo.pid)) == 4)
            below = descendants(demo.pid)
            demo.send_signal(signal.SIGINT)
    assert demo.wait() == 130
    assert len(below) == 4
    eventually(lambda: not any(is_alive(pid) for pid in below))
