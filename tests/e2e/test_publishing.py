"""What `signalbox publish` makes of a folder, and the example's way from there to its metrics."""

import json
import shutil
from pathlib import Path

from tests.e2e.running_signalbox import APP, DEFINITIONS, RunningSignalbox, problem_lines

_EXAMPLE = APP / "examples" / "tumour-screening"


def _wrong(folder: Path, file: str, old: str, new: str) -> str:
    """Put a mistake into a document; where it then stands, as file:line."""
    path = folder / file
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} in {file}"
    path.write_text(text.replace(old, new))
    return f"{file}:{text[: text.index(old)].count(chr(10)) + 1}"


def test_wrong_definitions_are_told_all_at_once_and_leave_everything_as_it_was(
    bare_signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    published = bare_signalbox.publish(DEFINITIONS)
    assert published.returncode == 0, published.stderr
    index = bare_signalbox.state.get_blob_client("index.json").get_blob_properties().etag
    blobs = set(bare_signalbox.state.list_blob_names())
    bare_signalbox.clear_requests()

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
    wrong = bare_signalbox.publish(folder)

    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert "Traceback" not in wrong.stderr
    told = problem_lines(wrong.stderr)
    for place, words in places.items():
        assert [line for line in told if line.startswith(f"{place}: ") and words in line], (
            f"{place} ({words}) is not told in:\n{wrong.stderr}"
        )
    assert len(told) == len(places)
    assert "Nothing was published: 4 problems." in wrong.stderr

    assert bare_signalbox.arm_requests() == []
    assert set(bare_signalbox.state.list_blob_names()) == blobs
    after = bare_signalbox.state.get_blob_client("index.json").get_blob_properties().etag
    assert after == index


def test_a_folder_without_definitions_is_refused(
    bare_signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    wrong = bare_signalbox.publish(tmp_path)
    assert wrong.returncode == 1
    assert "has no definitions" in wrong.stderr


def test_the_example_from_publish_to_its_metrics(
    bare_signalbox: RunningSignalbox, tmp_path: Path
) -> None:
    published = bare_signalbox.publish(_EXAMPLE)
    assert published.returncode == 0, published.stderr
    assert "tumour-screening" in published.stdout
    assert "retrain-on-upload" in published.stdout

    path = "biopsies/harbour/2026-05.csv"
    bare_signalbox.upload(path, (_EXAMPLE / "data" / "harbour.csv").read_text())
    record = bare_signalbox.record(path, "completed", ticking=True, seconds=150)
    job = record["attempts"][0]["job_name"]
    steps = {
        step.display_name: step.status for step in bare_signalbox.ml.jobs.list(parent_job_name=job)
    }
    assert steps == {
        "prepare": "Completed",
        "train_logistic": "Completed",
        "train_boosting": "Completed",
        "evaluate": "Completed",
        "select": "Completed",
    }
    for output in ("report", "model"):
        bare_signalbox.ml.jobs.download(job, download_path=tmp_path, output_name=output)
    outputs = tmp_path / "named-outputs"
    metrics = json.loads((outputs / "report" / "metrics.json").read_text())
    assert metrics["site"] == "harbour"
    assert metrics
    assert (outputs / "model" / "model.joblib").stat().st_size > 0


def test_publishing_the_same_again_registers_nothing(bare_signalbox: RunningSignalbox) -> None:
    assert bare_signalbox.publish(_EXAMPLE).returncode == 0
    index = bare_signalbox.state.get_blob_client("index.json").get_blob_properties().etag
    bare_signalbox.clear_requests()
    again = bare_signalbox.publish(_EXAMPLE)
    assert again.returncode == 0
    assert again.stdout.count("unchanged") == 2
    assert bare_signalbox.arm_requests() == []
    assert bare_signalbox.state.get_blob_client("index.json").get_blob_properties().etag == index
