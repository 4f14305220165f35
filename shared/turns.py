"""Whose turn it is: gives runs their places, has the others wait, and promotes who is next.

The rules are those of docs/decisions/0015-slots.md. What carries them: every way to a place is a
swap of the slot, everybody who waits swaps it too, and a place is taken away only from what is
over, or from what was not heard of for longer than any call may last. What threads of one process
want of a slot at the same time is one swap: docs/decisions/0017-one-swap-for-many.md.
"""

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from shared import telemetry
from shared.days import TRIES, Day, crowded
from shared.errors import RecordUnreadable
from shared.index import Index
from shared.ledger import ABSENT, LEASE, Kept, Ledger, Record, State
from shared.lines import Line
from shared.places import Place, Turn, daily_limit, waiting_slot
from shared.policies import Policies
from shared.slots import ALL, KeptSlot, Slot, Slots
from shared.turnstiles import Crowd, Turnstiles, Wish

log = logging.getLogger(__name__)

#: How many are promoted by one look, so that a function comes to its end.
_MOST = 50

#: What holds a place for nothing: it comes back to it by another swap, if ever.
_NOT_UNDER_WAY = frozenset({State.HELD, State.WAITING_COMPUTE, State.WAITING_BATCH})

_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(eq=False, kw_only=True)
class _Take(Wish[Turn]):
    """A place, or a number where the run has to wait; without `wait`, nothing then."""

    place: Place
    run: str
    #: A storage time of now.
    at: datetime
    wait: bool


@dataclass(eq=False, kw_only=True)
class _Number(Wish[int]):
    """The next number, for what is to wait whether or not there is room."""

    at: datetime


@dataclass(eq=False, kw_only=True)
class _Promote(Wish[list[Kept]]):
    """That whoever is next gets a place, in those of runs that are over among them.

    Its answer has places now, and is to be begun by whoever wished it.
    """

    leaving: frozenset[str]
    check: bool
    #: Who wants to know, and so does not wait yet.
    asking: str | None = None


@dataclass(kw_only=True)
class _Look:
    """What one call has seen of a slot, whatever becomes of its swap."""

    line: Line
    day: Day
    #: Holders whose records were read -> since when they hold their places, and whether for
    #: nothing.
    seen: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    #: Those who were given a place by the last swap, which may have been done although its answer
    #: said that somebody was faster.
    new: list[str] = field(default_factory=list)


class Turns:
    """Decides who runs, over the slots and the ledger's records."""

    def __init__(
        self,
        *,
        index: Index,
        ledger: Ledger,
        slots: Slots,
        turnstiles: Turnstiles | None = None,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._slots = slots
        self._turnstiles = turnstiles or Turnstiles()

    def take(self, place: Place, run: str, at: datetime, *, wait: bool = True) -> Turn:
        """Hold a place for a run, or take a number where it has to wait.

        Without `wait`, or where as many wait as may, nothing is written for a run that cannot
        begin. `at` is a storage time of now. Raises StorageUnavailable when writers keep
        colliding, RecordUnreadable.
        """
        return self._granted(
            place.trigger, place.slot, _Take(place=place, run=run, at=at, wait=wait)
        )

    def queue(self, kept: Kept) -> Kept | None:
        """Have a record wait that waited for something else; None when somebody was faster.

        Raises StorageUnavailable, RecordUnreadable.
        """
        record = kept.record
        assert record.slot is not None
        number = self._granted(record.trigger, record.slot, _Number(at=kept.at))
        queued = record.moved(State.QUEUED, kept.at, waiting_slot("It waits for its turn."))
        now = self._ledger.swap(kept, queued.model_copy(update={"number": number}))
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
        if record.number is not None and _entry_may_be_left(record):
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
        gone = frozenset({leaving} if leaving else ())
        for _ in range(TRIES):
            wish = _Promote(leaving=gone, check=check, asking=asking)
            following = self._granted(trigger, slot, wish)
            over = set[str]()
            for each in following:
                if now_begun := self._begin(each):
                    begun.append(now_begun)
                elif self._is_over(each.record):
                    over.add(each.record.key)
            if not over:
                return begun
            gone = frozenset(over)
        raise crowded(trigger, slot)

    def find(self, record: Record) -> None:
        """See that a queued record gets its turn, whatever was lost meanwhile."""
        self.enter(record)
        assert record.slot is not None
        assert record.number is not None
        now = self._ledger.read(record.trigger, record.key)
        if now is None or now.record.state is not State.QUEUED:
            # Whoever began it has deleted its entry, perhaps before this put it there.
            self._slots.leave(record.trigger, record.slot, record.number, record.key)
            return
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

    def skips(self, record: Record) -> bool:
        """Whether a run starts nothing when it cannot begin at once; a batch, which may be from
        before its trigger skipped anything, would take all of its events with it."""
        indexed = self._index.recent().triggers.get(record.trigger)
        if indexed is None or record.members:
            return False
        return indexed.definition.policies.overlap == "skip"

    def _granted[Answer](self, trigger: str, slot: str, wish: Wish[Answer]) -> Answer:
        serve = partial(self._serve, trigger, slot)
        self._turnstiles.through((trigger, slot), wish, serve)
        return wish.answer

    def _serve(self, trigger: str, slot: str, crowd: Crowd[Any]) -> None:
        """Grant what threads want of a slot by one swap of it."""
        look: _Look | None = None
        for _ in range(TRIES):
            kept = self._slots.read(trigger, slot, _NEVER)
            wishes = crowd.wishes()
            if kept.etag is None:
                # It says nothing of the time yet; those who come do.
                at = max((getattr(wish, "at", _NEVER) for wish in wishes), default=_NEVER)
                kept = KeptSlot(slot=kept.slot, etag=None, at=at)
            takes = [wish for wish in wishes if isinstance(wish, _Take)]
            place, paused = self._place(trigger, slot, kept.slot)
            if look is None:
                of = takes[0].place if takes else place
                look = _Look(
                    line=Line(self._slots, self._ledger, trigger, slot),
                    day=Day(self._slots, self._turnstiles, of),
                )
            look.day.used(sum(run in kept.slot.holders for run in look.new))
            now, following = kept.slot, list[Kept]()
            promotes = [wish for wish in wishes if isinstance(wish, _Promote)]
            if promotes and kept.etag is not None:
                now, following = self._promoted(place, kept, promotes, look, paused=paused)
            now, answers = self._given(now, takes, kept.at, look)
            for wish in wishes:
                if isinstance(wish, _Number):
                    answers[wish] = now.next_number
                    now = now.numbered()
            # Again for who has a place already: whoever wants to take it away must see that.
            changed = now != kept.slot or any(answers[wish].admitted for wish in takes)
            look.new = [run for run in now.holders if run not in kept.slot.holders]
            if not changed or self._slots.swap(trigger, slot, kept, now):
                look.day.used(len(look.new))
                crowd.grant(partial(_told, answers, following), wishes)
                look.day.give_back(kept.at)
                return
        if look is not None:
            look.day.give_back(kept.at)
        raise crowded(trigger, slot)

    def _given(
        self, now: Slot, takes: Sequence[_Take], at: datetime, look: _Look
    ) -> tuple[Slot, dict[Wish[Any], Any]]:
        """The slot with places or numbers for those who ask, one after the other."""
        new = len({wish.run for wish in takes} - now.holders.keys())
        room = max((wish.place.room(now, new) for wish in takes), default=0)
        left = look.day.granted(now, at, 0 if now.waiting else room)
        answers: dict[Wish[Any], Any] = {}
        for wish in takes:
            has = wish.run in now.holders
            why = None if has else wish.place.obstacle(now)
            if why is None and not (has or left):
                why = daily_limit(wish.place)
            if why is None:
                answers[wish] = Turn()
                if not has:
                    left -= 1
                    now = now.counting(at, 1) if wish.place.slot == ALL else now
                now = now.without([wish.run]).holding([wish.run], at)
            elif wish.wait and not wish.place.line_is_full(now):
                answers[wish] = Turn(why=why, number=now.next_number)
                now = now.numbered()
            else:
                answers[wish] = Turn(why=why, holders=now.holders)
                continue
            bounds = {"label": wish.place.label, "own_limit": wish.place.own_limit}
            now = now.model_copy(update=bounds)
        return now, answers

    def _promoted(
        self,
        place: Place,
        kept: KeptSlot,
        promotes: Sequence[_Promote],
        look: _Look,
        *,
        paused: bool,
    ) -> tuple[Slot, list[Kept]]:
        """The slot without those who are over, and with those who begin now."""
        trigger, slot = place.trigger, place.slot
        now = kept.slot.without(run for wish in promotes for run in wish.leaving)
        stalled: list[Kept] = []
        if any(wish.check for wish in promotes):
            lost, stalled = self._looked(trigger, slot, now, kept.at, look)
            now = now.without(lost)
        if paused:
            return now, []
        line, waits = self._next(place, now, look.day, kept.at, look.line)
        following = stalled + line
        if now.waiting and not following and not waits:
            asking = {wish.asking for wish in promotes}
            if self._nobody_waits(trigger, slot, now, asking):
                now = now.model_copy(update={"waiting": 0})
        runs = [each.record.key for each in following]
        new = [run for run in runs if run not in now.holders]
        # Also for who has a place already: whoever wants to take it away must see that.
        now = now.without(runs).holding(runs, kept.at)
        if slot == ALL and new:
            now = now.counting(kept.at, len(new))
        return now, following

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

    def _next(
        self, place: Place, slot: Slot, day: Day, at: datetime, line: Line
    ) -> tuple[list[Kept], bool]:
        """Those that may begin now, by number, and whether anybody is in line."""
        if not slot.waiting:
            return [], False
        room = place.room(slot, _MOST)
        # Also without room: whether anybody waits is told cheaply by the first in line.
        found = line.first(max(room, 1), slot.holders)
        return found[: day.granted(slot, at, min(len(found), room))], bool(found)

    def _nobody_waits(
        self, trigger: str, slot: str, now: Slot, asking: Container[str | None]
    ) -> bool:
        """Whether nobody of this slot is queued, nor about to be, but for who asks.

        Told by the records of all open markers, as whoever queues may have died before its entry.
        """
        nobody = True
        for marker in self._ledger.open(trigger):
            if marker.slot != slot or marker.key in asking:
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

    def _looked(
        self, trigger: str, name: str, slot: Slot, at: datetime, look: _Look
    ) -> tuple[list[str], list[Kept]]:
        """As `_look`; who was seen before is looked at again only when its place was touched."""
        holders = slot.holders.items()
        known = [run for run, since in holders if look.seen.get(run, (None,))[0] == since]
        lost, stalled = self._look(trigger, name, slot.without(known), at)
        not_begun = {each.record.key for each in stalled}
        for run, since in holders:
            if run not in known and run not in not_begun:
                look.seen[run] = since, run in lost
        return lost + [run for run in known if look.seen[run][1]], stalled

    def _look(
        self, trigger: str, name: str, slot: Slot, at: datetime
    ) -> tuple[list[str], list[Kept]]:
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
            elif kept.record.state.final or kept.record.slot != name:
                # Of another slot: two deliveries came while its trigger was published with another
                # key. Here it began nothing, and never will.
                lost.append(run)
            elif kept.record.state is State.QUEUED:
                if kept.record.cancel_requested:
                    # A delivery that comes again has the tick leave alone what waits in line.
                    self._ledger.check_again(kept.record, kept.at)
                else:
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
            # It may have been held before: the last time that it reached this state counts.
            queued = record.transitions[-1].at
            telemetry.began(record.trigger, queued, begun.at)
        return begun

    def _is_over(self, record: Record) -> bool:
        kept = self._ledger.read(record.trigger, record.key)
        return kept is not None and kept.record.state.final


def _told(
    answers: Mapping[Wish[Any], Any], following: Sequence[Kept], wishes: Sequence[Wish[Any]]
) -> dict[Wish[Any], Any]:
    """An answer for each; those who promote share who follows."""
    promotes = [wish for wish in wishes if isinstance(wish, _Promote)]
    shares = {
        wish: list(following[number :: len(promotes)]) for number, wish in enumerate(promotes)
    }
    return {wish: shares[wish] if wish in shares else answers[wish] for wish in wishes}


def _entry_may_be_left(record: Record) -> bool:
    """Whoever began it has deleted its entry, unless it died: then another took over.

    What began soon may have been put in line by another, before whoever made it came to that; then
    its entry came back. One that comes later still goes when it is met, or with the slot.
    """
    began = [each.at for each in record.transitions if each.state is State.SUBMITTING]
    queued = [each.at for each in record.transitions if each.state is State.QUEUED]
    if not began or any(each.takeovers for each in record.attempts):
        return True
    return bool(queued) and began[0] - queued[0] <= LEASE
