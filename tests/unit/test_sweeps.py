"""Uploads that no event told of, and what is made of them."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import NotFound, RequestInvalid, StorageUnavailable
from shared.ledger import State
from shared.pauses import Pauses
from shared.searches import Searches
from shared.sweep_states import NAMED, Course, SweepState, SweepStates
from shared.sweeps import Sweeps
from tests.unit.asking import Asked
from tests.unit.scene import TRIGGER, Killed, event, fail, trigger

HOUR = timedelta(hours=1)


class Sweeping(Asked):
    """A scene with a lake and sweeps of it."""

    def __init__(self) -> None:
        super().__init__()
        self.states = SweepStates(self.blobs)
        self.searches = Searches(
            orders=self.orders,
            ledger=self.ledger,
            lakes=self.lakes,
            dispatcher=self.dispatcher,
            variables=self.variables,
        )
        self.sweeps = self.sweeping()

    def sweeping(self) -> Sweeps:
        return Sweeps(
            states=self.states,
            index=self.index,
            searches=self.searches,
            monotonic=lambda: self.stopwatch,
        )

    def run(self, *, after: timedelta = HOUR, until: Callable[[], bool] = lambda: False) -> Course:
        """What was due after some time; the last that came to its end."""
        self.world.pass_time(after.total_seconds())
        self.sweeps.run_due(until)
        report = self.state.report
        assert report is not None
        return report

    @property
    def state(self) -> SweepState:
        return self.states.read(TRIGGER).state

    def paths(self) -> list[str]:
        """What has a record, by path."""
        return sorted(
            json.loads(blob.data)["event"]["subject"].rpartition("/blobs/")[2]
            for name, blob in self.blobs.stored.items()
            if name.startswith("ledger/")
        )


def swept(**changes: Any) -> TriggerDefinition:
    given = trigger().model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return TriggerDefinition.model_validate({**given, "sweep": {}, **changes})


@pytest.fixture
def here() -> Sweeping:
    scene = Sweeping()
    scene.publish(swept())
    scene.run(after=timedelta(0))
    return scene


def test_an_upload_that_no_event_told_of_is_found_and_started(here: Sweeping) -> None:
    here.upload("sales/north/told.csv")
    here.put("sales/north/lost.csv")
    here.put("sales/notes.txt")
    report = here.run()

    assert here.paths() == ["sales/north/lost.csv", "sales/north/told.csv"]
    assert len(here.workspace.jobs) == 2
    assert report.counts.model_dump() == {
        "listed": 3,
        "looked_at": 2,
        "known": 1,
        "found": 1,
        "overwritten": 0,
        "young": 0,
        "unnameable": 0,
        "failed": 0,
    }
    [found] = report.found
    assert (found.path, found.etag, found.size) == ("sales/north/lost.csv", "0x1", 12)
    [record] = [here.ledger.read(*found.run.split("."))]
    assert record is not None
    assert record.record.event.model_extra == {"sweptat": report.began.isoformat()}


def test_the_event_that_comes_after_all_meets_the_same_record(here: Sweeping) -> None:
    here.put()
    here.run()
    [decision] = here.dispatcher.handle(event())

    assert decision.duplicate
    assert len(here.workspace.jobs) == 1


def test_what_is_young_is_left_to_the_next_sweep(here: Sweeping) -> None:
    here.world.pass_time(HOUR.total_seconds())
    here.put()
    report = here.run(after=timedelta(minutes=4))
    assert (report.counts.young, here.paths()) == (1, [])

    assert here.run().counts.found == 1


def test_a_sweep_is_due_when_its_time_has_come(here: Sweeping) -> None:
    here.put()
    first = here.state.report
    assert here.run(after=HOUR - timedelta(seconds=1)) == first
    assert here.run(after=timedelta(seconds=1)) != first


def test_a_tick_without_anything_due_costs_two_requests(here: Sweeping) -> None:
    here.world.calls.clear()
    here.sweeps.run_due(lambda: False)

    assert here.world.calls == ["get_if_changed index.json", "list sweeps/"]


def test_what_is_older_than_the_sweep_before_costs_nothing_till_the_daily_one(
    here: Sweeping,
) -> None:
    here.put("sales/north/old.csv")
    here.run()
    stored = {name for name in here.blobs.stored if name.startswith("ledger/")}
    here.blobs.stored = {
        name: blob for name, blob in here.blobs.stored.items() if name not in stored
    }
    for _ in range(3):
        assert here.run().counts.looked_at == 0

    assert here.run(after=timedelta(hours=21)).full
    assert here.paths() == ["sales/north/old.csv"]


def test_uploads_before_the_trigger_and_behind_the_lookback_are_not_its_business(
    here: Sweeping,
) -> None:
    since = here.index.read().snapshot.triggers[TRIGGER].effective_from
    here.put("sales/north/before.csv", last_modified=since - timedelta(seconds=1))
    here.run(after=timedelta(days=3))
    here.put("sales/north/long-ago.csv", last_modified=here.world.now - timedelta(days=2.1))
    here.run(after=timedelta(days=1.1))

    assert here.paths() == []


def test_what_was_overwritten_is_started_when_somebody_says_so(here: Sweeping) -> None:
    here.upload()
    here.world.pass_time(HOUR.total_seconds())
    here.put(etag="0x2")
    here.run()
    state = here.sweeps.ask(TRIGGER, overwritten=True)

    assert len(here.workspace.jobs) == 2
    assert state.overwritten == ()
    assert state.report is not None
    assert state.report.counts.found == 1


def test_a_dry_run_starts_nothing_and_forgets_nothing(here: Sweeping) -> None:
    here.put()
    here.world.pass_time(HOUR.total_seconds())
    before = here.state
    state = here.sweeps.ask(TRIGGER, dry_run=True)

    assert state.report is not None
    assert [one.path for one in state.report.found] == ["sales/north/march.csv"]
    assert here.paths() == []
    assert (state.last, state.full, state.found) == (before.last, before.full, ())


def test_a_sweep_may_be_asked_for_without_a_word_of_sweeps_in_the_document(
    here: Sweeping,
) -> None:
    here.publish(trigger())
    here.put()
    here.world.pass_time(HOUR.total_seconds())

    assert here.sweeps.ask(TRIGGER).course is None
    assert len(here.workspace.jobs) == 1
    here.put("sales/north/other.csv")
    here.run(after=timedelta(days=1))
    assert len(here.workspace.jobs) == 1


def test_an_edit_of_what_it_waits_for_keeps_sweeps_from_what_came_before(here: Sweeping) -> None:
    here.put("sales/north/march.txt")
    here.world.pass_time(HOUR.total_seconds())
    wider = swept(spec={"blob": {"account": "contosolake", "container": "landing",
                                 "path": "sales/{region}/{file}"}})  # fmt: skip
    here.index.change(
        lambda snapshot, at: snapshot.model_copy(
            update={
                "triggers": {
                    TRIGGER: snapshot.triggers[TRIGGER].model_copy(
                        update={"definition": wider, "spec_since": at}
                    )
                }
            }
        )
    )
    here.run()
    here.run(after=timedelta(days=1.1))
    assert here.paths() == []

    here.sweeps.ask(TRIGGER, lookback=timedelta(days=3))
    assert here.paths() == ["sales/north/march.txt"]


def test_while_a_trigger_is_paused_what_is_found_is_held(here: Sweeping) -> None:
    Pauses(here.index).pause(TRIGGER, note="x", by="key")
    here.put()
    here.run()

    assert here.record().state is State.HELD


def many(here: Sweeping, number: int) -> None:
    for one in range(number):
        here.put(f"sales/north/{one:05}.csv", etag=f"0x{one}")


def test_many_are_found_page_by_page_over_many_ticks(here: Sweeping) -> None:
    here.lakes.page_size = 30
    many(here, 120)
    here.world.pass_time(HOUR.total_seconds())
    ticks = 0
    while here.state.last is None or here.state.course or len(here.paths()) < 120:
        ticks += 1
        assert ticks < 400
        # Not even the first is through when the time is over.
        here.sweeps.run_due(_after(3))
    report = here.state.report

    assert report is not None
    assert (report.counts.listed, report.counts.found, report.counts.known) == (120, 120, 0)
    assert len(report.found) == NAMED
    assert ticks > 20
    assert len(here.workspace.jobs) <= 120


def _after(calls: int) -> Callable[[], bool]:
    made = iter(range(1_000_000))
    return lambda: next(made) >= calls


def test_known_uploads_are_passed_over_in_one_tick(here: Sweeping) -> None:
    many(here, 2_000)
    here.lakes.uploads = [
        one.__class__(**{**vars(one), "last_modified": here.world.now - timedelta(days=3)})
        for one in here.lakes.uploads
    ]
    here.world.pass_time(HOUR.total_seconds())
    here.world.calls.clear()
    here.sweeps.run_due(lambda: False)

    assert here.state.report is not None
    assert here.state.report.counts.listed == 2_000
    assert not [call for call in here.world.calls if "ledger/" in call]


def test_a_worker_killed_at_any_call_leaves_nothing_undone_or_done_twice() -> None:
    def scene() -> Sweeping:
        made = Sweeping()
        made.publish(swept())
        made.run(after=timedelta(0))
        made.lakes.page_size = 2
        made.upload("sales/north/told.csv")
        many(made, 3)
        made.world.pass_time(HOUR.total_seconds())
        made.world.calls.clear()
        return made

    whole = scene()
    whole.sweeps.run_due(lambda: False)
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
                here.sweeps.run_due(lambda: False)
            here.world.before = here.world.after = lambda _call: None
            here.run(after=timedelta(minutes=20))
            here.run(after=timedelta(minutes=50))
            here.tick.run()

            assert len(here.paths()) == 4, (applied, number)
            assert len(here.workspace.jobs) == 4, (applied, number)
            assert here.state.overwritten == (), (applied, number)


def test_a_lake_that_cannot_be_read_is_told_and_tried_again(here: Sweeping) -> None:
    here.put()
    here.lakes.trouble = StorageUnavailable("Give this identity the role Storage Blob Data Reader")
    here.run()
    assert "Storage Blob Data Reader" in str(here.state.problem)
    looks = len(here.lakes.looks)
    here.run(after=timedelta(minutes=14))
    assert len(here.lakes.looks) == looks

    here.run(after=timedelta(minutes=1))
    assert len(here.lakes.looks) == looks + 1
    here.lakes.trouble = None
    here.run(after=timedelta(minutes=15))
    assert here.state.problem is None
    assert here.paths() == ["sales/north/march.csv"]


def test_one_trigger_s_trouble_does_not_keep_the_others(here: Sweeping) -> None:
    other = swept(name="other", spec={"blob": {"account": "contosolake", "container": "landing",
                                               "path": "{file}.csv"}})  # fmt: skip
    here.publish(swept(), other)
    here.blobs.put(f"sweeps/{TRIGGER}.json", b"{", metadata={"under_way": "yes"})
    here.put("a.csv")
    here.world.pass_time(HOUR.total_seconds())
    here.sweeps.run_due(lambda: False)

    assert here.paths() == ["a.csv"]


def test_state_that_cannot_be_written_stops_the_sweep_and_not_the_tick(here: Sweeping) -> None:
    here.put()
    here.world.pass_time(HOUR.total_seconds())
    fail(here.world, "create ledger/", StorageUnavailable("away"))
    here.sweeps.run_due(lambda: False)
    assert here.paths() == []

    here.run(after=timedelta(minutes=20))
    assert here.paths() == ["sales/north/march.csv"]


def test_two_workers_at_once_find_each_upload_once(here: Sweeping) -> None:
    many(here, 5)
    here.world.pass_time(HOUR.total_seconds())
    other, done = here.sweeping(), False

    def interject(call: str) -> None:
        nonlocal done
        if call.startswith("create ledger/") and not done:
            done = True
            other.run_due(lambda: False)

    here.world.before = interject
    here.sweeps.run_due(lambda: False)

    assert len(here.workspace.jobs) == 5
    assert here.state.course is None


def test_what_cannot_be_swept_is_told(here: Sweeping) -> None:
    called = TriggerDefinition.model_validate(
        {"name": "called", "spec": {"http": {}}, "action": {"pipeline": "p"}}
    )
    here.publish(swept(), called)
    with pytest.raises(NotFound, match="on-upload"):
        here.sweeps.ask("nowhere")
    with pytest.raises(RequestInvalid, match="cannot be swept"):
        here.sweeps.state("called")
    for back in (timedelta(minutes=1), timedelta(days=31), timedelta(days=-1)):
        with pytest.raises(RequestInvalid) as caught:
            here.sweeps.ask(TRIGGER, lookback=back)
        assert caught.value.problems.keys() == {"lookback"}
