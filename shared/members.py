"""The events of batches, for whoever asks: those that wait, and those that a batch took."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice

from shared.errors import NotFound, RecordUnreadable, RequestInvalid
from shared.history import NO_MATCH, History
from shared.inbox import Inbox
from shared.ledger import Ledger, Record, State, parse_run_id
from shared.summaries import EventBrief, Shown, brief, shown

#: The most that one page holds.
MAX_PAGE = 200
#: Names of what waits that are looked through.
_NAMES = 5_000
#: The newest batches of a trigger that are looked through.
_BATCHES = 20
#: What is told of one trigger.
_EACH = 10

_THREADS = 16


class Listed(Shown):
    """An event of a batch."""

    #: What it is asked for by, as a run is.
    id: str
    state: State
    event: EventBrief
    #: It said that the others are complete, and is not in the manifest.
    releases: bool


class MemberPage(Shown):
    """Some events of a batch, oldest first, and where to go on."""

    items: list[Listed]
    #: Hand it back for what follows; None when nothing does.
    cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Joined:
    """An event, and the run of the batch that took it."""

    member: Record
    #: None while no batch took it, or when that run is not there any more.
    batch: Record | None


class Members:
    """Reads records of events and of their batches. All raise StorageUnavailable."""

    def __init__(self, *, ledger: Ledger, history: History, inbox: Inbox) -> None:
        self._ledger = ledger
        self._history = history
        self._inbox = inbox

    def list(self, run_id: str, limit: int = 50, cursor: str | None = None) -> MemberPage:
        """The events of a run. Raises NotFound, RequestInvalid."""
        named = parse_run_id(run_id)
        record = self._read(*named) if named else None
        if named is None or record is None:
            raise NotFound(f"There is no run {shown(run_id)!r}.")
        if not 1 <= limit <= MAX_PAGE:
            raise RequestInvalid("This list cannot be given", {"limit": f"is not 1 to {MAX_PAGE}"})
        if cursor is not None and not (cursor.isdecimal() and len(cursor) < 7):
            why = "is none that a page gave; leave it out to begin anew"
            raise RequestInvalid("This list cannot be given", {"cursor": why})
        begin = int(cursor or 0)
        keys = record.members[begin : begin + limit]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(lambda key: self._read(record.trigger, key), keys)
            items = [_listed(member) for member in found if member is not None]
        more = begin + limit < len(record.members)
        return MemberPage(items=items, cursor=str(begin + limit) if more else None)

    def about(self, trigger: str, digest: str) -> tuple[Joined, ...]:
        """The events about one thing: those that wait, and those of the newest batches."""
        waiting = [
            one.key for one in islice(self._inbox.waiting(trigger), _NAMES) if one.about == digest
        ]
        taken = [
            key
            for batch in self._batches(trigger)
            for key, about in zip(batch.members, batch.abouts, strict=False)
            if about == digest
        ]
        found = [self._read(trigger, key) for key in dict.fromkeys([*waiting, *taken][:_EACH])]
        return tuple(self.joined(member) for member in found if member is not None)

    def joined(self, member: Record) -> Joined:
        """An event with the run of its batch, when one took it."""
        batch = self._read(member.trigger, member.batch) if member.batch else None
        return Joined(member=member, batch=batch)

    def waiting(self, trigger: str) -> tuple[int, int, bool]:
        """How many events of a trigger wait in how many groups, and whether there are more."""
        some = [*islice(self._inbox.waiting(trigger), _NAMES + 1)]
        groups = [group for group, _ in groupby(some[:_NAMES], key=lambda one: one.group)]
        return min(len(some), _NAMES), len(groups), len(some) > _NAMES

    def _batches(self, trigger: str) -> Iterator[Record]:
        over = (entry for entry in self._history.entries(trigger) if entry.decision != NO_MATCH)
        keys: Iterable[str] = [
            *(marker.key for marker in islice(self._ledger.unfinished(trigger), _BATCHES)),
            *(entry.key for entry in islice(over, _BATCHES)),
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            for record in pool.map(lambda key: self._read(trigger, key), dict.fromkeys(keys)):
                if record is not None:
                    yield record

    def _read(self, trigger: str, key: str) -> Record | None:
        try:
            kept = self._ledger.read(trigger, key)
        except RecordUnreadable:
            # One that cannot be read does not hide the others.
            return None
        return kept.record if kept else None


def _listed(member: Record) -> Listed:
    return Listed(
        id=member.run_id,
        state=member.state,
        event=brief(member.event),
        releases=member.member is not None and member.member.releases,
    )
