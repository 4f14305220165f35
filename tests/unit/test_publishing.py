"""Publishing: what is registered, what is stored, and what a job's inputs are made from."""

import shutil
from pathlib import Path

import pytest

from shared.changes import Did
from shared.errors import (
    JobRejected,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from shared.index import Index, Snapshot
from shared.pauses import Pauses
from shared.published import PublishedPipeline, latest
from tests.unit.desk import DEFINITIONS, Desk, MemoryRegistry
from tests.unit.scene import fail, interject


def test_the_first_publish_makes_everything(desk: Desk) -> None:
    assert desk.publish() == {
        "churn-training": Did.CREATED,
        "heartbeat": Did.CREATED,
        "retrain": Did.CREATED,
    }
    # Steps before the pipeline that refers to them.
    at = desk.registry.lately.index("churn_training")
    assert {"prepare_rows", "train_model"} <= {*desk.registry.lately[:at]}
    assert len(desk.registry.lately) == 5
    assert sorted(line.partition(":")[0] for line in desk.said) == [
        "kept pipeline churn-training",
        "kept pipeline heartbeat",
        "registered component churn_training",
        "registered component heartbeat",
        "registered component heartbeat_say",
        "registered component prepare_rows",
        "registered component train_model",
        "switched over the index",
    ]
    snapshot = desk.snapshot
    assert snapshot.triggers.keys() == {"retrain"}
    assert snapshot.triggers["retrain"].effective_from == desk.blobs.world.now
    for name in ("churn-training", "heartbeat"):
        found = latest(snapshot, name)
        assert found is not None
        assert f"published/{name}/{found.version}.json" in desk.blobs.stored
        assert found.component_id.endswith(f"/{name.replace('-', '_')}/versions/{found.version}")


def test_a_published_record_is_what_its_jobs_are_made_from(standing: Desk) -> None:
    found = latest(standing.snapshot, "churn-training")

    assert found is not None
    assert {name: (value.type, value.required) for name, value in found.inputs.items()} == {
        "rows": ("uri_file", True),
        "share": ("number", False),
        "whole_share": ("integer", False),
        "strict": ("boolean", False),
        "kind": ("string", False),
        "seed": ("integer", False),
    }
    assert found.outputs["second"].mode == "upload"
    assert found.settings["continue_on_step_failure"] is True
    assert found.experiment_name == "churn"
    stored = standing.blobs.stored[f"published/{found.name}/{found.version}.json"].data
    assert PublishedPipeline.model_validate_json(stored) == found


def test_unchanged_content_registers_and_writes_nothing(standing: Desk) -> None:
    before = {name: blob.etag for name, blob in standing.blobs.stored.items()}

    assert set(standing.publish().values()) == {Did.UNCHANGED}
    assert standing.registry.lately == []
    assert standing.said == []
    assert {name: blob.etag for name, blob in standing.blobs.stored.items()} == before


def test_a_changed_pipeline_is_a_new_version_beside_the_old_one(standing: Desk) -> None:
    before = latest(standing.snapshot, "churn-training")
    standing.edit("pipelines/churn-training.yml", "seed: 7", "seed: 8")
    did = standing.publish()
    after = latest(standing.snapshot, "churn-training")

    assert {name for name in did if did[name] is Did.UPDATED} == {"churn-training"}
    assert "churn_training" in standing.registry.lately
    assert "heartbeat" not in standing.registry.lately
    assert before is not None
    assert after is not None
    assert after.inputs["seed"].default == 8
    for found in (before, after):
        assert f"published/churn-training/{found.version}.json" in standing.blobs.stored


def test_steps_that_did_not_change_are_not_registered_again(standing: Desk) -> None:
    standing.edit("pipelines/churn-training.yml", "seed: 7", "seed: 9")
    standing.publish()

    assert standing.registry.lately == ["churn_training"]


def test_going_back_registers_nothing(standing: Desk) -> None:
    before = latest(standing.snapshot, "churn-training")
    standing.edit("pipelines/churn-training.yml", "seed: 7", "seed: 9")
    standing.publish()
    standing.edit("pipelines/churn-training.yml", "seed: 9", "seed: 7")

    assert standing.publish()["churn-training"] is Did.UPDATED
    assert standing.registry.lately == []
    assert latest(standing.snapshot, "churn-training") == before


def test_a_changed_trigger_does_not_cut_off_uploads_on_their_way(standing: Desk) -> None:
    before = standing.snapshot.triggers["retrain"]
    standing.blobs.world.pass_time(3600)
    standing.publish()
    assert standing.snapshot.triggers["retrain"] == before

    standing.edit("triggers/retrain.yml", "share: 0.5", "share: 0.75")
    assert standing.publish()["retrain"] is Did.UPDATED
    after = standing.snapshot.triggers["retrain"]
    assert after.revision != before.revision
    assert after.effective_from == before.effective_from
    assert standing.registry.lately == []


def test_a_paused_trigger_stays_paused_when_it_is_published_again(standing: Desk) -> None:
    index = Index(standing.blobs)
    paused = Pauses(index).pause("retrain", note="the lake is moved", by="key").paused
    standing.edit("triggers/retrain.yml", "share: 0.5", "share: 0.75")
    standing.publish()

    assert paused is not None
    assert standing.snapshot.triggers["retrain"].paused == paused


def test_what_a_trigger_waits_for_is_dated_anew_when_that_changes(standing: Desk) -> None:
    since = standing.snapshot.triggers["retrain"].spec_since
    assert since is not None
    standing.blobs.world.pass_time(3600)
    standing.edit("triggers/retrain.yml", "share: 0.5", "share: 0.75")
    standing.publish()
    assert standing.snapshot.triggers["retrain"].spec_since == since

    standing.edit("triggers/retrain.yml", "spec:", "spec:\n  where: event.id != '1'")
    standing.publish()
    assert standing.snapshot.triggers["retrain"].spec_since == standing.blobs.world.now


def test_what_another_folder_published_stays(standing: Desk) -> None:
    for file in ("pipelines/churn-training.yml", "triggers/retrain.yml"):
        (standing.folder / file).unlink()

    assert standing.publish() == {
        "churn-training": Did.LEFT,
        "heartbeat": Did.UNCHANGED,
        "retrain": Did.LEFT,
    }
    assert standing.snapshot.pipelines.keys() == {"churn-training", "heartbeat"}
    assert standing.snapshot.triggers.keys() == {"retrain"}


def test_a_trigger_may_name_a_pipeline_that_was_published_before(standing: Desk) -> None:
    shutil.rmtree(standing.folder / "pipelines")
    standing.edit("triggers/retrain.yml", "share: 0.5", "share: 0.75")

    assert standing.publish()["retrain"] is Did.UPDATED


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("pipeline: churn-training", "pipeline: churn", 5, "there are: churn-training, heartbeat"),
        ("share: 0.5", "shares: 0.5", 8, "churn-training has no input 'shares'; it has: kind"),
        ("    rows: ${{ event.data.url }}\n", "", 6, "needs the input 'rows' (uri_file)"),
        ("captures.region", "captures.file_name", 9, "'file_name'"),
        ("{region}", "{region", 3, "without its partner"),
    ],
)
def test_a_trigger_that_no_job_can_be_made_of_is_not_published(
    desk: Desk, old: str, new: str, line: int, said: str
) -> None:
    desk.edit("triggers/retrain.yml", old, new)
    [problem] = desk.problems()

    assert problem.startswith(f"triggers/retrain.yml:{line}: ")
    assert said in problem


def test_a_trigger_s_literal_has_the_type_of_its_input(desk: Desk) -> None:
    desk.edit("triggers/retrain.yml", "share: 0.5", "share: half")
    [problem] = desk.problems()

    assert problem.startswith("triggers/retrain.yml:8: ")


def test_the_problems_of_pipelines_and_triggers_are_told_at_once(desk: Desk) -> None:
    desk.edit(
        "pipelines/churn-training.yml",
        "  prepare:\n",
        "  prepare:\n    compute: ${{parent.inputs.gone}}\n",
    )
    desk.edit("pipelines/heartbeat.yml", "  say:", "  say:\n    compute: ${{parent.inputs.gone}}")
    desk.edit("triggers/retrain.yml", "event.data", "evnt.data")
    found = desk.problems()

    assert [problem.split(":")[0] for problem in found] == [
        "pipelines/churn-training.yml",
        "pipelines/heartbeat.yml",
        "triggers/retrain.yml",
    ]


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("triggers/retrain.yml", "account:", "acount:"),
        ("triggers/retrain.yml", "share: 0.5", "shares: 0.5"),
    ],
)
def test_problems_of_every_kind_are_told_at_once(desk: Desk, file: str, old: str, new: str) -> None:
    desk.edit("pipelines/heartbeat.yml", "  say:", "  say:\n    compute: ${{parent.inputs.gone}}")
    desk.edit(file, old, new)

    assert {problem.split(":")[0] for problem in desk.problems()} == {
        "pipelines/heartbeat.yml",
        file,
    }


def test_a_problem_of_a_shared_component_is_told_once(desk: Desk) -> None:
    shutil.copy(DEFINITIONS / "pipelines/scoring.yml", desk.folder / "pipelines/scoring.yml")
    desk.edit("components/prepare/component.yml", "code: ./src", "code: ./gone")
    found = desk.problems()

    assert len(found) == len(set(found))


def test_another_workspace_gets_what_it_does_not_have(standing: Desk) -> None:
    elsewhere = MemoryRegistry(workspace="other")
    standing.registry = elsewhere
    standing.publish()

    assert {"train_model", "churn_training", "heartbeat"} <= set(elsewhere.lately)
    found = latest(standing.snapshot, "churn-training")
    assert found is not None
    assert found.component_id.startswith("/other/")
    assert standing.publish().keys() == {"churn-training", "heartbeat", "retrain"}
    assert elsewhere.lately == []


@pytest.mark.parametrize("refused", ["train_model", "churn_training"])
@pytest.mark.parametrize(
    "error", [JobRejected("UserError", "no"), WorkspaceUnavailable("AzureML answered 503")]
)
def test_what_cannot_be_registered_is_not_activated_and_can_be_tried_again(
    desk: Desk, refused: str, error: Exception
) -> None:
    desk.registry.refused[refused] = error
    with pytest.raises(type(error)):
        desk.publish()
    assert desk.snapshot == Snapshot()
    assert not any(name.startswith("published/churn-training/") for name in desk.blobs.stored)

    desk.registry.refused.clear()
    assert set(desk.publish().values()) == {Did.CREATED}
    assert "churn_training" in desk.registry.lately


@pytest.mark.parametrize("call", ["put published/", "swap index.json"])
def test_a_publish_that_storage_interrupts_can_be_repeated(desk: Desk, call: str) -> None:
    fail(desk.blobs.world, call, StorageUnavailable("storage is down"))
    with pytest.raises(StorageUnavailable):
        desk.publish()
    assert desk.snapshot == Snapshot()

    assert set(desk.publish().values()) == {Did.CREATED}


def test_two_that_publish_at_once_both_succeed(desk: Desk, tmp_path: Path) -> None:
    other = Desk(tmp_path / "other")
    other.blobs = desk.blobs
    (other.folder / "triggers/retrain.yml").unlink()
    (other.folder / "pipelines/churn-training.yml").unlink()
    interject(desk.blobs.world, "swap index.json", other.publish)
    did = desk.publish()

    assert desk.snapshot.pipelines.keys() == {"churn-training", "heartbeat"}
    assert desk.snapshot.triggers.keys() == {"retrain"}
    # What is told is what was there when the swap that counts was made.
    assert did == {
        "churn-training": Did.CREATED,
        "heartbeat": Did.UNCHANGED,
        "retrain": Did.CREATED,
    }


def test_the_index_is_swapped_once(desk: Desk) -> None:
    desk.publish()
    calls = desk.blobs.world.calls

    assert calls.count("swap index.json") == 1
    assert calls.index("swap index.json") > max(
        n for n, call in enumerate(calls) if call.startswith("put published/")
    )


def test_state_that_moves_to_another_workspace_is_registered_there(standing: Desk) -> None:
    standing.registry = MemoryRegistry("elsewhere")
    standing.publish()

    assert "churn_training" in standing.registry.lately
    found = latest(standing.snapshot, "churn-training")
    assert found is not None
    assert found.component_id.startswith("/elsewhere/")


@pytest.mark.parametrize(
    ("entity", "at"),
    [
        ("{queue: other}", "queue other"),
        ("{topic: company-news, subscription: other}", "topic company-news/other"),
    ],
)
def test_a_trigger_for_messages_names_what_the_app_listens_to(
    desk: Desk, entity: str, at: str
) -> None:
    blob = 'blob: {account: contosolake, container: landing, path: "churn/{region}/{file}.csv"}'
    desk.edit("triggers/retrain.yml", blob, f"service_bus: {entity}")
    desk.edit("triggers/retrain.yml", '"${{ captures.region }}"', "north")
    [problem] = desk.problems()

    assert problem.startswith("triggers/retrain.yml:3: ")
    assert (
        "the app takes messages from queue signalbox-events and topic company-news/signalbox only"
    ) in problem

    kind, _, name = at.partition(" ")
    desk.listens = (f"{kind}/{name}",)
    assert desk.publish()["retrain"] is Did.CREATED


# Labels


def test_a_label_is_looked_up_when_it_is_published_and_written_as_a_version(desk: Desk) -> None:
    desk.publish()
    first = latest(desk.snapshot, "heartbeat")
    assert desk.registry.documents["heartbeat_say"]["environment"] == "azureml:plain:3"
    assert desk.publish()["heartbeat"] is Did.UNCHANGED

    desk.registry.labels["environment", "plain", "latest"] = "4"
    assert desk.publish()["heartbeat"] is Did.UPDATED
    assert desk.registry.documents["heartbeat_say"]["environment"] == "azureml:plain:4"
    desk.registry.labels["environment", "plain", "latest"] = "3"
    desk.publish()
    assert latest(desk.snapshot, "heartbeat") == first


def test_a_label_that_nobody_has_is_a_mistake_with_its_place(desk: Desk) -> None:
    desk.registry.labels.clear()
    text = (desk.folder / "pipelines/heartbeat.yml").read_text()
    line = text[: text.index("plain@latest")].count("\n") + 1

    assert desk.problems() == [
        f"pipelines/heartbeat.yml:{line}: there is no environment 'plain@latest' in the workspace"
    ]


def test_a_trigger_may_write_latest(desk: Desk) -> None:
    desk.edit("triggers/retrain.yml", "churn-training", "churn-training@latest")
    desk.publish()

    assert desk.snapshot.triggers["retrain"].definition.action.pipeline == "churn-training"


def test_a_trigger_may_pin_the_version_that_is_published_with_it(desk: Desk) -> None:
    [version] = [
        c.version for c in desk.publishing.plan(desk.folder).changes if c.name == "churn-training"
    ]
    desk.edit("triggers/retrain.yml", "churn-training", f"churn-training@{version}")

    assert desk.publish()["retrain"] is Did.CREATED
