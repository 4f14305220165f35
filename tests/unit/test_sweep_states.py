from datetime import timedelta

import pytest

from shared.errors import RecordUnreadable
from shared.sweep_states import NAMED, Course, Noticed, SweepState, SweepStates, newest
from tests.fakes import MemoryBlobs, World

NOW = World().now


def course() -> Course:
    return Course(began=NOW, since=NOW, horizon=NOW, full=True, place="a/b/")


def noticed(path: str, at: int = 0) -> Noticed:
    return Noticed(
        path=path,
        etag=str(at),
        size=1,
        last_modified=NOW,
        at=NOW + timedelta(seconds=at),
        run="a.b",
    )


def test_a_state_is_empty_at_first_and_changes_by_its_etag() -> None:
    states = SweepStates(MemoryBlobs())
    empty = states.read("a")
    assert (empty.state, empty.etag) == (SweepState(), None)

    first = states.swap("a", empty, SweepState(course=course()))
    assert first is not None
    assert states.swap("a", empty, SweepState()) is None
    assert states.swap("a", first, SweepState(last=NOW)) is not None
    assert states.swap("a", first, SweepState()) is None
    assert states.read("a").state == SweepState(last=NOW)


def test_a_listing_tells_what_is_due() -> None:
    blobs = MemoryBlobs()
    states = SweepStates(blobs)
    states.swap("a", states.read("a"), SweepState(course=course(), tried=NOW))
    states.swap("b", states.read("b"), SweepState(last=NOW))
    blobs.put("sweeps/c.json", b"{}", metadata={"last": "nonsense", "tried": "2026-03-01"})
    found = states.all()

    assert (found["a"].under_way, found["a"].tried, found["a"].last) == (True, NOW, None)
    assert (found["b"].under_way, found["b"].tried, found["b"].last) == (False, None, NOW)
    assert found["c"].last is None
    assert found["c"].tried is not None
    assert found["c"].tried.tzinfo is not None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"last": "x"}'])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    blobs = MemoryBlobs()
    blobs.put("sweeps/a.json", data)
    with pytest.raises(RecordUnreadable, match="sweeps of trigger a"):
        SweepStates(blobs).read("a")


def test_fields_of_a_newer_version_survive() -> None:
    blobs = MemoryBlobs()
    blobs.put("sweeps/a.json", b'{"schema": 1, "newer": [1]}')
    states = SweepStates(blobs)
    kept = states.read("a")
    states.swap("a", kept, kept.state.model_copy(update={"last": NOW}))

    assert states.read("a").state.model_extra == {"newer": [1]}


def test_what_is_noticed_is_kept_once_for_each_path_and_bounded() -> None:
    before = [noticed("a", 1), noticed("b", 1)]
    assert [(one.path, one.etag) for one in newest([noticed("a", 2)], before)] == [
        ("a", "2"),
        ("b", "1"),
    ]
    assert len(newest([noticed(str(number)) for number in range(500)], before)) == NAMED


def test_counts_add_up() -> None:
    counted = course().counted(listed=2).counted(listed=1, found=1)

    assert (counted.counts.listed, counted.counts.found) == (3, 1)
    assert counted.anew().counts.listed == 0
