"""A schedule that runs only when there are new uploads, and is given their list."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import NotFound, StorageUnavailable
from shared.lakes import Upload
from shared.ledger import ABSENT, PATIENCE, Record, State
from shared.pauses import Pauses
from shared.previews import Previews
from tests.unit.scene import PIPELINE, Killed, Scene, fail, interject
from tests.unit.test_schedules import NOON, begun, records, told

WANTED = {"account": "contosolake", "container": "landing", "path": "sales/{region}/{file}.csv"}


def watching(
    policies: dict[str, Any] | None = None, cron: str = "*/10 * * * *", **changes: Any
) -> TriggerDefinition:
    """Looks every ten minutes."""
    return TriggerDefinition.model_validate(
        {
            "name": "nightly",
            "spec": {
                "schedule": {
                    "cron": cron,
                    "only_if": {"new_blobs": {**WANTED, **changes}},
                }
            },
            "action": {"pipeline": PIPELINE, "inputs": {"data": "${{ manifest }}"}},
            "policies": policies or {},
        }
    )


@pytest.fixture
def here() -> Scene:
    here = Scene()
    begun(here, watching())
    return here


def upload(here: Scene, path: str, minute: float, etag: str = "1", **where: str) -> None:
    """A file that is written at 12:00 and so many minutes."""
    at = NOON + timedelta(minutes=minute)
    place: dict[str, Any] = {"account": "contosolake", "container": "landing", **where}
    one = Upload(path=path, etag=etag, size=1, last_modified=at, **place)
    here.lakes.uploads = [each for each in here.lakes.uploads if each.path != path] + [one]


def to(here: Scene, minute: float) -> None:
    """The tick's part, at 12:00 and so many minutes."""
    here.world.now = NOON + timedelta(minutes=minute)
    here.schedules.run_due(lambda: False)


def given(here: Scene, record: Record) -> list[str]:
    """The paths that a run was given."""
    assert record.body is not None
    address = str(record.body.inputs["data"])
    [content] = [
        data for path, data in here.lakes.written.items() if path.split("/", 2)[2] in address
    ]
    lines = [json.loads(line) for line in content.decode().splitlines()]
    return [line["event"]["data"]["url"].partition("landing/")[2] for line in lines]


def end(here: Scene, status: str = "Completed") -> None:
    last = [record for record in records(here) if record.attempts][-1]
    here.workspace.end(last.attempt.job_name, status)
    here.tick.run()


def codes(here: Scene) -> list[str | None]:
    return [record.reason.code if record.reason else None for record in records(here)]


def test_without_a_new_upload_nothing_runs(here: Scene) -> None:
    upload(here, "sales/north/before.csv", -5)
    upload(here, "sales/north/a.txt", 5)
    upload(here, "sales/north/b.csv", 5, container="other")
    to(here, 10)

    assert told(here) == [("12:10", State.SKIPPED)]
    [record] = records(here)
    assert record.reason is not None
    assert (record.reason.code, record.body) == ("no_new_blobs", None)
    assert record.reason.text == (
        "No upload of sales/{region}/{file}.csv came from 2026-03-01 12:00:00 UTC on."
    )


def test_a_run_is_given_what_came_since_the_last_that_completed(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)
    assert given(here, records(here)[0]) == ["sales/north/a.csv"]
    end(here)

    upload(here, "sales/north/b.csv", 12)
    upload(here, "sales/east/c.csv", 11)
    # At that very second, or later, is for the next.
    upload(here, "sales/north/d.csv", 20)
    to(here, 20)
    assert given(here, records(here)[1]) == ["sales/east/c.csv", "sales/north/b.csv"]
    end(here)
    to(here, 30)
    assert given(here, records(here)[2]) == ["sales/north/d.csv"]
    end(here)
    to(here, 40)
    assert codes(here)[-1] == "no_new_blobs"


def test_a_line_says_of_an_upload_what_that_of_a_batch_would(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)

    [content] = here.lakes.written.values()
    line = json.loads(content)
    assert line["captures"] == {"region": "north", "file": "a"}
    assert line["event"]["type"] == "Microsoft.Storage.BlobCreated"
    [record] = records(here)
    assert record.event.data["new_blobs"] == {
        "since": "2026-03-01T12:00:00+00:00",
        "until": "2026-03-01T12:10:00+00:00",
        "blobs": 1,
    }


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_what_a_run_did_not_work_through_the_next_is_given_again(here: Scene, status: str) -> None:
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)
    end(here, status)
    upload(here, "sales/north/b.csv", 13)
    to(here, 20)

    assert given(here, records(here)[1]) == ["sales/north/a.csv", "sales/north/b.csv"]


def test_a_retry_is_given_the_same_and_counts(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)
    end(here, "Failed")
    failed = records(here)[0]
    upload(here, "sales/north/b.csv", 8)
    retried = here.dispatcher.retry("nightly", failed.key).record
    assert retried is not None
    assert given(here, retried) == ["sales/north/a.csv"]

    here.workspace.end(retried.attempt.job_name, "Completed")
    here.tick.run()
    upload(here, "sales/north/c.csv", 13)
    to(here, 20)
    assert given(here, records(here)[-1]) == ["sales/north/c.csv"]


def test_while_a_run_is_under_way_nobody_is_given_its_uploads(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)
    here.lakes.looks.clear()
    to(here, 20)

    assert codes(here)[1] == "overlap_skipped"
    assert here.lakes.looks == []
    # A run that ended and was not seen to holds its place no longer.
    here.workspace.end(records(here)[0].attempt.job_name, "Completed")
    here.tick.run()
    upload(here, "sales/north/b.csv", 25)
    to(here, 30)
    assert given(here, records(here)[2]) == ["sales/north/b.csv"]


def test_two_ticks_that_find_different_uploads_change_no_list(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)

    def another() -> None:
        upload(here, "sales/north/late.csv", 4)
        here.schedules.run_due(lambda: False)

    interject(here.world, "create ledger/nightly", another)
    to(here, 10)

    [record] = records(here)
    assert len(here.lakes.written) == 2
    assert given(here, record) == ["sales/north/a.csv", "sales/north/late.csv"]
    assert len(here.workspace.jobs) == 1


def test_a_worker_killed_at_any_call_loses_no_upload_and_gives_none_to_two_that_complete() -> None:
    survived, number = False, 0
    while not survived:
        here = Scene()
        begun(here, watching())
        upload(here, "sales/north/a.csv", 3)
        survived = _dies(here, 10, number)
        here._put_together(here.blobs)
        to(here, 10 + 2)
        here.tick.run()
        here.world.pass_time(100)
        here.tick.run()
        end(here)
        upload(here, "sales/north/b.csv", 18)
        survived = _dies(here, 20, number) and survived
        here._put_together(here.blobs)
        to(here, 20 + 2)
        here.world.pass_time(100)
        here.tick.run()
        end(here)
        worked = [given(here, one) for one in records(here) if one.state is State.COMPLETED]
        assert worked == [["sales/north/a.csv"], ["sales/north/b.csv"]], number
        number += 1
    assert number > 15


def _dies(here: Scene, minute: float, number: int) -> bool:
    calls = 0

    def die(_call: str) -> None:
        nonlocal calls
        calls += 1
        if calls > number:
            raise Killed

    here.world.before = die
    try:
        to(here, minute)
    except Killed:
        return False
    finally:
        here.world.before = lambda _call: None
    return True


def test_a_lake_that_does_not_answer_is_asked_again_and_holds_up_nobody(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    here.lakes.trouble = StorageUnavailable("Blob storage answered 503")
    to(here, 10)
    assert told(here) == [("12:10", State.HELD)]
    assert codes(here) == ["held_for_blobs"]
    to(here, 11)
    here.tick.run()
    assert told(here) == [("12:10", State.HELD)]

    here.lakes.trouble = None
    here.tick.run()
    [record] = records(here)
    assert record.state is State.SUBMITTED
    assert given(here, record) == ["sales/north/a.csv"]
    assert record.event.data["new_blobs"]["until"] == "2026-03-01T12:10:00+00:00"


def test_a_lake_that_never_answers_is_a_dead_letter_in_the_end(here: Scene) -> None:
    here.lakes.trouble = StorageUnavailable("Blob storage answered 503")
    to(here, 10)
    here.world.pass_time(PATIENCE.total_seconds())
    here.tick.run()

    first = records(here)[0]
    assert (first.state, codes(here)[0]) == (State.DEAD_LETTER, "occurrence_failed")


def test_a_container_that_is_not_there_is_a_dead_letter_at_once(here: Scene) -> None:
    here.lakes.trouble = NotFound("Storage account contosolake has no container 'landing'.")
    to(here, 10)

    [record] = records(here)
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert record.reason.text.endswith("has no container 'landing'.")


def test_a_lake_whose_clock_is_behind_is_asked_again(here: Scene) -> None:
    page = here.lakes.page

    def behind(*place: Any) -> Any:
        return replace(page(*place), at=NOON + timedelta(minutes=9, seconds=59))

    here.lakes.page = behind  # type: ignore[method-assign,assignment]
    to(here, 10)

    assert codes(here) == ["held_for_blobs"]


def test_what_is_paused_is_not_looked_for(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    Pauses(here.index).pause("nightly", note="tea", by="key")
    to(here, 10)

    assert codes(here) == ["paused"]
    assert here.lakes.looks == []


def test_what_was_held_is_given_what_is_new_when_it_goes_on() -> None:
    here = Scene()
    begun(here, watching({"while_paused": "hold", "overlap": "buffer_all"}))
    upload(here, "sales/north/a.csv", 3)
    Pauses(here.index).pause("nightly", note="tea", by="key")
    to(here, 10)
    Pauses(here.index).resume("nightly")
    here.tick.run()

    [record] = records(here)
    assert given(here, record) == ["sales/north/a.csv"]


def test_the_account_of_the_workspace_is_meant_when_none_is_named() -> None:
    here = Scene()
    begun(here, watching(account=None))
    upload(here, "sales/north/a.csv", 3, account="contosoml")
    to(here, 10)

    assert given(here, records(here)[0]) == ["sales/north/a.csv"]


def test_more_than_one_run_takes_are_left_to_the_next(
    here: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here.dispatcher._new_blobs, "_most", 2)
    for minute in (2, 3, 4, 4, 5):
        upload(here, f"sales/north/{minute}-{len(here.lakes.uploads)}.csv", minute)
    found = []
    for minute in (10, 20, 30, 40):
        to(here, minute)
        if records(here)[-1].attempts:
            found.append(len(given(here, records(here)[-1])))
            end(here)

    # What was written in one second stays together.
    assert found == [2, 2, 1]


def test_a_list_that_takes_too_long_is_a_dead_letter(here: Scene) -> None:
    here.lakes.page_size = 1
    for number in range(4):
        upload(here, f"sales/north/{number}.csv", 3)
    page = here.lakes.page

    def slow(*place: Any) -> Any:
        here.stopwatch += 6
        return page(*place)

    here.lakes.page = slow  # type: ignore[method-assign,assignment]
    to(here, 10)

    assert codes(here) == ["too_many_blobs"]


def test_a_run_that_never_came_is_waited_for_no_longer(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    order = here.orders.occurrence(
        here.index.read().snapshot.triggers["nightly"], NOON + timedelta(minutes=5)
    )
    here.world.now = NOON + timedelta(minutes=5)
    here.dispatcher._new_blobs.given(order, here.index.read().snapshot.triggers["nightly"])
    to(here, 10)
    assert codes(here) == ["overlap_skipped"]

    here.world.now = NOON + timedelta(minutes=5) + ABSENT
    to(here, 20)
    assert given(here, records(here)[-1]) == ["sales/north/a.csv"]


@pytest.mark.parametrize("dies_at_the_end", [False, True])
def test_what_a_run_worked_through_is_known_longer_than_its_record_is_kept(
    dies_at_the_end: bool,
) -> None:
    here = Scene()
    begun(here, watching(cron="10 12 1 * *"))
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)
    if dies_at_the_end:
        fail(here.world, "get new_blobs/nightly.json", StorageUnavailable("away"))
    end(here)
    if dies_at_the_end:
        assert here.markers()
        here.world.pass_time(120)
        here.tick.run()
    # Records are kept for 30 days, and the next time comes after 31.
    for name in [each for each in here.blobs.stored if each.startswith("ledger/nightly/")]:
        here.blobs.delete(name)
    to(here, 10 + 31 * 24 * 60)

    assert codes(here) == ["no_new_blobs"]


def test_what_a_run_worked_through_is_noted_also_while_another_run_is(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)
    name = "new_blobs/nightly.json"

    def another() -> None:
        noted = json.loads(here.blobs.stored[name].data)
        noted["runs"]["other"] = here.world.now.isoformat()
        here.blobs.put(name, json.dumps(noted).encode())

    interject(here.world, f"swap {name}", another)
    end(here)

    [run] = records(here)
    noted = json.loads(here.blobs.stored[name].data)
    assert noted["runs"].keys() == {"other"}
    until = datetime.fromisoformat(run.event.data["new_blobs"]["until"])
    assert datetime.fromisoformat(noted["since"]) == until


def test_how_far_it_is_that_cannot_be_read_keeps_no_run_from_its_end(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    to(here, 10)
    here.blobs.put("new_blobs/nightly.json", b"[]")
    end(here)

    assert here.markers() == []


def test_a_dry_run_lists_nothing(here: Scene) -> None:
    previews = Previews(
        index=here.index,
        orders=here.orders,
        ledger=here.ledger,
        lakes=here.lakes,
        variables={},
    )
    indexed = here.index.read().snapshot.triggers["nightly"]
    told = previews.of(here.orders.occurrence(indexed, NOON))

    assert told.decision == "would_run"
    assert str((told.inputs or {})["data"]).endswith("not-yet.jsonl")
    assert here.lakes.looks == []


def test_a_tick_whose_time_is_over_leaves_the_listing_to_the_next(here: Scene) -> None:
    upload(here, "sales/north/a.csv", 3)
    here.world.now = NOON + timedelta(minutes=10)
    here.schedules.run_due(lambda: True)
    assert codes(here) == ["held_for_blobs"]
    assert here.lakes.looks == []

    here.tick.run()
    assert given(here, records(here)[0]) == ["sales/north/a.csv"]


def test_what_fired_in_a_pause_that_drops_is_skipped_also_by_a_tick_whose_time_is_over(
    here: Scene,
) -> None:
    upload(here, "sales/north/a.csv", 3)
    pauses = Pauses(here.index)
    pauses.pause("nightly", note="tea", by="key", while_paused="drop")
    here.world.now = NOON + timedelta(minutes=11)
    pauses.resume("nightly")
    here.schedules.run_due(lambda: True)
    here.tick.run()

    assert told(here) == [("12:10", State.SKIPPED)]
    assert codes(here) == ["paused"]
