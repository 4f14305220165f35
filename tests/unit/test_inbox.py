"""What waits for its batch, and the numbers of groups."""

from datetime import timedelta

import pytest

from shared.errors import RecordUnreadable
from shared.inbox import Inbox
from tests.fakes import MemoryBlobs, World
from tests.unit.scene import interject


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def inbox(blobs: MemoryBlobs) -> Inbox:
    return Inbox(blobs)


def test_what_waits_is_found_with_the_time_it_came_at(blobs: MemoryBlobs, inbox: Inbox) -> None:
    start = blobs.world.now
    inbox.put("t", "g2", "a", about="abc", releases=False)
    blobs.world.pass_time(5)
    inbox.put("t", "g1", "b", about="def", releases=True)
    blobs.world.pass_time(5)
    # A delivery that comes again does not begin the wait anew.
    inbox.put("t", "g2", "a", about="abc", releases=False)

    found = [
        (one.group, one.key, one.waiting.since, one.waiting.releases) for one in inbox.waiting()
    ]
    assert found == [
        ("g1", "b", start + timedelta(seconds=5), True),
        ("g2", "a", start, False),
    ]
    assert [one.about for one in inbox.waiting()] == ["def", "abc"]


def test_one_trigger_or_one_group_can_be_asked_for(inbox: Inbox) -> None:
    for trigger, group in (("t", "g"), ("t", "g2"), ("t2", "g")):
        inbox.put(trigger, group, "a", about="", releases=False)

    assert [(one.trigger, one.group) for one in inbox.waiting("t")] == [("t", "g"), ("t", "g2")]
    assert [(one.trigger, one.group) for one in inbox.waiting("t", "g")] == [("t", "g")]


def test_what_waits_no_more_is_forgotten(inbox: Inbox) -> None:
    for key in ("a", "b", "c"):
        inbox.put("t", "g", key, about="", releases=False)
    inbox.forget("t", "g", ["a", "c", "never"])
    inbox.forget("t", "g", [])

    assert [one.key for one in inbox.waiting()] == ["b"]


def test_a_group_numbers_its_batches(inbox: Inbox) -> None:
    assert inbox.number("t", "g") is None
    first = inbox.begin("t", "g", {"day": "1"}, "birth-1")
    again = inbox.begin("t", "g", {"day": "1"}, "birth-2")

    assert first == again
    assert (first.numbered.birth, first.numbered.seq) == ("birth-1", 0)
    assert inbox.count("t", "g", first)
    # Who has seen the number before does not count it twice.
    assert not inbox.count("t", "g", first)
    kept = inbox.number("t", "g")
    assert kept
    assert (kept.numbered.birth, kept.numbered.seq, kept.numbered.values) == (
        "birth-1",
        1,
        {"day": "1"},
    )


def test_of_two_beginnings_one_counts() -> None:
    world = World()
    blobs = MemoryBlobs(world)
    inbox = Inbox(blobs)
    interject(world, "create groups/", lambda: inbox.begin("t", "g", {}, "of the other"))

    assert inbox.begin("t", "g", {}, "mine").numbered.birth == "of the other"


def test_a_group_that_is_no_number_is_told(blobs: MemoryBlobs, inbox: Inbox) -> None:
    blobs.put("groups/t/g.json", b"{}")

    with pytest.raises(RecordUnreadable, match="Group g of trigger t"):
        inbox.number("t", "g")
