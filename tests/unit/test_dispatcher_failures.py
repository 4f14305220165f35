"""The way of an event when something fails, dies or comes again: one job, and nothing is lost."""

import json
from collections.abc import Callable, Sequence

import pytest

from shared import envelopes
from shared.definitions import TriggerDefinition
from shared.dispatcher import SUBMIT_BUDGET
from shared.errors import (
    JobRejected,
    StorageUnavailable,
    WorkspaceUnavailable,
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
    request,
    trigger,
)

DOWN = StorageUnavailable("storage is down")


@pytest.fixture
def here() -> Scene:
    here = Scene()
    here.publish(trigger())
    return here


@pytest.mark.parametrize("call", ["put open/b-second", "create ledger/b-second"])
def test_storage_failing_for_one_trigger_is_mended_by_the_next_delivery(
    here: Scene, call: str
) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    fail(here.world, call, DOWN)
    with pytest.raises(StorageUnavailable):
        here.dispatcher.handle(event())
    assert here.record("a-first").state is State.SUBMITTING
    assert here.workspace.jobs == {}

    here.world.pass_time(10)
    here.dispatcher.handle(event())
    assert here.record("b-second").state is State.SUBMITTED
    # Another worker might still be submitting the first one, as long as its lease lasts.
    assert here.record("a-first").state is State.SUBMITTING

    here.world.pass_time(LEASE.total_seconds())
    here.tick.run()
    assert here.record("a-first").state is State.SUBMITTED
    assert len(here.workspace.jobs) == 2


@pytest.mark.parametrize("call", ["get_if_changed index.json", "put open/", "create ledger/"])
def test_what_fails_before_the_record_is_there_is_raised(here: Scene, call: str) -> None:
    fail(here.world, call, DOWN)
    with pytest.raises(StorageUnavailable):
        here.dispatcher.handle(event())
    assert here.workspace.jobs == {}

    here.dispatcher.handle(event())
    assert here.record().state is State.SUBMITTED


def test_a_record_whose_answer_was_lost_is_finished_by_the_tick(here: Scene) -> None:
    fail(here.world, "create ledger/", DOWN, applied=True)
    with pytest.raises(StorageUnavailable):
        here.dispatcher.handle(event())
    here.dispatcher.handle(event())
    assert here.workspace.jobs == {}

    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()
    assert here.record().state is State.SUBMITTED


@pytest.mark.parametrize(
    "error",
    [WorkspaceUnavailable("AzureML is down"), JobRejected("UserError", "no"), DOWN],
)
def test_nothing_is_raised_once_the_record_is_there(here: Scene, error: Exception) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    fail(here.world, "PUT", error)
    here.dispatcher.handle(event())

    assert here.record("a-first").state is not State.SUBMITTED
    assert here.record("b-second").state is State.SUBMITTED


def test_storage_failing_after_the_job_is_taken_is_left_to_the_tick(here: Scene) -> None:
    fail(here.world, "swap ledger/", DOWN)
    here.dispatcher.handle(event())
    assert here.record().state is State.SUBMITTING

    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()
    assert here.record().state is State.SUBMITTED
    assert len(here.workspace.jobs) == 1


def test_a_delivery_beside_one_that_is_submitting_leaves_it_alone(here: Scene) -> None:
    interject(here.world, "PUT", lambda: here.dispatcher.handle(event(id="at the same time")))
    here.dispatcher.handle(event())

    assert here.calls().count("PUT") == 1
    assert here.record().state is State.SUBMITTED
    assert here.record().attempt.takeovers == 0


@pytest.mark.parametrize("call", ["put open/", "create ledger/", "swap ledger/"])
def test_two_deliveries_at_once_make_one_job(here: Scene, call: str) -> None:
    interject(here.world, call, lambda: here.dispatcher.handle(event(id="at the same time")))
    here.dispatcher.handle(event())

    assert here.calls().count("PUT") == 1
    assert here.record().state is State.SUBMITTED
    assert len(here.markers()) == 1


def test_a_record_that_vanished_is_made_by_the_next_delivery(here: Scene) -> None:
    here.dispatcher.handle(event())
    [record] = [name for name in here.blobs.stored if name.startswith("ledger/")]
    interject(here.world, "get ledger/", lambda: here.blobs.stored.pop(record))
    with pytest.raises(StorageUnavailable, match="was there, and is not"):
        here.dispatcher.handle(event())

    here.dispatcher.handle(event())
    assert here.record().state is State.SUBMITTED
    assert len(here.workspace.jobs) == 1


def test_a_dead_letter_whose_end_fails_is_left_to_the_tick(here: Scene) -> None:
    here.publish(trigger("a-dead", inputs={}), trigger("b-second"))
    fail(here.world, "put history/", DOWN)
    here.dispatcher.handle(event())
    assert here.record("b-second").state is State.SUBMITTED
    assert here.decisions() == []

    here.tick.run()
    assert [told["trigger"] for told in here.decisions()] == ["a-dead"]


def test_a_record_that_cannot_be_read_is_left_to_the_tick(here: Scene) -> None:
    here.dispatcher.handle(event())
    [name] = [name for name in here.blobs.stored if name.startswith("ledger/")]
    here.blobs.put(name, b'{"state": "of a newer version"}')
    here.dispatcher.handle(event())

    assert len(here.workspace.jobs) == 1
    assert len(here.markers()) == 1


def test_a_delivery_past_the_lease_takes_over(here: Scene) -> None:
    fail(here.world, "PUT", WorkspaceUnavailable("AzureML answered 503"))
    here.dispatcher.handle(event())
    here.world.pass_time(LEASE.total_seconds() + 1)
    here.dispatcher.handle(event())

    record = here.record()
    assert record.state is State.SUBMITTED
    assert record.attempt.takeovers == 1


def test_what_a_repeated_delivery_cannot_mend_is_not_raised(here: Scene) -> None:
    here.dispatcher.handle(event())
    fail(here.world, "GET", WorkspaceUnavailable("AzureML answered 503"))
    here.dispatcher.handle(event())

    assert here.record().state is State.SUBMITTED


def test_submitting_ends_with_its_budget_and_the_tick_does_the_rest(here: Scene) -> None:
    names = ["a-first", "b-second", "c-third"]
    here.publish(*(trigger(name) for name in names))

    def slow(call: str) -> None:
        if call.startswith("PUT"):
            here.stopwatch += SUBMIT_BUDGET * 0.6

    here.world.before = slow
    here.dispatcher.handle(event())
    assert [here.record(name).state for name in names] == [
        State.SUBMITTED,
        State.SUBMITTED,
        State.SUBMITTING,
    ]

    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()
    assert here.record("c-third").state is State.SUBMITTED


# Crashes.


def outside(here: Scene) -> list[tuple[str, Callable[[], object]]]:
    """Every way in."""
    [message] = envelopes.message(
        b'{"region": "north"}', via="queue/inbox", sequence_number=7, enqueued=here.world.now
    )
    return [
        ("upload", lambda: here.dispatcher.handle(event())),
        ("message", lambda: here.dispatcher.handle(message)),
        ("one trigger", lambda: here.dispatcher.handle(event(), only=TRIGGER)),
        ("request", lambda: here.dispatcher.run(request())),
    ]


QUEUE = TriggerDefinition.model_validate(
    {
        "name": "on-message",
        "spec": {"service_bus": {"queue": "inbox"}},
        "action": {"pipeline": PIPELINE, "inputs": {"data": "https://x/${{ event.data.region }}"}},
    }
)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("nth", range(7))
@pytest.mark.parametrize("way", range(4))
def test_a_worker_killed_at_any_call_of_any_way_in_leaves_one_job(
    way: int, nth: int, applied: bool
) -> None:
    here = Scene()
    here.publish(trigger(), QUEUE)
    _, deliver = outside(here)[way]
    left = nth

    def kill(_call: str) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise Killed

    if applied:
        here.world.after = kill
    else:
        here.world.before = kill
    try:
        deliver()
    except Killed:
        deliver()
    here.world.before = here.world.after = lambda _call: None
    for _ in range(3):
        here.world.pass_time(LEASE.total_seconds() + 1)
        here.tick.run()

    assert len(here.workspace.jobs) == 1
    for name in here.workspace.jobs:
        here.workspace.end(name, "Completed")
    here.tick.run()
    assert here.markers() == []
    assert [told["decision"] for told in here.decisions()] == ["completed"]


def test_what_is_delivered_again_tells_nobody_again() -> None:
    told: list[str] = []

    class Topic:
        def publish(self, events: Sequence[Event]) -> None:
            told.extend(event.id for event in events)

    here = Scene(outcomes=Topic())
    here.publish(trigger())
    here.dispatcher.handle(event())
    here.workspace.end(here.record().attempt.job_name, "Completed")
    here.world.pass_time(60)
    here.tick.run()
    before = list(told)
    here.calls()
    for _ in range(3):
        here.dispatcher.handle(event())

    assert len(before) == 2
    assert told == before
    assert here.markers() == []


def test_what_is_delivered_again_does_not_ask_azureml(here: Scene) -> None:
    here.publish(trigger())
    here.dispatcher.handle(event())
    here.calls()
    here.dispatcher.handle(event())

    assert not {"GET", "PUT"} & set(here.calls())


def test_many_events_share_one_time_for_submitting(here: Scene) -> None:
    here.publish(trigger())
    here.world.after = lambda call: (
        setattr(here, "stopwatch", here.stopwatch + 4) if call.startswith("PUT") else None
    )
    here.dispatcher.handle(*(event(f"sales/north/{n}.csv") for n in range(6)))

    states = [
        json.loads(blob.data)["state"]
        for name, blob in here.blobs.stored.items()
        if name.startswith("ledger/")
    ]
    assert states.count(State.SUBMITTED) == 3
    assert states.count(State.SUBMITTING) == 3
