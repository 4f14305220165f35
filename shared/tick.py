"""What the timer finishes: correct when late, doubled, killed or run on many instances at once."""

import logging
from collections.abc import Callable
from datetime import datetime

from shared.compute import Computes
from shared.errors import SignalboxError
from shared.index import Index
from shared.ledger import ABSENT, Ledger, Marker
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
        computes: Computes,
        submission: Submission,
        monotonic: Callable[[], float],
        shuffle: Callable[[list[Marker]], None],
        drops: Callable[[], None] = lambda: None,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._computes = computes
        self._submission = submission
        self._monotonic = monotonic
        self._shuffle = shuffle
        #: Publishes definitions that were put there by hand; raises nothing, has its own budget.
        self._drops = drops

    def run(self) -> None:
        """Take over what was not submitted, observe what runs, finish what is final.

        One record's trouble is logged and does not keep the others from being looked at.
        """
        started = self._monotonic()
        now = self._index.now()
        self._look_at_computes()
        due = [marker for marker in self._ledger.open() if marker.next_check <= now]
        # In another order each time: when the time is over, it is not always the same that wait.
        self._shuffle(due)
        for marker in due:
            if self._monotonic() - started > BUDGET:
                log.warning("The tick's time is over; the next one goes on")
                break
            self._look(marker, now)
        # Last, so that no definition keeps a run from being looked at.
        self._drops()

    def _look_at_computes(self) -> None:
        """First, so that what waits for one that has just come need not wait for the next tick."""
        about = {"action": "tick_item_failed"}
        try:
            self._computes.check()
        except SignalboxError as error:
            log.warning("The computes could not be looked at: %s", error, extra=about)
        except Exception:
            log.exception("The computes could not be looked at", extra=about)

    def _look(self, marker: Marker, now: datetime) -> None:
        about = {"action": "tick_item_failed", "run": f"{marker.trigger}.{marker.key}"}
        try:
            there = self._submission.resume(marker.trigger, marker.key)
            # A marker is put before its record, so a young one may still get it.
            if there is None and now - marker.last_modified > ABSENT:
                self._ledger.discard(marker)
        except SignalboxError as error:
            log.warning("Run %s could not be looked at: %s", about["run"], error, extra=about)
        except Exception:
            log.exception("Run %s could not be looked at", about["run"], extra=about)
