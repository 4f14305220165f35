"""Threads of one process at one slot."""

import threading

from shared.slots import Slots
from tests.fakes import MemoryBlobs


def test_threads_go_through_a_slot_one_by_one_and_through_others_at_will() -> None:
    slots = Slots(MemoryBlobs())
    inside, elsewhere = threading.Event(), threading.Event()

    def second() -> None:
        with slots.one_by_one("letters", "other"):
            elsewhere.set()
        with slots.one_by_one("letters", "all"):
            inside.set()

    thread = threading.Thread(target=second)
    with slots.one_by_one("letters", "all"), slots.one_by_one("letters", "all"):
        thread.start()
        assert elsewhere.wait(5)
        assert not inside.wait(0.05)
    thread.join(5)
    assert inside.is_set()


def test_nothing_is_kept_of_slots_that_nobody_is_at() -> None:
    slots = Slots(MemoryBlobs())
    for number in range(3):
        with slots.one_by_one("letters", str(number)):
            assert len(slots._turnstiles) == 1
    assert not slots._turnstiles
