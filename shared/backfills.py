"""Backfills: seeing what would become of the times of a range, and beginning to run them.

What follows is a replay's way; see `replays`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from shared.dispatcher import in_turn
from shared.errors import RequestInvalid
from shared.ledger import Ledger, State
from shared.occurrences import Occurrences, Range
from shared.orders import Orders
from shared.previews import Preview, Previews
from shared.replay_states import Replay, Selection
from shared.replays import Replays
from shared.timetables import Coming, Timetable


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What would become of one time that is backfilled."""

    time: Coming
    #: Text that tells it from the others.
    cursor: str
    preview: Preview
    #: The schedule's own run of that time, and its state, if anything is recorded of it.
    run: str | None
    state: State | None


@dataclass(frozen=True, kw_only=True)
class OutlookPage:
    """Some of what a backfill would run, in its order."""

    items: list[Outlook]
    #: Of all pages.
    total: int
    selection: Selection
    time_zone: str
    #: Hand it back for what follows; None when nothing does.
    cursor: str | None


class Backfills:
    """Chooses times of schedules, and begins to run them. All raise StorageUnavailable."""

    def __init__(
        self,
        *,
        occurrences: Occurrences,
        orders: Orders,
        ledger: Ledger,
        previews: Previews,
        replays: Replays,
        side_by_side: Callable[[Sequence[Callable[[], None]]], None] = in_turn,
    ) -> None:
        self._occurrences = occurrences
        self._orders = orders
        self._ledger = ledger
        self._previews = previews
        self._replays = replays
        self._side_by_side = side_by_side

    def preview(self, wish: Range, *, limit: int = 50, cursor: str | None = None) -> OutlookPage:
        """What a backfill would do now, in its order. Changes nothing. Raises RequestInvalid,
        NotFound."""
        indexed, selection, times = self._occurrences.choose(wish)
        names, begin = [_text(at) for at in times], 0
        if cursor is not None:
            if cursor not in names:
                why = "is none that a page gave; begin anew"
                raise RequestInvalid("This page cannot be given", {"cursor": why})
            begin = names.index(cursor) + 1
        page = times[begin : begin + limit]
        table, items = Timetable(indexed), dict[datetime, Outlook]()

        def look(at: datetime) -> None:
            own = self._orders.occurrence(indexed, at)
            kept = self._ledger.read(own.trigger, own.key)
            order = self._orders.backfilled(own, replay="preview", limit=1)
            items[at] = Outlook(
                time=table.told(at),
                cursor=_text(at),
                preview=self._previews.of(order),
                run=own.run_id if kept else None,
                state=kept.record.state if kept else None,
            )

        self._side_by_side([partial(look, at) for at in page])
        more = begin + limit < len(times)
        return OutlookPage(
            items=[items[at] for at in page],
            total=len(times),
            selection=selection,
            time_zone=table.zone.key,
            cursor=_text(page[-1]) if more and page else None,
        )

    def ask(self, wish: Range, *, limit: int, by: str, key: str) -> Replay:
        """Begin a backfill and work on it for a while; the timer does the rest.

        The same caller and key are the same backfill. Raises RequestInvalid, NotFound, and
        Conflict when another request has that key.
        """

        def choose() -> tuple[Selection, list[str]]:
            _, selection, times = self._occurrences.choose(wish)
            return selection, [_text(at) for at in times]

        until = wish.until.isoformat() if wish.until else ""
        order = "newest" if wish.newest_first else "oldest"
        asked = ["backfill", wish.trigger, wish.since.isoformat(), until, order]
        return self._replays.begin(choose, asked, limit=limit, by=by, key=key)


def _text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
