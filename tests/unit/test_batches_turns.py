"""Batches beside others: limits, workers that make the same one, and workers that die."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from shared import batches as rooms
from shared.compute_definitions import ComputeDefinition
from shared.definitions import TriggerDefinition
from shared.errors import StorageUnavailable
from shared.inputs import DataInput
from shared.ledger import Reason, Record, State
from tests.unit.batching import batched, inbox, manifest, members, never, runs, upload
from tests.unit.scene import (
    TRIGGER,
    Killed,
    Scene,
    event,
    fail,
    interject,
    trigger,
)


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(batched())
    return scene


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


def test_a_batch_is_not_skipped_though_its_trigger_skips_by_now(here: Scene) -> None:
    cpu = ComputeDefinition.kept({"name": "cpu-cluster", "type": "amlcompute", "size": "D2"})
    here.computes.adopt([cpu], lambda _line: None)
    one = {"concurrency": {"limit": 1}}
    here.index.change(lambda before, _at: before.model_copy(update={"computes": {cpu.name: "r1"}}))
    here.publish(batched(policies=one))
    upload(here, "a.csv", "_SUCCESS")
    upload(here, "a.csv", "_SUCCESS", day="03-02")
    assert [run.state for run in runs(here)] == [State.WAITING_COMPUTE] * 2
    # While both wait for their compute, somebody has it start runs of single uploads.
    here.publish(trigger(policies={**one, "overlap": "skip"}))
    here.targets.ready(cpu.name)
    here.world.pass_time(61)
    here.tick.run()

    assert {run.state for run in runs(here)} == {State.SUBMITTED, State.QUEUED}


def test_a_batch_that_is_tried_again_waits_though_its_trigger_skips_by_now(here: Scene) -> None:
    upload(here, "a.csv", "_SUCCESS")
    [batch] = runs(here)
    here.workspace.end(batch.attempt.job_name, "Failed")
    here.world.pass_time(61)
    here.tick.run()
    one = {"concurrency": {"limit": 1}, "overlap": "skip"}
    url = "https://contosolake.blob.core.windows.net/landing/all.csv"
    here.publish(trigger(policies=one, inputs={"data": url}))
    upload(here, "b.csv")
    again = here.dispatcher.retry(TRIGGER, batch.key).record

    assert again is not None
    assert again.state is State.QUEUED


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


@pytest.mark.parametrize("another", [False, True])
def test_a_batch_too_large_for_one_call_is_told_to_its_members_by_several(
    here: Scene, monkeypatch: pytest.MonkeyPatch, another: bool
) -> None:
    monkeypatch.setattr(rooms, "_AT_ONCE", 4)
    monkeypatch.setattr(rooms, "PATIENCE", 40.0)
    names = [f"{number}.csv" for number in range(30)]
    upload(here, *names)
    here.world.pass_time(200)
    group = inbox(here)[0].split("/")[2]
    slowly(here, 1.0)
    here.calls()
    # Its members are read, its run begins, and a few are told.
    assert not here.batches.seal(TRIGGER, group)
    assert len(here.workspace.jobs) == 1
    calls = here.calls()
    told = [sum(record.state is State.BATCHED for record in members(here))]
    upload(here, "late.csv")
    here.calls()
    if another:
        here = here.process()
    monkeypatch.setattr(rooms, "PATIENCE", 20.0)
    while not here.batches.seal(TRIGGER, group):
        calls += here.calls()
        told.append(sum(record.state is State.BATCHED for record in members(here)))
        here.calls()
    calls += here.calls()
    # Each is read once, or once more where another process goes on; nobody who was told is.
    reads = calls.count("get ledger") - len(told)
    assert (30 < reads < 60) if another else reads <= 31
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
