"""Running the times of a schedule that are past."""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.backfills import Backfills
from shared.definitions import TriggerDefinition
from shared.errors import Conflict, NotFound, RequestInvalid, StorageUnavailable
from shared.ledger import Record, State
from shared.occurrences import MOST, Occurrences, Range
from shared.pauses import Pauses
from shared.previews import Previews
from shared.replay_states import Replay, Stage
from tests.unit.scene import PIPELINE, Killed, fail, interject, pipeline, trigger
from tests.unit.test_replays import Replaying, started_by_a_worker_that_died

NIGHTLY = "nightly"


def schedule(name: str = NIGHTLY, **spec: Any) -> TriggerDefinition:
    """At six in Berlin, unless it says otherwise; binds its window to `data`."""
    spec = spec or {"cron": "0 6 * * *", "time_zone": "Europe/Berlin"}
    window = "azureml://datastores/lake/paths/${{ window_start }}/${{ window_end }}"
    return TriggerDefinition.model_validate(
        {
            "name": name,
            "spec": {"schedule": spec},
            "action": {"pipeline": PIPELINE, "inputs": {"data": window}},
        }
    )


class Backfilling(Replaying):
    """A scene with one schedule."""

    def __init__(self, *triggers: TriggerDefinition, most: int = MOST) -> None:
        super().__init__()
        self.occurrences = Occurrences(
            index=self.index, orders=self.orders, dispatcher=self.dispatcher, most=most
        )
        self.backfills = Backfills(
            occurrences=self.occurrences,
            orders=self.orders,
            ledger=self.ledger,
            previews=Previews(
                index=self.index,
                orders=self.orders,
                ledger=self.ledger,
                lakes=self.lakes,
                variables=self.variables,
            ),
            replays=self.replays,
        )
        self.publish(*(triggers or [schedule()]))

    def begin(self, wish: "Range | None" = None, *, limit: int = 2, key: str = "k") -> Replay:
        return self.backfills.ask(wish or self.days(5), limit=limit, by="anna", key=key)

    def days(self, number: int, **more: Any) -> Range:
        """The last so many times of the schedule."""
        return Range(trigger=NIGHTLY, since=self.world.now - timedelta(days=number), **more)

    def recorded(self) -> list[Record]:
        """What is recorded of the schedule, in the order of scheduled times."""
        names = [name for name in self.blobs.stored if name.startswith(f"ledger/{NIGHTLY}/")]
        kept = [
            self.ledger.read(NIGHTLY, name.split("/")[2].removesuffix(".json")) for name in names
        ]
        found = [each.record for each in kept if each]
        return sorted(found, key=lambda record: (record.event.time, record.transitions[0].at))

    def finish(self, replay: Replay, most: int = 40) -> Replay:
        """A backfill once it is over."""
        for _ in range(most):
            if (found := self.replays.find(replay.id)).over:
                return found
            self.end_all()
            self.minutes()
        raise AssertionError(found)


@pytest.fixture
def here() -> Backfilling:
    return Backfilling()


def test_every_time_of_a_range_is_run_once_the_oldest_first(here: Backfilling) -> None:
    wish = here.days(5)
    replay = here.begin(wish)
    assert (replay.total, replay.position, replay.stage) == (5, 4, Stage.RUNNING)
    over = here.finish(replay)

    runs = here.recorded()
    assert (over.stage, over.ended) == (Stage.DONE, {State.COMPLETED: 5})
    assert [run.event.time.hour for run in runs] == [5] * 5
    begun = [run.transitions[0].at for run in runs]
    assert begun == sorted(begun)
    for run in runs:
        assert run.body is not None
        start, end = run.event.time - timedelta(days=1), run.event.time
        assert str(run.body.inputs["data"]).count(f"{start:%Y-%m-%dT%H:%M:%SZ}") == 1
        assert run.event.data == {
            "scheduled_time": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "window_start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "window_end": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        }
        assert (run.replay, run.replay_of, run.slot) == (replay.id, None, replay.slot)


def test_times_that_a_worker_started_that_died_end_with_the_backfill(here: Backfilling) -> None:
    replay = started_by_a_worker_that_died(here, here.begin)
    # Whatever becomes of its schedule.
    here.publish()
    canceled = here.replays.cancel(replay.id)
    assert (replay.position, canceled.position, len(canceled.active)) == (0, 4, 4)
    over = here.finish(replay)

    assert (over.stage, over.ended) == (Stage.CANCELED, {State.COMPLETED: 2, State.CANCELED: 2})


def test_the_newest_may_come_first(here: Backfilling) -> None:
    replay = here.begin(here.days(5, newest_first=True), limit=1)
    assert [run.event.time for run in here.recorded()][-1] > here.world.now - timedelta(days=1)
    assert len(here.recorded()) == 2

    here.finish(replay)
    begun = [run.transitions[0].at for run in here.recorded()]
    assert begun == sorted(begun, reverse=True)


def test_what_is_left_out_is_not_run() -> None:
    here = Backfilling(schedule(cron="0 6 * * *", exclude=["2026-02-27", "* * * * SUN"]))
    first = datetime(2026, 2, 25, tzinfo=UTC)
    until = datetime(2026, 3, 1, tzinfo=UTC)
    here.finish(here.begin(Range(trigger=NIGHTLY, since=first, until=until)))

    assert [run.event.time.day for run in here.recorded()] == [25, 26, 28]


def test_the_schedule_s_own_run_of_a_time_is_another(here: Backfilling) -> None:
    indexed = here.index.read().snapshot.triggers[NIGHTLY]
    [at] = here.occurrences.choose(here.days(1))[2]
    own = here.orders.occurrence(indexed, at)
    here.dispatcher.place(own, here.index.read().snapshot)
    [shown] = here.backfills.preview(here.days(1)).items
    assert (shown.run, shown.state) == (own.run_id, State.SUBMITTED)

    for key in ("one", "two", "one"):
        here.begin(here.days(1), key=key)
    assert len(here.recorded()) == 3
    assert len({run.key for run in here.recorded()}) == 3


def test_a_dry_run_tells_the_times_by_both_clocks_and_changes_nothing(here: Backfilling) -> None:
    stored = dict(here.blobs.stored)
    found, cursor = [], None
    while True:
        page = here.backfills.preview(here.days(5), limit=2, cursor=cursor)
        assert (page.total, page.time_zone) == (5, "Europe/Berlin")
        found += page.items
        if (cursor := page.cursor) is None:
            break

    assert here.blobs.stored == stored
    assert [item.time.local.hour for item in found] == [6] * 5
    assert [item.time.scheduled.hour for item in found] == [5] * 5
    assert {item.preview.decision for item in found} == {"would_run"}
    assert {item.state for item in found} == {None}
    newest = here.backfills.preview(here.days(5, newest_first=True), limit=5).items
    assert [item.time for item in newest] == [item.time for item in found[::-1]]
    with pytest.raises(RequestInvalid):
        here.backfills.preview(here.days(5), cursor="2020-01-01T00:00:00Z")


def test_what_was_shown_is_what_is_run(here: Backfilling) -> None:
    shown = here.backfills.preview(here.days(2))
    here.world.pass_time(86_400)
    since, until = shown.selection.since, shown.selection.until
    assert since is not None
    replay = here.begin(Range(trigger=NIGHTLY, since=since, until=until))

    assert replay.total == shown.total == 2


def test_times_without_an_offset_are_the_schedule_s(here: Backfilling) -> None:
    day = datetime(2026, 2, 20)
    wish = Range(trigger=NIGHTLY, since=day, until=day + timedelta(days=1))
    selection = here.backfills.preview(wish).selection

    assert selection.since == datetime(2026, 2, 19, 23, tzinfo=UTC)
    assert selection.until == datetime(2026, 2, 20, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wish", "place", "why"),
    [
        ({"trigger": "on-upload"}, "trigger", "is for blob.*sweep on-upload.*signalbox replay"),
        ({"trigger": "native"}, "trigger", "AzureML.*signalbox run churn-training.*engine: sig"),
        ({"days": -1}, "since", "lies ahead; it is 2026"),
        ({"until": timedelta(minutes=1)}, "until", "is not over yet; leave it out"),
        ({"until": timedelta(days=-6)}, "until", "is not after since"),
        ({"days": 9}, "since", "^9 times .* takes 8"),
        ({"days": 0.1}, "since", "no time of the schedule.*the time before is"),
    ],
)
def test_what_cannot_be_backfilled_is_refused_with_what_to_do(
    wish: dict[str, Any], place: str, why: str
) -> None:
    native = schedule("native", cron="0 6 * * *", engine="azureml")
    here = Backfilling(schedule(), trigger(), native, most=8)
    now = here.world.now
    given = Range(
        trigger=wish.get("trigger", NIGHTLY),
        since=now - timedelta(days=wish.get("days", 5)),
        until=now + wish["until"] if "until" in wish else None,
    )
    for ask in (here.begin, here.backfills.preview):
        with pytest.raises(RequestInvalid) as caught:
            ask(given)
        assert caught.value.problems.keys() == {place}
        assert re.search(why, caught.value.problems[place])
    assert here.states.all() == []


def test_an_unknown_schedule_is_told_with_those_there_are(here: Backfilling) -> None:
    with pytest.raises(NotFound, match=r"no schedule 'nowhere'. There are: nightly\."):
        here.begin(Range(trigger="nowhere", since=here.world.now))


def test_a_range_with_far_too_many_times_costs_no_more_than_counting() -> None:
    here = Backfilling(schedule(cron="* * * * *"))
    with pytest.raises(RequestInvalid) as caught:
        here.begin(here.days(365))

    assert caught.value.problems["since"].startswith("more than 100,000 times")


def test_the_same_request_is_the_same_backfill(here: Backfilling) -> None:
    first = here.begin(here.days(3))
    here.world.pass_time(100)
    wish = Range(trigger=NIGHTLY, since=here.days(3).since - timedelta(seconds=100))

    assert here.begin(wish).id == first.id
    for other in (here.days(4), here.days(3, newest_first=True)):
        with pytest.raises(Conflict, match="Idempotency-Key"):
            here.begin(other)


def test_a_worker_killed_at_any_call_runs_each_time_once() -> None:
    whole = Backfilling()
    whole.world.calls.clear()
    whole.begin(whole.days(3))
    calls = len(whole.world.calls)
    assert calls > 20
    for applied in (False, True):
        for number in range(calls):
            here, count = Backfilling(), iter(range(10_000))

            def die(_call: str, number: int = number, count: Iterator[int] = count) -> None:
                if next(count) == number:
                    raise Killed

            wish = here.days(3)
            if applied:
                here.world.after = die
            else:
                here.world.before = die
            with suppress(Killed):
                here.begin(wish)
            here.world.before = here.world.after = lambda _call: None
            # Whoever got no answer asks again.
            here.begin(wish)
            [replay] = [here.replays.find(one.id) for one in here.states.all()]
            here.world.pass_time(400)
            over = here.finish(replay)

            assert len(here.recorded()) == 3, (applied, number)
            assert len(here.workspace.jobs) == 3, (applied, number)
            assert over.ended == {State.COMPLETED: 3}, (applied, number)


def test_ticks_that_come_twice_run_each_time_once(here: Backfilling) -> None:
    Pauses(here.index).pause(NIGHTLY, note="x", by="anna")
    replay = here.begin(limit=3)
    Pauses(here.index).resume(NIGHTLY)
    other = here.replaying()
    while not here.replays.find(replay.id).over:
        interject(here.world, "create ledger/", lambda: other.run_due(lambda: False))
        here.replays.run_due(lambda: False)
        here.end_all()

    assert len(here.workspace.jobs) == len(here.recorded()) == 5
    assert here.replays.find(replay.id).ended == {State.COMPLETED: 5}


def test_a_backfill_waits_while_its_schedule_is_paused(here: Backfilling) -> None:
    Pauses(here.index).pause(NIGHTLY, note="the lake is moved", by="anna")
    replay = here.begin()
    assert "is paused since" in str(replay.waiting)
    assert here.recorded() == []

    Pauses(here.index).resume(NIGHTLY)
    here.minutes()
    assert len(here.recorded()) == 4


def test_a_canceled_backfill_starts_nothing_more(here: Backfilling) -> None:
    replay = here.begin(limit=1)
    assert here.replays.cancel(replay.id).stage is Stage.CANCELING
    over = here.finish(replay)

    assert (over.stage, over.position) == (Stage.CANCELED, 2)
    assert over.ended == {State.COMPLETED: 1, State.CANCELED: 1}


def test_a_time_that_is_none_any_more_is_not_run(here: Backfilling) -> None:
    replay = here.begin(limit=1)
    here.publish(schedule(cron="0 6 * * *", time_zone="UTC"))
    over = here.finish(replay)
    assert (over.stage, over.not_started) == (Stage.DONE, 3)
    assert {problem.run for problem in over.problems} == {None}
    assert [problem.scheduled_time for problem in over.problems] == sorted(
        problem.scheduled_time for problem in over.problems if problem.scheduled_time
    )
    assert "It is no time of the schedule any more" in over.problems[0].why

    second = here.begin(here.days(3), key="2", limit=1)
    here.publish(trigger(NIGHTLY))
    assert "no schedule 'nightly' any more" in here.finish(second).problems[0].why


def test_storage_that_is_away_loses_no_time(here: Backfilling) -> None:
    fail(here.world, "create ledger/", StorageUnavailable("away"))
    replay = here.begin()
    assert replay.position == 0

    assert here.finish(replay).ended == {State.COMPLETED: 5}


def test_what_is_published_now_counts(here: Backfilling) -> None:
    here.publish(schedule(), pipelines=[pipeline(version="v2")])
    here.begin(here.days(1))

    assert [run.pipeline for run in here.recorded()] == [f"{PIPELINE}@v2"]


def test_each_time_is_given_the_uploads_of_its_own_window() -> None:
    blobs = {"account": "contosolake", "container": "landing", "path": "labels/{file}.csv"}
    new = schedule(cron="0 6 * * *", only_if={"new_blobs": blobs})
    action = new.action.model_copy(update={"inputs": {"data": "${{ manifest }}"}})
    here = Backfilling(new.model_copy(update={"action": action}))
    here.put("labels/a.csv", last_modified=here.world.now - timedelta(days=1))
    shown = here.backfills.preview(here.days(3)).items
    assert {item.preview.decision for item in shown} == {"would_run"}
    replay = here.begin(here.days(3), limit=3)

    runs = here.recorded()
    assert [run.state for run in runs] == [State.SKIPPED, State.SKIPPED, State.SUBMITTED]
    assert {run.reason.code for run in runs if run.reason} == {"no_new_blobs"}
    over = here.finish(replay)
    assert over.ended == {State.SKIPPED: 2, State.COMPLETED: 1}
    assert (
        "It was given the uploads from 2026-02-28T06:00:00+00:00 until "
        "2026-03-01T06:00:00+00:00: 1."
    ) in here.explain.run(runs[2].run_id).lines
