"""The runs that a trigger may begin in a day, counted before they have their places.

Its slot without a key counts them. Where that is the slot which gives the place, the same swap does
both; this is for slots with a key. Never more begin than may: a crash counts one too many.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.errors import StorageUnavailable
from shared.places import Place
from shared.slots import ALL, Slot, Slots
from shared.turnstiles import Crowd, Turnstiles, Wish

#: How often a slot is tried that others keep changing; then the source delivers again.
TRIES = 100


@dataclass(eq=False, kw_only=True)
class _Count(Wish[tuple[int, str]]):
    """More runs of today, of which some are counted, on a day; fewer, only on the day given."""

    runs: int
    per_day: int
    on: str = ""


class Day:
    """What one call has counted, and what came of it."""

    def __init__(self, slots: Slots, turnstiles: Turnstiles, place: Place) -> None:
        self._slots = slots
        self._turnstiles = turnstiles
        self._place = place
        #: Counted beforehand, on which day.
        self._counted, self._on = 0, ""

    def granted(self, slot: Slot, at: datetime, runs: int) -> int:
        """How many of so many runs may begin today; those are counted, or are by the swap that
        gives them their places."""
        per_day = self._place.per_day
        if per_day is None or not runs:
            return runs
        if self._place.slot == ALL:
            return min(runs, max(0, per_day - slot.begun_on(at)))
        if runs > self._counted:
            wish = self._change(_Count(runs=runs - self._counted, per_day=per_day), at)
            self._counted, self._on = self._counted + wish[0], wish[1]
        return min(runs, self._counted)

    def used(self, runs: int) -> None:
        """So many of those that were counted have their places."""
        self._counted -= min(runs, self._counted)

    def give_back(self, at: datetime) -> None:
        """What was counted did not begin after all."""
        if self._counted:
            self._change(_Count(runs=-self._counted, per_day=0, on=self._on), at)
            self._counted = 0

    def _change(self, wish: _Count, at: datetime) -> tuple[int, str]:
        self._turnstiles.through(("day", self._place.trigger), wish, partial(self._serve, at))
        return wish.answer

    def _serve(self, at: datetime, crowd: Crowd[_Count]) -> None:
        for _ in range(TRIES):
            kept = self._slots.read(self._place.trigger, ALL, at)
            wishes = crowd.wishes()
            counted, answers = kept.slot, dict[_Count, tuple[int, str]]()
            for wish in wishes:
                free = max(0, wish.per_day - counted.begun_on(kept.at))
                # Yesterday is over: today's count is of others.
                late = wish.on and wish.on != counted.day
                runs = min(wish.runs, free) if wish.runs > 0 else 0 if late else wish.runs
                if runs:
                    counted = counted.counting(kept.at, runs)
                answers[wish] = runs, counted.day
            if counted is kept.slot or self._slots.swap(self._place.trigger, ALL, kept, counted):
                crowd.grant(partial(_told, answers), wishes)
                return
        raise crowded(self._place.trigger, ALL)


def _told(
    answers: Mapping[_Count, tuple[int, str]], wishes: list[_Count]
) -> dict[_Count, tuple[int, str]]:
    return {wish: answers[wish] for wish in wishes}


def crowded(trigger: str, slot: str) -> StorageUnavailable:
    """The source is to deliver again."""
    return StorageUnavailable(f"Slot {slot} of {trigger} kept changing under this write; try again")
