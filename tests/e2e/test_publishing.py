"""What `signalbox publish` makes of a folder."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.running_signalbox import APP, DEFINITIONS, RunningSignalbox, problem_lines

_EXAMPLE = APP / "examples" / "tumour-screening"


def _wrong(folder: Path, file: str, old: str, new: str) -> str:
    """Put a mistake into a document; where it then stands, as file:line."""
    path = folder / file
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} in {file}"
    path.write_text(text.replace(old, new))
    return f"{file}:{text[: text.index(old)].count(chr(10)) + 1}"


@pytest.fixture(scope="module")
def signalbox(bare_signalbox: RunningSignalbox) -> RunningSignalbox:
    """The example is published."""
    published = bare_signalbox.publish(_EXAMPLE)
    assert published.returncode == 0, published.stderr
    # nothing but what became of the plan: the SDKs' chatter is left out
    assert published.stdout == "done: 3 created\n"
    return bare_signalbox


def test_wrong_definitions_are_told_all_at_once_and_leave_everything_as_it_was(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    index = signalbox.state.get_blob_client("index.json").get_blob_properties().etag
    blobs = _published(signalbox)
    signalbox.clear_requests()

    folder = tmp_path / "definitions"
    shutil.copytree(DEFINITIONS, folder)
    places = {
        _wrong(folder, "pipelines/answer-letter.yml", "inputs.town}}", "inputs.tow}}"): "'tow'",
        _wrong(
            folder,
            "pipelines/cross-river.yml",
            "      code: 3",
            "      code: ${{parent.jobs.approch.outputs.code}}",
        ): "'approch'",
        _wrong(
            folder, "triggers/letter-came.yml", "town: ${{ captures.town", "town: ${{ captures.tow"
        ): ("captures.tow"),
        _wrong(
            folder, "triggers/blank-came.yml", "event.data.copies", "evnt.data.copies"
        ): "'evnt'",
    }
    wrong = signalbox.publish(folder)

    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert "Traceback" not in wrong.stderr
    told = problem_lines(wrong.stderr)
    for place, words in places.items():
        assert [line for line in told if line.startswith(f"{place}: ") and words in line], (
            f"{place} ({words}) is not told in:\n{wrong.stderr}"
        )
    assert f"Nothing was published: {len(told)} problems." in wrong.stderr

    assert signalbox.arm_requests() == []
    assert _published(signalbox) == blobs
    after = signalbox.state.get_blob_client("index.json").get_blob_properties().etag
    assert after == index


def _published(signalbox: RunningSignalbox) -> set[str]:
    # The timer says there when it last ended, and how far schedules are.
    return set(signalbox.state.list_blob_names()) - {"tick.json", "clock.json"}


def test_a_folder_without_definitions_is_refused(
    signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    wrong = signalbox.publish(tmp_path)
    assert wrong.returncode == 1
    assert "has no definitions" in wrong.stderr


def test_publishing_the_same_again_registers_nothing(signalbox: RunningSignalbox) -> None:
    index = signalbox.state.get_blob_client("index.json").get_blob_properties().etag
    signalbox.clear_requests()
    again = signalbox.publish(_EXAMPLE)
    assert again.returncode == 0
    assert again.stdout.count("unchanged") == 3
    assert signalbox.arm_requests() == []
    assert signalbox.state.get_blob_client("index.json").get_blob_properties().etag == index
