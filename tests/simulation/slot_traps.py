"""Rules of slots, pauses and attempts left out: each is a bug that the simulation must find.

The names in brackets are those of docs/decisions/0015-slots.md.
"""

from collections.abc import Container
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.dispatcher import Dispatcher
from shared.index import Reading
from shared.ledger import LEASE, Kept, Reason, Record, State, job_name
from shared.openings import Binding
from shared.orders import Order
from shared.places import Place, Turn
from shared.policies import Policies
from shared.slots import ALL, KeptSlot, Slot, Slots
from shared.submission import Submission
from shared.turns import Turns
from shared.workspace import Job
from tests.simulation.scenario import CHANGES
from tests.simulation.trap import FAIR, Trap
from tests.simulation.workers import Parts


class StalledIsPassedOver(Turns):
    """Who has a place and did not begin is not looked for (F2): it never does."""

    def _look(self, *given: Any) -> tuple[list[str], list[Kept]]:
        return super()._look(*given)[0], []


class DroppedByLease(Turns):
    """A place is taken from whoever has had it for long (F3): its job still runs."""

    def _look(
        self, trigger: str, name: str, slot: Slot, at: datetime
    ) -> tuple[list[str], list[Kept]]:
        lost, stalled = super()._look(trigger, name, slot, at)
        return lost + [run for run, since in slot.holders.items() if at - since > LEASE], stalled


class AbsentIsGone(Turns):
    """A place is taken from whoever has no record yet (F3): it may be about to come."""

    def _look(
        self, trigger: str, name: str, slot: Slot, at: datetime
    ) -> tuple[list[str], list[Kept]]:
        lost, stalled = super()._look(trigger, name, slot, at)
        absent = [run for run in slot.holders if self._ledger.read(trigger, run) is None]
        return lost + absent, stalled


class PlaceIsNotTouched(Turns):
    """Who comes again and finds that it has its place writes nothing: somebody who has just seen
    no record of it takes the place away."""

    def take(self, place: Place, run: str, at: datetime, *, wait: bool = True) -> Turn:
        if run in self._slots.read(place.trigger, place.slot, at).slot.holders:
            return Turn()
        return super().take(place, run, at, wait=wait)


class GrantedBeforeItIsSwapped(Slots):
    """Whoever wished something of a slot is told that it is so although the swap was lost."""

    def swap(self, trigger: str, name: str, kept: KeptSlot, slot: Slot) -> bool:
        super().swap(trigger, name, kept, slot)
        return True


class NotLookedForAgain(Turns):
    """What waits is not found again when its slot has lost it. That makes up for F7, but for the
    order in which runs begin, so both are left out together."""

    def find(self, record: Record) -> None:
        self.enter(record)


class FoundThoughItBegan(Turns):
    """What is put in line again stays there, though it began meanwhile."""

    def find(self, record: Record) -> None:
        super().find(record)
        self.enter(record)


class NoRecordNobodyWaits(NotLookedForAgain):
    """Whoever has a marker and no record yet is not waited for (F7)."""

    def _nobody_waits(
        self,
        trigger: str,
        slot: str,
        now: Slot,  # noqa: ARG002
        asking: Container[str | None],  # noqa: ARG002
    ) -> bool:
        records = [self._ledger.read(trigger, each.key) for each in self._ledger.open(trigger)]
        return not any(
            kept and kept.record.state is State.QUEUED and kept.record.slot == slot
            for kept in records
        )


class NumberWithoutSwap(Turns):
    """A number is read and not taken (F7): nobody knows that somebody waits."""

    def take(self, place: Place, run: str, at: datetime, *, wait: bool = True) -> Turn:
        turn = super().take(place, run, at, wait=False)
        if turn.admitted or not wait:
            return turn
        number = self._slots.read(place.trigger, place.slot, at).slot.next_number
        return Turn(why=turn.why, number=number)


class RoomIsAnybodys(Turns):
    """Who finds room begins though others wait (F7): it overtakes them."""

    def _given(self, now: Slot, *given: Any) -> Any:
        given_now, answers = super()._given(now.model_copy(update={"waiting": 0}), *given)
        waiting = now.waiting + given_now.waiting
        return given_now.model_copy(update={"waiting": waiting}), answers


class NobodyWaitsInAnyCase(Slots):
    """That nobody waits is written over a slot that has changed since (F7): whoever took a number
    meanwhile is not known of."""

    def swap(self, trigger: str, name: str, kept: KeptSlot, slot: Slot) -> bool:
        if kept.slot.waiting and not slot.waiting:
            kept = self.read(trigger, name, kept.at)
            slot = kept.slot.model_copy(update={"waiting": 0})
        return super().swap(trigger, name, kept, slot)


class CountedAfterwards(Turns):
    """The day's runs are counted when the place is taken, where another slot counts them."""

    def take(self, place: Place, run: str, at: datetime, *, wait: bool = True) -> Turn:
        most = place.policies.max_runs_per_day
        before = self._slots.read(place.trigger, ALL, at)
        if place.slot == ALL or most is None or before.slot.begun_on(before.at) >= most:
            return super().take(place, run, at, wait=wait)
        unbounded = place.policies.model_copy(update={"max_runs_per_day": None})
        turn = super().take(replace(place, policies=unbounded), run, at, wait=wait)
        while turn.admitted:
            kept = self._slots.read(place.trigger, ALL, at)
            if self._slots.swap(place.trigger, ALL, kept, kept.slot.counting(kept.at, 1)):
                break
        return turn


class BegunBeforeItsPlace(Turns):
    """What has its turn begins before its place is swapped in: another has the place by then."""

    def _next(self, *given: Any) -> tuple[list[Kept], bool]:
        line, waits = super()._next(*given)
        return [self._ledger.swap(kept, kept.record.begun(kept.at)) or kept for kept in line], waits

    def _begin(self, kept: Kept) -> Kept | None:
        return kept if kept.record.state is State.SUBMITTING else super()._begin(kept)


class PauseIsNotSeen(Turns):
    """What waits begins although its trigger is paused."""

    def _place(self, trigger: str, slot: str, known: Slot) -> tuple[Place, bool]:
        return super()._place(trigger, slot, known)[0], False


class SkippedAtOnce(Dispatcher):
    """An event is skipped for whoever has the place (F8), though that is over."""

    def _in_turn(self, record: Record, order: Order, binding: Binding, at: datetime) -> Record:
        promote, self._submission.promote = self._submission.promote, _nothing  # type: ignore[method-assign]
        try:
            return super()._in_turn(record, order, binding, at)
        finally:
            self._submission.promote = promote  # type: ignore[method-assign]


def _nothing(*_given: Any, **_more: Any) -> None:
    """Promotes nobody."""


class ResumedWithoutPlace(Dispatcher):
    """What was held begins without asking for a place."""

    _resuming = False

    def _go_on(self, kept: Kept, reading: Reading) -> None:
        self._resuming = True
        try:
            super()._go_on(kept, reading)
        finally:
            self._resuming = False

    def _in_turn(self, record: Record, order: Order, binding: Binding, at: datetime) -> Record:
        return record if self._resuming else super()._in_turn(record, order, binding, at)


class HeldWithoutRecordIsRubbish(Dispatcher):
    """A held marker is deleted while its record is not there yet: nobody looks for it again."""

    def go_on(self, trigger: str, key: str) -> bool:
        there = super().go_on(trigger, key)
        if not there:
            self._ledger.unhold(trigger, key)
        return there


class PlaceOfAnotherSlot(Turns):
    """Who has a place in a slot that is not its own, as its key was published anew between two
    deliveries, keeps that, and begins with it."""

    def _look(
        self, trigger: str, name: str, slot: Slot, at: datetime
    ) -> tuple[list[str], list[Kept]]:
        lost, stalled = super()._look(trigger, name, slot, at)
        for run in [*lost]:
            kept = self._ledger.read(trigger, run)
            if kept and kept.record.attempts and not kept.record.state.final:
                lost.remove(run)
                stalled += [kept] if kept.record.state is State.QUEUED else []
        return lost, stalled


class BoundsAreRemembered(Turns):
    """What bounds a slot is what did when its process first looked."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._bounds: dict[str, Policies] = {}

    def _place(self, trigger: str, slot: str, known: Slot) -> tuple[Place, bool]:
        place, paused = super()._place(trigger, slot, known)
        policies = self._bounds.setdefault(trigger, place.policies)
        return replace(place, policies=policies), paused


class LineOfNobody(Turns):
    """What waits in line for a trigger that was removed waits on."""

    def _place(self, trigger: str, slot: str, known: Slot) -> tuple[Place, bool]:
        place, paused = super()._place(trigger, slot, known)
        return place, paused or trigger not in self._index.recent().triggers


class HeldForNobody(Dispatcher):
    """What is held for a trigger that was removed is held on."""

    def _go_on(self, kept: Kept, reading: Reading) -> None:
        gone = kept.record.trigger not in reading.snapshot.triggers
        if not (gone and kept.record.state is State.HELD):
            super()._go_on(kept, reading)


class CanceledWhileHeld(Submission):
    """What is held is canceled without a marker that the tick looks at: its end may be lost."""

    def request_cancel(self, trigger: str, key: str) -> bool:
        while kept := self._ledger.read(trigger, key):
            if kept.record.state.final:
                return False
            flagged = kept.record.model_copy(update={"cancel_requested": True})
            if self._ledger.swap(kept, flagged):
                return True
        return False


class CanceledInLine(Submission):
    """What waits in line is canceled, and only then is the tick told to look at it: nobody looks
    when whoever canceled it dies in between."""

    def request_cancel(self, trigger: str, key: str) -> bool:
        kept = self._ledger.read(trigger, key)
        if kept is None or kept.record.state is not State.QUEUED:
            return super().request_cancel(trigger, key)
        flagged = kept.record.model_copy(update={"cancel_requested": True})
        if self._ledger.swap(kept, flagged):
            self._ledger.check_again(flagged, kept.at)
            return True
        return super().request_cancel(trigger, key)


class FailedBetweenAttempts(Submission):
    """A failed job ends its run, which is then taken up again: its place is another's by then."""

    def _again(self, kept: Kept, job: Job) -> bool:
        record, number = kept.record, kept.record.attempt.number
        if number >= record.max_attempts or record.cancel_requested or record.stopping:
            return False
        failure = Reason(code="job_failed", text=f"AzureML job {job.name} failed.")
        final = self._ledger.swap(kept, record.moved(State.FAILED, kept.at, failure))
        if final is None:
            return True
        with self._following() as ready:
            ready += self._turns.release(final.record)
        name = job_name(self._deployment, record.trigger, record.key, number + 1)
        if again := self._ledger.swap(final, record.again(kept.at, name, failure)):
            self._put(again, first=True)
        return True


class StoppedBeforeItIsWritten(Submission):
    """A job that takes too long is stopped before that is written down: it looks like somebody's
    cancel."""

    def _takes_too_long(self, kept: Kept, job: Job) -> bool:
        record = kept.record
        begun = max(each.at for each in record.transitions if each.state is State.SUBMITTED)
        if record.run_timeout is not None and kept.at - begun > record.run_timeout:
            self._workspace.cancel(job.name)
        return super()._takes_too_long(kept, job)


class EntryDeletedFirst(Turns):
    """An entry is deleted before its run begins."""

    def _begin(self, kept: Kept) -> Kept | None:
        record = kept.record
        assert record.slot is not None
        assert record.number is not None
        self._slots.leave(record.trigger, record.slot, record.number, record.key)
        return super()._begin(kept)


_ONE = {"concurrency": {"limit": 1}, "overlap": "buffer_all", "max_runs_per_day": "unlimited"}


def _one_at_a_time(
    *,
    slow: str | None = None,
    anew: float = 0.0,
    changes: tuple[str, ...] = CHANGES,
    **policies: Any,
) -> dict[str, Any]:
    """Many uploads for triggers that run one at a time, at least at first."""
    return {
        "chains": False,
        "late_compute": False,
        "uploads": 8,
        "steps": 800,
        "slow": slow,
        "anew": anew,
        "changes": changes,
        "policies": {**_ONE, **policies},
    }


_QUICK = replace(FAIR, progress=0.6)
_CRASHES = replace(_QUICK, crash=0.05, leap=0.02)
_PAUSES = replace(_QUICK, pause=0.01)
#: A record that comes long after its marker and its place.
_SLOW_RECORDS = "create ledger/"

SLOT_TRAPS: dict[str, Trap] = {
    "F2 stalled is passed over": Trap(Parts(turns=StalledIsPassedOver), _CRASHES, _one_at_a_time()),
    "F3 dropped by lease": Trap(Parts(turns=DroppedByLease), _CRASHES, _one_at_a_time()),
    "F3 absent is gone": Trap(
        Parts(turns=AbsentIsGone), _QUICK, _one_at_a_time(slow=_SLOW_RECORDS)
    ),
    "F7 no record, nobody waits": Trap(
        Parts(turns=NoRecordNobodyWaits), _QUICK, _one_at_a_time(slow=_SLOW_RECORDS)
    ),
    "F7 number without swap": Trap(Parts(turns=NumberWithoutSwap), FAIR, _one_at_a_time()),
    "F8 skipped at once": Trap(
        Parts(dispatcher=SkippedAtOnce), _CRASHES, _one_at_a_time(overlap="skip")
    ),
    "place is not touched": Trap(
        Parts(turns=PlaceIsNotTouched),
        replace(FAIR, crash=0.03, leap=0.03, storage_answer_lost=0.05),
        _one_at_a_time(slow=_SLOW_RECORDS),
    ),
    "granted before it is swapped": Trap(
        Parts(slots=GrantedBeforeItIsSwapped), FAIR, _one_at_a_time()
    ),
    "counted afterwards": Trap(
        Parts(turns=CountedAfterwards),
        FAIR,
        _one_at_a_time(concurrency={"key": "${{ event.data.eTag }}"}, max_runs_per_day=1),
    ),
    "begun before its place": Trap(Parts(turns=BegunBeforeItsPlace), _CRASHES, _one_at_a_time()),
    "pause is not seen": Trap(Parts(turns=PauseIsNotSeen), _PAUSES, _one_at_a_time()),
    "resumed without place": Trap(
        Parts(dispatcher=ResumedWithoutPlace), _PAUSES, _one_at_a_time(while_paused="hold")
    ),
    "held without record is rubbish": Trap(
        Parts(dispatcher=HeldWithoutRecordIsRubbish),
        replace(_QUICK, pause=0.03),
        _one_at_a_time(slow=_SLOW_RECORDS, while_paused="hold"),
    ),
    "place of another slot": Trap(
        Parts(turns=PlaceOfAnotherSlot),
        replace(_QUICK, crash=0.02),
        _one_at_a_time(slow=_SLOW_RECORDS, anew=0.03, changes=("key",)),
    ),
    "bounds are remembered": Trap(
        Parts(turns=BoundsAreRemembered),
        replace(FAIR, progress=0.1),
        _one_at_a_time(anew=0.02, changes=("limit",)),
    ),
    "line of nobody": Trap(
        Parts(turns=LineOfNobody), FAIR, _one_at_a_time(anew=0.01, changes=("gone",))
    ),
    "held for nobody": Trap(
        Parts(dispatcher=HeldForNobody),
        replace(_QUICK, pause=0.02),
        _one_at_a_time(while_paused="hold", anew=0.02, changes=("gone",)),
    ),
    "canceled while held": Trap(
        Parts(submission=CanceledWhileHeld),
        replace(_QUICK, pause=0.05, cancel=0.1, crash=0.05),
        _one_at_a_time(while_paused="hold"),
    ),
    "failed between attempts": Trap(
        Parts(submission=FailedBetweenAttempts),
        replace(_QUICK, job_fails=0.7),
        _one_at_a_time(retry={"max_attempts": 3}),
    ),
    "stopped before it is written": Trap(
        Parts(submission=StoppedBeforeItIsWritten),
        replace(FAIR, crash=0.05, leap=0.05, progress=0.05, job_hangs=0.5),
        _one_at_a_time(run_timeout="PT1M"),
    ),
}

#: What looks like a trap and is none: another rule makes up for it.
HARMLESS_OF_SLOTS: dict[str, Trap] = {
    # What waits in line is looked at after an hour, whatever its marker says.
    "canceled in line": Trap(
        Parts(submission=CanceledInLine),
        replace(FAIR, cancel=0.15, crash=0.05),
        _one_at_a_time(slow="set_metadata open/"),
    ),
    # Its place is swapped in before, and whoever has a place is found without an entry.
    "entry deleted first": Trap(Parts(turns=EntryDeletedFirst), _CRASHES, _one_at_a_time()),
}
