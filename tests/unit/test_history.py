import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RecordUnreadable
from shared.history import History, is_place, place_of
from tests.fakes import MemoryBlobs
from tests.unit import scene

DONE = {"decision": "completed"}

#: Half a millisecond is no time for a decision; storage's clock shows whole seconds.
moments = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 10_000 * 10_000))


def names(blobs: MemoryBlobs) -> list[str]:
    return [listed.name for listed in blobs.list("history/on-upload/")]


@given(st.lists(moments, min_size=2, max_size=8, unique=True), st.data())
def test_a_plain_listing_gives_the_newest_first(times: list[datetime], data: st.DataObject) -> None:
    blobs = MemoryBlobs()
    for moment in times:
        subject = data.draw(st.text(min_size=1, max_size=5), label="subject")
        # A path's parts are never "." or "..", which lead elsewhere.
        event = scene.event("x/_" + subject.replace("/", "_"))
        History(blobs).finished("on-upload", "key", event, moment, DONE)

    listed = [json.loads(blobs.stored[name].data)["at"] for name in names(blobs)]
    assert listed == [moment.isoformat() for moment in sorted(times, reverse=True)]


def test_says_what_was_decided_about_what() -> None:
    blobs, event = MemoryBlobs(), scene.event()
    decision = {"decision": "completed", "job": "on-upload-a1"}
    History(blobs).finished("on-upload", "k1", event, blobs.world.now, decision)

    [name] = names(blobs)
    assert json.loads(blobs.stored[name].data) == {
        "schema": 1,
        "trigger": "on-upload",
        "key": "k1",
        "at": "2026-03-01T12:00:00+00:00",
        "event": {
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "subject": event.subject,
            "time": "2026-03-01T12:01:00+00:00",
        },
        "decision": "completed",
        "job": "on-upload-a1",
    }


def test_telling_it_again_changes_nothing() -> None:
    blobs, event = MemoryBlobs(), scene.event()
    for _ in range(2):
        History(blobs).finished("on-upload", "k1", event, blobs.world.now, DONE)
        History(blobs).filtered("on-upload", "k2", event, "path x")

    assert len(names(blobs)) == 2


def test_a_filtered_event_is_told_at_its_own_time_however_late_it_is_delivered() -> None:
    blobs, event = MemoryBlobs(), scene.event()
    History(blobs).filtered("on-upload", "k1", event, "path sales/{x}")
    blobs.world.pass_time(3600)
    History(blobs).filtered("on-upload", "k1", event, "path sales/{x}")

    [name] = names(blobs)
    told = json.loads(blobs.stored[name].data)
    assert (told["decision"], told["check"]) == ("no_match", "path sales/{x}")
    assert told["at"] == event.time.isoformat()


def test_events_of_one_moment_do_not_overwrite_each_other() -> None:
    blobs = MemoryBlobs()
    for path, key in [("a", "k1"), ("b", "k2"), ("a", "k3")]:
        History(blobs).filtered("on-upload", key, scene.event(path), "path x")

    assert len(names(blobs)) == 3
    assert len({name.split("-")[2] for name in names(blobs)}) == 2


def test_a_decision_is_listed_with_what_its_name_says() -> None:
    blobs, event = MemoryBlobs(), scene.event()
    History(blobs).finished("on-upload", "k1", event, blobs.world.now, DONE)
    History(blobs).filtered("other", "k1", event, "path x")

    [entry] = History(blobs).entries("on-upload")
    assert (entry.trigger, entry.key, entry.about) == ("on-upload", "k1", event.about)
    assert (entry.at, entry.decision) == (blobs.world.now, "completed")
    assert is_place(entry.place)
    content = History(blobs).read(entry)
    assert content is not None
    assert content["key"] == "k1"


def test_an_entry_that_expired_is_none_and_a_foreign_one_is_told_as_such() -> None:
    blobs = MemoryBlobs()
    History(blobs).filtered("on-upload", "k1", scene.event(), "path x")
    [entry] = History(blobs).entries("on-upload")
    for foreign in (b"[]", b"no json"):
        blobs.put(entry.name, foreign)
        with pytest.raises(RecordUnreadable, match=entry.name):
            History(blobs).read(entry)
    blobs.delete(entry.name)
    assert History(blobs).read(entry) is None


def test_names_that_are_none_of_ours_are_passed_over() -> None:
    blobs = MemoryBlobs()
    for name in ("x", "1-2-3.json", "../../index.json", "9999999999999-zz-k.json"):
        blobs.put(f"history/on-upload/{name}")
    assert list(History(blobs).entries("on-upload")) == []


@pytest.mark.parametrize("year", [1, 1900, 2286, 2500, 9999])
def test_an_event_may_claim_any_time(year: int) -> None:
    blobs, when = MemoryBlobs(), datetime(year, 12, 31, tzinfo=UTC)
    claimed = scene.event().model_copy(update={"time": when})
    History(blobs).filtered("on-upload", "k1", claimed, "path x")

    [entry] = History(blobs).entries("on-upload")
    assert entry.decision == "no_match"


@given(
    st.lists(moments, min_size=1, max_size=30),
    st.integers(min_value=0, max_value=30),
    st.integers(min_value=1, max_value=4),
)
def test_a_listing_goes_on_behind_any_place_however_far(
    times: list[datetime], start: int, passed_over: int
) -> None:
    blobs = MemoryBlobs()
    for number, moment in enumerate(times):
        History(blobs).finished("on-upload", f"k{number}", scene.event(), moment, DONE)
    every = list(History(blobs).entries("on-upload"))
    after = every[min(start, len(every) - 1)].place

    behind = History(blobs, passed_over=passed_over).entries("on-upload", after=after)
    assert list(behind) == [entry for entry in every if entry.place > after]


def test_a_far_place_is_not_reached_one_by_one() -> None:
    blobs, now = MemoryBlobs(), datetime(2026, 3, 1, tzinfo=UTC)
    for hours in range(24 * 30):
        for number in range(8):
            at = now - timedelta(hours=hours)
            History(blobs).filtered(
                "on-upload", f"k{number}", scene.event().model_copy(update={"time": at}), "x"
            )
    blobs.world.calls.clear()
    first = next(History(blobs).entries("on-upload", after=place_of(now - timedelta(days=28))))

    assert now - timedelta(days=29) < first.at <= now - timedelta(days=28)
    assert len(blobs.world.calls) < 40
