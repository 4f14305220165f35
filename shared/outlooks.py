"""What a replay would do: what would become of each run, before any of them is begun."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from shared.dispatcher import Dispatcher, in_turn
from shared.errors import Permanent, RequestInvalid
from shared.inputs import redacted
from shared.previews import Preview, Previews
from shared.replay_states import Selection
from shared.selections import Selections, Wish


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What would become of one run that is run once more."""

    run: str
    #: None when it cannot be: then `why_not` says why.
    preview: Preview | None = None
    why_not: str | None = None


@dataclass(frozen=True, kw_only=True)
class OutlookPage:
    """Some of what a replay would run, in its order."""

    items: list[Outlook]
    #: Of all pages.
    total: int
    selection: Selection
    #: Hand it back for what follows; None when nothing does.
    cursor: str | None


class Outlooks:
    """Looks at what a wish comes to. Changes nothing. All raise StorageUnavailable."""

    def __init__(
        self,
        *,
        selections: Selections,
        dispatcher: Dispatcher,
        previews: Previews,
        side_by_side: Callable[[Sequence[Callable[[], None]]], None] = in_turn,
    ) -> None:
        self._selections = selections
        self._dispatcher = dispatcher
        self._previews = previews
        self._side_by_side = side_by_side

    def of(self, wish: Wish, *, limit: int = 50, cursor: str | None = None) -> OutlookPage:
        """What a replay would do now, in its order. Raises RequestInvalid, NotFound."""
        selection, runs = self._selections.choose(wish)
        begin = 0
        if cursor is not None:
            if cursor not in runs:
                why = "is none that a page gave, or its run has expired; begin anew"
                raise RequestInvalid("This page cannot be given", {"cursor": why})
            begin = runs.index(cursor) + 1
        page = runs[begin : begin + limit]
        items: dict[str, Outlook] = {}
        self._side_by_side([partial(self._look, run, items) for run in page])
        more = begin + limit < len(runs)
        return OutlookPage(
            items=[items[run] for run in page],
            total=len(runs),
            selection=selection,
            cursor=page[-1] if more and page else None,
        )

    def _look(self, run: str, items: dict[str, Outlook]) -> None:
        try:
            preview = self._previews.of(self._dispatcher.again(self._selections.over(run)))
        except Permanent as error:
            items[run] = Outlook(run=run, why_not=redacted(str(error)))
        else:
            items[run] = Outlook(run=run, preview=preview)
