"""What bounds a slot, and why a run has no place in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.ledger import Reason
from shared.policies import Policies
from shared.slots import Slot


@dataclass(frozen=True, kw_only=True)
class Place:
    """A slot, and what bounds it, as a run that wants a place there knows it."""

    trigger: str
    slot: str
    label: str
    policies: Policies
    #: Set for a slot with a limit of its own, whatever its trigger's policies.
    own_limit: int | None = None
    #: No more wait for a place; None: whoever has to.
    most_waiting: int | None = None

    @property
    def limit(self) -> int | None:
        """Runs that may be under way at once; None when there is no bound."""
        return self.own_limit if self.own_limit is not None else self.policies.concurrency.limit

    @property
    def per_day(self) -> int | None:
        """Runs that may begin within a day; None when there is no bound."""
        return self.policies.max_runs_per_day if self.own_limit is None else None

    def room(self, slot: Slot, most: int) -> int:
        """Places that are free, or as many as are given at once."""
        return most if self.limit is None else min(most, max(0, self.limit - len(slot.holders)))

    def line_is_full(self, slot: Slot) -> bool:
        """Whether as many wait as may."""
        return self.most_waiting is not None and slot.waiting >= self.most_waiting

    def obstacle(self, slot: Slot) -> Reason | None:
        """Why a run cannot begin now, whatever the day."""
        if self.room(slot, 1):
            return OTHERS_FIRST if slot.waiting else None
        of = f" of {self.label!r}" if self.label else ""
        verb = "run is" if len(slot.holders) == 1 else "runs are"
        return waiting_slot(f"{len(slot.holders)} {verb} under way{of}, and {self.limit} may be.")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What came of asking for a place: it is there, or why not, and the number to wait with."""

    why: Reason | None = None
    number: int | None = None
    #: Who holds the places, and since when, where it is not there.
    holders: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def admitted(self) -> bool:
        return self.why is None


#: Why a run is `queued` though there is room.
OTHERS_FIRST = Reason(code="waiting_slot", text="Others wait before it.")


def waiting_slot(text: str) -> Reason:
    """Why a run is `queued`."""
    return Reason(code="waiting_slot", text=text)


def waiting_compute(text: str) -> Reason:
    """Why a run is in `waiting_compute`."""
    return Reason(code="waiting_compute", text=text)


def overlap_skipped(text: str, overlap: str = "skip") -> Reason:
    """Why a run is `skipped`."""
    waits = " One waits already." if overlap == "buffer_one" else ""
    return Reason(code="overlap_skipped", text=f"{text}{waits} policies.overlap is {overlap}.")


def daily_limit(place: Place) -> Reason:
    """Why a run is `queued` until tomorrow."""
    text = (
        f"{place.policies.max_runs_per_day} runs of {place.trigger} have begun today (UTC), as "
        "many as policies.max_runs_per_day allows."
    )
    return Reason(code="daily_limit", text=text)
