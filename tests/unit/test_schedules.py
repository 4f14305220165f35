"""The tick's part of schedules: each time has one record, whatever becomes of ticks."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import changes
from shared.clocks import Clock, Clocks
from shared.definitions import TriggerDefinition
from shared.errors import RecordUnreadable, StorageUnavailable
from shared.index import Snapshot
from shared.ledger import Record, State
from shared.pauses import Pauses
from shared.schedules import Schedules
from tests.unit.scene import PIPELINE, Killed, Scene, fail, interject, pipeline, trigger

#: When a Scene's triggers are published; its storage time is two minutes later.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL_AT_ONCE: dict[str, Any] = {"overlap": "buffer_all", "concurrency": {"limit": "unlimited"}}


def scheduled(
    name: str = "nightly", *, policies: dict[str, Any] | None = None, **spec: Any
) -> TriggerDefinition:
    """A schedule whose job is told its time; every minute if nothing is said."""
    given = spec if "every" in spec or "cron" in spec else {"cron": "* * * * *", **spec}
    inputs = {"data": "azureml://datastores/lake/paths/${{ scheduled_time }}"}
    return TriggerDefinition.model_validate(
        {
            "name": name,
            "spec": {"schedule": given},
            "action": {"pipeline": PIPELINE, "inputs": inputs},
            "policies": policies or {},
        }
    )


@pytest.fixture
def here() -> Scene:
    return Scene()


def begun(here: Scene, *triggers: TriggerDefinition) -> None:
    """Triggers are published, and the clock begins at 12:02."""
    here.publish(*triggers)
    here.tick.run()
    here.world.calls.clear()


def look(here: Scene, minutes: float = 1) -> None:
    """The tick's part, so many minutes later."""
    here.world.pass_time(minutes * 60)
    here.schedules.run_due(lambda: False)


def edit(here: Scene, *triggers: TriggerDefinition) -> None:
    def change(before: Snapshot, at: datetime) -> Snapshot:
        return changes.applied(before, at, changes.Wanted([], triggers))

    here.index.change(change)


def records(here: Scene, name: str = "nightly") -> list[Record]:
    """Those of a schedule, by their time."""
    found = [
        Record.model_validate_json(blob.data)
        for key, blob in here.blobs.stored.items()
        if key.startswith(f"ledger/{name}/")
    ]
    return sorted(found, key=lambda record: record.event.time)


def told(here: Scene, name: str = "nightly") -> list[tuple[str, State]]:
    return [(f"{record.event.time:%H:%M}", record.state) for record in records(here, name)]


def clock(here: Scene) -> Clock:
    kept = Clocks(here.blobs).read()
    assert kept is not None
    return kept.clock


def codes(here: Scene) -> list[str | None]:
    return [record.reason.code if record.reason else None for record in records(here)]


def test_at_the_first_look_nothing_of_the_past_fires(here: Scene) -> None:
    here.publish(scheduled())
    look(here, 0)
    assert told(here) == []
    assert clock(here).last_evaluated == NOON + timedelta(minutes=2)

    look(here)
    assert told(here) == [("12:03", State.SUBMITTED)]


def test_a_time_becomes_a_job_that_is_told_of_it(here: Scene) -> None:
    begun(here, scheduled())
    look(here)

    [record] = records(here)
    assert record.event.id == "2026-03-01T12:03:00Z"
    assert record.body is not None
    assert record.body.inputs["data"].path.endswith("/2026-03-01T12:03:00Z")  # type: ignore[union-attr]
    assert list(here.workspace.jobs) == [record.attempt.job_name]
    assert clock(here).last_evaluated == NOON + timedelta(minutes=3)


def test_a_look_at_which_nothing_is_due_costs_three_requests(here: Scene) -> None:
    begun(here, scheduled(cron="0 6 * * *"), trigger())
    look(here)

    assert here.calls() == ["get_if_changed index.json", "get clock.json", "swap clock.json"]


def test_records_come_before_the_clock_and_the_job_after_it(here: Scene) -> None:
    begun(here, scheduled(policies=ALL_AT_ONCE | {"max_runs_per_day": "unlimited"}))
    look(here)

    assert here.calls() == [
        "get_if_changed index.json",
        "get clock.json",
        "put open",
        "create ledger",
        "swap clock.json",
        "PUT",
        "swap ledger",
    ]


def test_a_look_that_comes_again_changes_nothing(here: Scene) -> None:
    begun(here, scheduled())
    look(here)
    before = dict(here.blobs.stored)
    here.blobs.stored["clock.json"] = before["clock.json"]
    here.schedules.run_due(lambda: False)
    assert here.blobs.stored == before

    # Another worker, whose clock was read before that.
    kept = Clocks(here.blobs).read()
    assert kept is not None
    back = kept.clock.model_copy(update={"last_evaluated": NOON + timedelta(minutes=2)})
    Clocks(here.blobs).move(kept, back)
    here.schedules.run_due(lambda: False)
    assert told(here) == [("12:03", State.SUBMITTED)]
    assert len(here.workspace.jobs) == 1


def test_what_came_while_nobody_looked_is_made_up_for_within_the_window(here: Scene) -> None:
    begun(here, scheduled(catchup_window="PT5M", policies=ALL_AT_ONCE))
    look(here, 8)

    missed, made_up = told(here)[:3], told(here)[3:]
    assert missed == [(f"12:0{n}", State.MISSED) for n in (3, 4)] + [("12:05", State.SUBMITTED)]
    assert [state for _, state in made_up] == [State.SUBMITTED] * 5
    first = records(here)[0]
    assert first.reason is not None
    assert first.reason.code == "missed_catchup_window"
    assert first.reason.text.startswith(
        "It was due at 2026-03-01 12:03:00 UTC and nobody came to it before 2026-03-01 12:10:00 UTC"
    )
    assert first.reason.text.endswith(
        "; `signalbox backfill nightly --since 2026-03-01T12:03:00Z --until 2026-03-01T12:03:01Z` "
        "runs it."
    )
    assert (first.body, first.attempts) == (None, ())
    here.tick.run()
    assert here.history.has("nightly", first.key, first.event, first.transitions[-1].at)
    assert not [name for name in here.blobs.stored if name == f"open/nightly/{first.key}"]


def test_no_more_than_so_many_are_written_down_and_the_oldest_first(here: Scene) -> None:
    names = [f"t{n}" for n in range(7)]
    begun(here, *(scheduled(name) for name in names))
    few = Schedules(
        index=here.index,
        clocks=Clocks(here.blobs),
        orders=here.orders,
        dispatcher=here.dispatcher,
        most=5,
    )
    here.world.pass_time(120)
    written = []
    for _ in range(4):
        few.run_due(lambda: False)
        at = clock(here)
        written.append(
            (
                sum(len(records(here, name)) for name in names),
                f"{at.last_evaluated:%H:%M}",
                at.through,
            )
        )

    # In the middle of one second as well.
    assert written == [
        (5, "12:03", "t4"),
        (10, "12:04", "t2"),
        (14, "12:04", None),
        (14, "12:04", None),
    ]


def test_a_look_ends_with_its_time_and_the_next_goes_on(here: Scene) -> None:
    names = [f"t{n:02}" for n in range(60)]
    begun(here, *(scheduled(name) for name in names))
    here.world.pass_time(60)
    here.schedules.run_due(lambda: True)

    assert sum(len(records(here, name)) for name in names) == 50
    assert not here.workspace.jobs
    assert clock(here).through == "t49"
    here.schedules.run_due(lambda: True)
    assert sum(len(records(here, name)) for name in names) == 60
    # Nobody handed them over: that is found by their markers.
    here.world.pass_time(120)
    here.tick.run()
    assert len(here.workspace.jobs) >= 60


def _killed(number: int) -> tuple[Scene, bool]:
    """What a look leaves that dies at one of its calls, and whether it came to its end."""
    here = Scene()
    begun(here, scheduled(), scheduled("other", policies={"overlap": "buffer_one"}))
    calls = 0

    def die(_call: str) -> None:
        nonlocal calls
        calls += 1
        if calls > number:
            raise Killed

    here.world.pass_time(60)
    here.world.before = die
    try:
        here.schedules.run_due(lambda: False)
    except Killed:
        return here, False
    finally:
        here.world.before = lambda _call: None
    return here, True


def test_a_worker_killed_at_any_call_leaves_one_record_and_one_job() -> None:
    survived, number = False, 0
    while not survived:
        here, survived = _killed(number)
        # Another process.
        here._put_together(here.blobs)
        for seconds in (20, 100):
            here.world.pass_time(seconds)
            here.tick.run()
        for name in ("nightly", "other"):
            first = records(here, name)[0]
            assert (f"{first.event.time:%H:%M}", first.state) == ("12:03", State.SUBMITTED), number
            assert first.attempt.job_name in here.workspace.jobs
        number += 1
    assert number > 15


def test_storage_that_fails_loses_nothing_and_holds_up_nobody_before(here: Scene) -> None:
    begun(here, scheduled("a"), scheduled("b"))
    fail(here.world, "create ledger/b", StorageUnavailable("no"))

    with pytest.raises(StorageUnavailable):
        look(here)

    assert (told(here, "a"), told(here, "b")) == ([("12:03", State.SUBMITTED)], [])
    assert (clock(here).last_evaluated, clock(here).through) == (NOON + timedelta(minutes=3), "a")
    look(here)
    assert [time for time, _ in told(here, "b")] == ["12:03", "12:04"]


def test_a_time_that_cannot_be_bound_is_a_dead_letter(here: Scene) -> None:
    begun(here, scheduled())
    here.publish(scheduled(), pipelines=[pipeline("other")])
    look(here, 0)

    assert {record.state for record in records(here)} == {State.DEAD_LETTER}
    assert set(codes(here)) == {"pipeline_missing"}


def test_what_cannot_be_decided_is_a_dead_letter_and_stops_no_other(here: Scene) -> None:
    begun(here, scheduled("a"), scheduled("b"))
    here.blobs.put("slots/a/all.json", b"no slot")
    look(here)

    [record] = records(here, "a")
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert record.reason.code == "occurrence_failed"
    assert "Slot all of trigger a cannot be read" in record.reason.text
    assert told(here, "b") == [("12:03", State.SUBMITTED)]


def test_a_mistake_of_ours_is_a_dead_letter_too(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(here, scheduled())
    bind: Callable[..., Any] = here.orders.bind

    def broken(order: Any, snapshot: Any) -> Any:
        raise ZeroDivisionError(order) if order.instead is None else bind(order, snapshot)

    monkeypatch.setattr(here.orders, "bind", broken)
    look(here)

    assert codes(here) == ["occurrence_failed"]


def test_an_edit_never_makes_up_for_what_it_would_have_been(here: Scene) -> None:
    begun(here, scheduled(cron="0 * * * *"))
    here.world.pass_time(30)
    edit(here, scheduled(cron="* * * * *"))
    # 12:02:30: the tick is late, and knows both.
    look(here, 2)

    assert told(here)[0] == ("12:03", State.SUBMITTED)
    assert [time for time, _ in told(here)] == ["12:03", "12:04"]
    found = here.index.read().snapshot.triggers["nightly"]
    assert found.former == ()


def test_what_was_due_before_an_edit_runs_as_it_was(here: Scene) -> None:
    begun(here, scheduled(policies=ALL_AT_ONCE))
    here.world.pass_time(150)
    edit(here, trigger("nightly"))
    assert here.index.read().snapshot.triggers["nightly"].former
    look(here, 5)

    # 12:02 to 12:04:30, though it is for uploads now.
    assert told(here) == [("12:03", State.SUBMITTED), ("12:04", State.SUBMITTED)]
    assert here.index.read().snapshot.triggers["nightly"].former == ()
    look(here, 5)
    assert len(records(here)) == 2


def test_while_it_is_paused_each_time_is_skipped_and_none_is_made_up_for(here: Scene) -> None:
    begun(here, scheduled())
    pauses = Pauses(here.index)
    pauses.pause("nightly", note="tea", by="key")
    look(here)
    # Nobody looks at the next, and the pause is over by then.
    here.world.pass_time(90)
    pauses.resume("nightly")
    look(here)

    assert told(here) == [
        ("12:03", State.SKIPPED),
        ("12:04", State.SKIPPED),
        ("12:05", State.SUBMITTED),
    ]
    assert codes(here) == ["paused", "paused", None]
    assert here.index.read().snapshot.triggers["nightly"].pauses == ()


def test_what_is_held_goes_on_once_it_is_resumed(here: Scene) -> None:
    begun(here, scheduled(policies=ALL_AT_ONCE | {"while_paused": "hold"}))
    pauses = Pauses(here.index)
    pauses.pause("nightly", note="tea", by="key")
    look(here)
    assert told(here) == [("12:03", State.HELD)]
    pauses.resume("nightly")
    here.tick.run()

    [record] = records(here)
    assert record.state is State.SUBMITTED
    assert record.body is not None
    assert "12:03:00Z" in str(record.body.inputs["data"])


def test_one_at_a_time_and_the_others_are_skipped(here: Scene) -> None:
    begun(here, scheduled())
    look(here)
    look(here)
    here.workspace.end(records(here)[0].attempt.job_name, "Completed")
    # Its end is seen by whoever wants its place.
    look(here)

    assert told(here)[1] == ("12:04", State.SKIPPED)
    assert codes(here)[1] == "overlap_skipped"
    here.tick.run()
    look(here)
    assert told(here)[-1] == ("12:06", State.SUBMITTED)


def test_with_buffer_one_one_waits_and_the_newer_are_skipped(here: Scene) -> None:
    begun(here, scheduled(policies={"overlap": "buffer_one"}))
    for _ in range(4):
        look(here)
    assert told(here) == [
        ("12:03", State.SUBMITTED),
        ("12:04", State.QUEUED),
        ("12:05", State.SKIPPED),
        ("12:06", State.SKIPPED),
    ]
    skipped = records(here)[2].reason
    assert skipped is not None
    assert skipped.text.endswith("One waits already. policies.overlap is buffer_one.")

    here.workspace.end(records(here)[0].attempt.job_name, "Completed")
    here.tick.run()
    assert told(here)[:2] == [("12:03", State.COMPLETED), ("12:04", State.SUBMITTED)]
    # The line is free again, though its count was never set back.
    look(here)
    look(here)
    assert [state for _, state in told(here)[4:]] == [State.QUEUED, State.SKIPPED]


def test_with_buffer_all_they_begin_one_after_the_other(here: Scene) -> None:
    begun(here, scheduled(policies={"overlap": "buffer_all"}))
    for _ in range(4):
        look(here)

    assert [state for _, state in told(here)] == [State.SUBMITTED, *[State.QUEUED] * 3]
    assert [record.number for record in records(here)] == [None, 1, 2, 3]


def test_jitter_lets_it_begin_later_and_be_told_its_own_time(here: Scene) -> None:
    begun(here, scheduled(cron="5 12 * * *", jitter="PT20M"))
    look(here, 3)
    assert told(here) == []
    look(here, 20)

    assert told(here) == [("12:05", State.SUBMITTED)]


def test_the_clock_never_goes_back(here: Scene) -> None:
    begun(here, scheduled())
    look(here)
    here.world.now -= timedelta(minutes=10)
    here.schedules.run_due(lambda: False)

    assert clock(here).last_evaluated == NOON + timedelta(minutes=3)


def test_a_clock_that_knows_a_newer_index_is_met_with_that(here: Scene) -> None:
    begun(here, scheduled())

    def meanwhile() -> None:
        edit(here, scheduled(cron="*/5 * * * *"))
        here.schedules.run_due(lambda: False)

    interject(here.world, "get clock.json", meanwhile)
    look(here, 1.5)
    look(here, 2)

    assert told(here) == [("12:03", State.SUBMITTED), ("12:05", State.SKIPPED)]


def test_schedules_go_on_when_the_index_was_lost_and_published_anew(
    here: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    begun(here, scheduled())
    for _ in range(3):
        edit(here, scheduled(cron="*/5 * * * *"))
        edit(here, scheduled())
        look(here, 0.05)
    here.blobs.delete("index.json")
    look(here)
    assert "index.json is older" in caplog.text
    here.publish()
    edit(here, scheduled())
    assert told(here) == []
    look(here, 3)

    assert [time for time, _ in told(here)] == ["12:06", "12:07", "12:08"]
    assert clock(here).edition == here.index.read().snapshot.edition


def test_a_clock_that_cannot_be_read_is_told(here: Scene) -> None:
    begun(here, scheduled())
    here.blobs.put("clock.json", b"{}")

    with pytest.raises(RecordUnreadable):
        look(here)


def test_a_schedule_that_azureml_keeps_is_none_of_the_tick_s(here: Scene) -> None:
    begun(here, scheduled(engine="azureml"), trigger())
    look(here, 3)

    assert told(here) == []


def test_what_fired_in_a_pause_that_drops_is_skipped_also_once_that_is_over(here: Scene) -> None:
    begun(here, scheduled(policies=ALL_AT_ONCE | {"while_paused": "hold"}))
    pauses = Pauses(here.index)
    pauses.pause("nightly", note="tea", by="key", while_paused="drop")
    here.world.pass_time(90)
    pauses.resume("nightly")
    look(here)

    assert told(here) == [("12:03", State.SKIPPED), ("12:04", State.SUBMITTED)]


def test_what_fired_in_a_pause_that_drops_is_skipped_in_one_that_holds(here: Scene) -> None:
    begun(here, scheduled(policies=ALL_AT_ONCE | {"while_paused": "hold"}))
    pauses = Pauses(here.index)
    pauses.pause("nightly", note="tea", by="key", while_paused="drop")
    here.world.pass_time(90)
    pauses.resume("nightly")
    pauses.pause("nightly", note="more tea", by="key")
    look(here)

    assert told(here) == [("12:03", State.SKIPPED), ("12:04", State.HELD)]


@pytest.mark.parametrize("known", [True, False])
def test_what_is_published_while_the_clock_goes_on_is_not_lost(here: Scene, known: bool) -> None:
    begun(here, *([scheduled(cron="*/2 * * * *")] if known else []))
    here.world.pass_time(50)

    def meanwhile() -> None:
        here.world.pass_time(20)
        here.schedules.run_due(lambda: False)

    # The index was read at 12:02:50, and is written at 12:03:10, when the clock is there already.
    interject(here.world, "swap index.json", meanwhile)
    edit(here, scheduled())
    assert clock(here).last_evaluated == NOON + timedelta(minutes=3, seconds=10)
    look(here)

    assert [time for time, _ in told(here)] == ["12:03", "12:04"]
    assert here.index.read().snapshot.triggers["nightly"].former == ()


def test_a_month_has_each_of_its_hours_and_days_once_also_where_clocks_go_forward() -> None:
    """March 2026, minute by minute; in Berlin its 29th has no time from 02:00 to 03:00."""
    here = Scene()
    berlin: dict[str, Any] = {"time_zone": "Europe/Berlin"}
    begun(
        here,
        scheduled("hourly", cron="0 * * * *"),
        scheduled("hours-in-berlin", cron="0 * * * *", **berlin),
        scheduled("days-in-berlin", cron="30 2 * * *", **berlin),
        scheduled("working-days", cron="15 6 * * MON-FRI", exclude="2026-03-16", jitter="PT30M"),
    )
    end = datetime(2026, 3, 31, 22, tzinfo=UTC)
    while here.world.now < end:
        look(here)
        if here.world.now.minute == 50:
            for name in [
                job.name for job in here.workspace.jobs.values() if job.status == "NotStarted"
            ]:
                here.workspace.end(name, "Completed")
            here.tick.run()

    first = datetime(2026, 3, 1, 13, tzinfo=UTC)
    hours = [first + timedelta(hours=number) for number in range(30 * 24 + 9)]
    # Half past two is an hour earlier in UTC after that; on that day it is three o'clock.
    days = [datetime(2026, 3, day, 1, 30, tzinfo=UTC) for day in range(2, 29)]
    days += [datetime(2026, 3, 29, 1, tzinfo=UTC)]
    days += [datetime(2026, 3, day, 0, 30, tzinfo=UTC) for day in (30, 31)]
    working = [datetime(2026, 3, day, 6, 15, tzinfo=UTC) for day in range(2, 32)]
    expected: dict[str, list[datetime]] = {
        "hourly": hours,
        "hours-in-berlin": hours,
        "days-in-berlin": days,
        "working-days": [at for at in working if at.weekday() < 5 and at.day != 16],
    }
    for name, times in expected.items():
        found = records(here, name)
        assert [record.event.time for record in found if record.event.time < end] == times
        assert {record.state for record in found[:-1]} == {State.COMPLETED}, name
        windows = [record.event.data for record in found]
        # One after the other, with nothing between them.
        assert [one["window_end"] for one in windows[:-1]] == [
            one["window_start"] for one in windows[1:]
        ]
    assert len(here.workspace.jobs) == sum(len(records(here, name)) for name in expected)
