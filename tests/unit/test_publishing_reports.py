"""What publishing tells: what it would do, what it did, and how far it came."""

import shutil

import pytest

from shared.changes import Did
from shared.errors import (
    DefinitionsInvalid,
    JobRejected,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from shared.progress import How
from shared.published import latest
from tests.unit.desk import DEFINITIONS, Desk, MemoryRegistry, changes_of
from tests.unit.scene import fail


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
