"""What is to be run once more: what was decided so within a time, or runs by name."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile

from shared.definitions import MANUAL_TRIGGER, UNREADABLE_TRIGGER
from shared.errors import Conflict, NotFound, RequestInvalid, listed
from shared.history import NO_MATCH, History, place_of
from shared.index import Index
from shared.ledger import Ledger, Record, State, parse_run_id
from shared.replay_states import Selection

#: The most runs of one replay.
MOST = 10_000
#: What may be chosen by how it ended.
OUTCOMES = (
    State.COMPLETED,
    State.FAILED,
    State.CANCELED,
    State.DEAD_LETTER,
    State.SKIPPED,
    State.MISSED,
)

#: Decisions of a trigger that are looked through to choose among them.
_NAMES = 200_000


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a client wants to be run once more."""

    trigger: str | None = None
    #: How it ended, of OUTCOMES.
    outcomes: tuple[str, ...] = ()
    #: When that was decided.
    since: datetime | None = None
    until: datetime | None = None
    #: Or: these.
    runs: tuple[str, ...] = ()


class Selections:
    """Finds what a wish comes to. Changes nothing. All raise StorageUnavailable."""

    def __init__(self, *, index: Index, ledger: Ledger, history: History, most: int = MOST) -> None:
        self._index = index
        self._ledger = ledger
        self._history = history
        #: Runs that are chosen by how they ended.
        self._most = most

    def choose(self, wish: Wish) -> tuple[Selection, list[str]]:
        """What a wish comes to now, in the order in which it is run once more.

        Raises RequestInvalid, NotFound.
        """
        wrong = _wrong(wish)
        if wrong:
            raise RequestInvalid("This cannot be chosen", wrong)
        if wish.runs:
            trigger = wish.runs[0].partition(".")[0]
            return Selection(trigger=trigger, named=True), list(dict.fromkeys(wish.runs))
        assert wish.trigger is not None
        reading = self._index.read()
        selection = Selection(
            trigger=wish.trigger,
            outcomes=tuple(State(outcome) for outcome in dict.fromkeys(wish.outcomes)),
            since=wish.since,
            until=min(wish.until, reading.at) if wish.until else reading.at,
        )
        runs = self._decided(selection)
        known = {*reading.snapshot.triggers, MANUAL_TRIGGER}
        if not runs and wish.trigger not in known:
            there = listed(sorted(known))
            raise NotFound(f"There is no trigger {wish.trigger!r}. There are: {there}.")
        return selection, runs

    def _decided(self, selection: Selection) -> list[str]:
        """Runs by how they ended and when, the oldest decision first."""
        assert selection.until is not None
        since, outcomes = selection.since, frozenset(selection.outcomes)
        entries = self._history.entries(selection.trigger, after=place_of(selection.until))
        if since is not None:
            entries = takewhile(lambda entry: entry.at >= since, entries)
        runs: dict[str, None] = {}
        looked = 0
        for entry in islice(entries, _NAMES + 1):
            looked += 1
            run = f"{entry.trigger}.{entry.key}"
            if entry.decision in outcomes and parse_run_id(run):
                runs[run] = None
        for number, most, what in ((len(runs), self._most, "runs"), (looked, _NAMES, "decisions")):
            if number > most:
                raise RequestInvalid(
                    "This is too much for one replay",
                    {"since": f"more than {most:,} {what} fall into this time; choose less of it"},
                )
        return list(reversed(runs))

    def over(self, run: str) -> Record:
        """The record of a run that may be run once more. Raises NotFound, Conflict."""
        named = parse_run_id(run)
        kept = self._ledger.read(*named) if named else None
        if kept is None:
            raise NotFound(f"There is no run {run}, or its record has expired.")
        record = kept.record
        if record.state is State.BATCHED:
            batch = f"{record.trigger}.{record.batch}" if record.batch else "a batch"
            raise Conflict(f"Event {run} was taken by {batch}; run that once more instead.")
        if not record.state.final:
            raise Conflict(f"Run {run} is {record.state}; only what is over is run once more.")
        return record


def _wrong(wish: Wish) -> dict[str, str]:
    """What is wrong with a wish, by field."""
    wrong: dict[str, str] = {}
    if wish.runs:
        if wish.trigger or wish.outcomes or wish.since or wish.until:
            wrong["runs"] = "are named one by one; leave trigger, outcomes, since and until out"
        elif len(wish.runs) > MOST:
            wrong["runs"] = f"are more than {MOST:,}; make several replays of them"
        elif bad := next((run for run in wish.runs if not parse_run_id(run)), None):
            wrong["runs"] = f"{bad[:100]!r} is no run id: <trigger>.<32 hexadecimal digits>"
        elif len({run.partition(".")[0] for run in wish.runs}) > 1:
            wrong["runs"] = "are of several triggers; make a replay for each"
        elif wish.runs[0].partition(".")[0] == UNREADABLE_TRIGGER:
            wrong["runs"] = "could not be read; mend what was sent, and send it anew"
        return wrong
    if wish.trigger is None:
        wrong["trigger"] = "is missing; say it with outcomes, or name runs"
    elif wish.trigger == UNREADABLE_TRIGGER:
        wrong["trigger"] = "keeps what could not be read; mend what was sent, and send it anew"
    if not wish.outcomes:
        wrong["outcomes"] = f"are missing: of {', '.join(OUTCOMES)}"
    elif NO_MATCH in wish.outcomes:
        wrong["outcomes"] = (
            "of no_match are kept without their data; for uploads, `signalbox triggers sweep` "
            "starts what the trigger says yes to by now"
        )
    elif bad := next((one for one in wish.outcomes if one not in OUTCOMES), None):
        wrong["outcomes"] = f"{bad[:100]!r} is none of {', '.join(OUTCOMES)}"
    if wish.since and wish.until and wish.since > wish.until:
        wrong["since"] = "is behind until"
    return wrong
