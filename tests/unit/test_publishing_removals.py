"""What is no longer in the folder: it stays, or goes when that is asked for."""

import shutil
from pathlib import Path

import pytest

from shared.changes import Did, Prune
from shared.definitions import Definitions
from shared.errors import (
    PruneRefused,
    StorageUnavailable,
)
from shared.ledger import State
from shared.progress import Progress
from shared.published import Published, latest
from shared.publishing import Publishing
from tests.unit.asking import Asked
from tests.unit.desk import Desk, MemoryRegistry, changes_of
from tests.unit.scene import TRIGGER, fail, interject, trigger

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
