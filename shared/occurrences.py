"""Times of schedules that somebody asks for: of a range, or now; and running them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from shared.dispatcher import Decision, Dispatcher
from shared.errors import Conflict, NotFound, RequestInvalid, listed
from shared.index import Index, IndexedTrigger
from shared.orders import Orders
from shared.replay_states import Selection
from shared.timetables import Timetable

#: The most times of one backfill.
MOST = 10_000

#: Times that are counted of a range that has too many.
_COUNTED = 100_000

_COMING = "What is still to come, the schedule runs by itself."


@dataclass(frozen=True, kw_only=True)
class Range:
    """Times of a schedule, since <= time < until."""

    trigger: str
    #: Without an offset, the schedule's wall clock.
    since: datetime
    #: None: until now.
    until: datetime | None = None
    newest_first: bool = False


class Occurrences:
    """Finds and runs what is asked for. All raise StorageUnavailable."""

    def __init__(
        self, *, index: Index, orders: Orders, dispatcher: Dispatcher, most: int = MOST
    ) -> None:
        self._index = index
        self._orders = orders
        self._dispatcher = dispatcher
        self._most = most

    def choose(self, wish: Range) -> tuple[IndexedTrigger, Selection, list[datetime]]:
        """What a range comes to now, in its order. Changes nothing. Raises RequestInvalid,
        NotFound."""
        reading = self._index.read()
        indexed = _in_range(reading.snapshot.triggers, wish.trigger)
        table = Timetable(indexed)
        since = table.instant(wish.since)
        until = table.instant(wish.until) if wish.until else reading.at
        if since >= reading.at:
            raise _wrong(since=f"lies ahead; it is {table.stamp(reading.at)} now. {_COMING}")
        if until > reading.at:
            now = table.stamp(reading.at)
            raise _wrong(until=f"is not over yet; leave it out for now, {now}. {_COMING}")
        if since >= until:
            raise _wrong(until="is not after since")
        times = list(islice(table.within(since, until), _COUNTED + 1))
        if len(times) > self._most:
            found = f"{len(times):,}" if len(times) <= _COUNTED else f"more than {_COUNTED:,}"
            raise _wrong(
                since=f"{found} times of the schedule lie in this range, and one backfill takes "
                f"{self._most:,}; choose less of it"
            )
        if not times:
            raise _wrong(
                since=f"no time of the schedule lies in this range. {table.why_not(since)}"
            )
        selection = Selection(
            trigger=wish.trigger,
            since=since,
            until=until,
            occurrences=True,
            newest_first=wish.newest_first,
        )
        return indexed, selection, times[::-1] if wish.newest_first else times

    def backfill(self, name: str, scheduled: datetime, *, replay: str, limit: int) -> Decision:
        """Run one time of a schedule, with what is published now: once for each backfill.

        At most `limit` runs of a backfill are under way at once. Raises Conflict.
        """
        reading = self._index.read()
        indexed = reading.snapshot.triggers.get(name)
        if indexed is None or indexed.schedule is None:
            raise Conflict(f"There is no schedule {name!r} any more.")
        table = Timetable(indexed)
        if table.at(scheduled) != scheduled:
            raise Conflict(f"It is no time of the schedule any more. {table.why_not(scheduled)}")
        own = self._orders.occurrence(indexed, scheduled)
        order = self._orders.backfilled(own, replay=replay, limit=limit)
        return self._dispatcher.place(order, reading.snapshot)

    def now(self, name: str, *, by: str, key: str) -> Decision:
        """Run a schedule's pipeline as if it were due now, also while it is paused.

        The same caller and key are the same run. Raises NotFound, RequestInvalid.
        """
        reading = self._index.read()
        indexed = named(reading.snapshot.triggers, name)
        order = self._orders.prompted(indexed, reading.at.replace(microsecond=0), by=by, key=key)
        return self._dispatcher.place(order, reading.snapshot)


def named(triggers: Mapping[str, IndexedTrigger], name: str) -> IndexedTrigger:
    """A trigger that is a schedule, whoever's clock it has. Raises NotFound."""
    indexed = triggers.get(name)
    if indexed is not None and indexed.definition.spec.schedule is not None:
        return indexed
    there = listed(
        sorted(each for each, found in triggers.items() if found.definition.spec.schedule)
    )
    if indexed is None:
        raise NotFound(f"There is no schedule {name!r}. There are: {there}.")
    source = indexed.definition.spec.source
    raise NotFound(
        f"Trigger {name!r} is no schedule, its source is {source}: see `signalbox triggers`. "
        f"Schedules are: {there}."
    )


def _in_range(triggers: Mapping[str, IndexedTrigger], name: str) -> IndexedTrigger:
    """A schedule whose times can be run afterwards. Raises NotFound, RequestInvalid."""
    indexed = triggers.get(name)
    if indexed is not None and (source := indexed.definition.spec.source) != "schedule":
        sweep = f"`signalbox triggers sweep {name}` or " if source == "blob" else ""
        raise _wrong(
            trigger=f"is for {source}, and a backfill is for schedules; what is past is run by "
            f"{sweep}`signalbox replay --trigger {name}`"
        )
    indexed = named(triggers, name)
    if indexed.schedule is None:
        pipeline = indexed.definition.action.pipeline
        raise _wrong(
            trigger="is kept by AzureML (engine: azureml), which runs nothing of the past; run its "
            f"pipeline by `signalbox run {pipeline}` with the inputs of each time, or publish it "
            "with `engine: signalbox`"
        )
    return indexed


def _wrong(**problems: str) -> RequestInvalid:
    return RequestInvalid("This cannot be backfilled", problems)
