"""The tick's part of schedules: what fires gets its record, then the clock goes on.

Every time of every schedule has a key of its own, so whoever writes one down again meets the
record that is there. The clock is one blob for all schedules and is moved under its ETag only when
everything up to there has its record: a tick may come late, twice, or die anywhere. Time is the
storage service's. See docs/decisions/0020-occurrences.md.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import batched, takewhile

from shared import timetables
from shared.clocks import Clock, Clocks
from shared.dispatcher import Dispatcher, in_turn, undecided
from shared.durations import in_iso
from shared.errors import SignalboxError, StorageUnavailable, Transient
from shared.index import Index, Reading, Snapshot
from shared.inputs import redacted
from shared.ledger import Kept, Reason, State
from shared.openings import Binding
from shared.orders import Order, Orders
from shared.upcoming import Due, Upcoming, paused_when, without_past

log = logging.getLogger(__name__)

#: Seconds that one tick may take.
BUDGET = 8.0

#: Times of schedules that one tick writes down.
MOST = 500

#: Times that are written down before the tick looks at its time, and at most so many for nothing.
_AT_ONCE = 50


class Schedules:
    """Writes down every time of every schedule, once. All raise StorageUnavailable."""

    def __init__(
        self,
        *,
        index: Index,
        clocks: Clocks,
        orders: Orders,
        dispatcher: Dispatcher,
        side_by_side: Callable[[Sequence[Callable[[], None]]], None] = in_turn,
        most: int = MOST,
    ) -> None:
        self._index = index
        self._clocks = clocks
        self._orders = orders
        self._dispatcher = dispatcher
        self._side_by_side = side_by_side
        self._most = most
        #: What comes next, by the index that was last seen; None while that is worked out.
        self._upcoming: tuple[Snapshot, Upcoming] | None = None
        self._lock = threading.Lock()
        #: The triggers of a snapshot that keep what was.
        self._with_past: tuple[Snapshot | None, list[str]] = (None, [])

    def run_due(self, until: Callable[[], bool]) -> None:
        """Write down what has fired since the last look, oldest first, as far as the time goes;
        then begin it.

        One schedule's trouble is written down and does not stop the others. Raises
        RecordUnreadable for a clock that cannot be read.
        """
        # Before the clock: whoever moves it later has seen this index, or a newer one.
        reading = self._index.read()
        kept = self._clocks.read()
        if kept is None:
            # Nothing of what is past by now fires.
            self._clocks.begin(reading.at, reading.snapshot.edition)
            return
        clock = kept.clock
        if reading.snapshot.edition < clock.edition:
            # Somebody moved it who had seen a newer index; where there is none, that was lost.
            reading = self._index.read()
            clock = _known(clock, reading.snapshot)
        if clock.is_past(reading.at):
            return
        due, complete = self._due(reading, clock)
        done, begun, stopped = self._written(due, reading, until)
        trouble: SignalboxError | None = stopped
        try:
            moved = self._moved(clock, due[:done], due[done:], reading, complete=complete)
            if moved != clock and self._clocks.move(kept, moved):
                self._forget(reading.snapshot, moved)
        except SignalboxError as error:
            trouble = error
        self._submit(begun, until)
        if trouble is not None:
            raise trouble

    def _due(self, reading: Reading, clock: Clock) -> tuple[list[Due], bool]:
        """What fires until now and has no record for all that the clock says, in order; and
        whether that is all of it."""
        with self._lock:
            known = self._upcoming
            self._upcoming = None
            if known is None or not known[1].knows(clock):
                # The clock is behind: as when another tick died.
                known = (reading.snapshot, Upcoming(reading.snapshot.triggers, clock))
            elif known[0] is not reading.snapshot:
                known[1].change(reading.snapshot.triggers, clock)
            due = known[1].due(clock, reading.at, self._most)
            self._upcoming = reading.snapshot, known[1]
            return due

    def _written(
        self, due: Sequence[Due], reading: Reading, until: Callable[[], bool]
    ) -> tuple[int, list[Kept], Transient | None]:
        """How many, from the first, have their records now; what of them is to be submitted, and
        why it went no further."""
        done, begun, trouble = 0, list[Kept](), list[Transient]()
        for some in batched(due, _AT_ONCE, strict=False):
            # What is late holds up the clock: all of it is done, however long that takes.
            if done and until() and not some[0].late:
                break
            written: dict[Due, Kept | None] = {}

            def write(mine: Sequence[Due], written: dict[Due, Kept | None] = written) -> None:
                try:
                    # Of one schedule the earlier first: so they begin.
                    for one in mine:
                        written[one] = self._record(one, reading, until)
                except Transient as error:
                    trouble.append(error)

            by_trigger: dict[str, list[Due]] = {}
            for one in some:
                by_trigger.setdefault(one.trigger, []).append(one)
            self._side_by_side([partial(write, mine) for mine in by_trigger.values()])
            begun += [kept for kept in written.values() if kept is not None]
            done += sum(1 for _ in takewhile(written.__contains__, some))
            if trouble:
                return done, begun, trouble[0]
        return done, begun, None

    def _record(self, due: Due, reading: Reading, until: Callable[[], bool]) -> Kept | None:
        """Write down one time, unless it is; the record if it is to be submitted now.

        What cannot be decided is a dead letter, so that it is found. Raises Transient.
        """
        about = {"action": "occurrence_failed", "trigger": due.trigger}
        try:
            return self._decide(due, reading, until)
        except Transient:
            raise
        except SignalboxError as error:
            why = redacted(str(error))
            log.warning("A time of trigger %s: %s", due.trigger, why, extra=about)
        except Exception:
            why = "Signalbox made a mistake; its log tells more."
            log.exception("A time of trigger %s", due.trigger, extra=about)
        order = self._orders.occurrence(due.indexed, due.scheduled)
        return self._begin(replace(order, instead=(State.DEAD_LETTER, undecided(why))), reading)

    def _decide(self, due: Due, reading: Reading, until: Callable[[], bool]) -> Kept | None:
        # Of a pause that is over, too, counts what whoever paused it said.
        then = due.indexed.model_copy(update={"paused": paused_when(due)})
        order = self._orders.occurrence(then, due.scheduled)
        window = due.indexed.definition.spec.schedule
        assert window is not None
        late = reading.at - due.fires
        if late > window.catchup_window:
            text = (
                f"It was due at {due.fires:%Y-%m-%d %H:%M:%S} UTC and nobody came to it before "
                f"{reading.at:%Y-%m-%d %H:%M:%S} UTC, which is later than "
                f"spec.schedule.catchup_window ({in_iso(window.catchup_window)}) makes up for; "
                f"{timetables.backfill(due.trigger, due.scheduled)} runs it."
            )
            reason = Reason(code="missed_catchup_window", text=text)
            return self._begin(replace(order, instead=(State.MISSED, reason)), reading)
        try:
            # In a pause nothing is listed, and what it says is said at once: it may be over.
            if window.only_if is not None and order.paused is None and until():
                raise StorageUnavailable("this tick's time was over")
            order = self._dispatcher.completed(order, due.indexed)
        except Transient as error:
            # It is tried again with what is held; no other waits for that.
            why = f"New uploads could not be listed yet: {redacted(str(error))}"
            order = replace(order, instead=(State.HELD, Reason(code="held_for_blobs", text=why)))
        return self._begin(order, reading)

    def _begin(self, order: Order, reading: Reading) -> Kept | None:
        snapshot = reading.snapshot
        binding: Binding
        if order.instead is None:
            binding = self._orders.bind(order, snapshot)
        else:
            binding = None, order.instead[1]
        return self._dispatcher.begin(order, binding, snapshot)

    def _submit(self, begun: Sequence[Kept], until: Callable[[], bool]) -> None:
        """Hand over what begins; what is left has a lease, after which the tick takes it over."""
        for some in batched(begun, _AT_ONCE, strict=False):
            if until():
                return
            self._side_by_side([partial(self._dispatcher.submit, kept) for kept in some])

    def _moved(
        self,
        clock: Clock,
        done: Sequence[Due],
        left: Sequence[Due],
        reading: Reading,
        *,
        complete: bool,
    ) -> Clock:
        """The clock behind all that has its record; the same one if that is not further."""
        fires: datetime = reading.at
        through: str | None = None
        if left or not complete:
            whole = [one for one in done if not left or one.place < left[0].place]
            if not whole or whole[-1].late:
                return clock
            fires, through = whole[-1].place
        return clock.model_copy(
            update={
                "last_evaluated": fires,
                "through": through,
                "edition": reading.snapshot.edition,
            }
        )

    def _forget(self, snapshot: Snapshot, clock: Clock) -> None:
        """Take what the clock has passed out of the index: former schedules, and pauses."""
        # Hardly any has a past; none is looked for again.
        names = self._with_past[1] if self._with_past[0] is snapshot else _with_past(snapshot)
        self._with_past = (snapshot, names)

        def change(before: Snapshot, _at: datetime) -> Snapshot:
            there = {name: one for name in names if (one := before.triggers.get(name))}
            changed = {name: without_past(one, clock) for name, one in there.items()}
            if changed == there:
                return before
            return before.model_copy(update={"triggers": {**before.triggers, **changed}})

        if names and change(snapshot, clock.last_evaluated) is not snapshot:
            self._index.change(change)


def _known(clock: Clock, snapshot: Snapshot) -> Clock:
    """A clock that knows no newer index than there is: what comes next is new to it."""
    if snapshot.edition >= clock.edition:
        return clock
    log.warning(
        "index.json is older than what the clock of the schedules has seen: it was deleted, or an "
        "older one was put in its place. Schedules go on by what it says now.",
        extra={"action": "index_older"},
    )
    return clock.model_copy(update={"edition": snapshot.edition})


def _with_past(snapshot: Snapshot) -> list[str]:
    return [name for name, one in snapshot.triggers.items() if one.former or one.pauses]
