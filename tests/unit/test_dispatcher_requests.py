"""Runs that a client asks for, and runs that are tried once more."""

from typing import Any

import pytest

from shared.definitions import MANUAL_TRIGGER
from shared.dispatcher import Decision, same_request
from shared.errors import (
    Conflict,
    NotFound,
    RequestInvalid,
    StorageUnavailable,
)
from shared.events import Event
from shared.ledger import LEASE, State
from tests.unit.scene import (
    PIPELINE,
    TRIGGER,
    Killed,
    Scene,
    event,
    fail,
    interject,
    pipeline,
    request,
    trigger,
)

DOWN = StorageUnavailable("storage is down")


@pytest.fixture
def here() -> Scene:
    here = Scene()
    here.publish(trigger())
    return here


# A run that a client asks for.


def asked(here: Scene, **given: Any) -> Decision:
    return here.dispatcher.run(request(**given))


def test_a_client_s_run_goes_the_way_of_every_other(here: Scene) -> None:
    decision = asked(here)

    record = here.record(MANUAL_TRIGGER)
    assert decision.trigger == MANUAL_TRIGGER
    assert not decision.duplicate
    assert record.state is State.SUBMITTED
    assert record.pipeline == "churn-training@v1"
    assert record.event == request()
    [name] = here.workspace.jobs
    here.workspace.end(name, "Completed")
    here.tick.run()
    assert here.record(MANUAL_TRIGGER).state is State.COMPLETED
    assert here.markers() == []


def test_the_same_key_and_body_is_the_same_run(here: Scene) -> None:
    first = asked(here)
    again = asked(here)

    assert again.duplicate
    assert first.record is not None
    assert again.record is not None
    assert again.record.run_id == first.record.run_id
    assert len(here.workspace.jobs) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"inputs": {"data": "https://x.blob.core.windows.net/c/b.csv"}},
        {"tags": {"a": "b"}},
        {"name": f"{PIPELINE}@v1"},
        {"force_rerun": True},
    ],
)
def test_the_same_key_for_another_request_is_a_conflict(here: Scene, other: dict[str, Any]) -> None:
    asked(here)
    with pytest.raises(Conflict, match="Idempotency-Key was used for another request"):
        asked(here, **other)

    assert len(here.workspace.jobs) == 1


def test_another_key_is_another_run(here: Scene) -> None:
    asked(here)
    asked(here, id="key-2")

    assert len(here.workspace.jobs) == 2


def test_what_was_accepted_is_answered_as_before_whatever_is_published_meanwhile(
    here: Scene,
) -> None:
    first = asked(here)
    here.publish(pipelines=[])
    again = asked(here)

    assert again.duplicate
    assert first.record is not None
    assert again.record is not None
    assert again.record.run_id == first.record.run_id


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"name": "other"}, NotFound, "No pipeline named 'other' is published"),
        ({"name": f"{PIPELINE}@v7"}, NotFound, "There are: churn-training"),
        ({"inputs": {}}, RequestInvalid, "do not fit"),
        ({"inputs": {"data": "https://x/$(id)"}}, RequestInvalid, "do not fit"),
        ({"inputs": {"data": "https://x/a", "more": 1}}, RequestInvalid, "do not fit"),
    ],
)
def test_a_request_that_cannot_run_is_refused_and_leaves_nothing(
    here: Scene, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    before = dict(here.blobs.stored)
    with pytest.raises(error, match=said):
        asked(here, **given)

    assert here.blobs.stored == before
    assert here.workspace.jobs == {}


def test_a_refused_request_says_everything_by_its_place(here: Scene) -> None:
    with pytest.raises(RequestInvalid) as caught:
        asked(here, inputs={"data": "local.csv", "more": 1})

    assert caught.value.problems.keys() == {"inputs.data", "inputs.more"}


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    "call", ["get_if_changed index", "put open/", "create ledger/", "swap ledger/"]
)
def test_a_request_that_failed_anywhere_is_one_run_when_it_is_made_again(
    here: Scene, call: str, applied: bool
) -> None:
    fail(here.world, call, DOWN, applied=applied)
    if call == "swap ledger/":
        # The run is safe in its record by then.
        asked(here)
    else:
        with pytest.raises(StorageUnavailable):
            asked(here)
    asked(here)
    for _ in range(2):
        here.world.pass_time(LEASE.total_seconds() + 1)
        here.tick.run()

    assert len(here.workspace.jobs) == 1
    assert here.record(MANUAL_TRIGGER).state is State.SUBMITTED


def test_of_two_requests_at_once_one_makes_the_run(here: Scene) -> None:
    interject(here.world, "create ledger/", lambda: asked(here))
    decision = asked(here)

    assert decision.duplicate
    assert len(here.workspace.jobs) == 1


def test_a_request_whose_pipeline_goes_while_it_is_made_is_a_dead_letter(here: Scene) -> None:
    asked(here)
    here.publish(pipelines=[])
    record = here.record(MANUAL_TRIGGER)
    del here.blobs.stored[f"ledger/{MANUAL_TRIGGER}/{record.key}.json"]
    with pytest.raises(NotFound):
        asked(here)


# Once more.


def ended(here: Scene, status: str, name: str = TRIGGER) -> tuple[str, str]:
    here.workspace.end(here.record(name).attempt.job_name, status)
    here.tick.run()
    return name, here.record(name).key


def retried(here: Scene, name: str, key: str) -> Decision:
    return here.dispatcher.retry(name, key)


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_what_did_not_succeed_may_run_once_more(here: Scene, status: str) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, status)
    decision = retried(here, name, key)

    assert decision.record is not None
    assert decision.record.replay_of == f"{name}.{key}"
    assert decision.record.key != key
    assert decision.record.event == event()
    assert len(here.workspace.jobs) == 2
    [job] = [body for body in here.workspace.bodies.values() if "signalbox_replay_of" in body.tags]
    assert job.tags["signalbox_replay_of"] == f"{name}.{key}"


def test_a_retry_runs_what_is_published_now(here: Scene) -> None:
    here.publish(trigger(inputs={}))
    here.dispatcher.handle(event())
    name, key = TRIGGER, here.record().key
    assert here.record().state is State.DEAD_LETTER
    here.publish(trigger(), pipelines=[pipeline(version="v2")])
    decision = retried(here, name, key)

    assert decision.record is not None
    assert decision.record.pipeline == "churn-training@v2"
    assert len(here.workspace.jobs) == 1


def test_a_run_has_one_retry_however_often_that_is_asked_for(here: Scene) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    first, second = retried(here, name, key), retried(here, name, key)

    assert first.record is not None
    assert second.record is not None
    assert second.duplicate
    assert second.record.run_id == first.record.run_id
    assert len(here.workspace.jobs) == 2


def test_a_retry_that_fails_may_be_retried_in_turn(here: Scene) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    keys = [key]
    for _ in range(3):
        record = retried(here, name, keys[-1]).record
        assert record is not None
        assert record.replay_of == f"{name}.{keys[-1]}"
        here.workspace.end(record.attempt.job_name, "Failed")
        here.tick.run()
        keys.append(record.key)

    assert len(set(keys)) == len(here.workspace.jobs) == 4


@pytest.mark.parametrize("status", ["Completed", "Running"])
def test_what_succeeded_or_still_runs_is_not_retried(here: Scene, status: str) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, status)
    with pytest.raises(Conflict, match=f"is {status.lower()}; only what failed"):
        retried(here, name, key)

    assert len(here.workspace.jobs) == 1


def test_a_run_that_is_not_there_is_not_found(here: Scene) -> None:
    with pytest.raises(NotFound, match=r"no run on-upload\.none"):
        retried(here, TRIGGER, "none")


def test_a_run_whose_trigger_went_or_says_no_by_now_is_not_retried(here: Scene) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    here.publish(trigger(path="stock/{file}.csv"))
    with pytest.raises(Conflict, match=r"says no to it now: path stock/\{file\}\.csv"):
        retried(here, name, key)
    here.publish(trigger("other"))
    with pytest.raises(Conflict, match="no trigger 'on-upload' any more"):
        retried(here, name, key)

    assert len(here.workspace.jobs) == 1


def test_a_client_s_run_may_run_once_more_as_it_was_asked_for(here: Scene) -> None:
    asked(here, tags={"who": "me"})
    name, key = ended(here, "Failed", MANUAL_TRIGGER)
    decision = retried(here, name, key)

    assert decision.trigger == MANUAL_TRIGGER
    assert decision.record is not None
    assert decision.record.body is not None
    assert decision.record.body.tags["who"] == "me"


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    "call", ["get ledger/", "get_if_changed index", "put open/", "create ledger/", "PUT", "swap"]
)
def test_a_retry_that_failed_anywhere_is_one_run_when_it_is_asked_for_again(
    here: Scene, call: str, applied: bool
) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    fail(here.world, call, Killed(), applied=applied)
    with pytest.raises(Killed):
        retried(here, name, key)
    retried(here, name, key)
    for _ in range(2):
        here.world.pass_time(LEASE.total_seconds() + 1)
        here.tick.run()

    assert len(here.workspace.jobs) == 2
    assert all("signalbox_run" in body.tags for body in here.workspace.bodies.values())


def test_of_two_requests_with_one_key_that_differ_one_is_told_so(here: Scene) -> None:
    interject(here.world, "create ledger/", lambda: asked(here, inputs={"data": "azureml:a:1"}))
    with pytest.raises(Conflict):
        asked(here, inputs={"data": "azureml:b:1"})

    record = here.record(MANUAL_TRIGGER)
    assert record.event.data["inputs"] == {"data": "azureml:a:1"}


def test_true_and_one_are_not_the_same_request() -> None:
    one, true = (request("k", PIPELINE, inputs={"n": value}) for value in (1, True))

    assert not same_request(one, true)
    assert same_request(one, Event.model_validate_json(one.model_dump_json()))
