"""Rules of replays left out: each is a bug that the simulation must find."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from shared.ledger import Record, State
from shared.orders import Order, Orders
from shared.replay_states import KeptReplay, Replay, slot_of
from shared.replays import MOST_AT_ONCE, Replays
from shared.selections import Wish
from tests.simulation.trap import FAIR, Trap
from tests.simulation.workers import Parts


class ReplayIsNotInTheKey(Orders):
    """The replay's id is not in the key: what is run once more is the run that another replay, or
    a retry, made of it."""

    def replayed(self, record: Record, order: Order, replay: str, limit: int) -> Order:
        return replace(super().replayed(record, order, replay, limit), key=order.key)


class CountedAsTold(Replays):
    """What was begun is counted by what that call was told, not by what its record says."""

    def _settled(self, replay: Replay) -> Replay:
        settled = super()._settled(replay)
        told = dict(replay.ended)
        for run in replay.active:
            if run not in settled.active:
                told[State.COMPLETED] = told.get(State.COMPLETED, 0) + 1
        return settled.model_copy(update={"ended": told})


class WrittenBeforeItIsBegun(Replays):
    """How far a replay is, is written down before the runs are begun: a crash in between, and they
    never are."""

    def _go_on(self, kept: KeptReplay, until: Callable[[], bool]) -> None:
        replay = kept.replay
        more = replay.position < replay.total and not replay.cancel_requested
        if more and not replay.active:
            following = replay.model_copy(update={"position": replay.total})
            if written := self._states.swap(kept, following):
                runs = self._states.chosen(replay)
                begun, _ = self._started(replay, runs, until, {})
                self._states.swap(written, begun)
            return
        super()._go_on(kept, until)


class ChosenAnew(Replays):
    """What is run once more is chosen anew by whoever goes on, not read from where it was written:
    by then other runs are over."""

    def _started(self, replay: Replay, runs: Sequence[str], *given: Any) -> Any:
        if replay.selection.outcomes:
            outcomes = tuple(replay.selection.outcomes)
            wish = Wish(trigger=replay.selection.trigger, outcomes=outcomes)
            runs = self._selections.choose(wish)[1][: replay.total]
        return super()._started(replay, runs, *given)


class MoreAtOnce(Orders):
    """What a replay asks for does not bound how many of its runs are under way at once."""

    def replayed(self, record: Record, order: Order, replay: str, limit: int) -> Order:
        replayed = super().replayed(record, order, replay, limit)
        return replace(replayed, own_slot=(slot_of(replay), MOST_AT_ONCE))


def _replays(**given: Any) -> dict[str, Any]:
    return {
        "uploads": 6,
        "steps": 600,
        "asked": 0.1,
        "canceled": 0,
        "retried": 0.01,
        "late_compute": False,
        "policies": {"max_runs_per_day": "unlimited"},
        **given,
    }


_QUICK = replace(FAIR, progress=0.6, job_fails=0.5)


def _trap(parts: Parts, odds: Any = _QUICK, **given: Any) -> Trap:
    return Trap(parts, odds, _replays(**given), kind="replays")


REPLAY_TRAPS: dict[str, Trap] = {
    "replay is not in the key": _trap(Parts(orders=ReplayIsNotInTheKey)),
    "counted as told": _trap(Parts(replays=CountedAsTold)),
    "written before it is begun": _trap(
        Parts(replays=WrittenBeforeItIsBegun), replace(_QUICK, crash=0.05)
    ),
    "chosen anew": _trap(Parts(replays=ChosenAnew)),
    "more at once": _trap(Parts(orders=MoreAtOnce)),
}
