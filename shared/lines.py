"""Those who wait for a place in one slot, by number."""

import logging
from collections.abc import Container, Iterable, Iterator
from itertools import chain, islice

from shared.errors import RecordUnreadable
from shared.ledger import LEASE, Kept, Ledger, State
from shared.slots import PAGE, Entry, Slots

log = logging.getLogger(__name__)


class Line:
    """Who is in line, as one call finds it; not to be kept for another."""

    def __init__(self, slots: Slots, ledger: Ledger, trigger: str, slot: str) -> None:
        self._slots = slots
        self._ledger = ledger
        self._trigger = trigger
        self._slot = slot
        #: What was listed last, and what was read of it.
        self._page: list[Entry] = []
        self._read: dict[str, Kept | None] = {}

    def first(self, most: int, besides: Container[str]) -> list[Kept]:
        """The first so many who wait, but for those that have a place; at least 1 is asked for.

        Asked again, as when somebody else has changed the slot, it looks at what it has read
        before; only when that is not enough at what there is now. So that nobody waits is told by
        a listing of now. Raises StorageUnavailable.
        """
        again = list(islice(self._waiting(self._page, besides), most))
        if len(again) == most:
            return again
        entries = self._slots.queue(self._trigger, self._slot)
        self._page, self._read = list(islice(entries, PAGE)), {}
        return list(islice(self._waiting(chain(self._page, entries), besides), most))

    def _waiting(self, entries: Iterable[Entry], besides: Container[str]) -> Iterator[Kept]:
        for entry in entries:
            if entry.key in besides:
                continue
            if entry.key not in self._read:
                self._read[entry.key] = self._waits(entry)
            kept = self._read[entry.key]
            if kept is not None:
                yield kept

    def _waits(self, entry: Entry) -> Kept | None:
        """The record of one who waits; None, and no entry of it for long, if it does not."""
        try:
            kept = self._ledger.read(self._trigger, entry.key)
        except RecordUnreadable as error:
            log.warning("%s It is passed over.", error)
            return None
        if kept is not None and kept.record.number == entry.number:
            record = kept.record
            if record.state is State.QUEUED:
                if not record.cancel_requested:
                    return kept
                # A delivery that comes again has the tick leave alone what waits in line.
                self._ledger.check_again(record, kept.at)
                return None
            if kept.at - record.transitions[-1].at <= LEASE:
                # Whoever has it begun, or ended it, is about to delete its entry.
                return None
        self._slots.leave(self._trigger, self._slot, entry.number, entry.key)
        return None
