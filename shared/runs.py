"""Reading runs: a list of them, one of them with its steps, what a trigger decided."""

import base64
import builtins
import heapq
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice, takewhile
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from shared.definitions import RESERVED
from shared.errors import NotFound, RecordUnreadable, RequestInvalid, SignalboxError
from shared.history import Entry, History, is_place, place_of
from shared.index import Index
from shared.ledger import Ledger, Marker, State, parse_run_id
from shared.specs import NAME
from shared.summaries import (
    EventBrief,
    RunDetail,
    RunSummary,
    Shown,
    detail,
    event_told,
    has_job,
    shown,
    summary,
    told,
)
from shared.workspace import Step, Workspace

log = logging.getLogger(__name__)

#: The most that one page holds.
MAX_PAGE = 200
#: Triggers whose history is looked at for one answer, each by a listing of its own.
MAX_TRIGGERS = 200

#: Records and entries that are read for one page; what it does not find among them is on the next.
_LOOKS = 1_000
#: Read at once when not every one of them fits the question.
_LOOK_AHEAD = 32
#: How often a page looks on after it passed over as many other decisions as it may at once.
_PAUSES = 4
_THREADS = 16

#: How far from a time decisions are looked for.
AROUND = timedelta(hours=1)

#: What history calls the runs that are over.
_FINAL = frozenset(state.value for state in State if state.final)


class RunPage(Shown):
    """Some runs, and where to go on."""

    items: list[RunSummary]
    #: Hand it back for what follows; None when nothing does. A page may be short, or even empty,
    #: and yet have one: so many were looked at that did not fit the question.
    cursor: str | None = None
    #: Triggers that were not looked at, as there are too many; name one of them.
    left_out: int = 0


class Decided(Shown):
    """A final decision of a trigger, as history has it."""

    trigger: str
    key: str
    at: AwareDatetime
    #: A run's final state, or `no_match`.
    decision: str
    #: The check that said no.
    check: str | None = None
    #: The checks before it.
    passed: list[str] = Field(default_factory=list)
    #: None for an event that was filtered.
    run: RunSummary | None = None
    event: EventBrief


class Decisions(Shown):
    """Some decisions of a trigger, newest first."""

    items: list[Decided]
    #: There are others, which were not read.
    more: bool


@dataclass(frozen=True)
class _Candidate:
    """A run that a page might show, and where the page would end with it."""

    position: "_Position"
    #: None: what lies before this was passed over.
    load: Callable[[], RunSummary | None] | None


@dataclass(frozen=True)
class _Position:
    """Where a page ends: behind an open run, or among those that are over."""

    phase: Literal["open", "over"]
    #: `trigger/key` of an open run, or a place in history.
    place: str
    trigger: str = ""

    @property
    def cursor(self) -> str:
        text = json.dumps([self.phase, self.place, self.trigger])
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def parse(cls, cursor: str) -> "_Position":
        """Raises ValueError."""
        content = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        match content:
            case ["open", str(place), ""]:
                return cls("open", place)
            case ["over", str(place), str(trigger)] if is_place(place):
                return cls("over", place, trigger)
        raise ValueError("is none of ours")


class Runs:
    """Reads what the ledger and history have of runs. Changes nothing."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        history: History,
        workspace: Workspace,
        index: Index,
        passed_over: int = 5_000,
    ) -> None:
        self._ledger = ledger
        self._history = history
        self._workspace = workspace
        self._index = index
        #: Names of other decisions that are passed over at once.
        self._passed_over = passed_over

    def get(self, run_id: str) -> RunDetail:
        """One run. Raises NotFound, StorageUnavailable, RecordUnreadable."""
        named = parse_run_id(run_id)
        kept = self._ledger.read(*named) if named else None
        if named is None or kept is None:
            raise NotFound(
                f"There is no run {shown(run_id)!r}. Its id is <trigger>.<32 hexadecimal digits>; "
                "a run that ended long ago has expired."
            )
        record = kept.record
        marker = None if record.state.final else self._ledger.marker(*named)
        steps, error = None, None
        if has_job(record.state, record.reason):
            steps, error = self._steps(record.attempt.job_name)
        return detail(record, marker, self._workspace.studio_url, steps, error)

    def _steps(self, job: str) -> tuple[builtins.list[Step] | None, str | None]:
        try:
            return self._workspace.steps(job), None
        except SignalboxError as error:
            return None, shown(str(error))

    def decisions(self, trigger: str, at: datetime | None = None, limit: int = 20) -> Decisions:
        """What a trigger decided, newest first: lately, or within an hour of a time.

        Raises StorageUnavailable.
        """
        if at is None:
            entries = self._history.entries(trigger)
        else:
            since = at - AROUND
            entries = takewhile(
                lambda entry: entry.at >= since,
                self._history.entries(trigger, after=place_of(at + AROUND)),
            )
        found = [*islice(entries, limit + 1)]
        with ThreadPoolExecutor(_THREADS) as pool:
            items = [item for item in pool.map(self._readable, found[:limit]) if item is not None]
        return Decisions(items=items, more=len(found) > limit)

    def decided(self, entry: Entry) -> Decided | None:
        """What an entry of history says; None when it has expired meanwhile.

        Raises StorageUnavailable, RecordUnreadable.
        """
        content = self._history.read(entry)
        if content is None:
            return None
        over = entry.decision in _FINAL
        run = self._summary(entry, content) if over else None
        event = run.event if run else event_told(content)
        if event is None:
            raise _unreadable(entry)
        return Decided(
            trigger=entry.trigger,
            key=entry.key,
            at=entry.at,
            decision=entry.decision or str(content.get("decision")),
            check=None if over else str(content.get("check")),
            passed=() if over else _texts(content.get("passed")),
            run=run,
            event=event,
        )

    def _readable(self, entry: Entry) -> Decided | None:
        try:
            return self.decided(entry)
        except RecordUnreadable as error:
            log.warning("A decision is left out: %s", error)
            return None

    def list(
        self,
        *,
        trigger: str | None = None,
        state: str | None = None,
        pipeline: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        cut: bool = False,
    ) -> RunPage:
        """Runs: those that are open by name, then those that are over, newest first.

        `pipeline` is a name, or name@version. A run that ends while pages are read may be on two
        of them, never on none. With more than MAX_TRIGGERS triggers one must be named, unless only
        open runs are asked for, or `cut` leaves the others out. Raises RequestInvalid, NotFound
        for a trigger that never was, StorageUnavailable.
        """
        wanted, after = _checked(state, limit, cursor)
        known = {*self._index.read().snapshot.triggers, *RESERVED}
        names, left_out = ([trigger], 0) if trigger is not None else first(sorted(known))
        if left_out and not cut and (wanted is None or wanted.final):
            why = f"name one: there are {len(known):,}, and {MAX_TRIGGERS} are looked at for a list"
            raise RequestInvalid("This list cannot be given", {"trigger": why})
        if trigger is not None and not NAME.fullmatch(trigger):
            raise _no_trigger(trigger, known)

        def fits(run: RunSummary | None) -> bool:
            return (
                run is not None
                and wanted in (None, run.state)
                and pipeline in (None, run.pipeline, (run.pipeline or "").partition("@")[0])
            )

        found: dict[str, RunSummary] = {}
        looked, more, last = 0, False, after
        with ThreadPoolExecutor(_THREADS) as pool:
            candidates = chain(
                self._open(trigger, wanted, after), self._over(names, wanted, after, pool)
            )
            while len(found) < limit and looked < _LOOKS:
                missing = limit - len(found)
                picky = pipeline is not None or wanted is not None
                chunk = _chunk(candidates, max(missing, _LOOK_AHEAD) if picky else missing)
                if not chunk:
                    break
                loaded = pool.map(lambda candidate: candidate.load and candidate.load(), chunk)
                for candidate, run in zip(chunk, loaded, strict=True):
                    if len(found) == limit:
                        more = True
                        break
                    looked += 1 if candidate.load else _LOOKS // _PAUSES
                    last = candidate.position
                    if run is not None and fits(run):
                        found[run.id] = run
            more = more or next(candidates, None) is not None
        if trigger is not None and trigger not in known and not (found or more or after):
            raise _no_trigger(trigger, known)
        further = last.cursor if more and last else None
        return RunPage(items=[*found.values()], cursor=further, left_out=left_out if cut else 0)

    def _open(
        self, trigger: str | None, wanted: State | None, after: _Position | None
    ) -> Iterator[_Candidate]:
        """What has a marker, by name."""
        if (after and after.phase == "over") or (wanted and wanted.final):
            return
        for marker in self._ledger.unfinished(trigger):
            name = f"{marker.trigger}/{marker.key}"
            if after is None or name > after.place:
                yield _Candidate(_Position("open", name), partial(self._load_open, marker))

    def _over(
        self,
        triggers: Sequence[str],
        wanted: State | None,
        after: _Position | None,
        pool: ThreadPoolExecutor,
    ) -> Iterator[_Candidate]:
        """What history has, newest first: every trigger's listing merged into one."""
        if wanted and not wanted.final:
            return
        decisions = {wanted.value} if wanted else _FINAL
        place = after.place if after and after.phase == "over" else ""
        # Two triggers may have decided about one event at one moment: the same place.
        streams = [
            self._sparse(name, decisions, place[:-1] if after and name > after.trigger else place)
            for name in triggers
        ]
        begun = list(pool.map(_begun, streams))
        for entry in heapq.merge(*begun, key=lambda entry: (entry.place, entry.trigger)):
            fits = entry.decision in decisions
            yield _Candidate(
                _Position("over", entry.place, entry.trigger),
                partial(self._load_over, entry) if fits else None,
            )

    def _sparse(self, trigger: str, decisions: Set[str], after: str) -> Iterator[Entry]:
        """A trigger's entries with those decisions, and now and then one that was passed over."""
        passed = 0
        for entry in self._history.entries(trigger, after=after):
            passed += 1
            if entry.decision in decisions or passed == self._passed_over:
                passed = 0
                yield entry

    def _load_open(self, marker: Marker) -> RunSummary | None:
        try:
            kept = self._ledger.read(marker.trigger, marker.key)
        except RecordUnreadable as error:
            log.warning("A run is left out of the list: %s", error)
            return None
        if kept is None:
            return None
        record = kept.record
        if record.state.final and self._history.has(
            record.trigger, record.key, record.event, record.transitions[-1].at
        ):
            return None
        return summary(record, self._workspace.studio_url)

    def _load_over(self, entry: Entry) -> RunSummary | None:
        try:
            content = self._history.read(entry)
            return self._summary(entry, content) if content else None
        except RecordUnreadable as error:
            log.warning("A run is left out of the list: %s", error)
            return None

    def _summary(self, entry: Entry, content: Mapping[str, Any]) -> RunSummary:
        found = told(content, self._workspace.studio_url)
        if found is None:
            raise _unreadable(entry)
        return found


def first(triggers: Iterable[str]) -> tuple[builtins.list[str], int]:
    """So many triggers as are looked at for one answer, and how many that leaves out.

    What no trigger decided is never left out.
    """
    others = [name for name in triggers if name not in RESERVED]
    room = MAX_TRIGGERS - len(RESERVED)
    return sorted([*others[:room], *RESERVED]), max(len(others) - room, 0)


def _checked(
    state: str | None, limit: int, cursor: str | None
) -> tuple[State | None, _Position | None]:
    wrong, wanted, after = dict[str, str](), None, None
    if state is not None and state not in list(State):
        wrong["state"] = f"is none of {', '.join(State)}"
    elif state is not None:
        wanted = State(state)
    if not 1 <= limit <= MAX_PAGE:
        wrong["limit"] = f"is not 1 to {MAX_PAGE}"
    try:
        after = _Position.parse(cursor) if cursor is not None else None
    except (ValueError, RecursionError):
        wrong["cursor"] = "is none that a page gave; leave it out to begin anew"
    if wrong:
        raise RequestInvalid("This list cannot be given", wrong)
    return wanted, after


def _chunk(candidates: Iterator[_Candidate], size: int) -> list[_Candidate]:
    chunk = []
    for candidate in islice(candidates, size):
        chunk.append(candidate)
        if candidate.load is None:
            break
    return chunk


def _begun(entries: Iterator[Entry]) -> Iterator[Entry]:
    """The same entries, the first of them here already."""
    first = next(entries, None)
    return chain([first], entries) if first is not None else iter(())


def _unreadable(entry: Entry) -> RecordUnreadable:
    return RecordUnreadable(f"{entry.name!r} is no decision that Signalbox wrote.")


def _no_trigger(name: str, known: Iterable[str]) -> NotFound:
    return NotFound(f"There is no trigger {shown(name)!r}. There are: {', '.join(sorted(known))}.")


def _texts(found: Any) -> tuple[str, ...]:
    return tuple(str(text) for text in found) if isinstance(found, list) else ()
