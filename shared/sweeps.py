"""Looking for uploads that no event told of, where they lie.

A sweep lists what a trigger's path begins with. What has a record is known. What fits, and whose
path nothing is recorded of, was lost on its way: it is handed over as the event that should have
come, and meets the same record if that comes after all. What lies on a path that was there before
is reported and not started: a listing does not tell new content from a new property (see
docs/decisions/0011-sweeps-report-what-was-overwritten.md).
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from shared.errors import (
    NotFound,
    RequestInvalid,
    SignalboxError,
    StorageUnavailable,
    listed,
)
from shared.index import Index, IndexedTrigger
from shared.inputs import redacted
from shared.paths import PathPattern
from shared.policies import Sweep
from shared.searches import SETTLED, Searches
from shared.sweep_states import (
    Course,
    KeptSweep,
    ListedSweep,
    SweepState,
    SweepStates,
    newest,
)

log = logging.getLogger(__name__)

#: Seconds that one tick may take.
BUDGET = 6.0

#: How far a sweep goes back behind the beginning of the one before.
OVERLAP = timedelta(minutes=15)
#: How often the whole lookback is looked at.
FULL_EVERY = timedelta(days=1)
#: A sweep that went no further is tried again after so long.
AGAIN = timedelta(minutes=15)
#: How far back somebody may ask for; records are kept no shorter.
MAX_LOOKBACK = timedelta(days=30)

#: Seconds that a request works on a sweep that it asks for.
_ASKED_BUDGET = 10.0


class Sweeps:
    """Sweeps triggers, page by page; whatever is done twice changes nothing."""

    def __init__(
        self,
        *,
        states: SweepStates,
        index: Index,
        searches: Searches,
        monotonic: Callable[[], float],
    ) -> None:
        self._states = states
        self._index = index
        self._searches = searches
        self._monotonic = monotonic

    def run_due(self, until: Callable[[], bool]) -> None:
        """Go on with every sweep that is under way or due, until the time is over.

        Those that nobody worked on for longest come first. One trigger's trouble is written down
        and does not stop the others. Raises StorageUnavailable when the states cannot be listed.
        """
        reading, known = self._index.read(), self._states.all()
        due = [
            (known[name].last_modified if name in known else trigger.effective_from, name)
            for name, trigger in reading.snapshot.triggers.items()
            if _is_due(trigger, known.get(name), reading.at)
        ]
        for _, name in sorted(due):
            if until():
                return
            about = {"action": "tick_item_failed", "item": f"the sweep of {name}"}
            try:
                self._go_on(reading.snapshot.triggers[name], self._states.read(name), until)
            except SignalboxError as error:
                log.warning("Trigger %s could not be swept: %s", name, error, extra=about)
            except Exception:
                log.exception("Trigger %s could not be swept", name, extra=about)

    def ask(
        self,
        trigger: str,
        *,
        lookback: timedelta | None = None,
        overwritten: bool = False,
        dry_run: bool = False,
    ) -> SweepState:
        """Begin a full sweep now, in place of one that is under way, and work on it for a while;
        the timer does the rest.

        It goes back as far as `lookback`, or else as the trigger's own, also behind an edit of
        what the trigger waits for. Raises NotFound, RequestInvalid, StorageUnavailable.
        """
        started, indexed = self._monotonic(), self._swept(trigger)
        back = lookback if lookback is not None else _policy(indexed).lookback
        if not SETTLED <= back <= MAX_LOOKBACK:
            raise RequestInvalid(
                "This sweep cannot be made", {"lookback": "is not between PT5M and P30D"}
            )
        now = self._index.now()
        since = max(indexed.effective_from, now - back)
        course = Course(
            began=now,
            since=since,
            horizon=since,
            full=True,
            asked=True,
            overwritten=overwritten,
            dry_run=dry_run,
            place=_place(indexed),
        )
        for _ in range(10):
            kept = self._states.read(trigger)
            asked = kept.state.model_copy(update={"course": course, "problem": None, "tried": None})
            if begun := self._states.swap(trigger, kept, asked):
                break
        else:
            raise StorageUnavailable("The sweep kept changing under this write; try again")
        with suppress(SignalboxError):
            # It is written down, and the timer tries again.
            self._go_on(indexed, begun, lambda: self._monotonic() - started > _ASKED_BUDGET)
        return self._states.read(trigger).state

    def state(self, trigger: str) -> tuple[Sweep | None, SweepState]:
        """What a trigger's document says of sweeps, and what is known of them.

        Raises NotFound, RequestInvalid when it is not for uploads, StorageUnavailable,
        RecordUnreadable.
        """
        return self._swept(trigger).definition.sweep, self._states.read(trigger).state

    def _swept(self, trigger: str) -> IndexedTrigger:
        triggers = self._index.read().snapshot.triggers
        indexed = triggers.get(trigger)
        if indexed is None:
            there = listed(sorted(triggers))
            raise NotFound(f"There is no trigger {trigger!r}. There are: {there}.")
        if indexed.definition.spec.blob is None:
            source = indexed.definition.spec.source
            raise RequestInvalid(
                f"Trigger {trigger} cannot be swept",
                {"name": f"its source is {source}; sweeps are for uploads"},
            )
        return indexed

    def _go_on(self, indexed: IndexedTrigger, kept: KeptSweep, until: Callable[[], bool]) -> None:
        """Work on a trigger's sweep until it or the time is over, or somebody else works on it."""
        name, now = indexed.definition.name, self._index.now()
        course = kept.state.course
        if course is None or course.place != _place(indexed):
            course = _next(indexed, kept.state, now)
        seen = self._searches.seen(name)
        while True:
            try:
                course, more = self._searches.page(indexed, course, seen, until)
                state = (
                    kept.state.model_copy(update={"course": course, "problem": None, "tried": None})
                    if more
                    else self._ended(name, kept.state, course)
                )
            except SignalboxError as error:
                if kept.state.problem is not None:
                    # The listing may not take its marker any more.
                    course = course.anew()
                told = {"course": course, "problem": redacted(str(error)), "tried": now}
                self._states.swap(name, kept, kept.state.model_copy(update=told))
                raise
            swapped = self._states.swap(name, kept, state)
            if swapped is None or not more or until():
                return
            kept = swapped

    def _ended(self, trigger: str, state: SweepState, course: Course) -> SweepState:
        """The state after a sweep has come to its end."""
        report = course.model_copy(update={"ended": self._index.now()})
        counts = report.counts
        log.log(
            logging.WARNING if counts.found or counts.overwritten else logging.INFO,
            "A sweep of trigger %s looked at %d uploads: no event had told of %d, nor of %d that "
            "were overwritten",
            trigger,
            counts.looked_at,
            counts.found,
            counts.overwritten,
            extra={"action": "swept", "trigger": trigger, "dry_run": course.dry_run},
        )
        update: dict[str, object] = {"course": None, "report": report, "problem": None}
        update["tried"] = None
        if not course.dry_run:
            update["found"] = newest(course.found, state.found)
            changed = newest(course.changed, state.overwritten)
            young = [one for one in changed if report.began - one.at <= MAX_LOOKBACK]
            update["overwritten"] = tuple(self._searches.unrecorded(trigger, young))
        if not course.asked:
            update |= {"last": course.began} | ({"full": course.began} if course.full else {})
        return state.model_copy(update=update)


def _policy(indexed: IndexedTrigger) -> Sweep:
    return indexed.definition.sweep or Sweep()


def _is_due(indexed: IndexedTrigger, known: ListedSweep | None, now: datetime) -> bool:
    definition = indexed.definition
    if definition.spec.blob is None:
        return False
    if known is None:
        return definition.sweep is not None
    if known.tried is not None and now - known.tried < AGAIN:
        return False
    if known.under_way or definition.sweep is None:
        return known.under_way
    return known.last is None or now - known.last >= definition.sweep.every


def _next(indexed: IndexedTrigger, state: SweepState, now: datetime) -> Course:
    """The sweep that is due, which nobody asked for."""
    begin = max(indexed.effective_from, indexed.spec_since or indexed.effective_from)
    horizon = max(begin, now - _policy(indexed).lookback)
    full = state.last is None or state.full is None or now - state.full >= FULL_EVERY
    since = horizon if full or state.last is None else max(horizon, state.last - OVERLAP)
    return Course(began=now, since=since, horizon=horizon, full=full, place=_place(indexed))


def _place(indexed: IndexedTrigger) -> str:
    blob = indexed.definition.spec.blob
    assert blob is not None
    return f"{blob.account}/{blob.container}/{PathPattern(blob.path).prefix}"
