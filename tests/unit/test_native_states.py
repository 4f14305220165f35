"""What is known of AzureML's schedules, in one blob."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import RecordUnreadable
from shared.native_states import Kept, NativeState, NativeStates, Settled
from tests.fakes import MemoryBlobs
from tests.unit.test_native_plans import wanted

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_whoever_swaps_first_goes_on() -> None:
    states = NativeStates(MemoryBlobs())
    assert states.read() == (None, None)
    mine = NativeState(looked_at=NOW, of="a")
    first = states.write(mine, None)
    assert first
    assert states.write(NativeState(looked_at=NOW, of="b"), None) is None
    assert states.read() == (mine, first)
    # The same look begun again in the same second is another one.
    second = states.write(mine, first)
    assert second
    assert states.write(mine, first) is None
    assert not states.is_latest(first)
    assert states.is_latest(second)


def test_a_newer_version_s_fields_survive_and_nonsense_is_told() -> None:
    blobs = MemoryBlobs()
    states = NativeStates(blobs)
    blobs.put(
        "native-schedules.json", b'{"schema": 1, "looked_at": "2026-03-01T00:00:00Z", "x": 1}'
    )
    state, etag = states.read()
    assert state
    assert states.write(state, etag)
    assert b'"x":1' in blobs.stored["native-schedules.json"].data
    blobs.put("native-schedules.json", b"[]")
    with pytest.raises(RecordUnreadable, match="native-schedules"):
        states.read()


def test_what_was_settled_is_forgotten_with_another_revision_and_after_a_day() -> None:
    revision = wanted().revision
    kept = Kept(settled=Settled(revision=revision, at=NOW, found={"component": "c:1"}))
    assert kept.unlike(wanted(), NOW + timedelta(hours=23)) == {"component": "c:1"}
    assert kept.unlike(wanted(), NOW + timedelta(hours=25)) == {}
    assert kept.unlike(wanted("other"), NOW) == {"component": "c:1"}
    other = kept.model_copy(
        update={"settled": Settled(revision="x", at=NOW, found={"component": "c:1"})}
    )
    assert other.unlike(wanted(), NOW) == {}
    assert Kept().unlike(wanted(), NOW) == {}
