"""Many events for one run: each waits in the inbox until its group is due, then one run takes all.

A batch is its record: whoever makes one of the same group and number meets it there, and goes on
where another ended. Its members are those that the record lists, whatever else the inbox says; only
then are they told so, their markers deleted and the group's number counted on.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import batched, groupby

from shared import groups, manifests, releases, telemetry
from shared.errors import RecordUnreadable, SignalboxError, StorageUnavailable
from shared.events import Event
from shared.inbox import Inbox, KeptNumber
from shared.index import Index, IndexedTrigger, Reading, Snapshot
from shared.inputs import redacted
from shared.ledger import (
    Kept,
    Ledger,
    Member,
    Reason,
    Record,
    State,
    Transition,
    batch_key,
)
from shared.manifests import Manifests
from shared.openings import Binding, slot_of_order
from shared.orders import Order, Orders
from shared.policies import Batch
from shared.releases import Waiting
from shared.slots import Slots
from shared.summaries import stamp
from shared.triggers import Match

log = logging.getLogger(__name__)

#: Seconds of a tick after which no other batch is begun.
BUDGET = 8.0

#: Seconds after which a batch that was made is left to the next tick, which tells the rest of its
#: members that it took them: long before a call has to end.
PATIENCE = 120.0

#: The events of a group whose batch is made while somebody waits for the answer. Each takes about
#: 5 ms of CPU, and Event Grid waits for 30 s.
QUICKLY = 500

#: Bytes of events that one batch holds: whoever makes it has them all in memory.
MANIFEST_SIZE = 32 * 1024 * 1024

#: Records that are read or written side by side before the next are, and markers that one request
#: deletes: some storage stands still for as long as that takes.
_AT_ONCE = 64

#: The reason of what said that a group is complete, when nothing waited in it.
_RELEASED_NOTHING = "released_nothing"

#: What is left over when a trigger has no batches any more is due at once.
_LEFT_OVER = Batch(wait_after_last_change=timedelta(0), max_wait=timedelta(0))


@dataclass
class _Found:
    """What of a group still waits, as its records say."""

    #: By key, oldest first, as many as one batch takes.
    events: dict[str, Kept] = field(default_factory=dict)
    #: What says that the group is complete.
    releases: dict[str, Kept] = field(default_factory=dict)
    #: A line of the manifest for each of the events.
    lines: dict[str, str] = field(default_factory=dict)
    #: All that may wait, read or not.
    waiting: list[Waiting] = field(default_factory=list)
    #: What does not wait, though its marker is there.
    gone: list[str] = field(default_factory=list)
    #: No more of them fit into one batch.
    full: bool = False


class Batches:
    """Takes events in, and makes runs of them. All raise StorageUnavailable."""

    def __init__(
        self,
        *,
        deployment: str,
        index: Index,
        orders: Orders,
        ledger: Ledger,
        inbox: Inbox,
        slots: Slots,
        manifests: Manifests,
        begin: Callable[[Order, Binding, Snapshot], Kept | None],
        submit: Callable[[Kept], None],
        new_id: Callable[[], str],
        side_by_side: Callable[[Sequence[Callable[[], None]]], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._deployment = deployment
        self._index = index
        self._orders = orders
        self._ledger = ledger
        self._inbox = inbox
        self._slots = slots
        self._manifests = manifests
        #: Writes a run down, unless it is; what is to be submitted now.
        self._begin = begin
        self._submit = submit
        self._new_id = new_id
        self._side_by_side = side_by_side
        self._monotonic = monotonic
        #: Groups of which this process makes a batch just now.
        self._at_work = set[tuple[str, str]]()
        #: Of groups whose batch had no time to tell all of its members: its key, and what is known
        #: of them, so that whoever goes on here need not read them again.
        self._left = dict[tuple[str, str], tuple[str, Mapping[str, Kept]]]()
        self._guard = threading.Lock()

    def accept(self, event: Event, match: Match, at: datetime) -> tuple[Record, bool]:
        """Have an event wait for its batch: its record, and whether it was there before.

        `at` is a storage time of now.
        """
        record = self._waiting(event, match, at)
        known = self._ledger.create(record) is None
        if known:
            found = self._ledger.read(record.trigger, record.key)
            if found is None:
                raise StorageUnavailable(f"The record of {record.run_id} was there, and is not")
            record = found.record
        # Before it is answered: no tick looks for what has no marker.
        self.enter(record)
        return record, known

    def adopt(self, kept: Kept, match: Match) -> None:
        """Have an event wait for its batch that was held until now; `enter` it after that."""
        waiting = self._waiting(kept.record.event, match, kept.at)
        adopted = kept.record.moved(State.WAITING_BATCH, kept.at, waiting.reason)
        if now := self._ledger.swap(kept, adopted.model_copy(update={"member": waiting.member})):
            self.enter(now.record)

    def enter(self, record: Record) -> None:
        """Have a record be found by its batch, if it waits for one; again is the same."""
        if record.state is State.WAITING_BATCH and record.member is not None:
            self._inbox.put(
                record.trigger,
                record.member.group,
                record.key,
                about=record.event.about,
                releases=record.member.releases,
            )

    def seal_due(self, until: Callable[[], bool]) -> None:
        """Make the batches that are due, until the time is over: longest overdue first.

        One group's trouble is logged and does not stop the others. While another thread of this
        process does so, there is nothing to do: it would list all that waits as well.
        """
        with self._alone("", "") as alone:
            if alone:
                self._seal_due(until)

    def _seal_due(self, until: Callable[[], bool]) -> None:
        if left := [*self._left]:
            # All that waits need not be listed for these.
            self._seal_all(left, until)
            if until():
                return
        self._seal_all(self._due(self._index.read()), until)

    def _seal_all(self, due: Sequence[tuple[str, str]], until: Callable[[], bool]) -> None:
        while due:
            more = []
            for trigger, group in due:
                if until():
                    return
                with _isolated(trigger, group):
                    if self.seal(trigger, group):
                        more.append((trigger, group))
            due = more

    def seal(self, trigger: str, group: str, *, at_most: int | None = None) -> bool:
        """Make the next batch of a group, if it is due; whether there may be another.

        Of a group in which more than `at_most` wait none is made, nor of one that another thread
        is at. Raises RecordUnreadable, NotFound, WorkspaceUnavailable.
        """
        with self._alone(trigger, group) as alone:
            return alone and self._seal(trigger, group, at_most)

    @contextmanager
    def _alone(self, trigger: str, group: str) -> Iterator[bool]:
        """Whether no other thread of this process is at a group; both would read all of it.

        Without names: whether none looks for what is due.
        """
        with self._guard:
            alone = (trigger, group) not in self._at_work
            self._at_work.add((trigger, group))
        try:
            yield alone
        finally:
            if alone:
                with self._guard:
                    self._at_work.remove((trigger, group))

    def _seal(self, trigger: str, group: str, at_most: int | None) -> bool:
        began = self._monotonic()
        batch, known = self._left.pop((trigger, group), ("", {}))
        reading = self._index.read()
        indexed = reading.snapshot.triggers.get(trigger)
        if indexed is not None and indexed.paused is not None:
            return False
        number = self._inbox.number(trigger, group)
        if number is not None and (made := self._made(trigger, group, number)):
            known = known if batch == made.key else {}
            return self._conclude(made, group, number, known, began)
        waiting = sorted(one.waiting for one in self._inbox.waiting(trigger, group))
        if not waiting or (at_most is not None and len(waiting) > at_most):
            return False
        if self._busy(indexed, group, waiting, number, reading):
            return False
        policy = _policy(indexed)
        found = self._still_waiting(trigger, waiting, policy, began)
        self._inbox.forget(trigger, group, found.gone)
        if found.full:
            policy = policy.model_copy(update={"max_events": len(found.events)})
        due = releases.due(policy, found.waiting, reading.at)
        if due is None:
            void = releases.void(policy, found.waiting, reading.at)
            if void and self._was_made(trigger, group, number):
                # What was taken is gone by now, and what released it not yet.
                return True
            self._dismiss(trigger, group, found, void)
            return False
        members = [one.key for one in releases.taken(policy, found.waiting)]
        values = _member(found.events[next(iter(found.events))]).values
        if number is None:
            birth = self._new_id()
            number = self._inbox.begin(trigger, group, values, birth)
            if number.numbered.birth != birth or number.numbered.seq:
                # Whoever was faster may have taken what was just read.
                return True
        taken = {key: found.events.get(key) or found.releases[key] for key in members}
        made = self._make(
            trigger,
            group,
            number,
            indexed=indexed,
            values=values,
            members=taken,
            lines={key: found.lines[key] for key in members if key in found.lines},
            reading=reading,
        )
        return self._conclude(made, group, number, taken, began)

    def _waiting(self, event: Event, match: Match, at: datetime) -> Record:
        batch = match.trigger.policies.batch
        assert batch is not None
        group = groups.of(batch.group_by, match.captures)
        until = at + batch.max_wait
        made = (
            "it says that these are complete"
            if match.releases
            else f"they are one run when nothing more came for {batch.wait_after_last_change}, at "
            f"the latest at {stamp(until)}"
        )
        text = f"Its group is {group.text}; {made}."
        return Record(
            trigger=match.trigger.name,
            key=self._orders.key(match.trigger, event),
            state=State.WAITING_BATCH,
            reason=Reason(code="waiting_batch", text=redacted(text)),
            event=event,
            member=Member(
                group=group.id,
                values=dict(group.values),
                captures=match.captures,
                releases=match.releases,
                until=until,
            ),
            traceparent=telemetry.traceparent(),
            transitions=(Transition(state=State.WAITING_BATCH, at=at),),
        )

    def _due(self, reading: Reading) -> list[tuple[str, str]]:
        """Groups that may be due, longest overdue first, as far as the inbox tells."""
        found = []
        by_group = groupby(self._inbox.waiting(), key=lambda one: (one.trigger, one.group))
        for (trigger, group), some in by_group:
            indexed = reading.snapshot.triggers.get(trigger)
            if indexed is not None and indexed.paused is not None:
                continue
            policy, waiting = _policy(indexed), [one.waiting for one in some]
            if due := releases.due(policy, waiting, reading.at):
                found.append((due.at, trigger, group))
            elif void := releases.void(policy, waiting, reading.at):
                found.append((void[0].since, trigger, group))
        return [(trigger, group) for _, trigger, group in sorted(found)]

    def _made(self, trigger: str, group: str, number: KeptNumber) -> Record | None:
        """The next batch, if it is there already: its maker left something undone."""
        key = self._key(group, number)
        kept = self._ledger.read(trigger, key)
        if kept is None:
            return None
        self._ledger.mark_open(trigger, key, kept.record.event, kept.record.slot)
        return kept.record

    def _was_made(self, trigger: str, group: str, before: KeptNumber | None) -> bool:
        """Whether a batch of a group was made since its number was read."""
        now = self._inbox.number(trigger, group)
        if now is None:
            return False
        if before is not None and now.numbered.seq != before.numbered.seq:
            return True
        return self._ledger.read(trigger, self._key(group, now)) is not None

    def _busy(
        self,
        indexed: IndexedTrigger | None,
        group: str,
        waiting: Sequence[Waiting],
        number: KeptNumber | None,
        reading: Reading,
    ) -> bool:
        """Whether a batch is to stay open, as one before it waits or is under way."""
        if indexed is None or indexed.definition.policies.overlap != "buffer_one":
            return False
        trigger = indexed.definition.name
        values: Mapping[str, str] = number.numbered.values if number else {}
        if number is None and indexed.definition.policies.concurrency.key is not None:
            kept = self._ledger.read(trigger, waiting[0].key)
            values = kept.record.member.values if kept and kept.record.member else {}
        event = self._orders.happened(trigger, group, values, reading.at)
        order = self._orders.batch(indexed, group, event, {})
        slot = slot_of_order(order, self._orders.bind(order, reading.snapshot))
        if slot is None:
            return False
        known = self._slots.read(trigger, slot, reading.at).slot
        return bool(known.holders or known.waiting)

    def _still_waiting(
        self, trigger: str, waiting: Sequence[Waiting], policy: Batch, began: float
    ) -> _Found:
        """What still waits: as many events as a batch takes are read, oldest first.

        When that takes too long for one call, the batch takes what was read until then.
        """
        found, size = _Found(), 0
        releases = [one for one in waiting if one.releases]
        for key, kept in self._read(trigger, releases, found):
            found.releases[key] = kept
        events = [one for one in waiting if not one.releases]
        for some in batched(events, min(_AT_ONCE, policy.max_events), strict=False):
            late = self._monotonic() - began > PATIENCE
            found.full = found.full or (late and bool(found.events))
            if len(found.events) >= policy.max_events or found.full:
                found.waiting += some
                continue
            for key, kept in self._read(trigger, some, found):
                line = manifests.line(kept.record.event, _member(kept).captures)
                size += len(line)
                found.full = found.full or (size > MANIFEST_SIZE and bool(found.events))
                if not found.full:
                    found.events[key] = kept
                    found.lines[key] = line
        return found

    def _read(
        self, trigger: str, waiting: Sequence[Waiting], found: _Found
    ) -> Iterator[tuple[str, Kept]]:
        """The records of what waits indeed; what does not is told apart."""
        records: dict[str, Kept | None] = {}

        def read(key: str) -> None:
            try:
                records[key] = self._ledger.read(trigger, key)
            except RecordUnreadable as error:
                log.warning("%s It is left out of its batch.", error)

        self._side_by_side([partial(read, one.key) for one in waiting])
        for one in waiting:
            kept = records.get(one.key)
            if kept is not None and kept.record.state is State.WAITING_BATCH:
                found.waiting.append(one)
                yield one.key, kept
            elif one.key in records:
                found.gone.append(one.key)

    def _make(
        self,
        trigger: str,
        group: str,
        number: KeptNumber,
        *,
        indexed: IndexedTrigger | None,
        values: Mapping[str, str],
        members: Mapping[str, Kept],
        lines: Mapping[str, str],
        reading: Reading,
    ) -> Record:
        """The next batch, as it is written down, its run on its way."""
        key = self._key(group, number)
        manifest = self._manifests.write(trigger, key, lines)
        event = self._orders.happened(
            trigger, key, values, reading.at, manifest=manifest, events=len(lines)
        )
        abouts = {one: kept.record.event.about for one, kept in members.items()}
        if indexed is not None and indexed.definition.policies.batch is not None:
            order = self._orders.batch(indexed, key, event, abouts)
            binding = self._orders.bind(order, reading.snapshot)
        else:
            text = f"Trigger {trigger} makes no batches any more."
            order = self._orders.left_over(trigger, key, event, abouts)
            binding = None, Reason(code="trigger_gone", text=text)
        with telemetry.after(kept.record.traceparent for kept in members.values()):
            begun = self._begin(order, binding, reading.snapshot)
        # As it is there: another one may have made it, of other members.
        made = self._ledger.read(trigger, key)
        if made is None:
            raise StorageUnavailable(f"The record of batch {trigger}.{key} was there, and is not")
        log.info(
            "Run %s takes %d events of %s",
            made.record.run_id,
            len(lines),
            redacted(event.subject),
            extra={"action": "batch_made", "run": made.record.run_id, "trigger": trigger},
        )
        if begun is not None:
            # Before its members are told: of many, that takes a while.
            self._submit(begun)
        return made.record

    def _conclude(
        self,
        batch: Record,
        group: str,
        number: KeptNumber,
        known: Mapping[str, Kept],
        began: float,
    ) -> bool:
        """Tell the members of a batch that it took them, and let the next one begin.

        False when there was no time for all of them: the next call goes on.
        """
        done = number.numbered.done
        for some in batched(batch.members[done:], _AT_ONCE, strict=False):
            if done > number.numbered.done and self._monotonic() - began > PATIENCE:
                self._inbox.tell(batch.trigger, group, number, done)
                rest = {key: known[key] for key in batch.members[done:] if key in known}
                self._left[batch.trigger, group] = batch.key, rest
                return False
            self._side_by_side([partial(self._stamp, batch, key, known.get(key)) for key in some])
            self._inbox.forget(batch.trigger, group, some)
            done += len(some)
        self._inbox.count(batch.trigger, group, number)
        return True

    def _stamp(self, batch: Record, key: str, known: Kept | None) -> None:
        """Write down that a batch took an event, unless one has.

        What is said to release nothing is in the batch all the same: whoever said so looked
        before the others came.
        """
        reason = Reason(code="batched", text=f"It is part of run {batch.run_id}.")
        kept = known or self._readable(batch.trigger, key)
        while kept is not None and (
            kept.record.state is State.WAITING_BATCH or _dismissed(kept.record)
        ):
            moved = kept.record
            if moved.state is State.WAITING_BATCH:
                moved = moved.moved(State.BATCHED, kept.at)
            if self._ledger.swap(
                kept, moved.model_copy(update={"reason": reason, "batch": batch.key})
            ):
                return
            kept = self._readable(batch.trigger, key)

    def _readable(self, trigger: str, key: str) -> Kept | None:
        try:
            return self._ledger.read(trigger, key)
        except RecordUnreadable as error:
            # One that cannot be read keeps no other from its batch.
            log.warning("%s", error)
            return None

    def _dismiss(self, trigger: str, group: str, found: _Found, void: Iterable[Waiting]) -> None:
        """What released nothing waits no more."""
        reason = Reason(code=_RELEASED_NOTHING, text="No event waited in the group it completes.")
        for one in void:
            kept = found.releases[one.key]
            self._ledger.swap(kept, kept.record.moved(State.BATCHED, kept.at, reason))
            self._inbox.forget(trigger, group, [one.key])

    def _key(self, group: str, number: KeptNumber) -> str:
        next = number.numbered
        return batch_key(self._deployment, group, next.birth, next.seq)


def _policy(indexed: IndexedTrigger | None) -> Batch:
    return (indexed.definition.policies.batch if indexed else None) or _LEFT_OVER


def _dismissed(record: Record) -> bool:
    return record.reason is not None and record.reason.code == _RELEASED_NOTHING


def _member(kept: Kept) -> Member:
    assert kept.record.member is not None
    return kept.record.member


@contextmanager
def _isolated(trigger: str, group: str) -> Iterator[None]:
    about = {"action": "tick_item_failed", "item": f"group {group} of {trigger}"}
    try:
        yield
    except SignalboxError as error:
        log.warning("A batch of %s could not be made: %s", trigger, error, extra=about)
    except Exception:
        log.exception("A batch of %s could not be made", trigger, extra=about)
