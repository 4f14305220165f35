"""What the timer finishes: correct when late, doubled, killed or run on many instances at once.

Each part has its own time, so that none keeps the others from their turn; what a part does not
come to, the next tick does. One item's trouble is logged and does not stop the others.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from shared import telemetry
from shared.compute import Computes
from shared.dispatcher import Dispatcher
from shared.errors import SignalboxError
from shared.heartbeat import EVERY, Beat, Heartbeat
from shared.index import Index, Reading
from shared.ledger import ABSENT, Ledger, Marker, State
from shared.slots import ListedSlot, Slots
from shared.submission import Submission

log = logging.getLogger(__name__)

#: Seconds that a part may take; together less than the minute between two ticks.
OPEN_BUDGET, SLOTS_BUDGET, HELD_BUDGET = 14.0, 6.0, 4.0

#: A slot that nobody holds or waits for is deleted after so long; also its count of a day.
_AT_REST = timedelta(days=2)

#: What waits for its turn is looked at after so long, whatever its marker says.
_IN_LINE = timedelta(hours=1)

#: Says that a part's time is over.
Until = Callable[[], bool]
#: Seconds that a part may take, and what it does.
Part = tuple[float, Callable[[Until], None]]


class Tick:
    """Looks at whatever has come due."""

    def __init__(
        self,
        *,
        index: Index,
        ledger: Ledger,
        slots: Slots,
        computes: Computes,
        submission: Submission,
        dispatcher: Dispatcher,
        heartbeat: Heartbeat,
        monotonic: Callable[[], float],
        shuffle: Callable[[list[Marker]], None],
        others: Mapping[str, Part] | None = None,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._slots = slots
        self._computes = computes
        self._submission = submission
        self._dispatcher = dispatcher
        self._heartbeat = heartbeat
        self._monotonic = monotonic
        self._shuffle = shuffle
        #: Parts that other rooms do, by name.
        self._others = others or {}

    def run(self) -> None:
        """Every part once, whatever becomes of the others.

        Raises in the end what kept the first of them from being begun, such as StorageUnavailable.
        """
        with telemetry.ticking():
            self._run()

    def _run(self) -> None:
        reading, began = self._index.read(), self._monotonic()
        self._tell_lag(reading.at)
        # First, so that what waits for one that has just come need not wait for the next tick.
        with _isolated("the computes"):
            self._computes.check()
        parts: dict[str, Part] = {
            "the open runs": (OPEN_BUDGET, lambda over: self._open(reading.at, over)),
            "the slots": (SLOTS_BUDGET, lambda over: self._promote(reading.at, over)),
            "what was held": (HELD_BUDGET, lambda over: self._go_on(reading, over)),
            **self._others,
        }
        failed: dict[str, Exception] = {}
        for name, (seconds, work) in parts.items():
            try:
                with telemetry.part(name):
                    self._part(name, seconds, work)
            except SignalboxError as error:
                log.warning("The tick could not look at %s: %s", name, error)
                failed[name] = error
            except Exception as error:
                log.exception("The tick could not look at %s", name)
                failed[name] = error
        seconds = self._monotonic() - began
        ended = reading.at + timedelta(seconds=seconds)
        self._heartbeat.beat(Beat(ended=ended, seconds=seconds, failed=list(failed)))
        if failed:
            raise next(iter(failed.values()))

    def _tell_lag(self, now: datetime) -> None:
        # What is only measured keeps nothing from being done.
        with _isolated("when the timer last ended"):
            before, _ = self._heartbeat.last()
            if before is not None:
                telemetry.tick_lag((now - before.began - EVERY).total_seconds())

    def _part(self, name: str, seconds: float, work: Callable[[Until], None]) -> None:
        started: float | None = None

        def over() -> bool:
            # From the first item on: listing what there is may take as long as a part has, and then
            # no tick would ever come to any of it.
            nonlocal started
            started = self._monotonic() if started is None else started
            return self._monotonic() - started > seconds

        work(over)
        if over():
            log.warning("The tick's time for %s is over; the next one goes on", name)

    def _open(self, now: datetime, over: Until) -> None:
        """Take over what was not submitted, observe what runs, finish what is final."""
        due = [each for each in self._ledger.open() if each.next_check <= now]
        due = self._but_in_line(due, now)
        # In another order each time: when the time is over, it is not always the same that wait.
        self._shuffle(due)
        for marker in due:
            if over():
                return
            with _isolated(f"run {marker.trigger}.{marker.key}"):
                there = self._submission.resume(marker.trigger, marker.key)
                if there is not None and there.state is State.WAITING_BATCH:
                    self._dispatcher.rejoin(there)
                # A marker is put before its record, so a young one may still get it.
                if there is None and now - marker.last_modified > ABSENT:
                    self._ledger.discard(marker)

    def _but_in_line(self, due: list[Marker], now: datetime) -> list[Marker]:
        """Those that are due, but for runs that wait for their turn and are found when it comes.

        Of these may be thousands, and a look at each would find nothing to do. A delivery that
        comes again late puts marker and entry of a run that has begun, or is to stop, as if it
        waited; so none is left alone for long.
        """
        if not any(marker.fresh and marker.slot for marker in due):
            return due
        line = self._slots.in_line()
        return [
            marker
            for marker in due
            if not marker.fresh
            or now - marker.last_modified > _IN_LINE
            or (marker.trigger, marker.slot, marker.key) not in line
        ]

    def _promote(self, now: datetime, over: Until) -> None:
        """Places for those who wait, and none for those who are over."""
        for slot in self._slots.all():
            if over():
                return
            if slot.waiting or (slot.holders and now - slot.last_modified > ABSENT):
                with _isolated(f"slot {slot.slot} of {slot.trigger}"):
                    self._submission.promote(slot.trigger, slot.slot, check=True)
            elif _at_rest(slot, now):
                self._slots.forget(slot)

    def _go_on(self, reading: Reading, over: Until) -> None:
        """What was held for a trigger that is not paused any more, oldest first."""
        triggers = reading.snapshot.triggers
        free = [
            marker
            for marker in self._ledger.held()
            if not ((trigger := triggers.get(marker.trigger)) and trigger.paused)
        ]
        for marker in sorted(free, key=lambda marker: (marker.last_modified, marker.key)):
            if over():
                return
            with _isolated(f"held run {marker.trigger}.{marker.key}"):
                there = self._dispatcher.go_on(marker.trigger, marker.key)
                # As an open marker's, its record may be about to come.
                if not there and reading.at - marker.last_modified > ABSENT:
                    self._ledger.unhold(marker.trigger, marker.key, etag=marker.etag)


def _at_rest(slot: ListedSlot, now: datetime) -> bool:
    return not (slot.holders or slot.waiting) and now - slot.last_modified > _AT_REST


@contextmanager
def _isolated(what: str) -> Iterator[None]:
    about = {"action": "tick_item_failed", "item": what}
    try:
        yield
    except SignalboxError as error:
        log.warning("The tick could not look at %s: %s", what, error, extra=about)
    except Exception:
        log.exception("The tick could not look at %s", what, extra=about)
