from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.errors import StorageUnavailable, WorkspaceUnavailable
from shared.ledger import ABSENT, LEASE, State
from shared.tick import OPEN_BUDGET, Tick, Until
from tests.unit.scene import TRIGGER, Killed, Scene, event, fail, interject, trigger

BUSY = WorkspaceUnavailable("AzureML answered 503")
LEASE_OVER = LEASE.total_seconds() + 1


@pytest.fixture
def here() -> Scene:
    here = Scene()
    here.publish(trigger())
    return here


def jobs_end(here: Scene, status: str = "Completed") -> None:
    for name in here.workspace.jobs:
        here.workspace.end(name, status)


def with_parts(here: Scene, **others: Callable[[Until], None]) -> Tick:
    """A tick with parts of others, for whose budgets every request takes too long."""
    return Tick(
        index=here.index,
        ledger=here.ledger,
        slots=here.slots,
        computes=here.computes,
        submission=here.submission,
        dispatcher=here.dispatcher,
        heartbeat=here.heartbeat,
        monotonic=lambda: len(here.world.calls) * (OPEN_BUDGET + 1),
        shuffle=lambda _markers: None,
        others={name: (1.0, work) for name, work in others.items()},
    )


#: What a tick asks for when there is nothing to do.
NOTHING = [
    "get_if_changed index.json",
    "get tick.json",
    "get computes.json",
    "list open/",
    "list slots/",
    "list held/",
    "get_if_changed index.json",
    "get clock.json",
    "swap clock.json",
    "get_if_changed index.json",
    "list inbox/",
    "put tick.json",
]


def test_nothing_to_do_costs_a_listing_of_each_kind(here: Scene) -> None:
    here.tick.run()
    here.world.pass_time(60)
    here.world.calls.clear()
    here.tick.run()

    assert here.world.calls == NOTHING


def test_a_run_that_could_not_be_submitted_is_finished(here: Scene) -> None:
    fail(here.world, "PUT", BUSY)
    here.dispatcher.handle(event())
    here.world.pass_time(30)
    here.tick.run()
    assert here.record().state is State.SUBMITTING

    here.world.pass_time(LEASE_OVER)
    here.tick.run()
    assert here.record().state is State.SUBMITTED

    jobs_end(here)
    here.tick.run()
    assert here.record().state is State.COMPLETED
    assert here.markers() == []


def test_what_is_not_due_is_not_even_read(here: Scene) -> None:
    here.tick.run()
    fail(here.world, "PUT", WorkspaceUnavailable("AzureML answered 429", retry_after=600))
    here.dispatcher.handle(event())
    here.calls()
    here.world.pass_time(599)
    here.tick.run()
    assert here.calls() == [call.rstrip("/") for call in NOTHING]

    here.world.pass_time(1)
    here.tick.run()
    assert here.record().state is State.SUBMITTED


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("call", ["put open/", "create ledger/", "PUT", "swap ledger/"])
def test_a_host_killed_at_any_call_leaves_one_job_and_one_end(
    here: Scene, call: str, applied: bool
) -> None:
    fail(here.world, call, Killed(), applied=applied)
    with pytest.raises(Killed):
        here.dispatcher.handle(event())
    here.world.pass_time(30)
    here.dispatcher.handle(event())
    for _ in range(4):
        here.world.pass_time(LEASE_OVER)
        here.tick.run()
        jobs_end(here)

    assert len(here.workspace.jobs) == 1
    assert here.record().state is State.COMPLETED
    assert here.markers() == []
    assert len(here.decisions()) == 1


def test_a_marker_whose_record_never_came_is_discarded_once_no_writer_is_left(
    here: Scene,
) -> None:
    here.ledger.mark_open(TRIGGER, "k1", event())
    here.world.pass_time(ABSENT.total_seconds())
    here.tick.run()
    assert len(here.markers()) == 1

    here.world.pass_time(1)
    here.tick.run()
    assert here.markers() == []


def test_a_run_that_takes_long_keeps_its_marker(here: Scene) -> None:
    here.dispatcher.handle(event())
    jobs_end(here, "Running")
    here.world.pass_time(timedelta(days=2).total_seconds())
    here.tick.run()

    assert len(here.markers()) == 1


def test_a_marker_that_is_touched_while_the_tick_looks_stays(here: Scene) -> None:
    here.ledger.mark_open(TRIGGER, "k1", event())
    here.world.pass_time(ABSENT.total_seconds() + 60)

    interject(here.world, "get ledger/", lambda: here.ledger.mark_open(TRIGGER, "k1", event()))
    here.tick.run()

    assert len(here.markers()) == 1


@pytest.mark.parametrize("error", [BUSY, StorageUnavailable("storage is down")])
def test_one_run_s_trouble_is_not_another_s(here: Scene, error: Exception) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    here.dispatcher.handle(event())
    jobs_end(here)
    job = here.record("a-first").attempt.job_name
    fail(here.world, f"GET {job}" if error is BUSY else "get ledger/a-first", error)
    here.tick.run()

    assert here.record("a-first").state is State.SUBMITTED
    assert here.record("b-second").state is State.COMPLETED


def test_a_record_that_cannot_be_read_is_not_in_the_way(here: Scene) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    here.dispatcher.handle(event())
    jobs_end(here)
    key = here.record("a-first").key
    here.blobs.put(f"ledger/a-first/{key}.json", b'{"state": "of a newer version"}')
    here.tick.run()

    assert here.record("b-second").state is State.COMPLETED
    # It is not thrown away either.
    assert [marker.trigger for marker in here.markers()] == ["a-first"]


def test_not_even_a_bug_for_one_run_is_another_s_trouble(here: Scene) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    here.dispatcher.handle(event())
    jobs_end(here)
    job = here.record("a-first").attempt.job_name
    fail(here.world, f"GET {job}", RuntimeError("the SDK stumbled over an answer"))
    here.tick.run()

    assert here.record("b-second").state is State.COMPLETED


def test_listing_what_there_is_takes_no_time_of_what_it_lists(here: Scene) -> None:
    here.dispatcher.handle(event())
    job = here.record().attempt.job_name
    here.workspace.end(job, "Completed")

    def slowly(call: str) -> None:
        if call.startswith("list "):
            here.stopwatch += OPEN_BUDGET * 2

    here.world.after = slowly
    here.world.pass_time(61)
    here.tick.run()

    assert here.record().state is State.COMPLETED


def test_a_tick_ends_with_its_budget_and_the_next_one_goes_on(here: Scene) -> None:
    names = ["a-first", "b-second", "c-third"]
    here.publish(*(trigger(name) for name in names))
    here.dispatcher.handle(event())
    jobs_end(here)

    def slow(call: str) -> None:
        if call.startswith("GET"):
            here.stopwatch += OPEN_BUDGET * 0.6

    here.world.before = slow
    here.tick.run()
    assert sorted(here.record(name).state for name in names) == [
        State.COMPLETED,
        State.COMPLETED,
        State.SUBMITTED,
    ]

    here.tick.run()
    assert {here.record(name).state for name in names} == {State.COMPLETED}


def test_long_runs_do_not_keep_others_from_being_looked_at(here: Scene) -> None:
    names = ["a-first", "b-second", "c-third"]
    here.publish(*(trigger(name) for name in names))
    here.dispatcher.handle(event())
    jobs_end(here, "Running")
    here.workspace.end(here.record("c-third").attempt.job_name, "Completed")

    def slow(call: str) -> None:
        if call.startswith("GET"):
            here.stopwatch += OPEN_BUDGET * 0.6

    here.world.before = slow
    for _ in range(10):
        here.world.pass_time(60)
        here.tick.run()

    assert here.record("c-third").state is State.COMPLETED


@pytest.mark.parametrize("call", ["get_if_changed index.json", "list open/", "list slots/"])
def test_a_tick_that_cannot_begin_says_so(here: Scene, call: str) -> None:
    fail(here.world, call, StorageUnavailable("storage is down"))
    with pytest.raises(StorageUnavailable):
        here.tick.run()


def test_not_even_a_bug_of_one_part_keeps_the_others_from_theirs(here: Scene) -> None:
    done: list[str] = []

    def mistaken(_over: Until) -> None:
        raise RuntimeError("ours")

    tick = with_parts(here, first=mistaken, second=lambda _over: done.append("second"))
    with pytest.raises(RuntimeError, match="ours"):
        tick.run()

    beat, _ = here.heartbeat.last()
    assert beat is not None
    assert (done, [*beat.failed]) == (["second"], ["first"])


def test_what_is_only_measured_stops_nothing(here: Scene) -> None:
    here.dispatcher.handle(event())
    jobs_end(here)
    fail(here.world, "get tick.json", StorageUnavailable("storage is down"))
    here.tick.run()

    assert here.record().state is State.COMPLETED


def test_doubled_and_late_ticks_change_nothing(here: Scene) -> None:
    here.dispatcher.handle(event())
    jobs_end(here)
    for _ in range(3):
        here.tick.run()
    here.world.pass_time(timedelta(days=2).total_seconds())
    here.tick.run()

    assert [step.state for step in here.record().transitions] == [
        State.SUBMITTING,
        State.SUBMITTED,
        State.COMPLETED,
    ]
    assert len(here.decisions()) == 1


def test_parts_of_others_come_last_and_even_when_time_was_over(here: Scene) -> None:
    here.dispatcher.handle(event())
    seen: list[str] = []
    tick = with_parts(here, definitions=lambda _over: seen.append(here.world.calls[-1]))
    here.world.pass_time(3600)
    tick.run()

    assert seen == ["list held/"]
