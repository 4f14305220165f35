"""Labels of data: looked up once, written down before the PUT."""

from contextlib import suppress

import pytest

from shared.inputs import DataInput, PipelineInput
from shared.ledger import PATIENCE, Record, State
from tests.fakes import World
from tests.unit.scene import Killed, Scene, event, fail, interject, pipeline, trigger
from tests.unit.submitting import (
    BUSY,
    GRACE_OVER,
    LEASE_OVER,
    REJECTED,
    LateWorkspace,
    left_submitting,
    name,
    resume,
    upload,
)


@pytest.fixture
def workspace() -> LateWorkspace:
    return LateWorkspace(World())


@pytest.fixture
def here(workspace: LateWorkspace) -> Scene:
    here = Scene(workspace=workspace)
    here.publish(trigger())
    return here


# Labels: looked up once, written down before the PUT.


LATEST = PipelineInput(type="uri_file", path="azureml:sales@latest")


@pytest.fixture
def labelled(here: Scene) -> Scene:
    """A pipeline whose data is the latest version, 3, and a model that the trigger binds."""
    here.publish(
        trigger(inputs={"data": "${{ event.data.url }}", "model": "azureml:ours@latest"}),
        pipelines=[
            pipeline(
                inputs={
                    "data": {"type": "uri_file"},
                    "table": LATEST.model_dump(),
                    "model": {"type": "mlflow_model"},
                }
            )
        ],
    )
    here.workspace.latest = {("data", "sales"): "3", ("model", "ours"): "7"}
    return here


def paths(record: Record) -> list[str | None]:
    assert record.body
    inputs = record.body.inputs
    return [
        given.path for given in (inputs["table"], inputs["model"]) if isinstance(given, DataInput)
    ]


def test_a_job_has_the_versions_that_its_record_says(labelled: Scene) -> None:
    record = upload(labelled)

    assert record.state is State.SUBMITTED
    assert paths(record) == ["azureml:sales:3", "azureml:ours:7"]
    assert labelled.workspace.bodies[name(labelled)] == record.body


def test_without_labels_nobody_is_asked(here: Scene) -> None:
    here.dispatcher.handle(event())

    assert not [call for call in here.world.calls if call.startswith("label")]


def test_what_was_found_stays_whatever_is_registered_meanwhile(labelled: Scene) -> None:
    left_submitting(labelled)
    labelled.workspace.latest = {("data", "sales"): "4", ("model", "ours"): "8"}
    record = resume(labelled, after=LEASE_OVER)

    assert record.state is State.SUBMITTED
    assert paths(record) == ["azureml:sales:3", "azureml:ours:7"]
    assert labelled.workspace.bodies[name(labelled)] == record.body


@pytest.mark.parametrize("applied", [False, True])
def test_while_labels_cannot_be_looked_up_the_run_waits(labelled: Scene, applied: bool) -> None:
    fail(labelled.world, "label", BUSY, applied=applied)
    record = upload(labelled)

    assert record.state is State.SUBMITTING
    assert paths(record) == ["azureml:sales@latest", "azureml:ours@latest"]
    assert labelled.workspace.jobs == {}
    assert resume(labelled, after=LEASE_OVER).state is State.SUBMITTED
    assert paths(labelled.record()) == ["azureml:sales:3", "azureml:ours:7"]


def test_what_cannot_be_looked_up_for_a_day_is_given_up(labelled: Scene) -> None:
    fail(labelled.world, "label", BUSY, times=1_000)
    upload(labelled)
    resume(labelled, after=PATIENCE.total_seconds() + 1)
    record = resume(labelled, after=GRACE_OVER)

    assert (record.state, record.reason and record.reason.code) == (
        State.DEAD_LETTER,
        "azureml_unavailable",
    )


def test_every_name_that_is_not_there_is_told(labelled: Scene) -> None:
    labelled.workspace.latest = {}
    record = upload(labelled)

    assert record.state is State.DEAD_LETTER
    assert record.reason
    assert record.reason.code == "data_missing"
    assert "inputs.table: the workspace has no data named 'sales'" in record.reason.text
    assert "inputs.model: the workspace has no model named 'ours'" in record.reason.text
    assert labelled.workspace.jobs == {}
    assert labelled.markers() == []


def test_what_is_not_there_any_more_ends_a_run_that_was_taken_over(labelled: Scene) -> None:
    fail(labelled.world, "label", BUSY)
    upload(labelled)
    labelled.workspace.latest = {}

    assert resume(labelled, after=LEASE_OVER).state is State.DEAD_LETTER


def test_a_name_that_azureml_refuses_is_a_dead_letter(labelled: Scene) -> None:
    fail(labelled.world, "label", REJECTED)
    record = upload(labelled)

    assert (record.state, record.reason and record.reason.code) == (
        State.DEAD_LETTER,
        "azureml_rejected",
    )


def test_of_two_workers_only_the_one_that_wrote_its_versions_down_submits(labelled: Scene) -> None:
    def other() -> None:
        labelled.workspace.latest = {("data", "sales"): "4", ("model", "ours"): "8"}
        labelled.world.pass_time(LEASE_OVER)
        labelled.tick.run()

    interject(labelled.world, "label", other)
    record = upload(labelled)

    assert paths(record) == ["azureml:sales:4", "azureml:ours:8"]
    assert labelled.workspace.bodies[name(labelled)] == record.body


def test_a_run_that_is_canceled_before_its_labels_are_looked_up_asks_for_nothing(
    labelled: Scene,
) -> None:
    fail(labelled.world, "label", BUSY)
    record = upload(labelled)
    labelled.submission.request_cancel(record.trigger, record.key)
    record = resume(labelled, after=GRACE_OVER)

    assert record.state is State.CANCELED
    assert not [call for call in labelled.world.calls if call.startswith("label")]


def test_a_second_delivery_changes_no_version(labelled: Scene) -> None:
    before = upload(labelled)
    labelled.workspace.latest = {}
    labelled.dispatcher.handle(event())

    assert labelled.record() == before
    assert len(labelled.workspace.jobs) == 1


def test_a_retry_looks_anew(labelled: Scene) -> None:
    first = upload(labelled)
    labelled.workspace.end(first.attempt.job_name, "Failed")
    labelled.tick.run()
    labelled.workspace.latest = {("data", "sales"): "4", ("model", "ours"): "7"}
    decision = labelled.dispatcher.retry(first.trigger, first.key)
    assert decision.record
    again = labelled.ledger.read(first.trigger, decision.record.key)

    assert again
    assert paths(again.record) == ["azureml:sales:4", "azureml:ours:7"]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("nth", range(12))
def test_a_worker_killed_at_any_call_leaves_one_job_that_is_what_was_recorded(
    labelled: Scene, nth: int, applied: bool
) -> None:
    left = nth

    def kill(_call: str) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise Killed

    if applied:
        labelled.world.after = kill
    else:
        labelled.world.before = kill
    with suppress(Killed):
        labelled.dispatcher.handle(event())
    labelled.world.before = labelled.world.after = lambda _call: None
    labelled.workspace.latest = {("data", "sales"): "4", ("model", "ours"): "8"}
    labelled.dispatcher.handle(event())
    for _ in range(3):
        labelled.world.pass_time(LEASE_OVER)
        labelled.tick.run()

    assert len(labelled.workspace.jobs) == 1
    assert labelled.workspace.bodies[name(labelled)] == labelled.record().body
