"""From a record to a job to its end, with every answer that AzureML may give or lose."""

from contextlib import suppress

import pytest

from shared.binding import RUN_TAG
from shared.errors import JobRejected, StorageUnavailable, WorkspaceUnavailable
from shared.inputs import DataInput, PipelineInput
from shared.ledger import GRACE, LEASE, PATIENCE, Record, State
from shared.workspace import FailedStep, Job
from tests.fakes import MemoryWorkspace, World
from tests.unit.scene import TRIGGER, Killed, Scene, event, fail, interject, pipeline, trigger

BUSY = WorkspaceUnavailable("AzureML answered 503")
REJECTED = JobRejected("ComponentNotFound", "no such component")
LEASE_OVER = LEASE.total_seconds() + 1
GRACE_OVER = GRACE.total_seconds() + 1


class LateWorkspace(MemoryWorkspace):
    """Its GET is behind its PUT for as long as `behind` is set."""

    behind = False

    def find(self, name: str) -> Job | None:
        found = super().find(name)
        return None if self.behind else found


@pytest.fixture
def workspace() -> LateWorkspace:
    return LateWorkspace(World())


@pytest.fixture
def here(workspace: LateWorkspace) -> Scene:
    here = Scene(workspace=workspace)
    here.publish(trigger())
    return here


def upload(here: Scene) -> Record:
    here.dispatcher.handle(event())
    here.calls()
    return here.record()


def left_submitting(here: Scene, error: Exception = BUSY, *, applied: bool = False) -> Record:
    """A run whose first PUT failed, or took effect without an answer."""
    fail(here.world, "PUT", error, applied=applied)
    record = upload(here)
    assert record.state is State.SUBMITTING
    return record


def resume(here: Scene, *, after: float = 0) -> Record:
    here.world.pass_time(after)
    here.calls()
    record = here.record()
    assert here.submission.resume(record.trigger, record.key)
    return here.record()


def name(here: Scene) -> str:
    return here.record().attempt.job_name


def test_a_run_that_is_not_there_cannot_be_resumed(here: Scene) -> None:
    assert not here.submission.resume(TRIGGER, "unknown")


# A PUT that was not answered, or not now.


def test_within_its_lease_a_submission_is_left_alone(here: Scene) -> None:
    before = left_submitting(here)
    at_the_limit = LEASE.total_seconds()

    assert resume(here, after=at_the_limit) == before
    assert here.calls() == ["get ledger"]


def test_past_its_lease_it_is_taken_over_and_looked_for_before_it_is_sent_again(
    here: Scene,
) -> None:
    left_submitting(here)
    record = resume(here, after=LEASE_OVER)

    assert here.calls()[:5] == ["get ledger", "swap ledger", "GET", "PUT", "swap ledger"]
    assert record.state is State.SUBMITTED
    assert record.attempt.takeovers == 1
    assert record.attempt.submitting_at == here.world.now


def test_a_job_that_is_there_already_is_not_sent_again(here: Scene) -> None:
    left_submitting(here, WorkspaceUnavailable("the answer was lost"), applied=True)
    record = resume(here, after=LEASE_OVER)

    assert "PUT" not in here.calls()
    assert record.state is State.SUBMITTED


def test_a_takeover_begins_a_lease_of_its_own(here: Scene) -> None:
    left_submitting(here)
    fail(here.world, "PUT", BUSY)
    taken = resume(here, after=LEASE_OVER)
    assert taken.state is State.SUBMITTING

    assert resume(here, after=60) == taken
    assert resume(here, after=31).state is State.SUBMITTED


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(None, 90), (5.0, 90), (91.0, 91), (600.0, 600), (1e9, 3600)]
)
def test_the_tick_waits_as_long_as_azureml_asks_but_never_less_than_a_lease(
    here: Scene, retry_after: float | None, wait: float
) -> None:
    left_submitting(here, WorkspaceUnavailable("AzureML answered 503", retry_after=retry_after))
    [marker] = here.markers()

    assert (marker.next_check - here.world.now).total_seconds() == wait


# A PUT that AzureML certainly did not take.


def throttled(retry_after: float | None = None) -> WorkspaceUnavailable:
    return WorkspaceUnavailable("AzureML answered 429", retry_after=retry_after, refused=True)


@pytest.mark.parametrize(
    ("retry_after", "wait"), [(None, 5), (2.0, 5), (30.0, 30), (600.0, 600), (1e9, 3600)]
)
def test_what_was_refused_waits_as_long_as_azureml_asks_and_not_for_its_lease(
    here: Scene, retry_after: float | None, wait: float
) -> None:
    record = left_submitting(here, throttled(retry_after))
    [marker] = here.markers()
    assert (marker.next_check - here.world.now).total_seconds() == wait

    if wait > 1 and wait <= LEASE.total_seconds():
        assert resume(here, after=wait - 1) == record
        assert here.calls() == ["get ledger"]
        resume(here, after=1)
    else:
        resume(here, after=wait)
    assert here.record().state is State.SUBMITTED
    # No PUT was on its way, so there was nothing to look for.
    assert here.calls()[:4] == ["get ledger", "swap ledger", "PUT", "swap ledger"]


def test_it_waits_longer_each_time_but_not_longer_than_for_an_answer(here: Scene) -> None:
    left_submitting(here, throttled())
    waits = []
    for _ in range(7):
        [marker] = here.markers()
        waits.append((marker.next_check - here.world.now).total_seconds())
        fail(here.world, "PUT", throttled())
        resume(here, after=waits[-1])
    assert waits == [5, 10, 20, 40, 80, 90, 90]
    assert here.record().attempt.refused == 8


def test_whoever_is_late_with_a_refusal_shortens_nobody_s_lease(here: Scene) -> None:
    def taken_over(call: str) -> None:
        if call.startswith("PUT"):
            here.world.before = lambda _call: None
            here.world.pass_time(LEASE_OVER)
            kept = here.kept()
            here.ledger.swap(kept, kept.record.taken_over(kept.at))
            raise throttled()

    here.world.before = taken_over
    before = upload(here)
    assert (before.attempt.takeovers, before.attempt.refused) == (1, 0)

    assert resume(here, after=60) == before


def test_a_refusal_after_a_put_without_an_answer_proves_nothing_of_that(here: Scene) -> None:
    left_submitting(here)
    fail(here.world, "PUT", throttled())
    resume(here, after=LEASE_OVER)
    fail(here.world, "PUT", REJECTED)
    record = resume(here, after=5)

    # It is looked for, and what refuses it is not its end: the first PUT may be on its way.
    assert here.calls()[:4] == ["get ledger", "swap ledger", "GET", "PUT"]
    assert record.state is State.SUBMITTING
    assert record.given_up


def test_what_was_only_ever_refused_is_over_when_it_is_rejected(here: Scene) -> None:
    left_submitting(here, throttled())
    fail(here.world, "PUT", REJECTED)

    assert resume(here, after=5).state is State.DEAD_LETTER


def test_what_was_only_ever_refused_is_canceled_without_waiting_for_proof(here: Scene) -> None:
    record = left_submitting(here, throttled(600))
    here.submission.request_cancel(record.trigger, record.key)

    assert resume(here).state is State.CANCELED
    assert not here.markers()


def test_a_cancel_that_comes_first_waits_for_proof(here: Scene) -> None:
    def cancel(call: str) -> None:
        if call.startswith("PUT"):
            here.world.before = lambda _call: None
            kept = here.kept()
            here.submission.request_cancel(TRIGGER, kept.record.key)
            raise throttled()

    here.world.before = cancel
    upload(here)
    assert resume(here, after=LEASE_OVER).state is State.SUBMITTING
    assert resume(here, after=GRACE_OVER).state is State.CANCELED


def test_two_takeovers_send_one_job(here: Scene) -> None:
    left_submitting(here)
    here.world.pass_time(LEASE_OVER)
    key = here.record().key
    interject(here.world, "swap ledger/", lambda: here.submission.resume(TRIGGER, key))
    here.calls()
    here.submission.resume(TRIGGER, key)

    assert here.calls().count("PUT") == 1
    assert here.record().attempt.takeovers == 1


def test_a_late_worker_s_answer_is_written_into_the_record_as_it_is_by_then(here: Scene) -> None:
    # The first worker's PUT takes effect, but before it says so a second one took over.
    def taken_over(call: str) -> None:
        if call.startswith("PUT"):
            here.world.after = lambda _call: None
            here.world.pass_time(LEASE_OVER)
            kept = here.kept()
            here.ledger.swap(kept, kept.record.taken_over(kept.at))

    here.world.after = taken_over
    record = upload(here)

    assert record.state is State.SUBMITTED
    assert record.attempt.takeovers == 1


def test_a_late_worker_s_answer_is_not_written_over_an_end(here: Scene) -> None:
    def ended(call: str) -> None:
        if call.startswith("PUT"):
            here.world.after = lambda _call: None
            kept = here.kept()
            submitted = here.ledger.swap(kept, kept.record.moved(State.SUBMITTED, kept.at))
            assert submitted is not None
            here.ledger.swap(submitted, submitted.record.moved(State.COMPLETED, kept.at))

    here.world.after = ended

    assert upload(here).state is State.COMPLETED


# "It exists" is proof.


def test_a_job_that_exists_and_shows_our_tag_is_ours(here: Scene) -> None:
    left_submitting(here, WorkspaceUnavailable("the answer was lost"), applied=True)
    workspace = here.workspace
    assert isinstance(workspace, LateWorkspace)
    workspace.behind = True

    def caught_up(call: str) -> None:
        workspace.behind = not call.startswith("PUT") and workspace.behind

    here.world.after = caught_up
    record = resume(here, after=LEASE_OVER)

    # GET did not see it, PUT said that it exists, GET saw it.
    assert [call for call in here.calls() if call in ("GET", "PUT")] == ["GET", "PUT", "GET"]
    assert record.state is State.SUBMITTED
    assert len(workspace.jobs) == 1


def test_a_job_that_exists_but_is_not_visible_yet_is_waited_for(here: Scene) -> None:
    left_submitting(here, WorkspaceUnavailable("the answer was lost"), applied=True)
    workspace = here.workspace
    assert isinstance(workspace, LateWorkspace)
    workspace.behind = True
    assert resume(here, after=LEASE_OVER).state is State.SUBMITTING
    assert len(here.markers()) == 1

    workspace.behind = False
    assert resume(here, after=LEASE_OVER).state is State.SUBMITTED


@pytest.mark.parametrize("tags", [{}, {RUN_TAG: "on-upload.another"}, {"signalbox": "x"}])
@pytest.mark.parametrize("seen_by", ["PUT", "GET"])
def test_a_job_of_our_name_that_is_not_ours_is_a_conflict(
    here: Scene, tags: dict[str, str], seen_by: str
) -> None:
    if seen_by == "GET":
        left_submitting(here)
        here.workspace.jobs[name(here)] = Job(name=name(here), status="Running", tags=tags)
        record = resume(here, after=LEASE_OVER)
    else:
        foreign = Scene()
        foreign.publish(trigger())
        taken = upload(foreign).attempt.job_name
        here.workspace.jobs[taken] = Job(name=taken, status="Running", tags=tags)
        record = upload(here)

    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert record.reason.code == "name_conflict"
    assert record.attempt.job_name in record.reason.text
    assert here.markers() == []


# A job that AzureML will never take.


def test_a_rejection_of_the_only_put_is_final(here: Scene) -> None:
    fail(here.world, "PUT", REJECTED)
    record = upload(here)

    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert record.reason.code == "azureml_rejected"
    assert "ComponentNotFound" in record.reason.text
    assert "no such component" in record.reason.text
    assert record.given_up is None
    assert here.markers() == []
    [told] = here.decisions()
    assert told["decision"] == "dead_letter"
    assert told["reason"]["code"] == "azureml_rejected"


def test_a_rejection_is_not_written_over_somebody_else_s_takeover(here: Scene) -> None:
    def rejected() -> None:
        here.world.pass_time(LEASE_OVER)
        kept = here.kept()
        here.ledger.swap(kept, kept.record.taken_over(kept.at))
        raise REJECTED

    interject(here.world, "PUT", rejected)

    assert upload(here).state is State.SUBMITTING


def test_a_rejection_after_a_takeover_gives_up_and_waits_for_proof(here: Scene) -> None:
    left_submitting(here)
    fail(here.world, "PUT", REJECTED)
    given_up = resume(here, after=LEASE_OVER)
    assert given_up.state is State.SUBMITTING
    assert given_up.given_up is not None
    assert given_up.given_up.code == "azureml_rejected"

    # Nothing is sent any more, and only the grace proves that no PUT is on its way.
    assert resume(here, after=GRACE.total_seconds()) == given_up
    assert "PUT" not in here.calls()
    record = resume(here, after=1)
    assert record.state is State.DEAD_LETTER
    assert record.reason == given_up.given_up
    assert here.markers() == []


def test_a_put_that_took_effect_after_giving_up_is_the_run_s_job(here: Scene) -> None:
    left_submitting(here)
    body = here.record().body
    fail(here.world, "PUT", REJECTED)
    assert resume(here, after=LEASE_OVER).given_up is not None

    assert body is not None
    here.workspace.submit(name(here), body)
    record = resume(here, after=GRACE_OVER)
    assert record.state is State.SUBMITTED


def test_submitting_is_given_up_in_the_end_and_only_with_proof(here: Scene) -> None:
    fail(here.world, "PUT", BUSY, times=10_000)
    upload(here)
    patience = PATIENCE.total_seconds()
    still = resume(here, after=patience)
    assert still.given_up is None
    assert here.calls().count("PUT") == 1

    given_up = resume(here, after=LEASE_OVER)
    assert given_up.state is State.SUBMITTING
    assert given_up.given_up is not None
    assert given_up.given_up.code == "azureml_unavailable"
    assert resume(here, after=GRACE.total_seconds() - LEASE_OVER) == given_up
    assert "PUT" not in here.calls()

    record = resume(here, after=1)
    assert record.state is State.DEAD_LETTER
    assert record.reason == given_up.given_up
    assert here.markers() == []


def test_a_job_that_came_after_all_is_not_given_up(here: Scene) -> None:
    left_submitting(here, WorkspaceUnavailable("the answer was lost"), applied=True)
    assert resume(here, after=PATIENCE.total_seconds() + 1).given_up is not None

    assert resume(here).state is State.SUBMITTED


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
