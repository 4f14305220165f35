"""Many events for one run, whoever dies on the way."""

from datetime import timedelta
from typing import Any

import pytest

from shared import batches as rooms
from shared import dispatcher
from shared.definitions import TriggerDefinition
from shared.errors import StorageUnavailable
from shared.events import BATCH_TYPE
from shared.index import Paused, Snapshot
from shared.inputs import DataInput
from shared.ledger import State
from tests.unit.batching import batched, inbox, manifest, members, never, records, runs, upload
from tests.unit.scene import (
    TRIGGER,
    Scene,
    event,
    fail,
    indexed,
    pipeline,
    trigger,
)


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(batched())
    return scene


def test_an_event_waits_for_its_batch(here: Scene) -> None:
    [record] = upload(here, "a.csv")

    assert here.world.calls == [
        "get_if_changed index.json",
        f"create ledger/{TRIGGER}/{record.key}.json",
        f"create inbox/{TRIGGER}/{record.member and record.member.group}/{record.key}",
    ]
    assert record.state is State.WAITING_BATCH
    assert record.reason
    assert record.reason.code == "waiting_batch"
    assert "date=03-01" in record.reason.text
    assert record.member
    assert record.member.captures == {"date": "03-01", "file": "a"}
    assert record.member.until == here.world.now + timedelta(minutes=30)
    assert not here.markers()


def test_one_run_takes_what_waited(here: Scene) -> None:
    upload(here, "a.csv", "b.csv")
    here.world.pass_time(60)
    upload(here, "c.csv", "x.csv", day="03-02")
    here.batches.seal_due(never)
    assert not runs(here)
    here.world.pass_time(60)
    here.batches.seal_due(never)

    [run] = runs(here)
    assert manifest(here, run) == ["sales/03-01/a.csv", "sales/03-01/b.csv"]
    assert run.state is State.SUBMITTED
    assert run.body
    assert run.body.inputs == {"data": DataInput(type="uri_file", path=run.event.data["manifest"])}
    assert run.event.type == BATCH_TYPE
    assert (run.event.id, run.event.subject) == (run.run_id, "date=03-01")
    assert run.event.data["events"] == 2
    taken = [record for record in members(here) if record.state is State.BATCHED]
    assert [record.batch for record in taken] == [run.key] * 2
    assert sorted(record.key for record in taken) == sorted(run.members)
    assert taken[0].reason
    assert taken[0].reason.text == f"It is part of run {run.run_id}."
    assert len(inbox(here)) == 2


def test_what_says_that_they_are_complete_does_not_wait_for_the_tick(here: Scene) -> None:
    upload(here, "a.csv", "b.csv")
    upload(here, "_SUCCESS")

    [run] = runs(here)
    assert manifest(here, run) == ["sales/03-01/a.csv", "sales/03-01/b.csv"]
    assert len(run.members) == 3
    assert {record.state for record in members(here)} == {State.BATCHED}
    assert not inbox(here)


def test_an_event_costs_two_writes_to_wait_and_two_requests_to_be_taken(here: Scene) -> None:
    count = 60
    for number in range(count):
        here.dispatcher.handle(event(f"sales/03-01/{number}.csv"))
    accepted, here.world.calls[:] = len(here.world.calls), []
    here.world.pass_time(200)
    here.batches.seal_due(never)

    assert accepted == 3 * count
    mine = [call for call in here.world.calls if f"ledger/{TRIGGER}" in call]
    # Each member is read and swapped; the batch is looked for, made, read and submitted.
    assert len(mine) == 2 * count + 4
    assert len(here.world.calls) - len(mine) < 25
    assert accepted + len(here.world.calls) <= 5.5 * count


def test_a_body_of_many_events_reads_the_index_once(here: Scene) -> None:
    here.dispatcher.handle(*(event(f"sales/03-01/{number}.csv") for number in range(5)))

    assert here.calls().count("get_if_changed index.json") == 1


def test_a_delivery_that_comes_again_is_the_same_member(here: Scene) -> None:
    for _ in range(2):
        upload(here, "a.csv")
    [decision] = here.dispatcher.handle(event("sales/03-01/a.csv"))
    assert decision.duplicate
    assert len(inbox(here)) == 1
    here.world.pass_time(119)
    upload(here, "a.csv")
    here.world.pass_time(1)
    # It has not put its batch off.
    here.batches.seal_due(never)
    [run] = runs(here)
    upload(here, "a.csv")

    assert len(run.members) == len(members(here)) == 1
    assert not inbox(here)
    # Members are no decisions of their own.
    assert [decided["decision"] for decided in here.decisions()] == []


def test_a_delivery_that_died_before_its_marker_is_mended_by_the_next(here: Scene) -> None:
    fail(here.world, "create inbox/", StorageUnavailable("not now"))
    with pytest.raises(StorageUnavailable):
        upload(here, "a.csv")
    assert not inbox(here)
    upload(here, "a.csv")

    assert len(inbox(here)) == 1


def test_what_ran_before_its_trigger_had_batches_does_not_run_again(here: Scene) -> None:
    here.publish(trigger(path="sales/{date}/{file}.csv"))
    [first] = here.dispatcher.handle(event("sales/03-01/a.csv"))
    here.publish(batched())
    [again] = here.dispatcher.handle(event("sales/03-01/a.csv"))

    assert again.duplicate
    assert again.record
    assert first.record
    assert again.record.key == first.record.key
    assert not inbox(here)


def test_what_was_held_before_its_trigger_had_batches_waits_for_one(here: Scene) -> None:
    held = trigger(path="sales/{date}/{file}.csv")
    here.publish(held)
    paused(here, held)
    here.dispatcher.handle(event("sales/03-01/a.csv"))
    assert here.record().state is State.HELD
    here.publish(batched())
    fail(here.world, "create inbox/", StorageUnavailable("not now"))
    here.tick.run()
    assert not inbox(here)
    here.tick.run()

    assert here.record().state is State.WAITING_BATCH
    assert len(inbox(here)) == 1
    assert not [*here.ledger.held()]
    assert not here.markers()


def paused(here: Scene, *triggers: TriggerDefinition, **how: Any) -> None:
    """Pause these triggers."""

    def change(before: Snapshot, at: Any) -> Snapshot:
        known = {
            name: one.model_copy(update={"paused": Paused(at=at, note="a reason", **how)})
            for name, one in indexed(*triggers).items()
        }
        return before.model_copy(update={"triggers": {**before.triggers, **known}})

    here.index.change(change)


def test_while_its_trigger_is_paused_nothing_is_sealed(here: Scene) -> None:
    upload(here, "a.csv")
    paused(here, batched())
    upload(here, "b.csv")
    upload(here, "_SUCCESS")
    here.world.pass_time(3_600)
    here.tick.run()
    assert not runs(here)
    here.publish(batched())
    here.tick.run()

    [run] = runs(here)
    assert manifest(here, run) == ["sales/03-01/a.csv", "sales/03-01/b.csv"]


def test_what_comes_while_it_drops_is_skipped(here: Scene) -> None:
    upload(here, "a.csv")
    paused(here, batched(), while_paused="drop")
    [dropped] = upload(here, "b.csv")
    here.publish(batched())
    here.tick.run()

    assert dropped.state is State.SKIPPED
    [run] = [run for run in runs(here) if run.members]
    assert manifest(here, run) == ["sales/03-01/a.csv"]


def test_no_more_events_than_may_be_and_the_rest_at_once(here: Scene) -> None:
    here.publish(batched(max_events=3))
    for number in range(8):
        here.world.pass_time(1)
        upload(here, f"{number}.csv")
    upload(here, "_SUCCESS")
    here.batches.seal_due(never)

    assert [manifest(here, run) for run in runs(here)] == [
        [f"sales/03-01/{number}.csv" for number in some] for some in ((0, 1, 2), (3, 4, 5), (6, 7))
    ]
    # What completed the group is with the last of it.
    assert [len(run.members) for run in runs(here)] == [3, 3, 3]
    assert not inbox(here)


def test_as_many_as_may_be_do_not_wait_for_others(here: Scene) -> None:
    here.publish(batched(max_events=2))
    upload(here, "a.csv", "b.csv", "c.csv")
    here.batches.seal_due(never)

    assert [len(run.members) for run in runs(here)] == [2]
    assert len(inbox(here)) == 1


def test_no_batch_is_larger_than_memory(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "MANIFEST_SIZE", 2_500)
    for number in range(5):
        here.world.pass_time(1)
        here.dispatcher.handle(event(f"sales/03-01/{number}.csv", data={"note": "x" * 600}))
    upload(here, "_SUCCESS")
    here.batches.seal_due(never)

    assert [manifest(here, run) for run in runs(here)] == [
        ["sales/03-01/0.csv", "sales/03-01/1.csv"],
        ["sales/03-01/2.csv", "sales/03-01/3.csv"],
        ["sales/03-01/4.csv"],
    ]


def test_the_longest_overdue_goes_first_and_no_group_waits_for_all_of_another(
    here: Scene,
) -> None:
    here.publish(batched(max_events=1), pipelines=[pipeline()])
    for day in ("03-03", "03-01", "03-02"):
        here.world.pass_time(1)
        upload(here, "a.csv", day=day)
    here.world.pass_time(1)
    upload(here, "b.csv", day="03-03")
    here.batches.seal_due(never)

    made = [call for call in here.world.calls if call.startswith("keep ")]
    taken = {run.key: manifest(here, run) for run in runs(here)}
    order = [next(taken[key] for key in taken if key in call) for call in made]
    assert order == [
        ["sales/03-03/a.csv"],
        ["sales/03-01/a.csv"],
        ["sales/03-02/a.csv"],
        ["sales/03-03/b.csv"],
    ]


def test_a_large_group_is_left_to_the_tick(here: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "QUICKLY", 3)
    upload(here, "0.csv", "1.csv", "2.csv", "_SUCCESS")
    assert not runs(here)
    here.tick.run()

    assert [len(run.members) for run in runs(here)] == [4]


def test_when_its_time_is_over_the_next_tick_goes_on(here: Scene) -> None:
    for day in ("03-01", "03-02", "03-03"):
        upload(here, "a.csv", day=day)
    here.world.pass_time(200)
    left = iter([False, False, True])
    here.batches.seal_due(lambda: next(left))
    assert len(runs(here)) == 2
    here.batches.seal_due(never)

    assert len(runs(here)) == 3


def test_one_group_s_trouble_stops_no_other(here: Scene) -> None:
    upload(here, "a.csv", day="03-01")
    upload(here, "a.csv", day="03-02")
    here.world.pass_time(200)
    fail(here.world, "keep ", StorageUnavailable("not now"))
    here.batches.seal_due(never)
    assert len(runs(here)) == 1
    here.batches.seal_due(never)

    assert len(runs(here)) == 2


def test_a_member_that_cannot_be_read_is_left_out(here: Scene) -> None:
    [record] = upload(here, "a.csv")
    upload(here, "b.csv")
    here.blobs.put(f"ledger/{TRIGGER}/{record.key}.json", b"{}")
    here.world.pass_time(200)
    here.batches.seal_due(never)

    [name] = here.lakes.written
    assert here.lakes.written[name].count(b"\n") == 1
    assert len(inbox(here)) == 1


def test_a_marker_without_its_event_is_deleted(here: Scene) -> None:
    [record] = upload(here, "a.csv")
    here.blobs.delete(f"ledger/{TRIGGER}/{record.key}.json")
    here.world.pass_time(200)
    here.batches.seal_due(never)

    assert not inbox(here)
    assert not here.lakes.written


def test_what_releases_before_anything_is_there_waits_a_while(here: Scene) -> None:
    upload(here, "_SUCCESS")
    here.world.pass_time(60)
    upload(here, "a.csv", "b.csv")
    assert not runs(here)
    here.tick.run()

    [run] = runs(here)
    assert manifest(here, run) == ["sales/03-01/a.csv", "sales/03-01/b.csv"]


def test_what_releases_nothing_is_not_kept_for_ever(here: Scene) -> None:
    upload(here, "_SUCCESS")
    here.world.pass_time(119)
    here.tick.run()
    assert len(inbox(here)) == 1
    here.world.pass_time(1)
    here.tick.run()

    [record] = records(here)
    assert record.state is State.BATCHED
    assert record.reason
    assert record.reason.code == "released_nothing"
    assert not inbox(here)
    # It does not release what comes later.
    upload(here, "a.csv")
    here.tick.run()
    assert not runs(here)


def test_a_batch_that_cannot_be_bound_is_a_dead_letter_with_its_members(here: Scene) -> None:
    here.publish(batched(action={"inputs": {"data": "${{ group.date }}"}}))
    upload(here, "a.csv", "b.csv", "_SUCCESS")

    [run] = runs(here)
    assert run.state is State.DEAD_LETTER
    assert {record.batch for record in members(here)} == {run.key}
    assert not inbox(here)
    assert not here.markers()
    [decided] = here.decisions()
    assert (decided["decision"], decided["event"]["subject"]) == ("dead_letter", "date=03-01")


def test_a_dead_letter_is_tried_again_with_the_same_members(here: Scene) -> None:
    here.publish(batched(action={"inputs": {"data": "${{ group.date }}"}}))
    upload(here, "a.csv", "_SUCCESS")
    [dead] = runs(here)
    here.publish(batched())
    decision = here.dispatcher.retry(TRIGGER, dead.key)

    assert decision.record
    assert decision.record.members == dead.members
    assert decision.record.body
    assert decision.record.body.inputs["data"] == DataInput(
        type="uri_file", path=dead.event.data["manifest"]
    )


def test_what_waits_for_a_trigger_that_is_gone_is_a_dead_letter(here: Scene) -> None:
    upload(here, "a.csv")
    here.publish(trigger("another"))
    here.tick.run()

    [run] = runs(here)
    assert run.state is State.DEAD_LETTER
    assert run.reason
    assert run.reason.code == "trigger_gone"
    assert not inbox(here)
    assert not here.markers()


def test_the_end_of_a_batch_s_run_is_an_event(here: Scene) -> None:
    follows = TriggerDefinition.model_validate(
        {
            "name": "follows",
            "spec": {"run": {"trigger": TRIGGER}},
            "action": {
                "pipeline": "churn-training",
                "inputs": {"data": "${{ event.data.inputs.data }}"},
            },
        }
    )
    here.publish(batched(), follows)
    upload(here, "a.csv", "_SUCCESS")
    [run] = runs(here)
    here.workspace.end(run.attempt.job_name, "Completed")
    here.tick.run()

    [following] = runs(here, "follows")
    assert following.body
    assert following.body.inputs["data"] == DataInput(
        type="uri_file", path=run.event.data["manifest"]
    )
