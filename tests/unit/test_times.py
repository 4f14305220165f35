"""What became of a time of a schedule, or why it is none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import NotFound, RequestInvalid
from shared.index import Snapshot
from shared.occurrences import Range
from shared.pauses import Pauses
from shared.questions import Explanation
from tests.unit.asking import Asked, decisions
from tests.unit.scene import trigger
from tests.unit.test_backfills import NIGHTLY, Backfilling, schedule

#: A minute before the schedule's next time.
EVENING = datetime(2026, 3, 2, 4, 59, tzinfo=UTC)
DUE = EVENING + timedelta(minutes=1)


@pytest.fixture
def here() -> Backfilling:
    made = Backfilling()
    made.tick.run()
    made.world.now = EVENING
    made.tick.run()
    return made


def said(answer: Explanation) -> str:
    return "\n".join([answer.summary, *answer.lines])


def test_a_time_that_ran_is_told_by_the_schedule_s_own_clock(here: Backfilling) -> None:
    here.world.now = DUE
    here.tick.run()
    for at in (datetime(2026, 3, 2, 6), datetime(2026, 3, 2, 6, 0, 30), DUE, None):
        answer = here.explain.schedule(NIGHTLY, at)
        assert decisions(answer) == [(NIGHTLY, "submitted")], at
        assert answer.question == (
            "What became of the time 2026-03-02 06:00:00 CET (05:00:00 UTC) of schedule nightly?"
        )
        assert "trigger nightly took the time 2026-03-02T05:00:00Z of its schedule" in said(answer)
        assert "0 6 * * * (Europe/Berlin)" in answer.lines[0]


def test_a_time_that_was_skipped_says_why(here: Backfilling) -> None:
    Pauses(here.index).pause(NIGHTLY, note="the lake is moved", by="anna")
    here.world.now = DUE
    here.tick.run()
    answer = here.explain.schedule(NIGHTLY, DUE)

    assert decisions(answer) == [(NIGHTLY, "skipped")]
    assert "was skipped: Trigger nightly is paused since" in answer.summary
    assert "the lake is moved" in answer.summary
    assert "It is paused since" in answer.lines[0]


def test_a_backfill_of_a_time_is_told_beside_the_schedule_s_own_run(here: Backfilling) -> None:
    here.world.now = DUE
    here.tick.run()
    here.world.pass_time(3600)
    here.begin(here.days(1))
    answer = here.explain.schedule(NIGHTLY, DUE)
    assert decisions(answer) == [(NIGHTLY, "submitted")] * 2

    [own, again] = [record.run_id for record in here.recorded()]
    lines = here.explain.run(again).lines
    [replay] = here.states.all()
    assert f"Backfill {replay.id} began it, not the clock." in lines
    assert "Its window is from 2026-03-01T05:00:00Z to 2026-03-02T05:00:00Z." in lines
    assert not any("Backfill" in line for line in here.explain.run(own).lines)


def test_a_run_that_somebody_asked_for_is_told_as_that(here: Backfilling) -> None:
    record = here.occurrences.now(NIGHTLY, by="anna", key="k").record
    assert record is not None

    assert (
        "a request to run it at 2026-03-02 04:59:00 UTC" in here.explain.run(record.run_id).lines[0]
    )


@pytest.mark.parametrize(
    ("at", "decision", "why"),
    [
        # By its own clock.
        ("2026-03-02T06:00", "to_come", "begins at 2026-03-02 06:00:00 CET"),
        ("2026-03-02T06:00Z", "not_due", "The schedule is 0 6 * * * (Europe/Berlin); the time"),
        ("2026-03-01T06:00", "nothing_recorded", "first published at 2026-03-01 13:00:00 CET"),
    ],
)
def test_a_time_without_a_record_says_why(
    here: Backfilling, at: str, decision: str, why: str
) -> None:
    answer = here.explain.schedule(NIGHTLY, datetime.fromisoformat(at))

    assert decisions(answer) == [(NIGHTLY, decision)]
    assert why in answer.summary


@pytest.mark.parametrize(
    ("spec", "at", "why"),
    [
        ({"exclude": "2026-03-02"}, "2026-03-02T06:00", "left out by exclude: 2026-03-02."),
        ({"start_time": "2026-03-09T00:00:00"}, "2026-03-02T06:00", "(start_time)"),
        ({"end_time": "2026-03-02T06:00:00"}, "2026-03-02T06:00", "(end_time)"),
    ],
)
def test_a_time_that_was_never_one_says_why(spec: dict[str, Any], at: str, why: str) -> None:
    here = Backfilling(schedule(cron="0 6 * * *", time_zone="Europe/Berlin", **spec))
    answer = here.explain.schedule(NIGHTLY, datetime.fromisoformat(at))

    assert decisions(answer) == [(NIGHTLY, "not_due")]
    assert answer.summary.startswith(
        "Nothing of schedule nightly was due at 2026-03-02 06:00:00 CET"
    )
    assert why in answer.summary


def test_a_local_time_that_there_never_was_is_told_with_what_ran_instead() -> None:
    here = Backfilling(schedule(cron="30 2 * * *", time_zone="Europe/Berlin"))
    here.world.now = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    here.tick.run()
    here.world.pass_time(61)
    here.tick.run()
    answer = here.explain.schedule(NIGHTLY, datetime(2026, 3, 29, 2, 30))

    assert decisions(answer) == [(NIGHTLY, "submitted")]
    assert "There is no 02:30 on 2026-03-29 in Europe/Berlin" in said(answer)


def test_a_timer_that_did_not_look_is_told(here: Backfilling) -> None:
    here.world.now = DUE + timedelta(minutes=3)
    answer = here.explain.schedule(NIGHTLY, DUE)

    assert decisions(answer) == [(NIGHTLY, "nothing_recorded")]
    assert "it last did at 2026-03-02 04:59:00 UTC" in answer.summary

    fresh = Backfilling()
    fresh.world.now = DUE
    assert "it never has so far" in fresh.explain.schedule(NIGHTLY, DUE).summary


def test_a_record_that_has_expired_is_told(here: Backfilling) -> None:
    here.world.now = DUE + timedelta(minutes=3)
    here.tick.run()
    for name in [name for name in here.blobs.stored if NIGHTLY in name]:
        del here.blobs.stored[name]

    assert "its record has expired" in here.explain.schedule(NIGHTLY, DUE).summary


@pytest.mark.parametrize("at", [DUE - timedelta(days=1), DUE])
def test_what_has_no_record_is_run_by_the_command_that_is_told(
    here: Backfilling, at: datetime
) -> None:
    here.world.now = DUE + timedelta(minutes=3)
    here.tick.run()
    for name in [name for name in here.blobs.stored if NIGHTLY in name]:
        del here.blobs.stored[name]
    summary = here.explain.schedule(NIGHTLY, at).summary
    _, _, command = summary.partition("`signalbox backfill nightly ")
    since, until = command.split("`")[0].removeprefix("--since ").split(" --until ")

    wish = Range(
        trigger=NIGHTLY, since=datetime.fromisoformat(since), until=datetime.fromisoformat(until)
    )
    _, _, times = here.occurrences.choose(wish)
    assert times == [at]


def test_a_time_of_the_schedule_before_an_edit_is_told_as_that(here: Backfilling) -> None:
    here.world.now = DUE
    here.tick.run()

    def edit(snapshot: Snapshot, at: datetime) -> Snapshot:
        known = snapshot.triggers[NIGHTLY]
        new = schedule(cron="0 7 * * *", time_zone="Europe/Berlin")
        edited = known.model_copy(update={"definition": new, "spec_since": at})
        return snapshot.model_copy(update={"triggers": {NIGHTLY: edited}})

    here.world.pass_time(3600)
    here.index.change(edit)
    ran = here.explain.schedule(NIGHTLY, DUE)
    assert decisions(ran) == [(NIGHTLY, "submitted")]
    assert "It was due by the schedule as it was then." in ran.lines

    before = here.explain.schedule(NIGHTLY, datetime(2026, 3, 1, 7))
    assert "last edited at" in before.summary


def test_a_paused_schedule_s_next_time_depends(here: Backfilling) -> None:
    Pauses(here.index).pause(NIGHTLY, note="x", by="anna")

    assert "if it is resumed by then" in here.explain.schedule(NIGHTLY, DUE).summary


def test_a_schedule_of_azureml_s_is_asked_about_there() -> None:
    here = Backfilling(schedule(cron="0 6 * * *", engine="azureml"))
    answer = here.explain.schedule(NIGHTLY)

    assert decisions(answer) == [(NIGHTLY, "nothing_recorded")]
    assert "AzureML keeps this schedule" in answer.summary


def test_what_cannot_be_asked_is_refused() -> None:
    here = Asked()
    here.publish(trigger())
    with pytest.raises(NotFound, match="is no schedule"):
        here.explain.schedule("on-upload")
    with pytest.raises(NotFound, match="no schedule 'nowhere'"):
        here.explain.schedule("nowhere")
    with pytest.raises(RequestInvalid, match="Nothing happened then"):
        here.explain.schedule("on-upload", datetime(1, 1, 1))
