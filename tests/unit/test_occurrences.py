"""Times of schedules that somebody asks for."""

from datetime import timedelta

import pytest

from shared.errors import Conflict, NotFound
from shared.events import PROMPTED_TYPE
from shared.ledger import State
from shared.pauses import Pauses
from tests.unit.scene import trigger
from tests.unit.test_backfills import NIGHTLY, Backfilling, schedule


@pytest.fixture
def here() -> Backfilling:
    return Backfilling()


def test_a_range_comes_to_its_times_in_either_order(here: Backfilling) -> None:
    _, selection, times = here.occurrences.choose(here.days(3))
    _, turned, newest = here.occurrences.choose(here.days(3, newest_first=True))

    assert times == sorted(times) == newest[::-1]
    assert len(times) == 3
    assert (selection.newest_first, turned.newest_first) == (False, True)
    assert selection.until == here.world.now


def test_a_time_is_run_once_for_each_backfill_and_only_while_it_is_one(here: Backfilling) -> None:
    [at] = here.occurrences.choose(here.days(1))[2]
    runs = [
        here.occurrences.backfill(NIGHTLY, at, replay=replay, limit=3).record
        for replay in ("0" * 16, "0" * 16, "1" * 16)
    ]
    assert len({run.run_id for run in runs if run}) == 2
    assert len(here.workspace.jobs) == 2

    with pytest.raises(Conflict, match=r"no time of the schedule any more\. The"):
        here.occurrences.backfill(NIGHTLY, at + timedelta(hours=1), replay="2", limit=3)


def test_a_schedule_is_run_now_once_for_each_key_also_while_it_is_paused(here: Backfilling) -> None:
    Pauses(here.index).pause(NIGHTLY, note="x", by="anna")
    first = here.occurrences.now(NIGHTLY, by="anna", key="k").record
    assert first is not None
    assert (first.state, first.event.type) == (State.SUBMITTING, PROMPTED_TYPE)
    assert abs(first.event.time - here.world.now) < timedelta(seconds=1)
    window = first.event.data
    assert (
        window["window_end"] == window["scheduled_time"] == f"{first.event.time:%Y-%m-%dT%H:%M:%SZ}"
    )
    assert window["window_start"].endswith("T05:00:00Z")

    here.world.pass_time(60)
    again = here.occurrences.now(NIGHTLY, by="anna", key="k")
    assert again.duplicate
    assert again.record is not None
    assert again.record.run_id == first.run_id
    assert len(here.workspace.jobs) == 1


def test_a_limit_holds_for_what_is_run_now(here: Backfilling) -> None:
    here.occurrences.now(NIGHTLY, by="anna", key="1")
    second = here.occurrences.now(NIGHTLY, by="anna", key="2").record

    assert second is not None
    assert second.reason is not None
    assert (second.state, second.reason.code) == (State.SKIPPED, "overlap_skipped")


def test_what_is_no_schedule_is_not_run_now(here: Backfilling) -> None:
    here.publish(trigger(), schedule())
    with pytest.raises(NotFound, match="is no schedule, its source is blob"):
        here.occurrences.now("on-upload", by="anna", key="k")
    with pytest.raises(NotFound, match=r"There are: nightly\."):
        here.occurrences.now("nowhere", by="anna", key="k")
