"""Running many at a time, each once, with a limit of their own: what was decided before once more
(a replay), or the times of a schedule (a backfill).

What is chosen is written down first; then one after the other gets a record under a key that has
the replay's id in it, so that whatever is begun twice is one run. How far it is, is written down
behind that.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from shared.dispatcher import Decision, Dispatcher, in_turn
from shared.errors import (
    Conflict,
    NotFound,
    Permanent,
    RecordUnreadable,
    RequestInvalid,
    SignalboxError,
    StorageUnavailable,
    Transient,
)
from shared.index import Index
from shared.inputs import redacted
from shared.ledger import ABSENT, Kept, Ledger, State, parse_run_id, run_key
from shared.occurrences import Occurrences
from shared.orders import backfill_key
from shared.replay_states import (
    TOLD,
    KeptReplay,
    NotStarted,
    Replay,
    ReplayStates,
    Selection,
)
from shared.selections import Selections, Wish
from shared.submission import Submission

log = logging.getLogger(__name__)

#: Seconds that one tick may take.
BUDGET = 6.0

#: The most runs of one replay that may be under way at once.
MOST_AT_ONCE = 100

#: Runs that are started before it is written down how far it is.
_CHUNK = 10
#: Seconds that a request works on a replay that it asks for.
_ASKED_BUDGET = 10.0
#: Waiting for their turn, as against being under way: a replay that is canceled ends these.
_WAITS = (State.QUEUED, State.HELD, State.WAITING_COMPUTE)

#: What says of a replay what was come to.
_COME_TO = ("position", "not_started", "problems")


class Replays:
    """Chooses, starts and follows what is run once more. All raise StorageUnavailable."""

    def __init__(
        self,
        *,
        deployment: str,
        states: ReplayStates,
        selections: Selections,
        occurrences: Occurrences,
        index: Index,
        ledger: Ledger,
        dispatcher: Dispatcher,
        submission: Submission,
        monotonic: Callable[[], float],
        side_by_side: Callable[[Sequence[Callable[[], None]]], None] = in_turn,
    ) -> None:
        self._deployment = deployment
        self._states = states
        self._selections = selections
        self._occurrences = occurrences
        self._index = index
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._submission = submission
        self._monotonic = monotonic
        self._side_by_side = side_by_side

    def ask(self, wish: Wish, *, limit: int, by: str, key: str) -> Replay:
        """Begin a replay and work on it for a while; the timer does the rest.

        The same caller and key are the same replay. Raises RequestInvalid, NotFound, and Conflict
        when another request has that key.
        """

        def choose() -> tuple[Selection, Sequence[str]]:
            selection, runs = self._selections.choose(wish)
            if not runs:
                raise RequestInvalid(
                    "There is nothing to be run once more",
                    {"outcomes": "nothing of that trigger and time was decided so"},
                )
            return selection, runs

        return self.begin(choose, _asked_for(wish), limit=limit, by=by, key=key)

    def begin(
        self,
        choose: Callable[[], tuple[Selection, Sequence[str]]],
        asked: Sequence[str],
        *,
        limit: int,
        by: str,
        key: str,
    ) -> Replay:
        """Begin to run what is chosen, unless the same caller and key have; `asked` tells their
        requests apart. Raises what choosing raises, RequestInvalid, and Conflict."""
        started = self._monotonic()
        if not 1 <= limit <= MOST_AT_ONCE:
            raise RequestInvalid(
                "So many cannot be under way at once", {"limit": f"is not 1 to {MOST_AT_ONCE}"}
            )
        id = _digest(self._deployment, by, key)[:16]
        request = _digest(*asked, str(limit))
        kept = self._states.read(id)
        if kept is None:
            selection, items = choose()
            replay = Replay(
                id=id,
                at=self._index.now(),
                by=by,
                request=request,
                selection=selection,
                limit=limit,
                chosen=self._states.choose(id, items),
                total=len(items),
            )
            # None: the same request was faster.
            kept = self._states.create(replay) or self._states.read(id)
            if kept is None:
                raise StorageUnavailable(f"Replay {id} was there, and is not")
        if kept.replay.request != request:
            raise Conflict(
                "This Idempotency-Key was used for another replay or backfill; choose a new one "
                "for each."
            )
        with suppress(SignalboxError):
            # It is written down, and the timer goes on.
            self._go_on(kept, lambda: self._monotonic() - started > _ASKED_BUDGET)
        return self.find(id)

    def find(self, id: str) -> Replay:
        """Raises NotFound, RecordUnreadable."""
        kept = self._states.read(id)
        if kept is None:
            raise NotFound(f"There is no replay {id!r}; `signalbox replays` lists those there are.")
        return kept.replay

    def page(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Replay], str | None]:
        """Replays, newest first, and where to go on. Raises RequestInvalid."""
        ids = [one.id for one in self._states.all()]
        if cursor is not None and cursor not in ids:
            raise RequestInvalid(
                "This page cannot be given", {"cursor": "is none that a page gave; begin anew"}
            )
        begin = ids.index(cursor) + 1 if cursor is not None else 0
        found: dict[str, Replay] = {}

        def read(id: str) -> None:
            with suppress(RecordUnreadable):
                if kept := self._states.read(id):
                    found[id] = kept.replay

        page = ids[begin : begin + limit]
        self._side_by_side([partial(read, id) for id in page])
        more = begin + limit < len(ids)
        return [found[id] for id in page if id in found], page[-1] if more else None

    def cancel(self, id: str) -> Replay:
        """Start nothing more, and end what waits for its turn; what is under way goes on.

        Raises NotFound, and Conflict when it is over.
        """
        for _ in range(10):
            kept = self._states.read(id)
            if kept is None:
                return self.find(id)
            if kept.replay.over and not kept.replay.cancel_requested:
                raise Conflict(f"Replay {id} is {kept.replay.stage}; there is nothing to cancel.")
            update = {
                "cancel_requested": True,
                "waiting": None,
                "unheard_until": self._index.now() + ABSENT,
            }
            asked = kept.replay.model_copy(update=update)
            if kept.replay.cancel_requested or (swapped := self._states.swap(kept, asked)):
                break
        else:
            raise StorageUnavailable("The replay kept changing under this write; try again")
        if not kept.replay.cancel_requested and swapped:
            with suppress(SignalboxError):
                self._go_on(swapped, lambda: True)
        return self.find(id)

    def run_due(self, until: Callable[[], bool]) -> None:
        """Go on with every replay that is not over, until the time is.

        Those that nobody worked on for longest come first. One replay's trouble is logged and does
        not stop the others.
        """
        under_way = [one for one in self._states.all() if not one.over]
        for one in sorted(under_way, key=lambda one: one.last_modified):
            if until():
                return
            about = {"action": "tick_item_failed", "item": f"replay {one.id}"}
            try:
                if kept := self._states.read(one.id):
                    self._go_on(kept, until)
            except SignalboxError as error:
                log.warning("Replay %s does not go on: %s", one.id, error, extra=about)
            except Exception:
                log.exception("Replay %s does not go on", one.id, extra=about)

    def _go_on(self, kept: KeptReplay, until: Callable[[], bool]) -> None:
        """Count what is over and start what comes next, as far as the limit and the time go."""
        settled = self._settled(kept.replay)
        now = kept if settled == kept.replay else self._states.swap(kept, settled)
        items: Sequence[str] = ()
        while now is not None:
            replay = now.replay
            more = replay.position < replay.total and not replay.cancel_requested
            # As many again wait in its slot, so that the next begins when one ends.
            if not more or replay.waiting or len(replay.active) >= 2 * replay.limit:
                return
            items = items or self._states.chosen(replay)
            begun: dict[str | datetime, str] = {}
            following, trouble = self._started(replay, items, until, begun)
            before, now = now, self._states.swap(now, following)
            if now is None:
                self._changed_meanwhile(before.replay, following, begun)
            if trouble is not None:
                raise trouble
            if until():
                return

    def _changed_meanwhile(
        self, before: Replay, following: Replay, begun: Mapping[str | datetime, str]
    ) -> None:
        """What was started while somebody canceled, or said that it cannot be, is no less of it."""
        for _ in range(10):
            kept = self._states.read(before.id)
            if kept is None:
                return
            now = kept.replay
            refused = [one for one in now.problems if one.of in begun]
            update: dict[str, object] = {}
            if now.cancel_requested and now.position == before.position:
                # Nobody else comes to these.
                told = {name: getattr(following, name) for name in _COME_TO}
                new = [run for run in following.active if run not in before.active]
                update = {**told, "active": tuple(dict.fromkeys((*now.active, *new)))}
            elif refused:
                update = {
                    "active": (*now.active, *(begun[one.of] for one in refused)),
                    "problems": tuple(one for one in now.problems if one not in refused),
                    "not_started": now.not_started - len(refused),
                }
            if not update or self._states.swap(kept, now.model_copy(update=update)):
                return

    def _settled(self, replay: Replay) -> Replay:
        """The replay once what is over is counted, and with why nothing is started now."""
        reading, until = self._index.read(), replay.unheard_until
        if until is not None:
            replay = self._heard(replay)
            if reading.at > until:
                replay = replay.model_copy(update={"unheard_until": None})
        ends: dict[str, State | None] = {}

        def look(run: str) -> None:
            named = parse_run_id(run)
            assert named is not None
            try:
                kept = self._ledger.read(*named)
            except RecordUnreadable:
                return
            state = kept.record.state if kept else None
            if kept is None or kept.record.state.final:
                ends[run] = state
            elif replay.cancel_requested and state in _WAITS:
                self._submission.request_cancel(*named)

        self._side_by_side([partial(look, run) for run in replay.active])
        ended = dict(replay.ended)
        for state in ends.values():
            if state is not None:
                ended[state] = ended.get(state, 0) + 1
        waiting, trigger = None, replay.selection.trigger
        indexed = reading.snapshot.triggers.get(trigger)
        if indexed is not None and indexed.paused is not None:
            waiting = (
                f"Trigger {trigger} is paused {indexed.paused.text}; resume it with "
                f"`signalbox triggers resume {trigger}`."
            )
        return replay.model_copy(
            update={
                "active": tuple(run for run in replay.active if run not in ends),
                "ended": ended,
                "waiting": waiting,
            }
        )

    def _heard(self, replay: Replay) -> Replay:
        """A canceled replay with what somebody started of it before, and died over it."""
        try:
            items = self._states.chosen(replay)[replay.position :][: _most_at_once(replay)]
        except RecordUnreadable:
            # Then nobody has started anything of it.
            return replay
        found: dict[str, Kept] = {}

        def look(item: str) -> None:
            with suppress(RecordUnreadable):
                if kept := self._run_of(replay, item):
                    found[item] = kept

        self._side_by_side([partial(look, item) for item in items])
        # One comes after the other, so what lies between them could not be started.
        while items and items[-1] not in found:
            items.pop()
        for item in items:
            if item in found:
                record = found[item].record
                replay = _with(replay, record.run_id if record.replay_of in (None, item) else None)
            else:
                replay = _without(replay, item, "It was not started before somebody canceled.")
        return replay

    def _run_of(self, replay: Replay, item: str) -> Kept | None:
        """What became of one of what was chosen, if it was started. Raises RecordUnreadable."""
        if replay.selection.occurrences:
            trigger, at = replay.selection.trigger, datetime.fromisoformat(item)
            key = backfill_key(self._deployment, trigger, at, replay=replay.id)
            return self._ledger.read(trigger, key)
        named = parse_run_id(item)
        kept = self._ledger.read(*named) if named else None
        if kept is None:
            return None
        key = run_key(self._deployment, kept.record.event, replay=replay.id)
        return self._ledger.read(kept.record.trigger, key)

    def _started(
        self,
        replay: Replay,
        items: Sequence[str],
        until: Callable[[], bool],
        begun: dict[str | datetime, str],
    ) -> tuple[Replay, SignalboxError | None]:
        """The replay with a few more started, and what kept the next one from it.

        `begun` gets the runs that were started, by what was chosen.
        """
        room = min(_most_at_once(replay), 2 * replay.limit - len(replay.active))
        for item in items[replay.position : replay.position + room]:
            try:
                decision = self._start(replay, item)
                if decision.record is None:
                    raise StorageUnavailable(f"What became of {item} cannot be read now")
                new: str | None = decision.record.run_id
                if replay.selection.occurrences:
                    begun[datetime.fromisoformat(item)] = decision.record.run_id
                elif decision.record.replay_of == item:
                    begun[item] = decision.record.run_id
                else:
                    new = None
                replay = _with(replay, new)
            except Transient as error:
                return replay, error
            except Permanent as error:
                replay = _without(replay, item, redacted(str(error)))
            except Exception:
                about = {"action": "replay_item_failed", "replay": replay.id, "item": item}
                log.exception("%s could not be run by replay %s", item, replay.id, extra=about)
                replay = _without(replay, item, "Signalbox made a mistake; its log tells more.")
            if until():
                break
        return replay, None

    def _start(self, replay: Replay, item: str) -> Decision:
        """Run one of what was chosen."""
        if replay.selection.occurrences:
            return self._occurrences.backfill(
                replay.selection.trigger,
                datetime.fromisoformat(item),
                replay=replay.id,
                limit=replay.limit,
            )
        return self._dispatcher.replay(
            self._selections.over(item), replay=replay.id, limit=replay.limit
        )


def _most_at_once(replay: Replay) -> int:
    """How many are started before it is written down."""
    return min(_CHUNK, 2 * replay.limit)


def _with(replay: Replay, run: str | None) -> Replay:
    """With one more that was come to; None: it was for an event that is counted already."""
    active = tuple(dict.fromkeys((*replay.active, *([run] if run else []))))
    return replay.model_copy(update={"active": active, "position": replay.position + 1})


def _without(replay: Replay, item: str, why: str) -> Replay:
    """With one more that cannot be."""
    if replay.selection.occurrences:
        problem = NotStarted(scheduled_time=datetime.fromisoformat(item), why=why)
    else:
        problem = NotStarted(run=item, why=why)
    return replay.model_copy(
        update={
            "position": replay.position + 1,
            "not_started": replay.not_started + 1,
            "problems": (*replay.problems, problem)[:TOLD],
        }
    )


def _asked_for(wish: Wish) -> list[str]:
    times = [at.isoformat() if at else "" for at in (wish.since, wish.until)]
    return [wish.trigger or "", *wish.outcomes, "", *times, *wish.runs]


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
