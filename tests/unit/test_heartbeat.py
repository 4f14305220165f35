"""When the timer last ended, as everybody reads it."""

from datetime import UTC, datetime

import pytest

from shared.errors import RecordUnreadable
from shared.heartbeat import Beat, Heartbeat
from tests.unit.scene import Scene

ENDED = datetime(2026, 3, 14, 8, 0, 3, tzinfo=UTC)


def test_the_newest_tick_is_known_and_one_blob_keeps_it() -> None:
    here = Scene()
    assert here.heartbeat.last() == (None, None)

    here.heartbeat.beat(Beat(ended=ENDED, seconds=1.5))
    here.heartbeat.beat(Beat(ended=ENDED, seconds=2.5, failed=["the slots"]))

    beat, at = here.heartbeat.last()
    assert beat == Beat(ended=ENDED, seconds=2.5, failed=["the slots"])
    assert at == here.world.now
    assert here.world.calls.count("put tick.json") == 2


def test_a_tick_ends_as_much_later_as_it_took() -> None:
    here = Scene()
    began = here.world.now
    here.tick.run()

    beat, _ = here.heartbeat.last()
    assert beat is not None
    assert (beat.ended - began).total_seconds() == beat.seconds


def test_what_nobody_of_ours_wrote_is_named_with_the_remedy() -> None:
    here = Scene()
    here.blobs.put("tick.json", b'{"ended": "yesterday"}')

    with pytest.raises(RecordUnreadable, match=r"tick\.json .* at ended, seconds\. Delete it"):
        Heartbeat(here.blobs).last()
