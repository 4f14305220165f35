"""The way of an event: match, bind, record, submit. Read this first.

An event is answered once every trigger it is for has a record in the ledger. Whatever fails
before that is raised, and the source delivers again; whatever fails after is finished by the
tick. A second delivery meets the first one's records and repeats only what was left undone.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from shared import job_events, places, telemetry
from shared.batches import QUICKLY, Batches
from shared.compute import Computes
from shared.definitions import MANUAL_TRIGGER, UNREADABLE_TRIGGER
from shared.errors import (
    Conflict,
    NotFound,
    RequestInvalid,
    SignalboxError,
    StorageUnavailable,
    Transient,
)
from shared.events import BATCH, RUN, Event
from shared.history import History
from shared.index import Index, IndexedTrigger, Reading, Snapshot
from shared.inputs import redacted
from shared.ledger import (
    PATIENCE,
    Kept,
    Ledger,
    Reason,
    Record,
    State,
    Transition,
    run_key,
)
from shared.new_blobs import NewBlobs
from shared.openings import Binding, Openings, first_in, place_of, policies_of, slot_of_order
from shared.orders import Order, Orders
from shared.submission import Submission
from shared.triggers import Match, Matcher, Near
from shared.turns import Turns

log = logging.getLogger(__name__)

#: Seconds one event may spend on submitting; Event Grid waits 30 for its answer.
SUBMIT_BUDGET = 10.0

#: Looks at who holds the places, before an event is skipped for them.
_LOOKS = 5

#: Characters that are kept of what could not be read.
_UNREADABLE_LENGTH = 2_000
#: Characters of it that are looked through for secrets: so many more that none is cut in two.
_LOOKED_AT = 100_000


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one trigger made of an event."""

    trigger: str
    #: The run, as this delivery wrote or found it; None when there is none, or, for a duplicate,
    #: when it could not be read now.
    record: Record | None = None
    #: An earlier delivery had made the record.
    duplicate: bool = False
    #: The check that said no.
    check: str | None = None


def in_turn(calls: Sequence[Callable[[], None]]) -> None:
    """Make one call after the other."""
    for call in calls:
        call()


class Dispatcher:
    """Decides what an event starts, and starts it."""

    def __init__(
        self,
        *,
        deployment: str,
        variables: Mapping[str, str],
        index: Index,
        orders: Orders,
        ledger: Ledger,
        history: History,
        computes: Computes,
        submission: Submission,
        turns: Turns,
        batches: Batches,
        new_blobs: NewBlobs,
        monotonic: Callable[[], float],
        side_by_side: Callable[[Sequence[Callable[[], None]]], None] = in_turn,
    ) -> None:
        self._deployment = deployment
        self._variables = variables
        self._index = index
        self._orders = orders
        self._ledger = ledger
        self._history = history
        self._openings = Openings(deployment=deployment, computes=computes)
        self._submission = submission
        self._turns = turns
        self._batches = batches
        self._new_blobs = new_blobs
        self._monotonic = monotonic
        #: Makes calls that do not need one another; raises what any of them raises.
        self._side_by_side = side_by_side
        self._matcher: tuple[Snapshot, Matcher] | None = None

    def handle(self, *events: Event, only: str | None = None) -> list[Decision]:
        """Take events in. Returns when nothing of them can be lost any more.

        `only` hands them to one trigger, whatever others they might be for. Raises
        StorageUnavailable: deliver them again; NotFound when there is no trigger `only`.
        """
        started = self._monotonic()
        decided: list[tuple[Decision, Kept | None]] = []
        reading: Reading | None = None
        for event in events:
            if only is None and job_events.is_ours(event):
                self._look(event)
            else:
                with telemetry.accepting(event):
                    # Once: a body of many events is decided by what was published when it came.
                    reading = reading or self._index.read()
                    if event.via.startswith(RUN):
                        trigger = str(event.data["trigger"])
                        self._new_blobs.ended(reading.snapshot.triggers.get(trigger))
                    decided += self._decide(event, reading, only)
        for decision, kept in decided:
            if self._monotonic() - started > SUBMIT_BUDGET:
                break
            self.submit(kept)
            self._release(decision)
        return [decision for decision, _ in decided]

    def run(self, event: Event) -> Decision:
        """Run the pipeline that a client asks for: `event.via` names it, `event.data` its inputs.

        Raises NotFound, RequestInvalid (nothing is recorded then), Conflict when another request
        has the same key, StorageUnavailable.
        """
        with telemetry.accepting(event):
            return self._asked_for(event)

    def _asked_for(self, event: Event) -> Decision:
        reading = self._index.read()
        order = self._orders.requested(event)
        pipeline, bound = self._orders.bind(order, reading.snapshot)
        if isinstance(bound, Reason) or bound.problems:
            # A request that is made again is answered as before, whatever was published meanwhile.
            if known := self._ledger.read(order.trigger, order.key):
                _require_same(known.record.event, event)
                return Decision(trigger=order.trigger, record=known.record, duplicate=True)
            if isinstance(bound, Reason):
                raise NotFound(bound.text)
            raise RequestInvalid("The run's inputs do not fit the pipeline", bound.problems)
        decision, kept = self._ordered(order, (pipeline, bound), reading.snapshot)
        if decision.duplicate:
            if decision.record is None:
                raise StorageUnavailable("Whether this was asked for before cannot be read now")
            _require_same(decision.record.event, event)
        self.submit(kept)
        return decision

    def begin(self, order: Order, binding: Binding, snapshot: Snapshot) -> Kept | None:
        """Write down the run of a batch, or of a time of a schedule, unless it is; the record if
        it is to be submitted now.

        Raises StorageUnavailable.
        """
        with telemetry.ordering(order.event):
            return self._ordered(order, binding, snapshot)[1]

    def place(self, order: Order, snapshot: Snapshot) -> Decision:
        """Write down what comes of an order, unless that is, and begin it.

        Raises StorageUnavailable.
        """
        with telemetry.ordering(order.event):
            order = self.completed(order, snapshot.triggers.get(order.trigger))
            decision, kept = self._ordered(order, self._orders.bind(order, snapshot), snapshot)
            self.submit(kept)
            return decision

    def completed(self, order: Order, indexed: IndexedTrigger | None) -> Order:
        """An order with what is looked up only when it is placed: new uploads, if it is for these.

        Raises StorageUnavailable, and Permanent for what can never be looked up.
        """
        if indexed is None or order.instead is not None or order.paused is not None:
            return order
        return self._new_blobs.given(order, indexed)

    def retry(self, trigger: str, key: str) -> Decision:
        """Run once more what failed, was canceled or is a dead letter, with what is published now.

        Each run has at most one retry, which may be retried in turn. Raises NotFound, Conflict,
        StorageUnavailable.
        """
        kept = self._ledger.read(trigger, key)
        if kept is None:
            raise NotFound(f"There is no run {trigger}.{key}.")
        record, reading = kept.record, self._index.read()
        if record.state not in (State.FAILED, State.CANCELED, State.DEAD_LETTER):
            raise Conflict(
                f"Run {record.run_id} is {record.state}; only what failed, was canceled or is a "
                "dead letter can be retried."
            )
        order = self._again(record, reading)
        with telemetry.after([record.traceparent]):
            return self.place(order, reading.snapshot)

    def replay(self, record: Record, *, replay: str, limit: int) -> Decision:
        """Run once more what is over, with what is published now: once for each replay and event.

        At most `limit` runs of a replay are under way at once. Raises Conflict,
        StorageUnavailable.
        """
        reading = self._index.read()
        order = self._orders.replayed(record, self._again(record, reading), replay, limit)
        with telemetry.after([record.traceparent]):
            return self.place(order, reading.snapshot)

    def again(self, record: Record) -> Order:
        """An order for what a run was for, as its trigger would give it today. Raises Conflict."""
        return self._again(record, self._index.read())

    def go_on(self, trigger: str, key: str) -> bool:
        """Decide anew, with what is published now, what was held while its trigger was paused.

        False when it has no record, yet or any more. Raises StorageUnavailable.
        """
        kept, reading = self._ledger.read(trigger, key), self._index.read()
        if kept is not None:
            with telemetry.continued(kept.record.traceparent):
                self._go_on(kept, reading)
        return kept is not None

    def _go_on(self, kept: Kept, reading: Reading) -> None:
        trigger, key = kept.record.trigger, kept.record.key
        if kept.record.state is not State.HELD:
            self._batches.enter(kept.record)
            self._ledger.unhold(trigger, key)
            return
        if kept.record.cancel_requested:
            self._submission.resume(trigger, key)
            return
        record, indexed = kept.record, reading.snapshot.triggers.get(trigger)
        if indexed is None:
            self._pass_over(
                kept, Reason(code="trigger_gone", text=f"There is no trigger {trigger} now.")
            )
            return
        if indexed.paused is not None:
            return
        if record.event.via.startswith(BATCH):
            order = self._orders.batch(indexed, key, record.event, _members(record))
        else:
            verdict = self.matcher(reading.snapshot).judge(indexed, record.event)
            if isinstance(verdict, Near):
                text = f"Trigger {trigger} says no to it now: {verdict.check}"
                self._pass_over(kept, Reason(code="no_match", text=text))
                return
            if indexed.definition.policies.batch is not None:
                self._batches.adopt(kept, verdict)
                self._ledger.unhold(trigger, key)
                return
            order = self._orders.matched(record.event, verdict)
            order = self._completed_late(order, kept, indexed)
        # What tries another run again goes on as that, not as the run it tries again.
        order = replace(order, key=key, replay_of=record.replay_of, replay=record.replay)
        binding = self._orders.bind(order, reading.snapshot)
        slot = slot_of_order(order, binding)
        at = self._ledger.mark_open(trigger, key, record.event, slot)
        first = self._openings.open(order, at, binding, reading.snapshot)
        if first.state is State.SUBMITTING and slot is not None:
            first = self._in_turn(first, order, binding, at)
        now = self._ledger.swap(kept, record.decided(first, at))
        self._ledger.unhold(trigger, key)
        if now is not None:
            self.submit(self._recorded(now))

    def rejoin(self, record: Record) -> None:
        """Have an event be found by its batch that came again when its trigger had none: whoever
        took it in may have died before its marker. Raises StorageUnavailable."""
        self._batches.enter(record)
        self._ledger.close(record.trigger, record.key)

    def _completed_late(self, order: Order, kept: Kept, indexed: IndexedTrigger) -> Order:
        """An order of what was held; for ever it is not tried."""
        try:
            return self.completed(order, indexed)
        except SignalboxError as error:
            tried = kept.at - kept.record.transitions[0].at
            if isinstance(error, Transient) and tried < PATIENCE:
                raise
            return replace(order, instead=(State.DEAD_LETTER, undecided(str(error))))

    def _pass_over(self, kept: Kept, reason: Reason) -> None:
        """Nothing comes of what was held."""
        record = kept.record
        at = self._ledger.mark_open(record.trigger, record.key, record.event)
        if now := self._ledger.swap(kept, record.moved(State.SKIPPED, at, reason)):
            self._submission.finish(now)

    def refuse(
        self,
        content: str,
        *,
        id: str,
        source: str,
        via: str,
        at: datetime,
        why: str,
        message_id: str | None = None,
    ) -> None:
        """Keep what is no event as a dead letter, so that it can be found and mended.

        Raises StorageUnavailable.
        """
        digest = hashlib.sha256(content.encode(errors="replace")).hexdigest()
        # A message may have 100 MB, and looking for secrets takes a second for one.
        content = content[:_LOOKED_AT]
        event = Event(
            id=_storable(id) or digest,
            source=_storable(source) or "unknown",
            type="signalbox.unreadable",
            time=at,
            data={"text": _storable(redacted(content))},
            via=via,
            digest=digest,
            **({"messageid": _storable(message_id)} if message_id else {}),
        )
        with telemetry.accepting(event):
            self._refuse(event, digest, Reason(code="event_invalid", text=_storable(redacted(why))))

    def _refuse(self, event: Event, digest: str, reason: Reason) -> None:
        key = run_key(self._deployment, event, replay=digest)
        now = self._ledger.mark_open(UNREADABLE_TRIGGER, key, event)
        record = Record(
            trigger=UNREADABLE_TRIGGER,
            key=key,
            state=State.SUBMITTING,
            event=event,
            traceparent=telemetry.traceparent(),
            transitions=(Transition(state=State.SUBMITTING, at=now),),
        )
        kept = self._ledger.create(first_in(record, State.DEAD_LETTER, now, reason))
        _told(event, UNREADABLE_TRIGGER, kept)
        with self._left_to_tick(record.run_id):
            if kept is None:
                self._submission.resume(UNREADABLE_TRIGGER, key, in_a_hurry=True)
            else:
                self._submission.finish(kept, in_a_hurry=True)

    def matcher(self, snapshot: Snapshot) -> Matcher:
        """The triggers of a snapshot, arranged; kept until the index changes."""
        # One look: another thread may have put the matcher of another snapshot there.
        known = self._matcher
        if known is None or known[0] is not snapshot:
            self._matcher = known = (snapshot, Matcher(snapshot.triggers, self._variables))
        return known[1]

    def _decide(
        self, event: Event, reading: Reading, only: str | None
    ) -> list[tuple[Decision, Kept | None]]:
        """Write down what each trigger says that this event might be for.

        A record that is returned is this worker's to submit.
        """
        verdicts = self._verdicts(event, reading.snapshot, only)
        decided: dict[str, tuple[Decision, Kept | None]] = {}
        refusals: list[Near] = []
        for verdict in verdicts:
            name = verdict.trigger.name
            if isinstance(verdict, Match):
                decided[name] = self._matched(event, verdict, reading)
            else:
                decided[name] = Decision(trigger=name, check=verdict.check), None
                refusals.append(verdict)
        # Many triggers may look at one event, so what they refused is written side by side.
        self._side_by_side([partial(self._refused, event, refusal) for refusal in refusals])
        if len(refusals) == len(verdicts):
            telemetry.decided(event, "", "starts_nothing")
            log.info(
                "%s starts nothing",
                redacted(event.title),
                extra={"action": "event_unmatched", **_about(event)},
            )
        return list(decided.values())

    def _matched(
        self, event: Event, match: Match, reading: Reading
    ) -> tuple[Decision, Kept | None]:
        """Write down that an event starts a run, or waits for others that it shares one with."""
        order = self._orders.matched(event, match)
        drops = order.paused is not None and policies_of(order).while_paused == "drop"
        if match.trigger.policies.batch is None or drops:
            binding = self._orders.bind(order, reading.snapshot)
            return self._ordered(order, binding, reading.snapshot)
        record, known = self._batches.accept(event, match, reading.at)
        if record.member is None:
            # From before the trigger had batches.
            telemetry.decided(event, order.trigger, "duplicate")
            found = self._repeat(order.trigger, order.key)
            return Decision(trigger=order.trigger, record=found, duplicate=True), None
        telemetry.decided(event, order.trigger, "duplicate" if known else record.state)
        if not known:
            log.info(
                "%s waits for a batch of trigger %s",
                redacted(event.title),
                record.trigger,
                extra={"action": "event_waits", "trigger": record.trigger, **_about(event)},
            )
        return Decision(trigger=order.trigger, record=record, duplicate=known), None

    def _verdicts(
        self, event: Event, snapshot: Snapshot, only: str | None
    ) -> Sequence[Match | Near]:
        matcher = self.matcher(snapshot)
        if only is None:
            return list(matcher.match(event))
        if (trigger := snapshot.triggers.get(only)) is None:
            raise NotFound(f"There is no trigger {only!r}.")
        return [matcher.judge(trigger, event)]

    def _refused(self, event: Event, verdict: Near) -> None:
        trigger, key = verdict.trigger.name, self._orders.key(verdict.trigger, event)
        self._history.filtered(trigger, key, event, verdict.check, verdict.passed)
        telemetry.decided(event, trigger, "no_match")
        log.info(
            "%s is not for trigger %s: %s",
            redacted(event.title),
            trigger,
            verdict.check,
            extra={"action": "event_filtered", "trigger": trigger, **_about(event)},
        )

    def _look(self, event: Event) -> None:
        """AzureML says that a run of ours may be over: look now, not with the next tick."""
        if run := job_events.ended_run(event, self._deployment):
            with self._left_to_tick(".".join(run)):
                self._submission.resume(*run)

    def _release(self, decision: Decision) -> None:
        """An event says that its group is complete: its batch need not wait for the tick."""
        record = decision.record
        if record and record.member and record.member.releases:
            with self._left_to_tick(record.run_id):
                self._batches.seal(record.trigger, record.member.group, at_most=QUICKLY)

    def submit(self, kept: Kept | None) -> None:
        """Hand what was just written down to AzureML; what fails is left to the tick."""
        if kept is not None:
            with self._left_to_tick(kept.record.run_id):
                self._submission.submit(kept)

    def _ordered(
        self, order: Order, binding: Binding, snapshot: Snapshot
    ) -> tuple[Decision, Kept | None]:
        """Write down what was decided, before anything is done about it."""
        slot = slot_of_order(order, binding)
        holds = order.paused is not None and policies_of(order).while_paused == "hold"
        if order.instead is not None:
            holds = order.instead[0] is State.HELD
        if holds:
            at = self._ledger.mark_held(order.trigger, order.key, order.event)
        else:
            at = self._ledger.mark_open(order.trigger, order.key, order.event, slot)
        record = self._openings.open(order, at, binding, snapshot)
        if record.state is State.SUBMITTING and slot is not None:
            record = self._in_turn(record, order, binding, at)
        kept = self._ledger.create(record)
        _told(order.event, order.trigger, kept)
        if kept is None:
            known = self._repeat(order.trigger, order.key)
            return Decision(trigger=order.trigger, record=known, duplicate=True), None
        return Decision(trigger=order.trigger, record=record), self._recorded(kept)

    def _recorded(self, kept: Kept) -> Kept | None:
        """What follows on a record's first state; the record when it is to be submitted now."""
        record = kept.record
        if record.state.final:
            with self._left_to_tick(record.run_id):
                self._submission.finish(kept, in_a_hurry=True)
            return None
        if record.state is State.QUEUED:
            # Not left to the tick: who was answered first is to be found first.
            self._turns.enter(record)
            if record.reason == places.OTHERS_FIRST and record.slot is not None:
                # Whoever waited may have begun since: then it is this one's turn already.
                with self._left_to_tick(record.run_id):
                    self._submission.promote(record.trigger, record.slot)
        log.info(
            "%s is run %s: %s",
            redacted(record.event.title),
            record.run_id,
            record.state,
            extra={"action": "run_recorded", "run": record.run_id, **_about(record.event)},
        )
        return kept if record.state is State.SUBMITTING else None

    def _in_turn(self, record: Record, order: Order, binding: Binding, at: datetime) -> Record:
        """A record that may begin, if it is its turn: else `queued` or, by policy, `skipped`."""
        place = place_of(order, record, binding)
        # A batch, from before its trigger skipped anything, would take all of its events with it.
        skips = place.policies.overlap == "skip" and not (place.own_limit or record.members)
        turn = self._turns.take(place, record.key, at, wait=not skips)
        for _ in range(_LOOKS):
            if turn.admitted or turn.number is not None:
                break
            # Who holds the places may be over, and have died before it said so. Again for who has
            # come since: a second delivery of what is over holds a place for a moment.
            seen = turn.holders
            self._submission.promote(place.trigger, place.slot, check=True, asking=record.key)
            turn = self._turns.take(place, record.key, at, wait=not skips)
            if turn.number is None and turn.holders.items() <= seen.items():
                break
        if turn.why is None:
            return record
        if turn.why.code == "daily_limit":
            about = {"action": "daily_limit", "trigger": record.trigger}
            log.warning("%s", turn.why.text, extra=about)
        if turn.number is None:
            why = places.overlap_skipped(turn.why.text, place.policies.overlap)
            return first_in(record, State.SKIPPED, at, why)
        queued = first_in(record, State.QUEUED, at, turn.why)
        return queued.model_copy(update={"number": turn.number})

    def _again(self, record: Record, reading: Reading) -> Order:
        """The order behind a record, as its trigger would give it today."""
        if record.trigger == UNREADABLE_TRIGGER:
            raise Conflict(
                "What could not be read cannot be tried again; mend it and send it anew."
            )
        if record.trigger == MANUAL_TRIGGER:
            return self._orders.again(record, self._orders.requested(record.event))
        trigger = reading.snapshot.triggers.get(record.trigger)
        if trigger is None:
            raise Conflict(f"There is no trigger {record.trigger!r} any more.")
        if record.event.via.startswith(BATCH):
            batch = self._orders.batch(trigger, record.key, record.event, _members(record))
            return self._orders.again(record, batch)
        verdict = self.matcher(reading.snapshot).judge(trigger, record.event)
        if isinstance(verdict, Near):
            raise Conflict(f"Trigger {record.trigger} says no to it now: {verdict.check}")
        if trigger.definition.policies.batch is not None:
            raise Conflict(f"Trigger {record.trigger} makes batches of events now, not of one.")
        return self._orders.again(record, self._orders.matched(record.event, verdict))

    def _repeat(self, trigger: str, key: str) -> Record | None:
        """A second delivery: the record is there, so only what it left undone is done."""
        log.debug("Event of run %s.%s was delivered again", trigger, key)
        record, looked = None, False
        with self._left_to_tick(f"{trigger}.{key}"):
            record = self._submission.resume(trigger, key, in_a_hurry=True)
            looked = True
            if record is not None and record.state is State.WAITING_BATCH:
                self.rejoin(record)
        if looked and record is None:
            raise StorageUnavailable(f"The record of run {trigger}.{key} was there, and is not")
        return record

    @contextmanager
    def _left_to_tick(self, run: str) -> Iterator[None]:
        """The event is safe in its record: a failure from here on is the tick's to mend."""
        about = {"action": "left_to_tick", "run": run}
        try:
            yield
        except SignalboxError as error:
            log.warning("Run %s goes on with the timer: %s", run, error, extra=about)
        except Exception:
            log.exception("Run %s goes on with the timer", run, extra=about)


def undecided(why: str) -> Reason:
    """Why a time of a schedule is a dead letter though it could not even be decided."""
    return Reason(code="occurrence_failed", text=f"It could not be decided: {redacted(why)}")


def _told(event: Event, trigger: str, kept: Kept | None) -> None:
    """Measure what a trigger made of an event: a new record, or none, as it has one already."""
    if kept is None:
        telemetry.decided(event, trigger, "duplicate")
    else:
        reason = kept.record.reason
        telemetry.decided(event, trigger, kept.record.state, reason.code if reason else None)


def _members(record: Record) -> dict[str, str]:
    """The events of a batch, and what each is about."""
    return dict(zip(record.members, record.abouts, strict=False))


def _storable(text: str) -> str:
    """The beginning of a text, as something that can be written down."""
    return text[:_UNREADABLE_LENGTH].encode(errors="replace").decode()


def _about(event: Event) -> dict[str, str]:
    """What a log line carries of an event; who sent it chose the words."""
    return {"event": redacted(event.id), "subject": redacted(event.subject)}


def _require_same(known: Event, event: Event) -> None:
    """Raises Conflict when two requests with one key ask for different things."""
    if not same_request(known, event):
        raise Conflict(
            "This Idempotency-Key was used for another request; choose a new one for each."
        )


def same_request(one: Event, other: Event) -> bool:
    """Whether two requests ask for the same; `true` is not 1."""
    texts = [json.dumps([event.via, event.data], sort_keys=True) for event in (one, other)]
    return texts[0] == texts[1]
