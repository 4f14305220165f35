"""Looking for uploads that no event told of, where they lie.

A sweep lists what a trigger's path begins with. What has a record is known. What fits, and whose
path nothing is recorded of, was lost on its way: it is handed over as the event that should have
come, and meets the same record if that comes after all. What lies on a path that was there before
is reported and not started: a listing does not tell new content from a new property (see
docs/decisions/0011-sweeps-report-what-was-overwritten.md).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import batched, islice

from shared.dispatcher import Dispatcher, in_turn
from shared.errors import (
    EventInvalid,
    NotFound,
    RecordUnreadable,
    RequestInvalid,
    SignalboxError,
    StorageUnavailable,
    Transient,
    listed,
)
from shared.events import Event
from shared.index import Index, IndexedTrigger
from shared.inputs import redacted
from shared.lakes import Lakes, Upload
from shared.ledger import Kept, Ledger, State
from shared.orders import Orders
from shared.paths import PathPattern
from shared.policies import Sweep
from shared.sweep_states import (
    NAMED,
    Course,
    KeptSweep,
    ListedSweep,
    Noticed,
    SweepState,
    SweepStates,
    newest,
)
from shared.triggers import Matcher, Near

log = logging.getLogger(__name__)

#: Seconds that one tick may take.
BUDGET = 6.0

#: What is younger is left alone: its event may be on its way, or its writer not done.
SETTLED = timedelta(minutes=5)
#: How far a sweep goes back behind the beginning of the one before.
OVERLAP = timedelta(minutes=15)
#: How often the whole lookback is looked at.
FULL_EVERY = timedelta(days=1)
#: A sweep that went no further is tried again after so long.
AGAIN = timedelta(minutes=15)
#: How far back somebody may ask for; records are kept no shorter.
MAX_LOOKBACK = timedelta(days=30)

#: Uploads that are looked at before it is written down how far that went.
_CHUNK = 50
#: Records of a trigger that are listed to find what they are about.
_SUBJECTS = 200_000
#: Seconds that a request works on a sweep that it asks for.
_ASKED_BUDGET = 10.0


class Sweeps:
    """Sweeps triggers, page by page; whatever is done twice changes nothing."""

    def __init__(
        self,
        *,
        states: SweepStates,
        index: Index,
        orders: Orders,
        ledger: Ledger,
        lakes: Lakes,
        dispatcher: Dispatcher,
        variables: Mapping[str, str],
        monotonic: Callable[[], float],
        side_by_side: Callable[[Sequence[Callable[[], None]]], None] = in_turn,
    ) -> None:
        self._states = states
        self._index = index
        self._orders = orders
        self._ledger = ledger
        self._lakes = lakes
        self._dispatcher = dispatcher
        self._variables = variables
        self._monotonic = monotonic
        self._side_by_side = side_by_side

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
        seen = _Seen(self._ledger, name)
        while True:
            try:
                course, more = self._page(indexed, course, seen, until)
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

    def _page(
        self, indexed: IndexedTrigger, course: Course, seen: "_Seen", until: Callable[[], bool]
    ) -> tuple[Course, bool]:
        """Look at the rest of a page, or as far as the time goes; whether there is more to do."""
        blob = indexed.definition.spec.blob
        assert blob is not None
        prefix = PathPattern(blob.path).prefix
        page = self._lakes.page(blob.account, blob.container, prefix, course.marker)
        for uploads in batched(_rest(page.uploads, course.after), _CHUNK, strict=False):
            lost = self._lost(indexed, course, uploads)
            started = course.counts.found
            for upload in uploads:
                course = self._take(indexed, course, upload, lost.get(upload.path), seen)
                course = course.model_copy(update={"after": upload.path})
                # At least one is started, however little time there is.
                if course.counts.found > started and until():
                    return course, True
            if course.counts.found > started:
                # What was started is written down before more is.
                return course, True
        onwards = course.model_copy(update={"marker": page.marker, "after": None})
        return onwards, page.marker is not None

    def _lost(
        self, indexed: IndexedTrigger, course: Course, uploads: Sequence[Upload]
    ) -> dict[str, "_Fitting | EventInvalid"]:
        """The uploads that are to be looked at, by path, and whether they are recorded."""
        fitting: dict[str, _Fitting | EventInvalid] = {}
        matcher = Matcher({indexed.definition.name: indexed}, self._variables)
        for upload in uploads:
            if not course.since <= upload.last_modified <= course.began - SETTLED:
                continue
            event = upload.event()
            try:
                verdict = matcher.judge(indexed, event)
            except EventInvalid as error:
                fitting[upload.path] = error
                continue
            if not isinstance(verdict, Near):
                key = self._orders.key(indexed.definition, event)
                fitting[upload.path] = _Fitting(event, key)
        self._side_by_side(
            [
                partial(self._look_up, indexed.definition.name, one)
                for one in fitting.values()
                if isinstance(one, _Fitting)
            ]
        )
        return fitting

    def _look_up(self, trigger: str, one: "_Fitting") -> None:
        kept = self._read(trigger, one.key)
        one.recorded = kept is not None
        if isinstance(kept, Kept) and kept.record.state is State.WAITING_BATCH:
            member = kept.record.member
            # Its batch should have been made: its marker may be lost, and is put there again.
            until = member.until if member else None
            one.forgotten = until is not None and kept.at > until + OVERLAP

    def _read(self, trigger: str, key: str) -> Kept | RecordUnreadable | None:
        try:
            return self._ledger.read(trigger, key)
        except RecordUnreadable as error:
            return error

    def _take(
        self,
        indexed: IndexedTrigger,
        course: Course,
        upload: Upload,
        one: "_Fitting | EventInvalid | None",
        seen: "_Seen",
    ) -> Course:
        course = course.counted(listed=1)
        if one is None:
            young = upload.last_modified > course.began - SETTLED
            return course.counted(young=1) if young else course
        if isinstance(one, EventInvalid):
            return course.counted(unnameable=1)
        course = course.counted(looked_at=1)
        if one.forgotten and not course.dry_run:
            self._started(indexed, one.event, course.began)
        if one.recorded:
            return course.counted(known=1)
        noticed = Noticed(
            path=redacted(upload.path),
            etag=upload.etag,
            size=upload.size,
            last_modified=upload.last_modified,
            at=course.began,
            run=f"{indexed.definition.name}.{one.key}",
        )
        before = upload.created is not None and upload.created < course.horizon
        if not course.overwritten and (before or one.event.about in seen):
            course = course.counted(overwritten=1)
            named = (*course.changed, noticed)[:NAMED]
            return course.model_copy(update={"changed": named})
        if not (course.dry_run or self._started(indexed, one.event, course.began)):
            return course.counted(failed=1)
        course = course.counted(found=1)
        return course.model_copy(update={"found": (*course.found, noticed)[:NAMED]})

    def _started(self, indexed: IndexedTrigger, event: Event, at: datetime) -> bool:
        """Hand over the event that should have come; False for one that can never be taken."""
        told = event.model_copy(update={"sweptat": at.isoformat()})
        name = indexed.definition.name
        try:
            self._dispatcher.handle(told, only=name)
        except Transient:
            raise
        except Exception:
            about = {"action": "sweep_item_failed", "trigger": name}
            log.exception("%s could not be handed over", redacted(event.title), extra=about)
            return False
        return True

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
            update["overwritten"] = self._unrecorded(trigger, changed, report.began)
        if not course.asked:
            update |= {"last": course.began} | ({"full": course.began} if course.full else {})
        return state.model_copy(update=update)

    def _unrecorded(
        self, trigger: str, noticed: Sequence[Noticed], now: datetime
    ) -> tuple[Noticed, ...]:
        """What still has no record, and is not forgotten yet."""
        gone: set[str] = set()

        def look(one: Noticed) -> None:
            if now - one.at > MAX_LOOKBACK or self._read(trigger, one.run.rpartition(".")[2]):
                gone.add(one.run)

        self._side_by_side([partial(look, one) for one in noticed])
        return tuple(one for one in noticed if one.run not in gone)


@dataclass
class _Fitting:
    """An upload that a trigger takes."""

    event: Event
    key: str
    #: It has its record.
    recorded: bool = False
    #: It waits for a batch that does not know of it.
    forgotten: bool = False


class _Seen:
    """What a trigger has records about: listed when it is first asked."""

    def __init__(self, ledger: Ledger, trigger: str) -> None:
        self._ledger = ledger
        self._trigger = trigger
        self._subjects: frozenset[str] | None = None

    def __contains__(self, about: str) -> bool:
        if self._subjects is None:
            self._subjects = frozenset(islice(self._ledger.subjects(self._trigger), _SUBJECTS))
        return about in self._subjects


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


def _rest(uploads: Sequence[Upload], after: str | None) -> Sequence[Upload]:
    """Those behind a path; all of them when that is not there any more."""
    for number, upload in enumerate(uploads):
        if upload.path == after:
            return uploads[number + 1 :]
    return uploads
