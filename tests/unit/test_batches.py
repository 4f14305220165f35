"""Many events for one run, whoever dies on the way."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from shared import batches as rooms
from shared import dispatcher
from shared.definitions import TriggerDefinition
from shared.errors import StorageUnavailable
from shared.events import BATCH_TYPE
from shared.index import Paused, Snapshot
from shared.inputs import DataInput
from shared.ledger import Reason, Record, State
from tests.fakes import World
from tests.unit.scene import (
    TRIGGER,
    Killed,
    Scene,
    event,
    fail,
    indexed,
    interject,
    pipeline,
    trigger,
)

RELEASE = {"suffix": {"subject": "/_SUCCESS"}}
ADDRESS = "azureml://datastores/workspaceblobstore/paths/"


def batched(
    name: str = TRIGGER,
    *,
    path: str = "sales/{date}/{file}.csv",
    policies: dict[str, Any] | None = None,
    action: dict[str, Any] | None = None,
    **batch: Any,
) -> TriggerDefinition:
    """A trigger whose runs take the uploads of a day."""
    found = trigger(name, path=path, **{"inputs": {"data": "${{ manifest }}"}, **(action or {})})
    given = {"group_by": ["date"], "release_on": RELEASE, **batch}
    held = found.policies.model_validate({"batch": given, **(policies or {})})
    return found.model_copy(update={"policies": held})


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(batched())
    return scene


def upload(here: Scene, *names: str, day: str = "03-01") -> list[Record]:
    """The records of these uploads, after each was handed over."""
    found = []
    for name in names:
        [decision] = here.dispatcher.handle(event(f"sales/{day}/{name}"))
        assert decision.record is not None
        found.append(decision.record)
    return found


def records(here: Scene, name: str = TRIGGER) -> list[Record]:
    world, here.blobs.world = here.blobs.world, World(now=here.world.now)
    try:
        keys = [
            blob.rpartition("/")[2].removesuffix(".json")
            for blob in here.blobs.stored
            if blob.startswith(f"ledger/{name}/")
        ]
        found = [here.ledger.read(name, key) for key in keys]
    finally:
        here.blobs.world = world
    return [kept.record for kept in found if kept]


def runs(here: Scene, name: str = TRIGGER) -> list[Record]:
    """The runs of batches, oldest first."""
    found = [record for record in records(here, name) if record.member is None]
    return sorted(found, key=lambda record: record.transitions[0].at)


def members(here: Scene, name: str = TRIGGER) -> list[Record]:
    return [record for record in records(here, name) if record.member is not None]


def manifest(here: Scene, run: Record) -> list[str]:
    """The paths that a run's manifest lists."""
    address = run.event.data["manifest"]
    content = here.lakes.written[f"contosoml/azureml-blobstore/{address.removeprefix(ADDRESS)}"]
    subjects = [json.loads(line)["event"]["subject"] for line in content.splitlines()]
    # What came within one second is in no order.
    return sorted(subject.partition("/blobs/")[2] for subject in subjects)


def inbox(here: Scene) -> list[str]:
    return [name for name in here.blobs.stored if name.startswith("inbox/")]


def never() -> bool:
    return False


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


def one_at_a_time(**more: Any) -> TriggerDefinition:
    policies = {"concurrency": {"limit": 1}, "overlap": "buffer_one", **more}
    return batched(policies=policies)


def test_while_one_is_under_way_the_next_batch_stays_open(here: Scene) -> None:
    here.publish(one_at_a_time())
    upload(here, "a.csv", "_SUCCESS")
    [first] = runs(here)
    for number in range(3):
        here.world.pass_time(3_600)
        upload(here, f"{number}.csv", day=f"03-0{number}")
        here.tick.run()
    assert len(runs(here)) == 1
    here.workspace.end(first.attempt.job_name, "Completed")
    here.tick.run()

    # Of three groups that were due one begins, and the others stay open again.
    assert len(runs(here)) == 2
    assert len(inbox(here)) == 2


def test_the_next_run_takes_everything(here: Scene) -> None:
    here.publish(one_at_a_time())
    upload(here, "a.csv", "_SUCCESS")
    [first] = runs(here)
    upload(here, "b.csv")
    here.world.pass_time(3_600)
    here.tick.run()
    upload(here, "c.csv")
    here.workspace.end(first.attempt.job_name, "Completed")
    here.tick.run()

    assert [manifest(here, run) for run in runs(here)] == [
        ["sales/03-01/a.csv"],
        ["sales/03-01/b.csv", "sales/03-01/c.csv"],
    ]


def test_groups_with_another_concurrency_key_do_not_wait_for_one_another(here: Scene) -> None:
    here.publish(one_at_a_time(concurrency={"limit": 1, "key": "${{ group.date }}"}))
    upload(here, "a.csv", "_SUCCESS")
    upload(here, "a.csv", "_SUCCESS", day="03-02")
    upload(here, "b.csv")
    here.world.pass_time(3_600)
    here.tick.run()

    assert sorted(manifest(here, run) for run in runs(here)) == [
        ["sales/03-01/a.csv"],
        ["sales/03-02/a.csv"],
    ]
    assert len(inbox(here)) == 1


def test_batches_wait_for_their_turn_in_order(here: Scene) -> None:
    here.publish(batched(policies={"concurrency": {"limit": 1}}))
    for day in ("03-01", "03-02", "03-03"):
        upload(here, "a.csv", "_SUCCESS", day=day)
    states = [run.state for run in runs(here)]
    assert sorted(states) == [State.QUEUED, State.QUEUED, State.SUBMITTED]
    while any(job.status != "Completed" for job in here.workspace.jobs.values()):
        for name in [*here.workspace.jobs]:
            here.workspace.end(name, "Completed")
        here.tick.run()

    assert [body.inputs["data"] for body in here.workspace.bodies.values()] == [
        DataInput(type="uri_file", path=run.event.data["manifest"])
        for run in sorted(runs(here), key=lambda run: run.event.subject)
    ]
    assert not here.markers()


def test_a_group_that_comes_back_after_its_blob_was_deleted_is_another(here: Scene) -> None:
    """Its batches have names of their own: AzureML knows jobs for longer than we know records."""
    upload(here, "a.csv", "_SUCCESS")
    [first] = runs(here)
    gone = [name for name in here.blobs.stored if name.startswith(("groups/", "ledger/"))]
    here.blobs.delete_all(gone)
    upload(here, "b.csv")
    here.world.pass_time(200)
    here.tick.run()

    [second] = runs(here)
    assert manifest(here, second) == ["sales/03-01/b.csv"]
    assert second.key != first.key
    assert len(here.workspace.jobs) == 2


def test_two_that_make_one_batch_make_one(here: Scene) -> None:
    """Whoever is second meets the first one's record, whatever it has read itself."""
    upload(here, "a.csv")
    here.world.pass_time(200)
    group = inbox(here)[0].split("/")[2]

    def another() -> None:
        # Another process: one's threads leave one another alone.
        here._put_together(here.blobs)
        upload(here, "b.csv")
        here.world.pass_time(200)
        here.batches.seal(TRIGGER, group)

    for call in (
        "create groups/",
        "keep ",
        f"create ledger/{TRIGGER}/",
        "put open/",
        f"swap ledger/{TRIGGER}/",
    ):
        scene = Scene()
        scene.publish(batched())
        here = scene
        upload(here, "a.csv")
        here.world.pass_time(200)
        interject(here.world, call, another)
        while here.batches.seal(TRIGGER, group):
            pass
        here.world.pass_time(200)
        here.tick.run()
        whole(here, 2)


def test_whoever_is_second_goes_on_with_the_members_of_the_first(here: Scene) -> None:
    upload(here, "a.csv")
    here.world.pass_time(200)
    group = inbox(here)[0].split("/")[2]

    def another() -> None:
        here._put_together(here.blobs)
        upload(here, "b.csv")
        here.world.pass_time(200)
        fail(here.world, f"create ledger/{TRIGGER}/", Killed(), applied=True)
        with pytest.raises(Killed):
            here.batches.seal(TRIGGER, group)

    interject(here.world, "keep ", another)
    while here.batches.seal(TRIGGER, group):
        pass
    here.world.pass_time(200)
    here.tick.run()

    whole(here, 2)
    assert [len(run.members) for run in runs(here)] == [2]


def released_with(here: Scene) -> tuple[Record, str]:
    """What says that its group is complete, and its group, of which no batch is made yet."""
    upload(here, "a.csv")
    here.world.pass_time(1)
    fail(here.world, "create groups/", StorageUnavailable("busy"))
    [released] = upload(here, "_SUCCESS")
    here.world.pass_time(200)
    return released, inbox(here)[0].split("/")[2]


def test_what_released_a_batch_is_not_dismissed_before_it_is_told(here: Scene) -> None:
    released, group = released_with(here)

    def another() -> None:
        here._put_together(here.blobs)
        fail(here.world, f"swap ledger/{TRIGGER}/{released.key}", Killed())
        with pytest.raises(Killed):
            here.batches.seal(TRIGGER, group)

    # Whoever reads after that sees that the event is gone, and what released it waiting.
    interject(here.world, f"get ledger/{TRIGGER}/", another)
    while here.batches.seal(TRIGGER, group):
        pass

    whole(here, 2)
    assert codes(here) == {"batched"}


def test_what_is_dismissed_while_a_batch_takes_it_is_in_the_batch(here: Scene) -> None:
    released, group = released_with(here)
    kept = here.ledger.read(TRIGGER, released.key)
    assert kept

    def dismiss() -> None:
        reason = Reason(code="released_nothing", text="Nothing waited.")
        here.ledger.swap(kept, kept.record.moved(State.BATCHED, kept.at, reason))

    interject(here.world, f"swap ledger/{TRIGGER}/{released.key}", dismiss)
    here.batches.seal(TRIGGER, group)

    whole(here, 2)
    assert codes(here) == {"batched"}


def codes(here: Scene) -> set[str]:
    return {record.reason.code for record in members(here) if record.reason}


def test_threads_of_one_process_leave_a_group_to_the_one_that_is_at_it(here: Scene) -> None:
    upload(here, "a.csv")
    here.world.pass_time(200)
    group = inbox(here)[0].split("/")[2]
    seen: list[tuple[bool, int]] = []

    def tick_again() -> None:
        before = len(here.world.calls)
        sealed = here.batches.seal(TRIGGER, group)
        seen.append((sealed, len(here.world.calls) - before))

    interject(here.world, f"swap ledger/{TRIGGER}/", tick_again)
    assert here.batches.seal(TRIGGER, group)

    assert seen == [(False, 0)]
    whole(here, 1)
    # Nobody is at it any more.
    upload(here, "b.csv")
    here.world.pass_time(200)
    assert here.batches.seal(TRIGGER, group)
    whole(here, 2)


def slowly(here: Scene, seconds: float) -> None:
    """Each call but those of the index takes a while."""

    def pass_time(call: str) -> None:
        if "index" not in call:
            here.world.pass_time(seconds)

    here.world.after = pass_time


def test_a_batch_too_large_for_one_call_is_told_to_its_members_by_several(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "_AT_ONCE", 4)
    monkeypatch.setattr(rooms, "PATIENCE", 40.0)
    names = [f"{number}.csv" for number in range(30)]
    upload(here, *names)
    here.world.pass_time(200)
    group = inbox(here)[0].split("/")[2]
    slowly(here, 1.0)
    # Its members are read, its run begins, and a few are told.
    assert not here.batches.seal(TRIGGER, group)
    assert len(here.workspace.jobs) == 1
    told = [sum(record.state is State.BATCHED for record in members(here))]
    upload(here, "late.csv")
    while not here.batches.seal(TRIGGER, group):
        told.append(sum(record.state is State.BATCHED for record in members(here)))
        here.calls()
    # Nobody who was told is read once more.
    assert here.calls().count("get ledger") <= 10
    assert told == sorted({*told})
    assert len(told) > 1
    here.world.after = lambda _call: None
    here.world.pass_time(2_000)
    here.tick.run()

    whole(here, 31)
    assert [len(run.members) for run in runs(here)] == [30, 1]


def test_a_batch_takes_what_can_be_read_in_time(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "_AT_ONCE", 4)
    monkeypatch.setattr(rooms, "PATIENCE", 10.0)
    upload(here, *(f"{number}.csv" for number in range(30)))
    here.world.pass_time(200)
    slowly(here, 1.0)
    for _ in range(40):
        here.tick.run()
    here.world.after = lambda _call: None

    whole(here, 30)
    assert max(len(run.members) for run in runs(here)) < 15


def test_a_batch_whose_marker_was_deleted_before_it_came_is_found_again(here: Scene) -> None:
    """Its maker was slow for so long that the tick took the marker for nobody's."""
    upload(here, "a.csv")
    here.world.pass_time(200)
    fail(here.world, f"create ledger/{TRIGGER}/", Killed(), applied=True)
    with pytest.raises(Killed):
        here.batches.seal_due(never)
    [marker] = here.markers()
    here.ledger.discard(marker)
    for _ in range(3):
        here.world.pass_time(200)
        here.tick.run()

    [run] = runs(here)
    assert run.state is State.SUBMITTED


def test_a_marker_of_what_a_batch_took_makes_no_other(here: Scene) -> None:
    """A delivery may have read its record just before it was taken."""
    [record] = upload(here, "a.csv")
    upload(here, "_SUCCESS")
    here.batches.enter(record)
    assert inbox(here)
    here.world.pass_time(200)
    here.tick.run()

    whole(here, 2)
    assert len(runs(here)) == 1


def whole(here: Scene, count: int) -> None:
    """Every event is in exactly one batch, and nothing is left of having waited."""
    taken = [key for run in runs(here) for key in run.members]
    assert len(members(here)) == count
    assert sorted(taken) == sorted(record.key for record in members(here))
    for run in runs(here):
        for record in members(here):
            assert record.state is State.BATCHED
            assert (record.key in run.members) == (record.batch == run.key)
        assert len(manifest(here, run)) == len(run.members) - sum(
            bool(record.member and record.member.releases)
            for record in members(here)
            if record.batch == run.key
        )
    assert not inbox(here)


def dying(here: Scene, after: int, work: Callable[[], object], *, applied: bool) -> bool:
    """Whether a worker died that was to end after so many calls."""
    left = after

    def count(_call: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    if applied:
        here.world.after = count
    else:
        here.world.before = count
    try:
        work()
    except Killed:
        return True
    finally:
        here.world.before = here.world.after = lambda _call: None
    return False


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("limit", ["unlimited", 1])
def test_whoever_dies_making_a_batch_another_goes_on(
    applied: bool, released: bool, limit: int | str
) -> None:
    """At every call, before and after it took effect; more events come meanwhile."""
    policies: dict[str, Any] = {"concurrency": {"limit": limit}}
    if limit == "unlimited":
        policies["max_runs_per_day"] = "unlimited"

    def make(here: Scene) -> None:
        if released:
            upload(here, "_SUCCESS")
        else:
            here.batches.seal_due(never)

    calls, died = 0, True
    while died:
        here = Scene()
        here.publish(batched(max_events=3, policies=policies))
        upload(here, "0.csv", "1.csv", "2.csv", "3.csv")
        here.world.pass_time(0 if released else 130)
        died = dying(here, calls, partial(make, here), applied=applied)
        # Another worker, to which the source delivers again.
        here._put_together(here.blobs)
        if released:
            upload(here, "_SUCCESS")
        upload(here, "3.csv", "4.csv")
        for _ in range(8):
            here.world.pass_time(1_000)
            here.tick.run()
            for name in [*here.workspace.jobs]:
                here.workspace.end(name, "Completed")
        whole(here, 6 if released else 5)
        assert {run.state for run in runs(here)} == {State.COMPLETED}
        assert len(here.workspace.jobs) == len(runs(here))
        assert not here.markers()
        calls += 1

    assert calls > 20


@pytest.mark.parametrize("applied", [False, True])
def test_whoever_dies_taking_an_event_in_has_not_lost_it(applied: bool) -> None:
    calls, died = 0, True
    while died:
        here = Scene()
        here.publish(batched())
        died = dying(here, calls, partial(upload, here, "a.csv"), applied=applied)
        here._put_together(here.blobs)
        upload(here, "a.csv")
        here.world.pass_time(200)
        here.tick.run()
        whole(here, 1)
        calls += 1

    assert calls > 3


def test_a_group_that_others_counted_on_since_it_was_begun_is_read_again(here: Scene) -> None:
    """What its beginner has read may be in a batch by then."""
    upload(here, "a.csv")
    here.world.pass_time(200)
    group = inbox(here)[0].split("/")[2]
    beginner = here.batches
    other = Scene(world=here.world)
    other.blobs.stored, other.lakes = here.blobs.stored, here.lakes
    other._put_together(other.blobs)

    def begun() -> None:
        interject(here.world, "get groups/", lambda: other.batches.seal(TRIGGER, group))

    interject(here.world, "create groups/", begun)
    while beginner.seal(TRIGGER, group):
        pass

    whole(here, 1)
    assert [len(run.members) for run in runs(here)] == [1]


def test_what_comes_again_when_its_trigger_has_no_batches_is_not_forgotten(here: Scene) -> None:
    """Whoever took it in had died before its marker."""
    fail(here.world, "create inbox/", Killed())
    with pytest.raises(Killed):
        upload(here, "a.csv")
    here.publish(trigger(path="sales/{date}/{file}.csv", inputs={"data": "${{ event.data.url }}"}))
    fail(here.world, "get ledger/", StorageUnavailable("not now"))
    upload_again = event("sales/03-01/a.csv")
    [decision] = here.dispatcher.handle(upload_again)
    assert decision.duplicate
    for _ in range(3):
        here.world.pass_time(200)
        here.tick.run()

    [run] = runs(here)
    assert run.reason
    assert run.reason.code == "trigger_gone"
    assert {record.state for record in members(here)} == {State.BATCHED}
    assert not inbox(here)
    assert not here.markers()


def test_a_place_that_was_taken_for_what_waits_does_not_keep_its_batch_open(here: Scene) -> None:
    one = {"concurrency": {"limit": 1}}
    buffered = batched(policies={**one, "overlap": "buffer_one"})
    here.publish(buffered)
    upload(here, "a.csv")
    here.publish(
        trigger(
            path="sales/{date}/{file}.csv", policies=one, inputs={"data": "${{ event.data.url }}"}
        )
    )
    here.dispatcher.handle(event("sales/03-01/a.csv"))
    assert here.slots.read(TRIGGER, "all", here.world.now).slot.holders
    here.publish(buffered)
    for _ in range(4):
        here.world.pass_time(200)
        here.tick.run()

    [run] = runs(here)
    assert run.state is State.SUBMITTED
