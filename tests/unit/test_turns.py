from datetime import timedelta

import pytest

from shared.ledger import ABSENT, State
from shared.places import Place
from shared.policies import Policies
from shared.slots import ALL, Slot
from tests.unit.scene import TRIGGER, Killed, Scene, event, interject, trigger

ONE = {"concurrency": {"limit": 1}, "max_runs_per_day": "unlimited"}


def scene(**policies: object) -> Scene:
    here = Scene()
    here.publish(trigger(policies={**ONE, **policies}))
    return here


def place(here: Scene) -> Place:
    policies = here.index.recent().triggers[TRIGGER].definition.policies
    return Place(trigger=TRIGGER, slot=ALL, label="", policies=policies)


def slot(here: Scene) -> Slot:
    return here.slots.read(TRIGGER, ALL, here.world.now).slot


def put(here: Scene, new: Slot) -> None:
    kept = here.slots.read(TRIGGER, ALL, here.world.now)
    assert here.slots.swap(TRIGGER, ALL, kept, new)


def upload(here: Scene, name: str) -> str:
    """An event's key, once it was taken in."""
    [decision] = here.dispatcher.handle(event(f"sales/north/{name}.csv"))
    assert decision.record is not None
    return decision.record.key


def state(here: Scene, key: str) -> State:
    kept = here.ledger.read(TRIGGER, key)
    assert kept is not None
    return kept.record.state


def end(here: Scene, key: str) -> None:
    """The run's job ends, and a tick sees it."""
    kept = here.ledger.read(TRIGGER, key)
    assert kept is not None
    here.workspace.end(kept.record.attempt.job_name, "Completed")
    here.tick.run()


def test_runs_begin_one_by_one_in_the_order_in_which_they_came() -> None:
    here = scene()
    keys = [upload(here, name) for name in "cab"]
    assert [state(here, key) for key in keys] == [State.SUBMITTED, State.QUEUED, State.QUEUED]

    end(here, keys[0])
    assert [state(here, key) for key in keys[1:]] == [State.SUBMITTED, State.QUEUED]

    end(here, keys[1])
    end(here, keys[2])
    here.tick.run()
    assert [state(here, key) for key in keys] == [State.COMPLETED] * 3
    assert (slot(here).holders, slot(here).waiting) == ({}, 0)
    assert not any(name.startswith(("queue/", "open/")) for name in here.blobs.stored)


def test_while_somebody_waits_room_is_given_by_number_alone() -> None:
    here = scene()
    put(here, Slot(waiting=1, next_number=2))

    turn = here.turns.take(place(here), "later", here.world.now)

    assert (turn.admitted, turn.number) == (False, 2)


def test_that_nobody_waits_is_not_written_over_somebody_who_came_meanwhile() -> None:
    here = scene()
    put(here, Slot(waiting=1, next_number=2))

    def come() -> None:
        here.ledger.mark_open(TRIGGER, "come", event(), ALL)
        assert here.process().turns.take(place(here), "come", here.world.now).number == 2

    interject(here.world, "swap slots/", come)
    here.turns.promote(TRIGGER, ALL)

    assert slot(here).waiting == 2


def test_who_has_a_marker_and_no_record_yet_is_waited_for() -> None:
    here = scene()
    put(here, Slot(waiting=1, next_number=2))
    here.ledger.mark_open(TRIGGER, "about-to-come", event(), ALL)

    here.turns.promote(TRIGGER, ALL)

    assert slot(here).waiting == 1


def test_who_comes_again_keeps_its_place_from_whoever_saw_no_record() -> None:
    here = scene()
    assert here.turns.take(place(here), "slow", here.world.now).admitted
    here.world.pass_time((ABSENT + timedelta(seconds=1)).total_seconds())

    def come_again() -> None:
        assert here.process().turns.take(place(here), "slow", here.world.now).admitted

    interject(here.world, "swap slots/", come_again)
    here.turns.promote(TRIGGER, ALL, check=True)

    assert [*slot(here).holders] == ["slow"]


def test_what_had_no_record_for_long_loses_its_place() -> None:
    here = scene()
    assert here.turns.take(place(here), "gone", here.world.now).admitted
    here.turns.promote(TRIGGER, ALL, check=True)
    assert [*slot(here).holders] == ["gone"]

    here.world.pass_time((ABSENT + timedelta(seconds=1)).total_seconds())
    here.turns.promote(TRIGGER, ALL, check=True)
    assert slot(here).holders == {}


def test_a_place_in_a_slot_that_is_not_its_own_is_none() -> None:
    here = scene()
    first, second = (upload(here, name) for name in "ab")
    here.publish(trigger(policies={"concurrency": {"limit": 1, "key": "${{ captures.region }}"}}))
    # What waits comes again, and finds room where its key would have it begin by now.
    assert upload(here, "b") == second
    third = upload(here, "c")
    here.world.pass_time(ABSENT.total_seconds() + 1)
    here.tick.run()
    # It waits on for its own place, and keeps nobody from the other.
    assert [state(here, key) for key in (second, third)] == [State.QUEUED, State.SUBMITTED]

    end(here, first)
    assert state(here, second) is State.SUBMITTED


def test_what_waits_for_a_trigger_that_is_gone_begins_by_limits_of_one_that_says_none() -> None:
    here = scene()
    keys = [upload(here, name) for name in "abc"]
    here.publish()
    here.tick.run()

    assert {state(here, key) for key in keys} == {State.SUBMITTED}


def test_a_full_slot_is_not_searched_for_all_who_wait() -> None:
    here = scene()
    for name in "abcdef":
        upload(here, name)
    here.calls()

    here.turns.promote(TRIGGER, ALL)

    assert here.calls() == ["get slots", "list queue", "get ledger"]


def test_what_its_slot_has_lost_is_found_again() -> None:
    here = scene()
    first, second = upload(here, "a"), upload(here, "b")
    for name in [name for name in here.blobs.stored if name.startswith(("queue/", "slots/"))]:
        del here.blobs.stored[name]
    end(here, first)
    assert state(here, second) is State.SUBMITTED


def test_what_was_counted_yesterday_is_not_taken_back_from_today() -> None:
    here = scene(concurrency={"key": "${{ captures.region }}", "limit": 1}, max_runs_per_day=5)
    upload(here, "a")
    assert slot(here).runs_today == 1
    policies = Policies.model_validate({"max_runs_per_day": 5, "concurrency": {"limit": 1}})
    other = Place(trigger=TRIGGER, slot="other", label="", policies=policies)

    def tomorrow() -> None:
        here.world.pass_time(86_400)
        put(here, slot(here).counting(here.world.now, 2))
        kept = here.slots.read(TRIGGER, "other", here.world.now)
        assert here.slots.swap(TRIGGER, "other", kept, Slot(holders={"b": here.world.now}))

    interject(here.world, f"create slots/{TRIGGER}/other", tomorrow)
    assert not here.turns.take(other, "a", here.world.now).admitted

    assert slot(here).runs_today == 2


@pytest.mark.parametrize("applied", [False, True])
def test_a_host_killed_at_any_call_leaves_every_run_one_job_and_no_place_taken(
    applied: bool,
) -> None:
    call, calls = 0, 1
    while call < calls:
        here = scene()
        left = call

        def die(_call: str) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise Killed

        if applied:
            here.world.after = die
        else:
            here.world.before = die
        here.world.calls.clear()
        try:
            for name in "ab":
                upload(here, name)
            for name in list(here.workspace.jobs):
                here.workspace.end(name, "Completed")
            here.tick.run()
        except Killed:
            pass
        calls = max(calls, len(here.world.calls))
        here.world.before = here.world.after = lambda _call: None
        for name in "ab":
            upload(here, name)
        for _ in range(12):
            under_way = [job for job in here.workspace.jobs.values() if job.status != "Completed"]
            assert len(under_way) <= 1, call
            for job in under_way:
                here.workspace.end(job.name, "Completed")
            here.world.pass_time(61)
            here.tick.run()
        assert len(here.workspace.jobs) == 2, call
        assert (slot(here).holders, slot(here).waiting) == ({}, 0), call
        assert not any(name.startswith(("queue/", "open/")) for name in here.blobs.stored), call
        call += 1


def test_the_tick_does_not_look_at_each_who_waits() -> None:
    here = scene()
    keys = [upload(here, str(number)) for number in range(30)]
    here.calls()
    here.tick.run()

    calls = here.calls()
    # The one that runs, by the look at what is open and at its place; the first in line.
    assert calls.count("get ledger") == 3
    assert len(calls) < 21
    # What somebody wants to stop is looked at, and what is not found when its turn comes.
    here.submission.request_cancel(TRIGGER, keys[5])
    [entry] = [name for name in here.blobs.stored if name.startswith("queue/") and keys[7] in name]
    del here.blobs.stored[entry]
    here.tick.run()
    assert state(here, keys[5]) is State.CANCELED
    assert entry in here.blobs.stored


def test_the_tick_looks_at_all_who_wait_in_a_slot_that_does_not_know_of_them() -> None:
    here = scene()
    keys = [upload(here, name) for name in "abc"]
    put(here, slot(here).model_copy(update={"waiting": 0}))
    here.tick.run()
    assert slot(here).waiting

    for key in keys:
        end(here, key)
        here.world.pass_time(61)
        here.tick.run()
    assert [state(here, key) for key in keys] == [State.COMPLETED] * 3


def test_what_is_to_stop_and_came_again_is_not_left_in_line() -> None:
    here = scene()
    upload(here, "a")
    key = upload(here, "b")
    cancel_and_deliver_again(here, key, "b")
    minutes(here, 2)

    assert state(here, key) is State.CANCELED
    assert not any(name.startswith("queue/") for name in here.blobs.stored)


def test_what_is_to_stop_and_has_a_place_does_not_keep_those_behind_it_waiting() -> None:
    here = scene()
    first, key, behind = (upload(here, name) for name in "abc")
    # As it is given the place of the first, somebody wants it to stop.
    here.workspace.end(job_of(here, first), "Completed")
    interject(
        here.world,
        f"swap ledger/{TRIGGER}/{key}",
        lambda: cancel_and_deliver_again(here, key, "b"),
    )
    here.tick.run()
    assert [*slot(here).holders] == [key]
    minutes(here, 3)

    assert [state(here, each) for each in (key, behind)] == [State.CANCELED, State.SUBMITTED]


def test_what_is_to_stop_is_looked_at_in_the_end_though_its_turn_never_comes() -> None:
    here = scene()
    upload(here, "a")
    upload(here, "b")
    key = upload(here, "c")
    cancel_and_deliver_again(here, key, "c")
    for _ in range(2):
        here.world.pass_time(3_601)
        here.tick.run()

    assert state(here, key) is State.CANCELED


def job_of(here: Scene, key: str) -> str:
    kept = here.ledger.read(TRIGGER, key)
    assert kept is not None
    return kept.record.attempt.job_name


def cancel_and_deliver_again(here: Scene, key: str, name: str) -> None:
    """A run that waits is to stop; its event comes again, to a worker that dies over it.

    Its marker is as it was put first, so that nobody is told to look.
    """
    here.submission.request_cancel(TRIGGER, key)
    here.ledger.mark_open(TRIGGER, key, event(f"sales/north/{name}.csv"), ALL)


def minutes(here: Scene, number: int) -> None:
    for _ in range(number):
        here.world.pass_time(61)
        here.tick.run()
