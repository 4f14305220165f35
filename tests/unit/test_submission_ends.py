"""How a run ends: canceled, as its job did, or given up."""

import pytest

from shared.errors import StorageUnavailable, WorkspaceUnavailable
from shared.ledger import GRACE, PATIENCE, Record, State
from shared.workspace import FailedStep
from tests.fakes import World
from tests.unit.scene import TRIGGER, Scene, event, fail, interject, trigger
from tests.unit.submitting import (
    BUSY,
    GRACE_OVER,
    LEASE_OVER,
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


# Cancel.


def test_a_cancel_before_the_job_came_is_final_once_it_never_can(here: Scene) -> None:
    left_submitting(here)
    assert here.submission.request_cancel(TRIGGER, here.record().key)
    waiting = resume(here, after=LEASE_OVER)
    assert waiting.state is State.SUBMITTING
    # A takeover would begin a new grace, and never end.
    assert waiting.attempt.takeovers == 0

    record = resume(here, after=GRACE_OVER - LEASE_OVER)
    assert "PUT" not in here.calls()
    assert record.state is State.CANCELED
    assert record.reason is not None
    assert record.reason.code == "canceled"
    assert here.workspace.jobs == {}
    assert here.markers() == []


def test_a_cancel_of_a_job_that_came_after_all_stops_it(here: Scene) -> None:
    left_submitting(here, WorkspaceUnavailable("the answer was lost"), applied=True)
    here.submission.request_cancel(TRIGGER, here.record().key)

    assert resume(here, after=LEASE_OVER).state is State.SUBMITTED
    assert resume(here).state is State.SUBMITTED
    assert "cancel" in [call.split(" ")[0] for call in here.calls()]
    assert resume(here).state is State.CANCELED


def test_a_cancel_while_the_job_is_being_sent_is_kept(here: Scene) -> None:
    interject(here.world, "PUT", lambda: here.submission.request_cancel(TRIGGER, here.record().key))
    record = upload(here)
    assert record.state is State.SUBMITTED
    assert record.cancel_requested

    resume(here)
    assert resume(here).state is State.CANCELED


def test_a_cancel_after_submit_stops_the_job(here: Scene) -> None:
    key = upload(here).key
    here.workspace.end(name(here), "Running")
    assert resume(here).state is State.RUNNING
    assert here.submission.request_cancel(TRIGGER, key)
    assert here.record().state is State.RUNNING

    resume(here)
    assert here.workspace.jobs[name(here)].status == "Canceled"
    assert resume(here).state is State.CANCELED
    assert [told["decision"] for told in here.decisions()] == ["canceled"]


def test_a_cancel_is_asked_for_once(here: Scene) -> None:
    key = upload(here).key
    here.workspace.end(name(here), "CancelRequested")
    here.submission.request_cancel(TRIGGER, key)
    record = resume(here)

    assert "cancel" not in [call.split(" ")[0] for call in here.calls()]
    assert record.cancel_requested
    assert not record.state.final


def test_a_job_that_completed_before_the_cancel_came_is_completed(here: Scene) -> None:
    key = upload(here).key
    here.submission.request_cancel(TRIGGER, key)
    here.workspace.end(name(here), "Completed")

    assert resume(here).state is State.COMPLETED
    assert "cancel" not in here.calls()


def test_what_is_over_or_unknown_cannot_be_canceled(here: Scene) -> None:
    key = upload(here).key
    here.workspace.end(name(here), "Completed")
    before = resume(here)

    assert not here.submission.request_cancel(TRIGGER, key)
    assert not here.submission.request_cancel(TRIGGER, "unknown")
    assert here.record() == before


def test_a_cancel_meets_no_change_of_somebody_else(here: Scene) -> None:
    key = upload(here).key
    here.workspace.end(name(here), "Running")
    interject(here.world, "swap ledger/", lambda: here.submission.resume(TRIGGER, key))
    assert here.submission.request_cancel(TRIGGER, key)

    assert here.record().state is State.RUNNING
    assert here.record().cancel_requested


# The job, observed.


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NotStarted", State.SUBMITTED),
        ("Queued", State.SUBMITTED),
        ("Preparing", State.SUBMITTED),
        ("a status of next year", State.SUBMITTED),
        ("Running", State.RUNNING),
        ("Finalizing", State.RUNNING),
        ("CancelRequested", State.RUNNING),
        ("Paused", State.RUNNING),
        ("Completed", State.COMPLETED),
        ("Failed", State.FAILED),
        # A node that misses a heartbeat may come back.
        ("NotResponding", State.RUNNING),
        ("Canceled", State.CANCELED),
    ],
)
def test_a_job_s_status_is_a_run_s_state(here: Scene, status: str, state: State) -> None:
    upload(here)
    here.workspace.end(name(here), status)
    record = resume(here)

    assert record.state is state
    assert bool(here.markers()) is not state.final
    assert [told["decision"] for told in here.decisions()] == [state] * state.final


def test_a_run_that_goes_on_as_it_was_is_not_written(here: Scene) -> None:
    upload(here)
    here.workspace.end(name(here), "Running")
    resume(here)
    resume(here)

    assert here.calls() == ["get ledger", "GET"]


def test_states_carry_storage_s_time(here: Scene) -> None:
    upload(here)
    started = here.world.now
    here.workspace.end(name(here), "Running")
    resume(here, after=100)
    here.workspace.end(name(here), "Completed")
    record = resume(here, after=200)

    assert [(step.state, (step.at - started).total_seconds()) for step in record.transitions] == [
        (State.SUBMITTING, 0),
        (State.SUBMITTED, 0),
        (State.RUNNING, 100),
        (State.COMPLETED, 300),
    ]
    assert here.decisions()[0]["at"] == here.world.now.isoformat()


def test_a_failed_step_says_what_and_why(here: Scene) -> None:
    upload(here)
    here.workspace.failures[name(here)] = [
        FailedStep(step="train", job="child-1", log_tail="ValueError: no rows"),
        FailedStep(step="score", job="child-2", log_tail=""),
    ]
    here.workspace.end(name(here), "Failed")
    record = resume(here)

    assert record.state is State.FAILED
    assert record.reason is not None
    assert record.reason.code == "job_failed"
    assert record.reason.text == (
        f"AzureML job {name(here)} failed in train, score: ValueError: no rows"
    )
    assert record.failed_steps == (
        {"step": "train", "job": "child-1", "log_tail": "ValueError: no rows"},
        {"step": "score", "job": "child-2", "log_tail": ""},
    )


def test_a_failed_run_is_final_before_its_logs_are_fetched(here: Scene) -> None:
    upload(here)
    here.workspace.failures[name(here)] = [FailedStep(step="train", job="c", log_tail="no rows")]
    here.workspace.end(name(here), "Failed")
    seen: list[Record] = []
    interject(here.world, "steps", lambda: seen.append(here.record()))
    resume(here)

    assert [record.state for record in seen] == [State.FAILED]
    assert len(here.record().transitions) == 3


@pytest.mark.parametrize("error", [BUSY, OSError("no space left")])
def test_a_failure_whose_cause_cannot_be_read_is_still_a_failure(
    here: Scene, error: Exception
) -> None:
    upload(here)
    here.workspace.end(name(here), "Failed")
    fail(here.world, "steps", error)
    record = resume(here)

    assert record.state is State.FAILED
    assert record.failed_steps == ()
    assert record.reason is not None
    assert record.reason.code == "job_failed"
    assert here.markers() == []


def test_a_job_that_is_missing_for_a_moment_is_not_lost(here: Scene) -> None:
    before = upload(here)
    gone = here.workspace.jobs.pop(name(here))
    # However long ago it was submitted, the first 404 only begins the grace.
    missing = resume(here, after=GRACE_OVER)
    assert missing.state is State.SUBMITTED
    assert missing.missing_since == here.world.now
    assert resume(here, after=GRACE.total_seconds()) == missing

    here.workspace.jobs[gone.name] = gone
    assert resume(here) == before


def test_a_job_that_is_missing_past_the_grace_is_a_failure(here: Scene) -> None:
    upload(here)
    del here.workspace.jobs[name(here)]
    resume(here)
    record = resume(here, after=GRACE_OVER)

    assert record.state is State.FAILED
    assert record.reason is not None
    assert record.reason.code == "job_missing"
    assert here.markers() == []


def test_one_404_does_not_end_a_run_that_was_seen_a_moment_ago(here: Scene) -> None:
    upload(here)
    here.workspace.end(name(here), "Running")
    resume(here, after=60)
    resume(here, after=GRACE_OVER)
    workspace = here.workspace
    assert isinstance(workspace, LateWorkspace)
    workspace.behind = True
    resume(here, after=1)
    workspace.behind = False

    assert resume(here, after=60).state is State.RUNNING


@pytest.mark.parametrize(
    "error", [BUSY, StorageUnavailable("storage is down")], ids=["azureml", "storage"]
)
def test_a_look_that_fails_changes_nothing(here: Scene, error: Exception) -> None:
    before = upload(here)
    here.workspace.end(name(here), "Completed")
    fail(here.world, "GET" if error is BUSY else "swap ledger/", error)
    with pytest.raises(type(error)):
        here.submission.resume(TRIGGER, before.key)

    assert here.record() == before
    assert resume(here).state is State.COMPLETED


# The end.


def test_the_end_is_told_and_closed(here: Scene) -> None:
    upload(here)
    here.workspace.end(name(here), "Completed")
    record = resume(here)

    [told] = here.decisions()
    assert (told["trigger"], told["key"], told["run"]) == (TRIGGER, record.key, record.run_id)
    assert (told["decision"], told["reason"]) == ("completed", None)
    assert (told["pipeline"], told["job"]) == ("churn-training@v1", name(here))
    assert told["event"]["subject"] == event().subject
    assert here.markers() == []


@pytest.mark.parametrize("call", ["put history/", "delete open/"])
def test_final_steps_that_failed_are_repeated(here: Scene, call: str) -> None:
    upload(here)
    here.workspace.end(name(here), "Completed")
    fail(here.world, call, StorageUnavailable("storage is down"))
    with pytest.raises(StorageUnavailable):
        here.submission.resume(TRIGGER, here.record().key)
    assert len(here.markers()) == 1

    here.world.pass_time(60)
    resume(here)
    assert [told["decision"] for told in here.decisions()] == ["completed"]
    assert here.markers() == []


def test_of_two_that_see_the_end_one_writes_it(here: Scene) -> None:
    key = upload(here).key
    here.workspace.end(name(here), "Completed")
    interject(here.world, "swap ledger/", lambda: here.submission.resume(TRIGGER, key))
    here.submission.resume(TRIGGER, key)

    assert [step.state for step in here.record().transitions] == [
        State.SUBMITTING,
        State.SUBMITTED,
        State.COMPLETED,
    ]
    assert len(here.decisions()) == 1


def test_submitting_is_given_up_after_a_day_and_final_with_proof(here: Scene) -> None:
    fail(here.world, "PUT", BUSY)
    upload(here)
    here.workspace.jobs.clear()
    given_up = resume(here, after=PATIENCE.total_seconds() + 60)

    assert given_up.state is State.SUBMITTING
    assert given_up.given_up is not None
    assert given_up.given_up.code == "azureml_unavailable"
    assert here.workspace.jobs == {}

    final = resume(here, after=1)
    assert final.state is State.DEAD_LETTER
    assert final.reason == given_up.given_up


def test_a_job_that_came_late_is_found_by_a_run_that_gave_up(here: Scene) -> None:
    fail(here.world, "PUT", BUSY)
    before = upload(here)
    assert before.body is not None
    resume(here, after=PATIENCE.total_seconds() + 60)
    here.workspace.submit(name(here), before.body)

    assert resume(here, after=1).state is State.SUBMITTED
