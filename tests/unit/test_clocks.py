"""How far the schedules are."""

from datetime import timedelta

import pytest

from shared.clocks import Clock, Clocks
from shared.errors import RecordUnreadable
from tests.fakes import MemoryBlobs

BLOBS = MemoryBlobs()
NOW = BLOBS.world.now


def test_a_clock_begins_once_and_goes_on_under_its_etag() -> None:
    clocks = Clocks(MemoryBlobs())
    assert clocks.read() is None

    clocks.begin(NOW, edition=3)
    clocks.begin(NOW + timedelta(hours=1), edition=4)
    kept = clocks.read()
    assert kept is not None
    assert kept.clock == Clock(last_evaluated=NOW, edition=3)

    later = Clock(last_evaluated=NOW + timedelta(minutes=1), through="b", edition=3)
    assert clocks.move(kept, later)
    assert not clocks.move(kept, Clock(last_evaluated=NOW + timedelta(minutes=2)))
    now = clocks.read()
    assert now is not None
    assert now.clock == later


def test_a_clock_that_cannot_be_read_says_what_to_do() -> None:
    blobs = MemoryBlobs()
    blobs.put("clock.json", b'{"last_evaluated": "soon"}')

    with pytest.raises(RecordUnreadable, match=r"so no schedule fires.*Delete it"):
        Clocks(blobs).read()


def test_what_a_newer_version_wrote_survives() -> None:
    blobs = MemoryBlobs()
    blobs.put("clock.json", b'{"last_evaluated": "2026-03-01T12:00:00Z", "later": 1}')
    kept = Clocks(blobs).read()

    assert kept is not None
    assert kept.clock.model_extra == {"later": 1}
