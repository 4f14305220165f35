"""What was recorded of one thing that happened, found without reading everything else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice, takewhile

from shared.errors import RecordUnreadable
from shared.history import Entry, History, place_of
from shared.ledger import Ledger, Marker, Record
from shared.runs import Decided, Runs

#: The newest names of a trigger that are looked through.
NAMES = 5_000
#: What is read of one trigger.
EACH = 10
#: Entries of a trigger that are read where their names do not tell what is asked for.
READS = 100

_THREADS = 16

#: Clocks differ, and an event may say another time than storage.
_NEAR = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What one trigger left of it."""

    trigger: str
    #: Final decisions, newest first.
    decided: Sequence[Decided] = ()
    #: Runs that are not over.
    open: Sequence[Record] = ()
    #: Not everything was looked through.
    more: bool = False


class Traces:
    """Looks through markers and history. All raise StorageUnavailable."""

    def __init__(self, *, ledger: Ledger, history: History, runs: Runs, names: int = NAMES) -> None:
        self._ledger = ledger
        self._history = history
        self._runs = runs
        self._names = names

    def about(
        self, triggers: Iterable[str], digest: str, near: datetime | None = None
    ) -> list[Trace]:
        """What triggers have of the events about one thing; see `Event.about`.

        The newest are looked through, and those near a time.
        """

        def one(trigger: str) -> Trace:
            entries, more = _newest(self._history.entries(trigger), self._names)
            if near is not None and more:
                since = near - _NEAR
                window = self._history.entries(trigger, after=place_of(near + _NEAR))
                near_it = takewhile(lambda entry: entry.at >= since, window)
                entries = chain(entries, _newest(near_it, self._names)[0])
            markers, cut = _newest(self._ledger.unfinished(trigger), self._names)
            return self._trace(
                trigger,
                {entry.place: entry for entry in entries if entry.about == digest},
                [marker for marker in markers if marker.about == digest],
                more or cut,
            )

        return _each(one, triggers)

    def numbered(self, triggers: Iterable[str], number: str) -> list[Trace]:
        """What triggers have of the message with that sequence number, among the newest."""

        def fits(id: str) -> bool:
            return id.partition("@")[0] == number

        def one(trigger: str) -> Trace:
            entries = [*islice(self._history.entries(trigger), READS + 1)]
            markers = [*islice(self._ledger.unfinished(trigger), READS + 1)]
            trace = self._trace(
                trigger,
                {entry.place: entry for entry in entries[:READS]},
                markers[:READS],
                max(len(entries), len(markers)) > READS,
                READS,
            )
            return Trace(
                trigger=trigger,
                decided=[item for item in trace.decided if fits(item.event.id)],
                open=[record for record in trace.open if fits(record.event.id)],
                more=trace.more,
            )

        return _each(one, triggers)

    def _trace(
        self,
        trigger: str,
        entries: dict[str, Entry],
        markers: Sequence[Marker],
        more: bool,
        each: int = EACH,
    ) -> Trace:
        chosen = sorted(entries.values(), key=lambda entry: entry.place)
        decided = list(_read(self._runs.decided, chosen[:each]))
        told = {item.key for item in decided}
        waiting = [marker for marker in markers[:each] if marker.key not in told]
        return Trace(
            trigger=trigger,
            decided=decided,
            open=list(_read(self._record, waiting)),
            more=more or len(chosen) > each or len(markers) > each,
        )

    def _record(self, marker: Marker) -> Record | None:
        kept = self._ledger.read(marker.trigger, marker.key)
        return kept.record if kept else None


def _read[T, R](read: Callable[[T], R | None], items: Iterable[T]) -> Iterator[R]:
    for item in items:
        try:
            found = read(item)
        except RecordUnreadable:
            # One that cannot be read does not hide the others.
            continue
        if found is not None:
            yield found


def _newest[T](items: Iterator[T], limit: int) -> tuple[Iterator[T], bool]:
    """The first of many, and whether there are more."""
    first = [*islice(items, limit + 1)]
    return iter(first[:limit]), len(first) > limit


def _each(one: Callable[[str], Trace], triggers: Iterable[str]) -> list[Trace]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(one, triggers))
