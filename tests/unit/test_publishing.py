"""Publishing: what is registered, what is stored, and what a job's inputs are made from."""

import shutil
import threading
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from shared.changes import Change, Did, Prune
from shared.compute import Computes
from shared.definitions import Definitions
from shared.errors import (
    DefinitionsInvalid,
    JobRejected,
    PruneRefused,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from shared.index import Index, Snapshot
from shared.ledger import State
from shared.native_orders import NativeOrders
from shared.native_plans import FoundSchedule
from shared.native_schedules import NativeSchedules
from shared.native_states import NativeStates
from shared.pauses import Pauses
from shared.progress import How, Progress
from shared.published import Published, PublishedPipeline, latest
from shared.publishing import Plan, Publishing
from shared.registrations import CompiledAsset
from tests.fakes import MemoryBlobs, MemoryJobSchedules, MemoryTargets, MemoryWorkspace
from tests.unit.asking import Asked
from tests.unit.scene import TRIGGER, fail, interject, trigger

DEFINITIONS = Path(__file__).parent / "definitions"


class MemoryRegistry:
    """Remembers the component versions that it was given."""

    def __init__(self, workspace: str = "ml") -> None:
        self.workspace = workspace
        #: Data and models that were uploaded.
        self.assets: set[tuple[str, str]] = set()
        #: The names that were registered lately, in order.
        self.lately: list[str] = []
        self.versions: set[tuple[str, str]] = set()
        self.refused: dict[str, BaseException] = {}
        #: What was registered last under a name.
        self.documents: dict[str, dict[str, Any]] = {}
        self.labels = {("environment", "plain", "latest"): "3"}
        #: The labels that were asked for.
        self.looks: list[str] = []
        self._lock = threading.Lock()

    def component_id(self, name: str, version: str) -> str:
        return f"/{self.workspace}/components/{name}/versions/{version}"

    def registered(self, name: str, version: str) -> bool:
        return (name, version) in self.versions

    def has_asset(self, asset: CompiledAsset) -> bool:
        return (asset.name, asset.version) in self.assets

    def upload(self, asset: CompiledAsset) -> None:
        with self._lock:
            self.lately.append(asset.name)
            self.assets.add((asset.name, asset.version))

    def labelled(self, kind: str, name: str, label: str) -> str | None:
        self.looks.append(f"{kind} {name}@{label}")
        return self.labels.get((kind, name, label))

    def register(self, document: dict[str, Any]) -> None:
        if error := self.refused.get(document["name"]):
            raise error
        with self._lock:
            self.lately.append(document["name"])
            self.documents[document["name"]] = document
            self.versions.add((document["name"], document["version"]))


class Desk:
    """Whoever publishes: a folder, a state container and a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(shutil.copytree(DEFINITIONS, folder))
        for file in (self.folder / "pipelines").iterdir():
            if file.stem not in ("churn-training", "heartbeat"):
                file.unlink()
        self.blobs = MemoryBlobs()
        self.registry = MemoryRegistry()
        self.listens: tuple[str, ...] = ("queue/signalbox-events", "topic/company-news/signalbox")
        self.said: list[str] = []
        self.targets = MemoryTargets()
        self.computes = Computes(self.blobs, self.targets)
        self.progress = Progress(self.said.append)

    def publish(self) -> dict[str, Did]:
        """What became of each definition, by name."""
        self.registry.lately.clear()
        self.said.clear()
        changes = self.changes()
        did = {change.name: change.did for change in changes}
        assert len(did) == len(changes), "one account of each definition"
        return did

    def changes(self, prune: Prune = Prune.NO, owner: str = "") -> list[Change]:
        plan = self.publishing.plan(self.folder, prune=prune, owner=owner)
        self.progress = Progress(self.said.append)
        return self.publishing.apply(plan, self.progress)

    @property
    def publishing(self) -> Publishing:
        return Publishing(
            Published(self.blobs),
            Index(self.blobs),
            self.registry,
            listens=self.listens,
            computes=self.computes,
        )

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    @property
    def snapshot(self) -> Snapshot:
        return Index(self.blobs).read().snapshot

    def problems(self) -> list[str]:
        """What stands in the way; nothing may have been registered or stored."""
        before = dict(self.blobs.stored)
        with pytest.raises(DefinitionsInvalid) as caught:
            self.changes()
        assert self.registry.lately == []
        assert {**self.blobs.stored, "index.json": 0} == {**before, "index.json": 0}
        return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Nothing is published yet."""
    return Desk(tmp_path / "definitions")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Desk:
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


def changes_of(told: Sequence[Change]) -> dict[str, tuple[Did, str | None, str]]:
    return {change.name: (change.did, change.before, change.version) for change in told}


def test_a_plan_says_what_publishing_then_does_and_does_nothing_itself(desk: Desk) -> None:
    plan = desk.publishing.plan(desk.folder)

    assert desk.blobs.stored == {}
    assert desk.registry.lately == []
    assert desk.said == []
    assert [change.did for change in plan.changes] == [Did.CREATED] * 3
    assert plan.differs
    assert desk.changes() == [*plan.changes]


def test_a_plan_has_the_versions_before_and_after(standing: Desk) -> None:
    before = latest(standing.snapshot, "churn-training")
    standing.edit("pipelines/churn-training.yml", "seed: 7", "seed: 8")
    stored = dict(standing.blobs.stored)
    plan = changes_of(standing.publishing.plan(standing.folder).changes)

    assert standing.blobs.stored == stored
    assert before is not None
    did, old, new = plan["churn-training"]
    assert (did, old) == (Did.UPDATED, before.version)
    assert new != old
    assert plan["heartbeat"][0] is plan["retrain"][0] is Did.UNCHANGED
    assert plan["heartbeat"][1] == plan["heartbeat"][2]
    assert changes_of(standing.changes()) == plan


def test_what_moves_to_another_workspace_is_planned_as_an_update(standing: Desk) -> None:
    standing.registry = MemoryRegistry("elsewhere")
    plan = changes_of(standing.publishing.plan(standing.folder).changes)

    did, before, version = plan["churn-training"]
    assert did is Did.UPDATED
    assert before == version
    assert plan["retrain"][0] is Did.UNCHANGED


def test_a_plan_tells_the_same_problems(desk: Desk) -> None:
    desk.edit("triggers/retrain.yml", "event.data", "evnt.data")
    with pytest.raises(DefinitionsInvalid, match=r"triggers/retrain\.yml:7: "):
        desk.publishing.plan(desk.folder)


def test_problems_are_told_although_storage_cannot_be_asked_for_the_other_pipelines(
    desk: Desk,
) -> None:
    desk.edit("triggers/retrain.yml", "pipeline: churn-training", "pipeline: elsewhere")
    fail(desk.blobs.world, "get index.json", StorageUnavailable("storage is down"))
    with pytest.raises(StorageUnavailable):
        desk.publishing.plan(desk.folder)

    desk.edit("triggers/retrain.yml", "event.data", "evnt.data")
    fail(desk.blobs.world, "get index.json", StorageUnavailable("storage is down"))
    with pytest.raises(DefinitionsInvalid, match="'evnt'") as caught:
        desk.publishing.plan(desk.folder)
    assert len(caught.value.problems) == 1


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


# What is no longer in the folder


def without_churn(desk: Desk) -> None:
    for file in ("pipelines/churn-training.yml", "triggers/retrain.yml"):
        (desk.folder / file).unlink()


def test_what_is_no_longer_in_the_folder_is_told_and_stays(standing: Desk) -> None:
    without_churn(standing)
    plan = standing.publishing.plan(standing.folder)

    assert {c.name: c.did for c in plan.changes if c.did is Did.LEFT} == {
        "churn-training": Did.LEFT,
        "retrain": Did.LEFT,
    }
    assert not plan.differs


def test_what_is_no_longer_in_the_folder_is_removed_when_asked(standing: Desk) -> None:
    pinned = latest(standing.snapshot, "churn-training")
    assert pinned
    without_churn(standing)
    plan = standing.publishing.plan(standing.folder, prune=Prune.YES)
    made = standing.changes(Prune.YES)

    assert plan.differs
    assert [*plan.changes] == made
    assert changes_of(made)["churn-training"] == (Did.REMOVED, pinned.version, pinned.version)
    assert standing.snapshot.pipelines.keys() == {"heartbeat"}
    assert standing.snapshot.triggers == {}
    # The version stays, and can be run.
    reference = f"churn-training@{pinned.version}"
    published = Published(standing.blobs)
    assert published.resolve(standing.snapshot, "churn-training") is None
    assert published.resolve(standing.snapshot, reference) == pinned
    # Once is enough.
    assert {c.did for c in standing.changes(Prune.YES)} == {Did.UNCHANGED}


def test_what_was_removed_comes_back_with_its_file(standing: Desk, once: Desk) -> None:
    without_churn(standing)
    standing.changes(Prune.YES)
    for file in ("pipelines/churn-training.yml", "triggers/retrain.yml"):
        shutil.copy(once.folder / file, standing.folder / file)
    standing.blobs.world.pass_time(3600)

    assert standing.publish()["churn-training"] is Did.CREATED
    # A trigger that was gone begins anew: what came meanwhile is not its business.
    assert standing.snapshot.triggers["retrain"].effective_from == standing.blobs.world.now
    assert standing.registry.lately == []


def test_a_pipeline_that_a_trigger_names_is_not_removed(standing: Desk) -> None:
    (standing.folder / "pipelines/churn-training.yml").unlink()
    before = standing.snapshot
    with pytest.raises(PruneRefused, match="churn-training is named by trigger retrain"):
        standing.changes(Prune.YES)

    assert standing.snapshot == before
    assert standing.changes()[-1].did is Did.LEFT


def test_a_pipeline_goes_when_its_trigger_pins_a_version(standing: Desk) -> None:
    found = latest(standing.snapshot, "churn-training")
    assert found
    (standing.folder / "pipelines/churn-training.yml").unlink()
    standing.edit("triggers/retrain.yml", "churn-training", f"churn-training@{found.version}")
    standing.changes(Prune.YES)

    assert standing.snapshot.pipelines.keys() == {"heartbeat"}
    assert standing.snapshot.triggers.keys() == {"retrain"}


def test_nobody_removes_everything_by_mistake(standing: Desk, tmp_path: Path) -> None:
    elsewhere = Desk(tmp_path / "elsewhere")
    without_churn(elsewhere)
    (elsewhere.folder / "pipelines/heartbeat.yml").rename(elsewhere.folder / "pipelines/other.yml")
    elsewhere.blobs, before = standing.blobs, standing.snapshot
    with pytest.raises(PruneRefused, match=r"all 3 that are .*heartbeat.*--prune-all") as caught:
        elsewhere.changes(Prune.YES)

    assert "pipeline churn-training" in str(caught.value)
    assert standing.snapshot == before
    elsewhere.changes(Prune.EVERYTHING)
    assert standing.snapshot.pipelines.keys() == {"other"}


def test_who_publishes_between_plan_and_swap_loses_nothing_that_is_named(
    standing: Desk, tmp_path: Path
) -> None:
    """The refusal is decided on the index that is swapped, not on the one that was planned with."""
    without_churn(standing)
    other = Desk(tmp_path / "other")
    other.blobs = standing.blobs
    shutil.rmtree(other.folder / "pipelines")
    other.edit("triggers/retrain.yml", "name: retrain", "name: again")
    (other.folder / "triggers/retrain.yml").rename(other.folder / "triggers/again.yml")
    interject(standing.blobs.world, "swap index.json", lambda: other.changes(owner="others"))
    with pytest.raises(PruneRefused, match="churn-training is named by trigger again"):
        standing.changes(Prune.YES)

    assert standing.snapshot.pipelines.keys() == {"churn-training", "heartbeat"}


def test_an_owner_s_folder_removes_only_what_is_its_own(desk: Desk, tmp_path: Path) -> None:
    shutil.rmtree(desk.folder / "triggers")
    desk.changes(owner="team-a")
    other = Desk(tmp_path / "other")
    other.blobs, other.registry = desk.blobs, desk.registry
    without_churn(other)
    (other.folder / "pipelines/heartbeat.yml").rename(other.folder / "pipelines/pulse.yml")

    assert [c.name for c in other.changes(Prune.YES, owner="team-b")] == ["pulse"]
    assert desk.snapshot.pipelines.keys() == {"churn-training", "heartbeat", "pulse"}
    (desk.folder / "pipelines/heartbeat.yml").unlink()
    assert {c.name: c.did for c in desk.changes(Prune.YES, owner="team-a")} == {
        "churn-training": Did.UNCHANGED,
        "heartbeat": Did.REMOVED,
    }
    assert desk.snapshot.owners == {"pipeline/churn-training": "team-a", "pipeline/pulse": "team-b"}


def test_taking_over_what_somebody_else_published_is_told(standing: Desk) -> None:
    plan = standing.publishing.plan(standing.folder, owner="team-a")

    assert "trigger retrain was published by nobody in particular and becomes team-a's" in (
        plan.warnings
    )
    standing.changes(owner="team-a")
    assert standing.publishing.plan(standing.folder, owner="team-a").warnings == ()
    back = standing.publishing.plan(standing.folder)
    assert "trigger retrain was published by team-a and becomes nobody's in particular" in (
        back.warnings
    )


CLUSTER = "type: amlcompute\nsize: Standard_DS3_v2\n"


def test_a_compute_that_is_removed_is_forgotten_and_stays_in_azure(standing: Desk) -> None:
    file = standing.folder / "computes/cpu-cluster.yml"
    file.parent.mkdir()
    file.write_text(CLUSTER)
    standing.publish()
    assert standing.computes.all().keys() == {"cpu-cluster"}
    file.unlink()

    assert changes_of(standing.changes())["cpu-cluster"][0] is Did.LEFT
    assert standing.computes.all().keys() == {"cpu-cluster"}
    assert changes_of(standing.changes(Prune.YES))["cpu-cluster"][0] is Did.REMOVED
    assert standing.computes.all() == {}
    assert standing.snapshot.computes == {}
    assert standing.targets.there.keys() == {"cpu-cluster"}


def test_a_removal_that_is_interrupted_is_finished_the_next_time(standing: Desk) -> None:
    file = standing.folder / "computes/cpu-cluster.yml"
    file.parent.mkdir()
    file.write_text(CLUSTER)
    standing.publish()
    file.unlink()
    fail(standing.blobs.world, "swap index.json", StorageUnavailable("storage is down"))
    with pytest.raises(StorageUnavailable):
        standing.changes(Prune.YES)
    assert standing.snapshot.computes.keys() == {"cpu-cluster"}

    assert changes_of(standing.changes(Prune.YES))["cpu-cluster"][0] is Did.REMOVED
    assert standing.snapshot.computes == {}
    assert standing.computes.all() == {}


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


# What stops half way


def test_how_far_it_came_is_known_when_a_step_is_refused(desk: Desk) -> None:
    desk.registry.refused["train_model"] = JobRejected("UserError", "no such image")
    with pytest.raises(JobRejected, match=r"component train_model:.*: no such image"):
        desk.changes()
    done = how_it_stands(desk)

    assert done["component train_model"] is How.REFUSED
    assert done["component churn_training"] is How.LEFT
    assert done["the index"] is How.LEFT
    registered = {name for name, _ in desk.registry.versions}
    assert registered == {
        what.removeprefix("component ") for what, how in done.items() if how is How.DONE
    }
    assert {line.partition(" ")[0] for line in desk.said} <= {"registered"}
    assert len(desk.said) == len(registered)

    desk.registry.refused.clear()
    desk.publish()
    assert {*desk.registry.lately}.isdisjoint(registered)
    assert how_it_stands(desk) == {
        what: How.THERE if what.removeprefix("component ") in registered else How.DONE
        for what in done
    }


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (WorkspaceUnavailable("AzureML answered 503"), How.UNKNOWN),
        (KeyboardInterrupt(), How.UNKNOWN),
        (JobRejected("UserError", "no"), How.REFUSED),
    ],
)
def test_what_was_begun_and_not_answered_is_not_known(
    desk: Desk, error: BaseException, how: How
) -> None:
    desk.registry.refused["churn_training"] = error
    (desk.folder / "pipelines/heartbeat.yml").unlink()
    with pytest.raises(type(error)):
        desk.changes()

    assert how_it_stands(desk)["component churn_training"] is how
    assert how_it_stands(desk)["pipeline churn-training"] is How.LEFT


def how_it_stands(desk: Desk) -> dict[str, How]:
    return {each.what.partition(":")[0]: each.how for each in desk.progress.standing}


# What is told


def test_warnings_are_told_whether_or_not_something_is_registered(standing: Desk) -> None:
    standing.edit("pipelines/heartbeat.yml", "type: pipeline", "type: pipeline\ncomputes: x")
    first = standing.publishing.plan(standing.folder)
    standing.changes()
    again = standing.publishing.plan(standing.folder)

    assert len(first.warnings) == 1
    assert first.warnings == again.warnings
    assert not again.differs


def test_why_it_is_inline_is_told_whether_or_not_something_is_registered(desk: Desk) -> None:
    shutil.copy(DEFINITIONS / "pipelines/carried.yml", desk.folder / "pipelines/carried.yml")
    first = desk.publishing.plan(desk.folder).inline
    desk.changes()
    again = desk.publishing.plan(desk.folder)

    assert not again.differs
    assert again.inline == first
    assert any("data of its own" in why for why in again.inline["carried"])


def test_unchanged_content_costs_one_look_for_each_pipeline(standing: Desk) -> None:
    standing.publish()

    assert sorted(standing.blobs.world.calls) == [
        "get index.json",
        "get index.json",
        *sorted(
            f"get published/{name}/{each['version']}.json"
            for name, each in standing.snapshot.pipelines.items()
        ),
    ]
    assert standing.registry.looks == ["environment plain@latest"]


# What was begun by a trigger that is removed


def test_runs_of_a_removed_trigger_go_on_end_and_are_found() -> None:
    here = Asked()
    here.publish(trigger())
    [run] = here.upload()
    publishing = Publishing(here.published, here.index, MemoryRegistry(), listens=())
    nothing = Definitions(pipelines=(), triggers=())
    publishing.apply(publishing.plan(nothing, prune=Prune.EVERYTHING), Progress(print))
    snapshot = here.index.read().snapshot
    assert (snapshot.triggers, snapshot.pipelines) == ({}, {})
    assert here.runs.get(run).state is State.SUBMITTED
    # What comes now starts nothing.
    assert here.upload("sales/south/april.csv") == []

    here.end(run, "Completed")
    assert here.runs.get(run).state is State.COMPLETED
    assert here.markers() == []
    told = here.explain.trigger(TRIGGER)
    assert told.lines[0] == f"Trigger {TRIGGER} is not published any more."
    assert [item.run for item in told.items] == [run]
    assert here.explain.run(run).items[0].state == State.COMPLETED


# Schedules that AzureML runs

_NIGHTLY = """
name: nightly
spec: {{schedule: {{cron: "0 {hour} * * *", engine: {engine}}}}}
action: {{pipeline: heartbeat}}
"""


class NativeDesk(Desk):
    """A desk whose AzureML has schedules."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for file in (self.folder / "triggers").glob("*.yml"):
            file.unlink()
        self.azure = MemoryJobSchedules(self.blobs.world)
        self.index = Index(self.blobs)
        published = Published(self.blobs)
        self.native = NativeSchedules(
            deployment="prod",
            index=self.index,
            states=NativeStates(self.blobs),
            orders=NativeOrders(
                deployment="prod", variables={}, published=published, labels=self.registry
            ),
            schedules=self.azure,
            jobs=MemoryWorkspace(),
        )
        self.said: list[str] = []
        self.of_natives = Publishing(
            published, self.index, self.registry, listens=(), native=self.native
        )

    def write(self, engine: str = "azureml", hour: int = 6) -> None:
        (self.folder / "triggers/nightly.yml").write_text(_NIGHTLY.format(engine=engine, hour=hour))

    def plan_natives(self, **options: Any) -> Plan:
        return self.of_natives.plan(self.folder, **options)

    def publish_natives(self, **options: Any) -> None:
        self.of_natives.apply(self.plan_natives(**options), Progress(self.said.append))


@pytest.fixture
def natives(tmp_path: Path) -> NativeDesk:
    return NativeDesk(tmp_path / "definitions")


def test_a_schedule_comes_into_azureml_after_the_index_and_leaves_it_before(
    natives: NativeDesk,
) -> None:
    natives.write()
    assert natives.plan_natives().native.told == {"nightly": "will be created in AzureML"}
    assert natives.azure.there == {}
    order: list[str] = []
    natives.blobs.world.after = lambda call: order.append(call)
    natives.publish_natives()
    assert order.index("swap index.json") < order.index("schedule PUT nightly")
    assert natives.azure.there["nightly"].enabled
    assert not natives.plan_natives().differs
    natives.write(hour=7)
    [told] = natives.plan_natives().native.told.values()
    assert "trigger.expression is '0 6 * * *', and should be '0 7 * * *'" in told
    natives.write("signalbox")
    order.clear()
    natives.publish_natives()
    assert order.index("schedule disable nightly") < order.index("swap index.json")
    assert natives.azure.there == {}
    assert "brought up to date the schedules in AzureML" in natives.said


def test_what_was_changed_in_azureml_is_undone_by_publishing(natives: NativeDesk) -> None:
    natives.write()
    natives.publish_natives()
    natives.azure.there.clear()
    plan = natives.plan_natives()
    assert plan.differs
    assert {change.did for change in plan.changes} == {Did.UNCHANGED}
    natives.publish_natives()
    assert "nightly" in natives.azure.there


def test_a_pruned_trigger_takes_its_schedule_along(natives: NativeDesk) -> None:
    natives.write()
    natives.publish_natives()
    (natives.folder / "triggers/nightly.yml").unlink()
    natives.publish_natives()
    assert natives.azure.there["nightly"].enabled
    natives.publish_natives(prune=Prune.YES)
    assert natives.azure.there == {}


def test_somebody_else_s_schedule_of_that_name_is_a_mistake_in_the_folder(
    natives: NativeDesk,
) -> None:
    natives.azure.there["nightly"] = FoundSchedule(name="nightly", enabled=True)
    natives.write()
    with pytest.raises(DefinitionsInvalid, match=r"nightly.yml:2: AzureML has a schedule"):
        natives.plan_natives()


def test_azureml_s_silence_after_the_index_is_told_and_no_failure(natives: NativeDesk) -> None:
    natives.write()
    plan = natives.plan_natives()
    fail(natives.blobs.world, "schedules", WorkspaceUnavailable("AzureML answered 429."))
    natives.of_natives.apply(plan, Progress(natives.said.append))
    assert any("429" in line and "timer" in line for line in natives.said)
    natives.native.run_due()
    assert natives.azure.there == {}
    natives.blobs.world.pass_time(300)
    natives.native.run_due()
    assert natives.azure.there["nightly"].enabled


def test_what_azureml_cannot_do_is_told_at_its_line_and_hints_are_warnings(
    natives: NativeDesk,
) -> None:
    natives.write()
    natives.publish_natives()
    file = natives.folder / "triggers/nightly.yml"
    text = file.read_text()
    file.write_text(text + "policies: {overlap: buffer_all}\n")
    with pytest.raises(DefinitionsInvalid, match=r"nightly.yml:5: overlap: AzureML starts"):
        natives.plan_natives()
    file.write_text(text.replace("engine", "start_time: '2022-01-01T00:00:00', engine"))
    [warning] = [each for each in natives.plan_natives().warnings if "past" in each]
    assert warning.startswith("triggers/nightly.yml:3: start_time lies in the past")
