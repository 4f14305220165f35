"""How many may begin today, where slots have keys."""

from shared.days import Day
from shared.places import Place
from shared.policies import Policies
from shared.slots import ALL, Slot, Slots
from shared.turnstiles import Turnstiles
from tests.fakes import MemoryBlobs, World


class Scene:
    def __init__(self, per_day: int = 3) -> None:
        self.world = World()
        self.blobs = MemoryBlobs(self.world)
        self.slots = Slots(self.blobs)
        self.turnstiles = Turnstiles()
        self.policies = Policies.model_validate({"max_runs_per_day": per_day})

    def day(self, slot: str = "north", own_limit: int | None = None) -> Day:
        place = Place(
            trigger="letters", slot=slot, label="", policies=self.policies, own_limit=own_limit
        )
        return Day(self.slots, self.turnstiles, place)

    @property
    def counted(self) -> int:
        return self.slots.read("letters", ALL, self.world.now).slot.begun_on(self.world.now)


def test_no_more_are_granted_than_may_begin() -> None:
    here = Scene(per_day=3)
    assert here.day("north").granted(Slot(), here.world.now, 2) == 2
    assert here.day("south").granted(Slot(), here.world.now, 2) == 1
    assert here.day("east").granted(Slot(), here.world.now, 1) == 0
    assert here.counted == 3


def test_what_did_not_begin_is_given_back() -> None:
    here = Scene()
    day = here.day()
    assert day.granted(Slot(), here.world.now, 3) == 3
    # Counted already.
    assert day.granted(Slot(), here.world.now, 2) == 2
    day.used(1)
    day.give_back(here.world.now)
    day.give_back(here.world.now)
    assert here.counted == 1


def test_nothing_is_given_back_to_another_day() -> None:
    here = Scene()
    day = here.day()
    assert day.granted(Slot(), here.world.now, 2) == 2
    here.world.pass_time(86_400)
    assert here.day("south").granted(Slot(), here.world.now, 1) == 1
    day.give_back(here.world.now)
    assert here.counted == 1


def test_the_slot_without_a_key_is_counted_by_the_swap_that_gives_the_place() -> None:
    here = Scene(per_day=3)
    begun = Slot().counting(here.world.now, 2)
    assert here.day(ALL).granted(begun, here.world.now, 5) == 1
    assert not here.blobs.stored


def test_a_replay_counts_for_no_day() -> None:
    here = Scene(per_day=1)
    assert here.day(own_limit=9).granted(Slot(), here.world.now, 5) == 5
    assert not here.blobs.stored
