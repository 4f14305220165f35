"""Jobs read by the SDK and written down exactly."""

from pathlib import Path

from shared import documents, nodes

DEFINITIONS = Path(__file__).parent / "definitions"


def test_values_stay_what_they_are() -> None:
    job = nodes.load(documents.read(DEFINITIONS / "pipelines/carried.yml", root=DEFINITIONS))
    inputs = job.nodes["first"].content["inputs"]

    assert inputs["strict"] is False
    assert inputs["rows"]["path"] == "../data/rows.csv"
    assert job.nodes["learn"].component is None
    assert job.nodes["learn"].content["training_data"] == "${{parent.inputs.table}}"


def test_jobs_within_jobs_are_found() -> None:
    job = nodes.load(documents.read(DEFINITIONS / "pipelines/every-type.yml", root=DEFINITIONS))

    assert list(job.nodes["nested"].jobs) == ["prepare"]
    assert job.nodes["nested"].jobs["prepare"].file
    assert job.nodes["search"].key == "trial"
    assert "task" not in job.nodes["spread"].content
