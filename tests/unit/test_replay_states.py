from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import RecordUnreadable, StorageUnavailable
from shared.ledger import State
from shared.replay_states import Replay, ReplayStates, Selection, Stage
from tests.fakes import MemoryBlobs, World

NOW = World().now


def replay(id: str = "a", **changes: Any) -> Replay:
    given: Mapping[str, Any] = {
        "id": id,
        "at": NOW,
        "by": "anna",
        "request": "r",
        "selection": Selection(trigger="t"),
        "limit": 2,
        "chosen": "list",
        "total": 3,
        **changes,
    }
    return Replay(**given)


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({}, Stage.RUNNING),
        ({"position": 3, "active": ("t.1",)}, Stage.RUNNING),
        ({"position": 3}, Stage.DONE),
        ({"cancel_requested": True}, Stage.CANCELED),
        ({"cancel_requested": True, "active": ("t.1",)}, Stage.CANCELING),
        # Everything was started before somebody canceled.
        ({"cancel_requested": True, "position": 3, "active": ("t.1",)}, Stage.RUNNING),
        ({"cancel_requested": True, "position": 3}, Stage.DONE),
    ],
)
def test_how_far_a_replay_is(changes: dict[str, Any], stage: Stage) -> None:
    assert replay(**changes).stage is stage


def test_what_was_started_is_under_way_or_over() -> None:
    found = replay(active=("t.1", "t.2"), ended={State.FAILED: 2, State.COMPLETED: 3})

    assert found.started == 7


def test_a_replay_is_made_once_and_changes_by_its_etag() -> None:
    states = ReplayStates(MemoryBlobs())
    first = states.create(replay())
    assert first is not None
    assert states.create(replay()) is None
    assert states.swap(first, replay(position=1)) is not None
    assert states.swap(first, replay(position=2)) is None

    kept = states.read("a")
    assert kept is not None
    assert kept.replay == replay(position=1)
    assert states.read("b") is None


def test_replays_are_listed_newest_first_with_whether_they_are_over() -> None:
    states = ReplayStates(MemoryBlobs())
    states.create(replay("a"))
    states.create(replay("b", at=NOW + timedelta(hours=1), position=3))
    states.choose("a", ["t.1"])

    assert [(one.id, one.over) for one in states.all()] == [("b", True), ("a", False)]


def test_the_list_is_its_own_content_s() -> None:
    states = ReplayStates(MemoryBlobs())
    one, other = states.choose("a", ["t.1", "t.2", "t.3"]), states.choose("a", ["t.1"])
    assert one != other
    assert states.chosen(replay(chosen=one)) == ["t.1", "t.2", "t.3"]

    with pytest.raises(RecordUnreadable):
        states.chosen(replay(chosen=other))
    with pytest.raises(StorageUnavailable):
        states.chosen(replay(chosen="gone"))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}"])
def test_what_is_no_replay_is_refused(data: bytes) -> None:
    blobs = MemoryBlobs()
    blobs.put("replays/a.json", data)
    with pytest.raises(RecordUnreadable, match="Replay a"):
        ReplayStates(blobs).read("a")


def test_fields_of_a_newer_version_survive() -> None:
    blobs = MemoryBlobs()
    data = replay().model_dump_json(by_alias=True).replace("{", '{"newer":1,', 1)
    blobs.put("replays/a.json", data.encode())
    states = ReplayStates(blobs)
    kept = states.read("a")
    assert kept is not None
    states.swap(kept, kept.replay.model_copy(update={"position": 1}))

    again = states.read("a")
    assert again is not None
    assert again.replay.model_extra == {"newer": 1}
