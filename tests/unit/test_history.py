import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.history import History
from tests.fakes import MemoryBlobs
from tests.unit import scene

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
        event = scene.event("x/" + subject.replace("/", "_"))
        History(blobs).finished("on-upload", "key", event, moment, {})

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
        "event": {"id": event.id, "source": event.source, "subject": event.subject},
        "decision": "completed",
        "job": "on-upload-a1",
    }


def test_telling_it_again_changes_nothing() -> None:
    blobs, event = MemoryBlobs(), scene.event()
    for _ in range(2):
        History(blobs).finished("on-upload", "k1", event, blobs.world.now, {})
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
