"""What the timer finishes: correct when late, doubled, killed or run on many instances at once."""

import logging
from collections.abc import Callable

from shared.errors import SignalboxError
from shared.index import Index
from shared.ledger import ABSENT, Ledger
from shared.submission import Submission

log = logging.getLogger(__name__)

#: Seconds one tick may take; the next one goes on where it ended.
BUDGET = 45.0


class Tick:
    """Looks at every open record whose time has come."""

    def __init__(
        self,
        *,
        index: Index,
        ledger: Ledger,
        submission: Submission,
        monotonic: Callable[[], float],
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._submission = submission
        self._monotonic = monotonic

    def run(self) -> None:
        """Take over what was not submitted, observe what runs, finish what is final.

        One record's trouble is logged and does not keep the others from being looked at.
        """
        started = self._monotonic()
        now = self._index.read().at
        for marker in self._ledger.open():
            if self._monotonic() - started > BUDGET:
                log.warning("The tick's time is over; the next one goes on")
                return
            if marker.next_check > now:
                continue
            try:
                there = self._submission.resume(marker.trigger, marker.key)
                # A marker is put before its record, so a young one may still get it.
                if not there and now - marker.last_modified > ABSENT:
                    self._ledger.discard(marker)
            except SignalboxError as error:
                log.warning(
                    "Run %s.%s could not be looked at: %s",
                    marker.trigger,
                    marker.key,
                    error,
                    extra={"action": "tick_item_failed", "trigger": marker.trigger},
                )
