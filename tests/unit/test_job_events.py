"""What AzureML says of itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import job_events
from shared.binding import DEPLOYMENT_TAG, RUN_TAG
from shared.definitions import TriggerDefinition
from shared.errors import RecordUnreadable, StorageUnavailable, WorkspaceUnavailable
from shared.events import Event
from shared.ledger import State
from tests.fakes import World
from tests.unit.scene import DEPLOYMENT, PIPELINE, Scene, event, fail, trigger

COMPLETED = "Microsoft.MachineLearningServices.RunCompleted"
CHANGED = "Microsoft.MachineLearningServices.RunStatusChanged"
MODEL = "Microsoft.MachineLearningServices.ModelRegistered"


@pytest.fixture
def here() -> Scene:
    """A run whose job has just completed, and a trigger for the end of anybody's runs."""
    here = Scene()
    anybody = {
        "name": "anybody",
        "spec": {"event": {"type": COMPLETED}},
        "action": {"pipeline": PIPELINE, "inputs": {"data": "https://x/a"}},
    }
    models = {**anybody, "name": "models", "spec": {"event": {"type": MODEL}}}
    here.publish(
        trigger(),
        TriggerDefinition.model_validate(anybody),
        TriggerDefinition.model_validate(models),
    )
    here.dispatcher.handle(event())
    here.workspace.end(here.record().attempt.job_name, "Completed")
    return here


def said(here: Scene, type: str = COMPLETED, **data: Any) -> Event:
    """What AzureML says of the run's job."""
    record = here.record()
    assert record.body is not None
    given = {
        "runId": record.attempt.job_name,
        "runTags": {RUN_TAG: record.run_id, DEPLOYMENT_TAG: DEPLOYMENT},
        "runProperties": {},
        **data,
    }
    return Event(
        id="e-1",
        source="/subscriptions/s/workspaces/ml",
        type=type,
        subject="experiments/x/runs/y",
        time=World().now,
        data=given,
    )


def started(here: Scene) -> set[str]:
    """The triggers that have a record."""
    return {name.split("/")[1] for name in here.blobs.stored if name.startswith("ledger/")}


def test_of_two_events_about_one_end_one_makes_us_look(here: Scene) -> None:
    here.dispatcher.handle(said(here, CHANGED, runStatus="Completed"))
    assert here.record().state is not State.COMPLETED
    here.dispatcher.handle(said(here, COMPLETED))
    assert here.record().state is State.COMPLETED


@pytest.mark.parametrize("type", [COMPLETED, CHANGED])
def test_the_end_of_our_job_makes_its_run_be_looked_at_now(here: Scene, type: str) -> None:
    here.dispatcher.handle(said(here, type))

    assert here.record().state is State.COMPLETED
    assert here.markers() == []


def test_azureml_s_word_is_a_hint_and_its_get_decides(here: Scene) -> None:
    here.workspace.end(here.record().attempt.job_name, "Running")
    here.dispatcher.handle(said(here, runStatus="Completed"))

    assert here.record().state is State.RUNNING


def test_hints_come_twice_late_and_in_no_order(here: Scene) -> None:
    for type in (COMPLETED, CHANGED, COMPLETED):
        here.dispatcher.handle(said(here, type, runStatus="completed"))
    here.dispatcher.handle(said(here, runStatus="Running"))

    assert here.record().state is State.COMPLETED
    assert len(here.decisions()) == 1


def test_how_far_a_job_is_costs_no_request(here: Scene) -> None:
    here.calls()
    for status in ("Queued", "Preparing", "Running", "Finalizing"):
        here.dispatcher.handle(said(here, CHANGED, runStatus=status))

    assert here.calls() == []


def test_our_own_runs_start_nothing_a_second_way(here: Scene) -> None:
    # What waits for any run's end is told of ours by the ledger: here it would start itself.
    here.dispatcher.handle(said(here))

    assert started(here) == {"on-upload"}


def test_what_is_said_of_a_step_of_ours_is_left_out(here: Scene) -> None:
    job = here.record().attempt.job_name
    here.calls()
    for name in (
        "azureml.pipelinerunid",
        "azureml.parentrunid",
        "azureml.rootrunid",
        "ParentRunId",
    ):
        step = said(here, runId="0f8fad5b-d9cb", runTags={}, runProperties={name: job})
        here.dispatcher.handle(step)

    assert here.calls() == []
    assert started(here) == {"on-upload"}


def test_another_deployment_s_runs_are_its_own_business(here: Scene) -> None:
    here.calls()
    assert job_events.ended_run(said(here), "other") is None
    here.dispatcher.handle(said(here, runTags={RUN_TAG: here.record().run_id}))

    assert here.calls() == []
    assert here.record().state is State.SUBMITTED
    assert started(here) == {"on-upload"}


def test_the_end_of_anybody_else_s_run_is_an_event(here: Scene) -> None:
    here.dispatcher.handle(said(here, runId="calm_river_7", runTags={}))

    assert started(here) == {"on-upload", "anybody"}


def test_whatever_else_azureml_says_is_an_event(here: Scene) -> None:
    here.dispatcher.handle(said(here, MODEL))

    assert "models" in started(here)
    assert here.record().state is State.SUBMITTED


@pytest.mark.parametrize(
    "run",
    [
        "on-upload.00000000000000000000000000000000",
        "on-upload",
        "../index",
        "on-upload/../../index.0123456789abcdef0123456789abcdef",
        "",
        "a" * 5000,
        None,
        5,
        ["on-upload"],
        {},
    ],
)
def test_a_forged_run_harms_nothing(here: Scene, run: Any) -> None:
    before = {name: blob.data for name, blob in here.blobs.stored.items()}
    here.dispatcher.handle(said(here, runTags={RUN_TAG: run, DEPLOYMENT_TAG: DEPLOYMENT}))

    assert {name: blob.data for name, blob in here.blobs.stored.items()} == before


def test_a_forged_hint_for_a_real_run_only_makes_it_be_looked_at(here: Scene) -> None:
    here.workspace.end(here.record().attempt.job_name, "Running")
    forged = said(here, runId="on-upload-0123456789abcdef-a1", runStatus="Failed")
    here.dispatcher.handle(forged)

    assert here.record().state is State.RUNNING


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("GET", WorkspaceUnavailable("AzureML answered 503")),
        ("get ledger/", StorageUnavailable("storage is down")),
        ("get ledger/", RecordUnreadable("of a newer version")),
        ("swap ledger/", StorageUnavailable("storage is down")),
    ],
)
def test_what_cannot_be_looked_at_now_is_left_to_the_timer(
    here: Scene, call: str, error: Exception
) -> None:
    hint = said(here)
    fail(here.world, call, error)
    here.dispatcher.handle(hint)
    assert here.record().state is State.SUBMITTED

    here.tick.run()
    assert here.record().state is State.COMPLETED


def test_an_event_that_cannot_be_written_down_is_asked_for_again(here: Scene) -> None:
    fail(here.world, "create ledger/", StorageUnavailable("storage is down"))
    with pytest.raises(StorageUnavailable):
        here.dispatcher.handle(said(here, runId="calm_river_7", runTags={}))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["runId", "runTags", "runProperties", RUN_TAG, DEPLOYMENT_TAG]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from([COMPLETED, CHANGED]), values)
def test_whatever_is_said_of_a_run_is_taken_or_left(type: str, data: Any) -> None:
    here = Scene()
    here.publish(trigger())
    given = Event(id="e", source="/ml", type=type, time=World().now, data=data)
    here.dispatcher.handle(given)

    assert here.workspace.jobs == {}


@pytest.mark.parametrize("via", ["", "queue/signalbox-events", "topic/news/signalbox"])
def test_our_own_runs_start_nothing_whatever_way_they_are_told(here: Scene, via: str) -> None:
    here.dispatcher.handle(said(here).model_copy(update={"via": via}))

    assert started(here) == {"on-upload"}
    assert here.record().state is State.COMPLETED
