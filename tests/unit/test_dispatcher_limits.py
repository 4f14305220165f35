"""Limits, as an event meets them: from its delivery to the end of its run."""

from datetime import datetime
from typing import Any

import pytest

from shared.errors import JobRejected, WorkspaceUnavailable
from shared.events import Event
from shared.index import Paused, Snapshot
from shared.ledger import LEASE, Record, State, job_name
from shared.slots import slot_of
from tests.unit.scene import DEPLOYMENT, TRIGGER, Scene, event, fail, interject, pipeline, trigger

ONE_AT_ONCE: dict[str, Any] = {"concurrency": {"limit": 1}}
DAY = 24 * 3600


@pytest.fixture
def here() -> Scene:
    return Scene()


def upload(number: int, **data: Any) -> Event:
    return event(etag=f"0x{number}", **data)


def deliver(here: Scene, *numbers: int) -> list[Record]:
    """What came of each upload, in order."""
    records = []
    for number in numbers:
        here.world.pass_time(1)
        [decision] = here.dispatcher.handle(upload(number))
        assert decision.record is not None
        records.append(decision.record)
    return records


def now(here: Scene, record: Record) -> Record:
    kept = here.ledger.read(record.trigger, record.key)
    assert kept is not None
    return kept.record


def states(here: Scene, records: list[Record]) -> list[State]:
    return [now(here, record).state for record in records]


def end(here: Scene, record: Record, status: str = "Completed") -> None:
    """The job of a run ends, and the tick sees it."""
    here.workspace.end(now(here, record).attempt.job_name, status)
    here.world.pass_time(61)
    here.tick.run()


def pause(here: Scene, paused: Paused | None) -> None:
    def change(before: Snapshot, _at: datetime) -> Snapshot:
        known = before.triggers[TRIGGER].model_copy(update={"paused": paused})
        return before.model_copy(update={"triggers": {TRIGGER: known}})

    here.index.change(change)


def test_a_run_with_a_limit_costs_two_requests_more(here: Scene) -> None:
    here.publish(trigger(policies={}))
    deliver(here, 1)
    here.calls()

    deliver(here, 2)

    assert here.calls() == [
        "get_if_changed index.json",
        "put open",
        "get slots",
        "swap slots",
        "create ledger",
        "PUT",
        "swap ledger",
    ]


def test_runs_begin_one_after_the_other_in_the_order_they_came(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE))
    records = deliver(here, 1, 2, 3)

    assert states(here, records) == [State.SUBMITTED, State.QUEUED, State.QUEUED]
    assert [record.number for record in records] == [None, 1, 2]
    reason = records[1].reason
    assert reason is not None
    assert reason.code == "waiting_slot"
    end(here, records[0])
    assert states(here, records) == [State.COMPLETED, State.SUBMITTED, State.QUEUED]
    end(here, records[1], "Failed")
    assert states(here, records) == [State.COMPLETED, State.FAILED, State.SUBMITTED]
    end(here, records[2])
    for _ in range(2):
        here.tick.run()

    slot = here.slots.read(TRIGGER, "all", here.world.now).slot
    assert (slot.holders, slot.waiting) == ({}, 0)
    assert not [name for name in here.blobs.stored if name.startswith(("queue/", "open/"))]


def test_runs_of_different_keys_do_not_wait_for_each_other(here: Scene) -> None:
    keyed = {"concurrency": {"key": "${{ event.data.contentType }}", "limit": 1}}
    here.publish(trigger(policies=keyed))
    records = [
        here.dispatcher.handle(upload(number, data={"contentType": kind}))[0].record
        for number, kind in enumerate(["csv", "csv", "json"])
    ]

    assert [record and now(here, record).state for record in records] == [
        State.SUBMITTED,
        State.QUEUED,
        State.SUBMITTED,
    ]


def test_what_overlaps_is_skipped_where_that_is_wanted(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE | {"overlap": "skip"}))
    records = deliver(here, 1, 2)

    assert states(here, records) == [State.SUBMITTED, State.SKIPPED]
    assert records[1].reason is not None
    assert records[1].reason.code == "overlap_skipped"
    # Told, and nothing is left of it.
    assert [each["decision"] for each in here.decisions()] == ["skipped"]
    assert [marker.key for marker in here.markers()] == [records[0].key]
    end(here, records[0])
    assert states(here, deliver(here, 3)) == [State.SUBMITTED]


def test_a_run_that_is_over_does_not_make_others_overlap(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE | {"overlap": "skip"}))
    [first] = deliver(here, 1)
    here.workspace.end(now(here, first).attempt.job_name, "Completed")
    # Its end is written down, and then the worker dies.
    fail(here.world, "put history/", RuntimeError("killed"))
    here.tick.run()
    assert states(here, [first]) == [State.COMPLETED]

    assert states(here, deliver(here, 2)) == [State.SUBMITTED]


def test_no_more_runs_begin_in_a_day_than_may(here: Scene) -> None:
    here.publish(trigger(policies={"max_runs_per_day": 2}))
    records = deliver(here, 1, 2, 3, 4)

    assert states(here, records) == [State.SUBMITTED] * 2 + [State.QUEUED] * 2
    assert [record.reason and record.reason.code for record in records[2:]] == [
        "daily_limit",
        "waiting_slot",
    ]
    end(here, records[0])
    assert states(here, records)[2:] == [State.QUEUED] * 2
    here.world.pass_time(DAY)
    here.tick.run()
    assert states(here, records)[2:] == [State.SUBMITTED] * 2


def test_the_cap_of_a_day_is_for_all_keys_together(here: Scene) -> None:
    policies = {
        "concurrency": {"key": "${{ event.data.contentType }}", "limit": 5},
        "max_runs_per_day": 2,
    }
    here.publish(trigger(policies=policies))
    records = [
        here.dispatcher.handle(upload(number, data={"contentType": str(number)}))[0].record
        for number in range(3)
    ]

    assert [record and record.state for record in records] == [
        State.SUBMITTING,
        State.SUBMITTING,
        State.QUEUED,
    ]
    here.world.pass_time(DAY)
    here.tick.run()
    assert records[2] is not None
    assert states(here, [records[2]]) == [State.SUBMITTED]


def test_a_refused_job_gives_its_place_to_the_next(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE))
    records = deliver(here, 1, 2, 3)
    refused = JobRejected("UserError", "the environment is gone")
    fail(here.world, "PUT", refused)

    end(here, records[0])

    assert states(here, records) == [State.COMPLETED, State.DEAD_LETTER, State.SUBMITTED]


def test_a_failed_job_is_tried_again_in_its_place(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE | {"retry": {"max_attempts": 2}}))
    records = deliver(here, 1, 2)
    end(here, records[0], "Failed")

    again = now(here, records[0])
    assert again.state is State.SUBMITTED
    assert [attempt.number for attempt in again.attempts] == [1, 2]
    assert again.attempts[0].failure is not None
    assert again.attempts[0].job_name.endswith("-a1")
    assert again.attempts[1].job_name.endswith("-a2")
    assert states(here, records)[1] is State.QUEUED
    end(here, records[0], "Failed")
    assert states(here, records) == [State.FAILED, State.SUBMITTED]


def test_what_was_canceled_is_not_tried_again(here: Scene) -> None:
    here.publish(trigger(policies={"retry": {"max_attempts": 3}}))
    [record] = deliver(here, 1)
    here.submission.request_cancel(record.trigger, record.key)
    end(here, record, "Failed")

    assert states(here, [record]) == [State.FAILED]


def test_a_job_that_takes_too_long_is_stopped_and_has_failed(here: Scene) -> None:
    here.publish(trigger(policies={"run_timeout": "PT1H"}))
    [record] = deliver(here, 1)
    here.workspace.end(now(here, record).attempt.job_name, "Running")
    here.world.pass_time(3599)
    here.tick.run()
    assert states(here, [record]) == [State.RUNNING]

    for _ in range(3):
        here.world.pass_time(61)
        here.tick.run()

    stopped = now(here, record)
    assert stopped.state is State.FAILED
    assert stopped.reason is not None
    assert stopped.reason.code == "run_timeout"
    assert "1:00:00" in stopped.reason.text
    assert here.workspace.jobs[stopped.attempt.job_name].status == "Canceled"


def test_a_queued_run_can_be_canceled(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE))
    records = deliver(here, 1, 2, 3)
    here.submission.request_cancel(TRIGGER, records[1].key)
    here.submission.resume(TRIGGER, records[1].key)
    end(here, records[0])

    assert states(here, records) == [State.COMPLETED, State.CANCELED, State.SUBMITTED]


def test_what_is_held_goes_on_when_its_trigger_does(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE))
    records = deliver(here, 1, 2)
    pause(here, Paused(at=here.world.now, note="repairs"))
    records += deliver(here, 3)
    assert states(here, records) == [State.SUBMITTED, State.QUEUED, State.HELD]
    # What waits does not begin either.
    end(here, records[0])
    assert states(here, records) == [State.COMPLETED, State.QUEUED, State.HELD]

    pause(here, None)
    here.tick.run()

    assert states(here, records) == [State.COMPLETED, State.SUBMITTED, State.QUEUED]
    end(here, records[1])
    assert states(here, records)[2] is State.SUBMITTED
    assert not [name for name in here.blobs.stored if name.startswith("held/")]


def test_what_is_held_is_bound_to_what_is_published_when_it_goes_on(here: Scene) -> None:
    here.publish(trigger())
    pause(here, Paused(at=here.world.now, note=""))
    [record] = deliver(here, 1)
    here.publish(trigger(), pipelines=[pipeline(version="v2", component_id="/components/v2")])
    here.tick.run()

    found = now(here, record)
    assert found.pipeline is not None
    assert found.pipeline.endswith("@v2")
    assert found.body is not None
    assert found.body.component_id == "/components/v2"


def test_a_retry_that_was_held_goes_on_as_itself(here: Scene) -> None:
    here.publish(trigger(inputs={}))
    [dead] = deliver(here, 1)
    assert dead.state is State.DEAD_LETTER
    here.publish(trigger())
    pause(here, Paused(at=here.world.now, note=""))
    held = here.dispatcher.retry(dead.trigger, dead.key).record
    assert held is not None
    assert (held.state, held.replay_of) == (State.HELD, dead.run_id)
    pause(here, None)
    here.tick.run()

    found = now(here, held)
    assert (found.state, found.replay_of) == (State.SUBMITTED, dead.run_id)
    assert found.attempt.job_name == job_name(DEPLOYMENT, held.trigger, held.key, attempt=1)
    assert found.body is not None
    assert found.body.tags["signalbox_run"] == held.run_id


def test_what_is_held_for_a_trigger_that_is_gone_says_so(here: Scene) -> None:
    here.publish(trigger())
    pause(here, Paused(at=here.world.now, note=""))
    [record] = deliver(here, 1)
    here.publish(trigger("another"))
    here.tick.run()

    found = now(here, record)
    assert (found.state, found.reason and found.reason.code) == (State.SKIPPED, "trigger_gone")
    assert here.markers() == []


def test_a_held_run_that_is_delivered_again_stays_held(here: Scene) -> None:
    here.publish(trigger())
    pause(here, Paused(at=here.world.now, note=""))
    [record] = deliver(here, 1)
    here.dispatcher.handle(upload(1))
    pause(here, None)
    here.dispatcher.handle(upload(1))
    here.tick.run()

    assert states(here, [record]) == [State.SUBMITTED]
    assert len(here.workspace.jobs) == 1


def test_what_is_not_submitted_keeps_its_place(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE))
    fail(here.world, "PUT", WorkspaceUnavailable("AzureML answered 503"))
    records = deliver(here, 1, 2)
    here.world.pass_time(30)
    here.tick.run()
    assert states(here, records) == [State.SUBMITTING, State.QUEUED]
    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()

    assert states(here, records) == [State.SUBMITTED, State.QUEUED]


def test_who_finds_room_does_not_wait_for_the_timer(here: Scene) -> None:
    here.publish(trigger(policies=ONE_AT_ONCE))
    # As it is when the worker died that took the number.
    kept = here.slots.read(TRIGGER, "all", here.world.now)
    assert here.slots.swap(TRIGGER, "all", kept, kept.slot.numbered())

    assert states(here, deliver(here, 1)) == [State.SUBMITTED]


def test_who_was_counted_and_then_had_to_wait_is_not_counted(here: Scene) -> None:
    keyed = {"concurrency": {"key": "${{ event.data.api }}", "limit": 1}, "max_runs_per_day": 5}
    here.publish(trigger(policies=keyed))
    slot = slot_of("PutBlob")

    interject(here.world, f"create slots/{TRIGGER}/{slot}", lambda: deliver(here.process(), 1))
    [late] = deliver(here, 2)

    assert late.state is State.QUEUED
    assert here.slots.read(TRIGGER, "all", here.world.now).slot.runs_today == 1


def test_what_was_canceled_while_it_was_held_does_not_go_on(here: Scene) -> None:
    here.publish(trigger())
    pause(here, Paused(at=here.world.now, note=""))
    [record] = deliver(here, 1)
    # The worker dies before it is seen to end.
    assert here.submission.request_cancel(TRIGGER, record.key)
    pause(here, None)
    here.index.read()
    here.dispatcher.go_on(TRIGGER, record.key)

    assert states(here, [record]) == [State.CANCELED]
    assert here.workspace.jobs == {}
