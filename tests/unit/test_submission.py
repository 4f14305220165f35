"""From a record to a job to its end, with every answer that AzureML may give or lose."""

import pytest

from shared.binding import RUN_TAG
from shared.errors import WorkspaceUnavailable
from shared.ledger import GRACE, LEASE, PATIENCE, State
from shared.workspace import Job
from tests.fakes import World
from tests.unit.scene import TRIGGER, Scene, fail, interject, trigger
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
