"""Running once more what was decided before."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from shared.errors import Conflict, NotFound, RequestInvalid, StorageUnavailable
from shared.ledger import FUNCTION_TIMEOUT, Record, State, parse_run_id
from shared.occurrences import Occurrences
from shared.outlooks import Outlooks
from shared.pauses import Pauses
from shared.previews import Previews
from shared.replay_states import Replay, ReplayStates, Stage
from shared.replays import Replays
from shared.selections import Selections, Wish
from tests.unit.asking import Asked
from tests.unit.batching import batched, records
from tests.unit.scene import (
    DEPLOYMENT,
    TRIGGER,
    Killed,
    event,
    fail,
    pipeline,
    request,
    trigger,
)


class Replaying(Asked):
    """A scene with replays of what it has decided."""

    def __init__(self) -> None:
        super().__init__()
        self.states = ReplayStates(self.blobs)
        self.selections = Selections(index=self.index, ledger=self.ledger, history=self.history)
        self.replays = self.replaying()
        self.outlooks = Outlooks(
            selections=self.selections,
            dispatcher=self.dispatcher,
            previews=Previews(
                index=self.index,
                orders=self.orders,
                ledger=self.ledger,
                lakes=self.lakes,
                variables=self.variables,
            ),
        )

    def replaying(self) -> Replays:
        return Replays(
            deployment=DEPLOYMENT,
            states=self.states,
            selections=self.selections,
            occurrences=Occurrences(
                index=self.index, orders=self.orders, dispatcher=self.dispatcher
            ),
            index=self.index,
            ledger=self.ledger,
            dispatcher=self.dispatcher,
            submission=self.submission,
            monotonic=lambda: self.stopwatch,
        )

    def dead(self, number: int, name: str = "dead") -> list[str]:
        """So many uploads that no job can be made of; their dead letters."""
        self.publish(trigger(inputs={"data": "${{ event.data.nothing }}"}))
        runs = []
        for one in range(number):
            runs += self.upload(f"sales/north/{name}-{one:03}.csv", etag=f"0x{name}{one}")
            self.world.pass_time(1)
        self.tick.run()
        self.publish(trigger())
        return runs

    def ask(self, wish: "Wish | None" = None, *, limit: int = 2, key: str = "key-1") -> Replay:
        return self.replays.ask(wish or DEAD, limit=limit, by="anna", key=key)

    def again(self) -> list[Record]:
        """The runs of replays, in the order in which they were recorded."""
        found = []
        for name in self.blobs.stored:
            if name.startswith("ledger/"):
                _, owner, file = name.split("/")
                kept = self.ledger.read(owner, file.removesuffix(".json"))
                if kept is not None and kept.record.replay_of:
                    found.append(kept.record)
        return sorted(found, key=lambda record: (record.transitions[0].at, record.number or 0))

    def end_all(self, status: str = "Completed") -> None:
        """Every job that there is ends, and that is noticed."""
        for job in [*self.workspace.jobs]:
            if self.workspace.jobs[job].status not in ("Completed", "Failed", "Canceled"):
                self.workspace.end(job, status)
        for _ in range(3):
            self.world.pass_time(100)
            self.tick.run()

    def minutes(self, number: int = 1) -> None:
        for _ in range(number):
            self.world.pass_time(60)
            self.replays.run_due(lambda: False)


DEAD = Wish(trigger=TRIGGER, outcomes=("dead_letter",))


@pytest.fixture
def here() -> Replaying:
    return Replaying()


def test_what_is_chosen_is_run_once_more_the_oldest_first_and_counted(here: Replaying) -> None:
    runs = here.dead(6)
    replay = here.ask()

    assert (replay.total, replay.position, replay.stage) == (6, 4, Stage.RUNNING)
    assert [record.replay_of for record in here.again()] == runs[:4]
    assert len(here.workspace.jobs) == 2
    while not (replay := here.replays.find(replay.id)).over:
        here.end_all()
        here.minutes()

    assert [record.replay_of for record in here.again()] == runs
    assert (replay.stage, replay.started, replay.ended) == (Stage.DONE, 6, {State.COMPLETED: 6})
    assert len(here.workspace.jobs) == 6


def test_no_more_run_at_once_than_the_replay_may(here: Replaying) -> None:
    here.dead(9)
    here.ask(limit=3)
    most = 0
    for _ in range(30):
        running = [job for job in here.workspace.jobs.values() if job.status == "NotStarted"]
        most = max(most, len(running))
        if running:
            here.workspace.end(running[0].name, "Completed")
        here.world.pass_time(100)
        here.tick.run()
        here.minutes()

    assert most == 3
    assert len(here.workspace.jobs) == 9
    assert here.replays.find(here.states.all()[0].id).over


def test_the_same_request_is_the_same_replay(here: Replaying) -> None:
    here.dead(3)
    first = here.ask()
    here.world.pass_time(100)

    assert here.ask().id == first.id
    assert len(here.states.all()) == 1
    with pytest.raises(Conflict, match="Idempotency-Key"):
        here.ask(limit=3)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        here.ask(Wish(trigger=TRIGGER, outcomes=("failed",)))
    assert here.ask(key="key-2").id != first.id
    assert len(here.again()) == 6


def test_two_requests_at_once_are_one_replay_of_one_list(here: Replaying) -> None:
    here.dead(3)
    other = here.replaying()

    def interject(call: str) -> None:
        if call.startswith("create replays/"):
            here.world.before = lambda _call: None
            other.ask(DEAD, limit=2, by="anna", key="key-1")

    here.world.before = interject
    replay = here.ask()
    while not here.replays.find(replay.id).over:
        here.end_all()
        here.minutes()

    assert len(here.workspace.jobs) == 3


def test_runs_may_be_named(here: Replaying) -> None:
    runs = here.dead(3)
    replay = here.ask(Wish(runs=(runs[2], runs[0], runs[2])))

    assert replay.total == 2
    assert [record.replay_of for record in here.again()] == [runs[2], runs[0]]


def test_what_a_client_asked_for_by_name_is_run_once_more(here: Replaying) -> None:
    here.publish(trigger())
    run = here.dispatcher.run(request()).record
    assert run is not None
    here.end(run.run_id, "Failed")
    replay = here.ask(Wish(trigger="manual", outcomes=("failed",)))

    [again] = here.again()
    assert (again.replay_of, again.trigger, again.slot) == (run.run_id, "manual", replay.slot)


def test_what_cannot_be_run_once_more_is_told_beforehand_and_counted(here: Replaying) -> None:
    runs = here.dead(2)
    [open_run] = here.upload("sales/north/open.csv", etag="open")
    gone = f"{TRIGGER}.{'0' * 32}"
    here.publish(trigger(filters={"exact": {"subject": event("sales/north/dead-001.csv").subject}}))
    wish = Wish(runs=(runs[0], open_run, gone, runs[1]))
    said = [item.why_not for item in here.outlooks.of(wish).items]
    replay = here.ask(wish)

    assert "says no to it now: filter" in str(said[0])
    assert "is submitted; only what is over" in str(said[1])
    assert "expired" in str(said[2])
    assert said[3] is None
    assert [problem.why for problem in replay.problems] == said[:3]
    assert (replay.not_started, len(replay.active), replay.position) == (3, 1, 4)


def test_a_replay_waits_while_its_trigger_is_paused(here: Replaying) -> None:
    here.dead(3)
    Pauses(here.index).pause(TRIGGER, note="the lake is moved", by="anna", while_paused="drop")
    replay = here.ask()
    assert "is paused since" in str(replay.waiting)
    assert here.again() == []

    Pauses(here.index).resume(TRIGGER)
    here.minutes()
    assert len(here.again()) == 3
    assert here.replays.find(replay.id).waiting is None


def test_a_canceled_replay_starts_nothing_more_and_ends_what_waits(here: Replaying) -> None:
    here.dead(9)
    replay = here.ask()
    canceled = here.replays.cancel(replay.id)
    assert canceled.stage is Stage.CANCELING
    here.minutes(3)
    here.end_all()
    here.minutes()

    over = here.replays.find(replay.id)
    assert (over.stage, over.position) == (Stage.CANCELED, 4)
    assert over.ended == {State.COMPLETED: 2, State.CANCELED: 2}
    assert len(here.workspace.jobs) == 2
    assert here.replays.cancel(replay.id) == over


def test_what_is_over_cannot_be_canceled(here: Replaying) -> None:
    here.dead(1)
    replay = here.ask()
    here.end_all()
    here.minutes()

    with pytest.raises(Conflict, match="is done"):
        here.replays.cancel(replay.id)
    with pytest.raises(NotFound):
        here.replays.cancel("0" * 16)


def test_what_was_started_while_somebody_canceled_is_counted(here: Replaying) -> None:
    here.dead(9)

    def interject(call: str) -> None:
        if call.startswith("swap replays/"):
            here.world.before = lambda _call: None
            other = here.replaying()
            other.cancel(here.states.all()[0].id)

    here.world.before = interject
    replay = here.ask()

    assert replay.stage is Stage.CANCELING
    assert len(replay.active) == len(here.again()) == 4


def started_by_a_worker_that_died(here: Replaying, begin: Callable[[], Replay]) -> Replay:
    """A replay of which nobody has written down what was started."""

    def die(call: str) -> None:
        if call.startswith("swap replays/"):
            raise Killed

    here.world.before = die
    with pytest.raises(Killed):
        begin()
    here.world.before = lambda _call: None
    return here.replays.find(here.states.all()[0].id)


def test_what_a_worker_started_that_died_ends_with_the_replay(here: Replaying) -> None:
    here.dead(9)
    replay = started_by_a_worker_that_died(here, here.ask)
    assert (replay.position, len(here.again())) == (0, 4)
    canceled = here.replays.cancel(replay.id)

    assert (canceled.stage, canceled.position, len(canceled.active)) == (Stage.CANCELING, 4, 4)
    here.minutes()
    here.tick.run()
    assert [run.state for run in here.again()].count(State.CANCELED) == 2
    here.end_all()
    here.minutes(2)
    over = here.replays.find(replay.id)
    assert (over.stage, over.position, over.not_started) == (Stage.CANCELED, 4, 0)
    assert over.ended == {State.COMPLETED: 2, State.CANCELED: 2}
    assert len(here.workspace.jobs) == 2


def test_a_worker_killed_at_any_call_leaves_nothing_of_a_canceled_replay_uncounted() -> None:
    def scene() -> Replaying:
        made = Replaying()
        made.dead(3)
        made.world.calls.clear()
        return made

    whole = scene()
    whole.ask(limit=1)
    calls, begun = len(whole.world.calls), 0
    assert calls > 20
    for number in range(calls):
        here, count = scene(), iter(range(10_000))

        def die(_call: str, number: int = number, count: Iterator[int] = count) -> None:
            if next(count) == number:
                raise Killed

        here.world.before = die
        with suppress(Killed):
            here.ask(limit=1)
        here.world.before = lambda _call: None
        if not here.states.all():
            continue
        replay = here.replays.cancel(here.states.all()[0].id)
        ticks = 0
        while not here.replays.find(replay.id).over:
            ticks += 1
            assert ticks < 10, number
            here.world.pass_time(400)
            here.end_all()
            here.minutes()

        over, again = here.replays.find(replay.id), here.again()
        assert all(record.state.final for record in again), number
        assert (sum(over.ended.values()), over.not_started) == (len(again), 0), number
        begun += bool(again)
    assert begun > 10


def test_what_a_worker_starts_that_dies_after_the_replay_was_canceled_is_counted(
    here: Replaying,
) -> None:
    runs = here.dead(9)
    replay = started_by_a_worker_that_died(here, here.ask)
    canceled = here.replays.cancel(replay.id)
    at = here.world.now
    # As whoever was slower does, until its call has to end.
    late = here.selections.over(runs[4])
    here.dispatcher.replay(late, replay=replay.id, limit=2)
    here.minutes()
    found = here.replays.find(replay.id)
    assert (canceled.position, found.position, found.started) == (4, 5, 5)
    while not (over := here.replays.find(replay.id)).over:
        here.end_all()
        here.minutes()

    assert here.world.now - at > FUNCTION_TIMEOUT
    assert over.ended == {State.COMPLETED: 2, State.CANCELED: 3}
    here.world.calls.clear()
    here.minutes()
    assert here.world.calls == ["list replays/"]


def test_what_could_not_be_started_before_a_replay_was_canceled_is_told(here: Replaying) -> None:
    runs = here.dead(3)
    gone = f"{TRIGGER}.{'0' * 32}"
    wish = Wish(runs=(runs[0], gone, *runs[1:]))
    replay = started_by_a_worker_that_died(here, lambda: here.ask(wish))
    canceled = here.replays.cancel(replay.id)

    assert (canceled.position, canceled.not_started, len(canceled.active)) == (4, 1, 3)
    assert [problem.run for problem in canceled.problems] == [gone]


def test_two_events_that_are_the_same_are_one_run(here: Replaying) -> None:
    here.publish(trigger())
    [run] = here.upload()
    here.end(run, "Failed")
    again = here.dispatcher.retry(*run.split(".")).record
    assert again is not None
    here.end(again.run_id, "Failed")
    replay = here.ask(Wish(trigger=TRIGGER, outcomes=("failed",)))

    assert replay.total == 2
    assert replay.position == 2
    assert len(replay.active) == 1
    assert len(here.workspace.jobs) == 3


def test_what_is_the_same_and_comes_when_the_other_is_over_is_counted_once(here: Replaying) -> None:
    here.publish(trigger())
    [run] = here.upload()
    here.end(run, "Failed")
    again = here.dispatcher.retry(*run.split(".")).record
    assert again is not None
    here.end(again.run_id, "Failed")
    others = here.dead(2)
    replay = here.ask(Wish(runs=(run, *others, again.run_id)), limit=1)
    assert replay.position == 2
    while not (replay := here.replays.find(replay.id)).over:
        here.end_all()
        here.minutes()

    assert (replay.position, replay.started) == (4, 3)
    assert replay.ended == {State.COMPLETED: 3}


def test_a_worker_killed_at_any_call_starts_each_run_once() -> None:
    def scene() -> Replaying:
        made = Replaying()
        made.dead(3)
        made.world.calls.clear()
        return made

    whole = scene()
    whole.ask()
    calls = len(whole.world.calls)
    assert calls > 20
    for applied in (False, True):
        for number in range(calls):
            here, count = scene(), iter(range(10_000))

            def die(_call: str, number: int = number, count: Iterator[int] = count) -> None:
                if next(count) == number:
                    raise Killed

            if applied:
                here.world.after = die
            else:
                here.world.before = die
            with suppress(Killed):
                here.ask()
            here.world.before = here.world.after = lambda _call: None
            # Whoever got no answer asks again.
            replay = here.ask()
            ticks = 0
            while not here.replays.find(replay.id).over:
                ticks += 1
                assert ticks < 30, (applied, number)
                here.world.pass_time(400)
                here.end_all()
                here.minutes()

            assert len(here.again()) == 3, (applied, number)
            assert len(here.workspace.jobs) == 3, (applied, number)
            over = here.replays.find(replay.id)
            assert over.ended == {State.COMPLETED: 3}, (applied, number)


def test_storage_that_is_away_keeps_a_replay_waiting_and_the_others_going(
    here: Replaying,
) -> None:
    here.dead(2)
    fail(here.world, "create ledger/", StorageUnavailable("away"))
    first = here.ask()
    assert (first.position, first.not_started) == (0, 0)

    here.blobs.put("replays/bad.json", b"{", metadata={"over": "no"})
    here.minutes()
    assert here.replays.find(first.id).position == 2
    assert [replay.id for replay in here.replays.page()[0]] == [first.id]


def test_nothing_to_do_costs_one_request(here: Replaying) -> None:
    here.dead(1)
    here.ask()
    here.end_all()
    here.minutes()
    here.world.calls.clear()
    here.replays.run_due(lambda: False)

    assert here.world.calls == ["list replays/"]


def test_a_tick_starts_at_least_one_however_little_time_there_is(here: Replaying) -> None:
    here.dead(4)
    Pauses(here.index).pause(TRIGGER, note="x", by="anna")
    replay = here.ask(limit=10)
    Pauses(here.index).resume(TRIGGER)
    for done in (1, 2, 3, 4):
        looks = iter((False, True, True, True))
        here.replays.run_due(lambda looks=looks: next(looks))  # type: ignore[misc]
        assert here.replays.find(replay.id).position == done


def test_replays_are_listed_newest_first_page_by_page(here: Replaying) -> None:
    here.dead(1)
    ids = []
    for number in range(5):
        ids.append(here.ask(key=f"key-{number}").id)
        here.world.pass_time(1)
    found, cursor = [], None
    while True:
        page, cursor = here.replays.page(limit=2, cursor=cursor)
        found += [replay.id for replay in page]
        if cursor is None:
            break

    assert found == ids[::-1]
    with pytest.raises(RequestInvalid):
        here.replays.page(cursor="x")
    with pytest.raises(NotFound):
        here.replays.find("x")


def test_where_there_is_nothing_there_is_no_replay(here: Replaying) -> None:
    here.publish(trigger())
    with pytest.raises(RequestInvalid) as caught:
        here.ask()

    assert "nothing of that trigger" in caught.value.problems["outcomes"]
    assert here.states.all() == []


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_limit_has_bounds(here: Replaying, limit: int) -> None:
    here.dead(1)
    with pytest.raises(RequestInvalid) as caught:
        here.ask(limit=limit)

    assert caught.value.problems.keys() == {"limit"}


def test_a_mistake_in_one_run_does_not_stop_the_others(here: Replaying) -> None:
    runs = here.dead(3)
    named = parse_run_id(runs[1])
    assert named is not None
    here.blobs.put(f"ledger/{named[0]}/{named[1]}.json", b"{")
    replay = here.ask()

    assert [problem.run for problem in replay.problems] == [runs[1]]
    assert len(here.workspace.jobs) == 2


def test_what_is_published_now_counts(here: Replaying) -> None:
    here.dead(1)
    here.publish(trigger(), pipelines=[pipeline(version="v2")])
    here.ask()

    assert [record.pipeline for record in here.again()] == ["churn-training@v2"]


def test_a_batch_is_run_once_more_with_its_events_and_one_event_of_it_is_not(
    here: Replaying,
) -> None:
    here.publish(batched())
    [member] = here.upload("sales/03-01/a.csv")
    here.world.pass_time(3600)
    here.tick.run()
    [batch] = [record for record in records(here) if not record.member]
    here.end(batch.run_id, "Failed")
    replay = here.ask(Wish(trigger=TRIGGER, outcomes=("failed",)))

    [again] = here.again()
    assert (again.replay_of, again.members) == (batch.run_id, batch.members)
    assert again.body is not None
    assert batch.body is not None
    assert again.body.inputs == batch.body.inputs
    assert replay.total == 1
    [outlook] = here.outlooks.of(Wish(runs=(member,))).items
    assert f"was taken by {batch.run_id}" in str(outlook.why_not)
