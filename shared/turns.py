"""Whose turn it is: gives runs their places, has the others wait, and promotes who is next.

The rules are those of docs/decisions/0015-slots.md. What carries them: every way to a place is a
swap of the slot, everybody who waits swaps it too, and a place is taken away only from what is
over, or from what was not heard of for longer than any call may last.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from shared.errors import RecordUnreadable, StorageUnavailable
from shared.index import Index
from shared.ledger import ABSENT, Kept, Ledger, Reason, Record, State
from shared.policies import Policies
from shared.slots import ALL, KeptSlot, Slot, Slots

log = logging.getLogger(__name__)

#: How often a slot is tried that others keep changing; then the source delivers again.
_TRIES = 100
#: How many are promoted by one look, so that a function comes to its end.
_MOST = 50

#: What holds a place for nothing: it comes back to it by another swap, if ever.
_NOT_UNDER_WAY = frozenset({State.HELD, State.WAITING_COMPUTE})

_NEVER = datetime.min.replace(tzinfo=UTC)


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


class Turns:
    """Decides who runs, over the slots and the ledger's records."""

    def __init__(self, *, index: Index, ledger: Ledger, slots: Slots) -> None:
        self._index = index
        self._ledger = ledger
        self._slots = slots

    def take(self, place: Place, run: str, at: datetime, *, wait: bool = True) -> Turn:
        """Hold a place for a run, or take a number where it has to wait.

        Without `wait`, or where as many wait as may, nothing is written for a run that cannot
        begin. `at` is a storage time of now. Raises StorageUnavailable when writers keep
        colliding, RecordUnreadable.
        """
        day = _Day(self._slots, place)
        for _ in range(_TRIES):
            with self._slots.one_by_one(place.trigger, place.slot):
                kept = self._slots.read(place.trigger, place.slot, at)
                why = None if run in kept.slot.holders else day.obstacle(kept)
                if why is None:
                    # Again for who has it already: whoever wants to take it away must see that.
                    new = kept.slot.without([run]).holding([run], kept.at)
                    if place.slot == ALL and run not in kept.slot.holders:
                        new = new.counting(kept.at, 1)
                elif not wait or _line_is_full(kept.slot, place):
                    break
                else:
                    new = kept.slot.numbered()
                new = new.model_copy(update={"label": place.label, "own_limit": place.own_limit})
                swapped = self._slots.swap(place.trigger, place.slot, kept, new)
            if swapped:
                if why is None:
                    return Turn()
                day.give_back(kept.at)
                return Turn(why=why, number=kept.slot.next_number)
        else:
            day.give_back(at)
            raise _crowded(place.trigger, place.slot)
        day.give_back(at)
        return Turn(why=why, holders=kept.slot.holders)

    def queue(self, kept: Kept) -> Kept | None:
        """Have a record wait that waited for something else; None when somebody was faster.

        Raises StorageUnavailable, RecordUnreadable.
        """
        record = kept.record
        assert record.slot is not None
        for _ in range(_TRIES):
            with self._slots.one_by_one(record.trigger, record.slot):
                slot = self._slots.read(record.trigger, record.slot, kept.at)
                if self._slots.swap(record.trigger, record.slot, slot, slot.slot.numbered()):
                    break
        else:
            raise _crowded(record.trigger, record.slot)
        queued = record.moved(State.QUEUED, kept.at, waiting_slot("It waits for its turn."))
        queued = queued.model_copy(update={"number": slot.slot.next_number})
        now = self._ledger.swap(kept, queued)
        if now is not None:
            self.enter(now.record)
        return now

    def enter(self, record: Record) -> None:
        """Have a queued record be found when its turn comes; again is the same."""
        assert record.slot is not None
        assert record.number is not None
        self._slots.enter(record.trigger, record.slot, record.number, record.key)

    def release(self, record: Record) -> list[Kept]:
        """Free the place of a run that is over; what begins in its place, for the caller to submit.

        Raises StorageUnavailable, RecordUnreadable.
        """
        if record.slot is None:
            return []
        if record.number is not None:
            # Also when it began: who queued it may have been so slow that its entry came after.
            self._slots.leave(record.trigger, record.slot, record.number, record.key)
        return self.promote(record.trigger, record.slot, leaving=record.key)

    def promote(
        self,
        trigger: str,
        slot: str,
        *,
        leaving: str | None = None,
        check: bool = False,
        asking: str | None = None,
    ) -> list[Kept]:
        """Begin what waits while there is room, by number; for the caller to submit.

        `check` looks at those who hold a place as well: whoever is over loses it, whoever is
        still queued begins. `asking` is who wants to know, and so does not wait yet. Raises
        StorageUnavailable, RecordUnreadable.
        """
        begun: list[Kept] = []
        gone = {leaving} if leaving else set[str]()
        new: list[str] = []
        day: _Day | None = None
        for _ in range(_TRIES):
            with self._slots.one_by_one(trigger, slot):
                kept = self._slots.read(trigger, slot, _NEVER)
                if kept.etag is None:
                    return begun
                place, paused = self._place(trigger, slot, kept.slot)
                day = day or _Day(self._slots, place)
                # A swap may have been done although its answer said that somebody was faster.
                day.used(sum(run in kept.slot.holders for run in new))
                now = kept.slot.without(gone)
                stalled: list[Kept] = []
                if check:
                    lost, stalled = self._look(trigger, now, kept.at)
                    now = now.without(lost)
                following: list[Kept] = []
                if not paused:
                    line, waits = self._next(place, now, day, kept.at)
                    following = stalled + line
                    if now.waiting and not following and not waits:
                        waits = not self._nobody_waits(trigger, slot, now, asking)
                        now = now if waits else now.model_copy(update={"waiting": 0})
                # Again for who has a place already: whoever wants to take it away must see that.
                runs = [each.record.key for each in following]
                new = [run for run in runs if run not in now.holders]
                now = now.without(runs).holding(runs, kept.at)
                if slot == ALL and new:
                    now = now.counting(kept.at, len(new))
                if now == kept.slot:
                    day.give_back(kept.at)
                    return begun
                if not self._slots.swap(trigger, slot, kept, now):
                    continue
            day.used(len(new))
            new = []
            gone = set()
            for each in following:
                if now_begun := self._begin(each):
                    begun.append(now_begun)
                elif self._is_over(each.record):
                    gone.add(each.record.key)
            if not gone:
                day.give_back(kept.at)
                return begun
        raise _crowded(trigger, slot)

    def find(self, record: Record) -> None:
        """See that a queued record gets its turn, whatever was lost meanwhile."""
        self.enter(record)
        assert record.slot is not None
        kept = self._slots.read(record.trigger, record.slot, _NEVER)
        if kept.etag is None or not kept.slot.waiting:
            waited_for = kept.slot.model_copy(update={"waiting": 1})
            self._slots.swap(record.trigger, record.slot, kept, waited_for)

    def paused(self, record: Record) -> bool:
        """Whether nothing begins for a record's trigger."""
        indexed = self._index.recent().triggers.get(record.trigger)
        if indexed is None or indexed.paused is None:
            return False
        if record.slot is None:
            return True
        return self._slots.read(record.trigger, record.slot, _NEVER).slot.own_limit is None

    def skips(self, trigger: str) -> bool:
        """Whether what cannot begin at once starts nothing."""
        indexed = self._index.recent().triggers.get(trigger)
        return indexed is not None and indexed.definition.policies.overlap == "skip"

    def _place(self, trigger: str, slot: str, known: Slot) -> tuple[Place, bool]:
        """What bounds a slot now, and whether its trigger is paused."""
        indexed = self._index.recent().triggers.get(trigger)
        policies = indexed.definition.policies if indexed else Policies()
        paused = indexed is not None and indexed.paused is not None and known.own_limit is None
        place = Place(
            trigger=trigger,
            slot=slot,
            label=known.label,
            policies=policies,
            own_limit=known.own_limit,
        )
        return place, paused

    def _next(self, place: Place, slot: Slot, day: "_Day", at: datetime) -> tuple[list[Kept], bool]:
        """Those that may begin now, by number, and whether anybody is in line."""
        if not slot.waiting:
            return [], False
        room = min(_room(slot, place), _MOST)
        # Also without room: whether anybody waits is told cheaply by the first in line.
        found = list(islice(self._in_line(place, slot), max(room, 1)))
        return found[: day.granted(slot, at, min(len(found), room))], bool(found)

    def _in_line(self, place: Place, slot: Slot) -> Iterator[Kept]:
        """Those who wait, by number; deletes the entries of those who do not any more."""
        for entry in self._slots.queue(place.trigger, place.slot):
            try:
                kept = self._ledger.read(place.trigger, entry.key)
            except RecordUnreadable as error:
                log.warning("%s It is passed over.", error)
                continue
            waits = kept is not None and kept.record.state is State.QUEUED
            if kept is None or not waits or kept.record.number != entry.number:
                self._slots.leave(place.trigger, place.slot, entry.number, entry.key)
            elif not kept.record.cancel_requested and entry.key not in slot.holders:
                yield kept

    def _nobody_waits(self, trigger: str, slot: str, now: Slot, asking: str | None = None) -> bool:
        """Whether nobody of this slot is queued, nor about to be, but for who asks.

        Told by the records of all open markers, as whoever queues may have died before its entry.
        """
        nobody = True
        for marker in self._ledger.open(trigger):
            if marker.slot != slot or marker.key == asking:
                continue
            try:
                kept = self._ledger.read(trigger, marker.key)
            except RecordUnreadable:
                continue
            if kept is None:
                nobody = False
            elif kept.record.state is State.QUEUED:
                nobody = False
                if kept.record.key not in now.holders:
                    self.enter(kept.record)
        return nobody

    def _look(self, trigger: str, slot: Slot, at: datetime) -> tuple[list[str], list[Kept]]:
        """Of those who hold a place, who does so for nothing, and who did not begin yet."""
        lost, stalled = [], []
        for run, since in slot.holders.items():
            try:
                kept = self._ledger.read(trigger, run)
            except RecordUnreadable as error:
                log.warning("%s It keeps its place.", error)
                continue
            # A record that is not there yet, or not back, may come as long as a call may last.
            if kept is None or kept.record.state in _NOT_UNDER_WAY:
                if at - since > ABSENT:
                    lost.append(run)
            elif kept.record.state.final:
                lost.append(run)
            elif kept.record.state is State.QUEUED and not kept.record.cancel_requested:
                stalled.append(kept)
        return lost, stalled

    def _begin(self, kept: Kept) -> Kept | None:
        """The record of who has a place now; None when it changed meanwhile."""
        record = kept.record
        assert record.slot is not None
        assert record.number is not None
        # Before it begins: the tick had been told not to look for long.
        self._ledger.check_again(record, kept.at)
        begun = self._ledger.swap(kept, record.begun(kept.at))
        if begun is not None:
            self._slots.leave(record.trigger, record.slot, record.number, record.key)
        return begun

    def _is_over(self, record: Record) -> bool:
        kept = self._ledger.read(record.trigger, record.key)
        return kept is not None and kept.record.state.final


class _Day:
    """The runs that a trigger may begin in a day: counted in its slot without a key."""

    def __init__(self, slots: Slots, place: Place) -> None:
        self._slots = slots
        self._place = place
        self._counts = place.own_limit is None and place.policies.max_runs_per_day is not None
        #: Counted beforehand, where the slot is another one than that which counts; on which day.
        self._counted, self._on = 0, ""

    def obstacle(self, kept: KeptSlot) -> Reason | None:
        """Why a run cannot begin now."""
        if kept.slot.waiting:
            room = _room(kept.slot, self._place)
            return OTHERS_FIRST if room else waiting_slot(_full(kept.slot, self._place))
        if _room(kept.slot, self._place) < 1:
            return waiting_slot(_full(kept.slot, self._place))
        if self._counted or self.granted(kept.slot, kept.at, 1):
            return None
        return daily_limit(self._place)

    def granted(self, slot: Slot, at: datetime, runs: int) -> int:
        """How many of so many runs may begin today; those are counted."""
        per_day = self._place.policies.max_runs_per_day
        if not self._counts or per_day is None or not runs:
            return runs
        if self._place.slot == ALL:
            # Counted by the swap that gives them their places.
            return min(runs, max(0, per_day - slot.begun_on(at)))
        return self._count(at, runs, per_day)

    def used(self, runs: int) -> None:
        """So many of those that were counted have their places."""
        self._counted -= min(runs, self._counted)

    def give_back(self, at: datetime) -> None:
        """What was counted did not begin after all. A crash before this counts it all the same:
        never more begin than may."""
        if self._counted:
            self._change(at, -self._counted)
            self._counted = 0

    def _count(self, at: datetime, runs: int, per_day: int) -> int:
        for _ in range(_TRIES):
            if runs <= self._counted:
                return runs
            with self._slots.one_by_one(self._place.trigger, ALL):
                kept = self._slots.read(self._place.trigger, ALL, at)
                more = min(runs - self._counted, max(0, per_day - kept.slot.begun_on(kept.at)))
                if not more:
                    return self._counted
                counted = kept.slot.counting(kept.at, more)
                if self._slots.swap(self._place.trigger, ALL, kept, counted):
                    self._counted, self._on = self._counted + more, counted.day
        raise _crowded(self._place.trigger, ALL)

    def _change(self, at: datetime, runs: int) -> None:
        for _ in range(_TRIES):
            with self._slots.one_by_one(self._place.trigger, ALL):
                kept = self._slots.read(self._place.trigger, ALL, at)
                if kept.slot.day != self._on:
                    # Yesterday is over: today's count is of others.
                    return
                counted = kept.slot.counting(kept.at, runs)
                if self._slots.swap(self._place.trigger, ALL, kept, counted):
                    return


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


def _limit(place: Place) -> int | None:
    return place.own_limit if place.own_limit is not None else place.policies.concurrency.limit


def _room(slot: Slot, place: Place) -> int:
    limit = _limit(place)
    return _MOST if limit is None else max(0, limit - len(slot.holders))


def _line_is_full(slot: Slot, place: Place) -> bool:
    return place.most_waiting is not None and slot.waiting >= place.most_waiting


def _full(slot: Slot, place: Place) -> str:
    of = f" of {place.label!r}" if place.label else ""
    verb = "run is" if len(slot.holders) == 1 else "runs are"
    return f"{len(slot.holders)} {verb} under way{of}, and {_limit(place)} may be."


def _crowded(trigger: str, slot: str) -> StorageUnavailable:
    return StorageUnavailable(f"Slot {slot} of {trigger} kept changing under this write; try again")
