"""What is kept of a slot."""

from datetime import UTC, datetime, timedelta

from shared.slots import ALL, PAGE, Slot, Slots, slot_of
from tests.fakes import MemoryBlobs

NOW = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)


def test_runs_are_counted_for_their_day_alone() -> None:
    slot = Slot().counting(NOW, 2).counting(NOW, -1)
    assert slot.begun_on(NOW) == 1
    tomorrow = NOW + timedelta(minutes=2)
    assert slot.begun_on(tomorrow) == 0
    assert slot.counting(tomorrow, 1).runs_today == 1


def test_who_has_a_place_keeps_it_since_when_it_came() -> None:
    later = NOW + timedelta(minutes=1)
    slot = Slot().holding(["a"], NOW).holding(["a", "b"], later)
    assert slot.holders == {"a": NOW, "b": later}
    assert slot.without(["a", "c"]).holders == {"b": later}


def test_those_who_wait_are_listed_by_number() -> None:
    slots = Slots(MemoryBlobs())
    for number in (10, 9, 100):
        slots.enter("letters", ALL, number, f"run-{number}")
    slots.leave("letters", ALL, 9, "run-9")
    assert [entry.number for entry in slots.queue("letters", ALL)] == [10, 100]
    assert PAGE > 1


def test_a_slot_is_changed_only_by_who_has_seen_it_last() -> None:
    slots = Slots(MemoryBlobs())
    first = slots.read("letters", ALL, NOW)
    assert slots.swap("letters", ALL, first, Slot(label="one"))
    assert not slots.swap("letters", ALL, first, Slot(label="two"))
    now = slots.read("letters", ALL, NOW)
    assert slots.swap("letters", ALL, now, Slot(label="three"))
    assert not slots.swap("letters", ALL, now, Slot(label="four"))


def test_a_key_has_a_slot_of_its_own() -> None:
    assert slot_of(None) == ALL
    assert len({slot_of("north"), slot_of("south"), slot_of(""), ALL}) == 4
