import threading
from datetime import UTC, datetime

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import RecordUnreadable, StorageUnavailable
from shared.index import Index, Reading, Snapshot
from shared.turnstiles import Turnstiles
from tests.fakes import MemoryBlobs, World
from tests.unit import scene


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs(World())


def add(index: Index, name: str) -> Snapshot:
    return index.change(
        lambda before, _at: before.model_copy(update={"pipelines": {**before.pipelines, name: {}}})
    )


def test_an_app_without_definitions_has_an_empty_index(blobs: MemoryBlobs) -> None:
    reading = Index(blobs).read()

    assert reading.snapshot == Snapshot()
    assert reading.at == blobs.world.now
    assert "index.json" in blobs.stored


def test_what_is_unchanged_costs_one_conditional_read(blobs: MemoryBlobs) -> None:
    index = Index(blobs)
    first = index.read()
    blobs.world.calls.clear()
    blobs.world.pass_time(30)
    again = index.read()

    assert blobs.world.calls == ["get_if_changed index.json"]
    # The same object, so what is derived from it stays valid.
    assert again.snapshot is first.snapshot
    assert (again.at - first.at).total_seconds() == 30


def test_the_time_is_storage_s_and_costs_no_reading(blobs: MemoryBlobs) -> None:
    index = Index(blobs)
    assert index.now() == blobs.world.now
    index.read()
    blobs.world.pass_time(30)
    blobs.world.calls.clear()

    assert index.now() == blobs.world.now
    assert blobs.world.calls == ["get_if_changed index.json"]


def test_the_time_is_told_even_if_the_index_changed_went_or_cannot_be_read(
    blobs: MemoryBlobs,
) -> None:
    index = Index(blobs)
    index.read()
    for data in (b"{", None):
        blobs.world.pass_time(30)
        if data:
            blobs.put("index.json", data)
        else:
            blobs.delete("index.json")
        assert index.now() == blobs.world.now


def test_a_change_by_another_is_seen_at_once(blobs: MemoryBlobs) -> None:
    index = Index(blobs)
    index.read()
    add(Index(blobs), "churn")

    assert index.read().snapshot.pipelines == {"churn": {}}


def test_a_trigger_that_did_not_change_is_the_same_object(blobs: MemoryBlobs) -> None:
    def write(*triggers: TriggerDefinition) -> None:
        Index(blobs).change(
            lambda before, _at: before.model_copy(update={"triggers": scene.indexed(*triggers)})
        )

    index = Index(blobs)
    write(scene.trigger("a"), scene.trigger("b"))
    first = index.read().snapshot
    edited = scene.trigger("b", path="other/{file}.csv")
    write(edited, scene.trigger("a"), scene.trigger("c"))
    second = index.read().snapshot

    assert second.triggers["a"] is first.triggers["a"]
    assert second.triggers["b"].definition == edited
    assert [*second.triggers] == ["b", "a", "c"]
    assert second == Index(blobs).read().snapshot == index.peek()


def test_an_index_that_was_deleted_is_made_again(blobs: MemoryBlobs) -> None:
    index = Index(blobs)
    add(index, "churn")
    index.read()
    blobs.delete("index.json")

    assert index.read().snapshot == Snapshot()


def test_a_change_gets_storage_time(blobs: MemoryBlobs) -> None:
    blobs.world.pass_time(7)
    seen: list[datetime] = []

    def change(before: Snapshot, at: datetime) -> Snapshot:
        seen.append(at)
        return before

    Index(blobs).change(change)

    assert seen == [datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)]


def test_changing_nothing_writes_nothing(blobs: MemoryBlobs) -> None:
    index = Index(blobs)
    index.read()
    etag = blobs.stored["index.json"].etag
    index.change(lambda before, _at: before.model_copy())

    assert blobs.stored["index.json"].etag == etag


def test_two_writers_lose_nothing(blobs: MemoryBlobs) -> None:
    index, other = Index(blobs), Index(blobs)
    rivals = iter(["rival-1", "rival-2"])

    def intervene(call: str) -> None:
        if call == "swap index.json" and (rival := next(rivals, None)):
            add(other, rival)

    blobs.world.before = intervene
    add(index, "mine")

    assert index.read().snapshot.pipelines.keys() == {"mine", "rival-1", "rival-2"}


def test_writers_that_never_get_a_turn_say_so(blobs: MemoryBlobs) -> None:
    def intervene(call: str) -> None:
        if call == "swap index.json":
            blobs.put("index.json", Snapshot().model_dump_json(by_alias=True).encode())

    blobs.world.before = intervene
    with pytest.raises(StorageUnavailable, match="try again"):
        add(Index(blobs), "mine")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"triggers": {"a": 5}}', b"\xff"])
def test_what_is_no_index_is_refused(blobs: MemoryBlobs, data: bytes) -> None:
    blobs.put("index.json", data)
    with pytest.raises(RecordUnreadable, match="Publish with the version"):
        Index(blobs).read()
    with pytest.raises(RecordUnreadable):
        add(Index(blobs), "mine")

    assert blobs.stored["index.json"].data == data


def test_fields_of_a_newer_version_survive(blobs: MemoryBlobs) -> None:
    here = scene.Scene()
    here.publish(scene.trigger())
    stored = here.blobs.stored["index.json"].data
    stored = stored.replace(b'"revision"', b'"newly":true,"revision"')
    blobs.put("index.json", stored.replace(b'{"schema"', b'{"newer":[1],"schema"', 1))
    index = Index(blobs)
    add(index, "mine")

    assert index.read().snapshot.model_extra == {"newer": [1]}
    assert b'"newly":true' in blobs.stored["index.json"].data
    assert b'"newer":[1]' in blobs.stored["index.json"].data


def test_a_trigger_that_this_version_cannot_follow_is_not_followed_half(
    blobs: MemoryBlobs,
) -> None:
    here = scene.Scene()
    here.publish(scene.trigger())
    stored = here.blobs.stored["index.json"].data
    blobs.put("index.json", stored.replace(b'"filter":', b'"unless":"`false`","filter":'))

    with pytest.raises(RecordUnreadable, match="Publish with the version of Signalbox that runs"):
        Index(blobs).read()


def test_threads_that_ask_while_another_reads_share_the_next_reading(blobs: MemoryBlobs) -> None:
    turnstiles = Turnstiles()
    index = Index(blobs, turnstiles)
    index.read()
    blobs.world.calls.clear()
    reads, go_on = threading.Event(), threading.Event()

    def slow(_call: str) -> None:
        reads.set()
        assert go_on.wait(5)

    blobs.world.before = slow
    answers: list[Reading] = []
    threads = [
        threading.Thread(target=lambda: answers.append(index.read()), daemon=True) for _ in range(4)
    ]
    threads[0].start()
    assert reads.wait(5)
    blobs.world.pass_time(30)
    for thread in threads[1:]:
        thread.start()
    while len(turnstiles._turnstiles["index.json"].waiting) < len(threads):
        assert all(thread.is_alive() for thread in threads)
    go_on.set()
    for thread in threads:
        thread.join(5)

    assert blobs.world.calls == ["get_if_changed index.json"] * 2
    assert len(answers) == 4
    assert len({id(reading) for reading in answers}) == 2
