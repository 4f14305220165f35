"""One process of the app: the real rooms over services that fail."""

from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random

from shared.batches import BUDGET as BATCHES_BUDGET
from shared.batches import Batches
from shared.compute import Computes
from shared.dispatcher import Dispatcher, in_turn
from shared.heartbeat import Heartbeat
from shared.history import History
from shared.inbox import Inbox
from shared.index import Index
from shared.ledger import Ledger
from shared.manifests import Manifests
from shared.new_blobs import NewBlobs
from shared.occurrences import Occurrences
from shared.orders import Orders
from shared.published import Published
from shared.replay_states import ReplayStates
from shared.replays import BUDGET as REPLAYS_BUDGET
from shared.replays import Replays
from shared.searches import Searches
from shared.selections import Selections
from shared.slots import Slots
from shared.submission import Submission
from shared.sweep_states import SweepStates
from shared.sweeps import BUDGET as SWEEPS_BUDGET
from shared.sweeps import Sweeps
from shared.tick import Part, Tick
from shared.turns import Turns
from shared.turnstiles import Turnstiles
from tests.fakes import MemoryLakes
from tests.simulation.doors import Door
from tests.simulation.fickle import (
    FickleBlobs,
    FickleOutcomes,
    FickleTargets,
    FickleWorkspace,
)
from tests.simulation.scenario import DEPLOYMENT


@dataclass(frozen=True)
class Parts:
    """The classes a worker is made of; a trap replaces one."""

    index: type[Index] = Index
    ledger: type[Ledger] = Ledger
    slots: type[Slots] = Slots
    turns: type[Turns] = Turns
    submission: type[Submission] = Submission
    inbox: type[Inbox] = Inbox
    batches: type[Batches] = Batches
    dispatcher: type[Dispatcher] = Dispatcher
    tick: type[Tick] = Tick
    orders: type[Orders] = Orders
    manifests: type[Manifests] = Manifests
    searches: type[Searches] = Searches
    sweeps: type[Sweeps] = Sweeps
    selections: type[Selections] = Selections
    replays: type[Replays] = Replays
    new_blobs: type[NewBlobs] = NewBlobs


@dataclass(frozen=True, eq=False)
class Worker:
    """What is called of a process."""

    index: Index
    dispatcher: Dispatcher
    tick: Tick
    submission: Submission
    sweeps: Sweeps
    replays: Replays
    #: See `watch.Caller`.
    counted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def worker(
    parts: Parts,
    *,
    rng: Random,
    blobs: FickleBlobs,
    workspace: FickleWorkspace,
    outcomes: FickleOutcomes,
    targets: FickleTargets,
    lakes: MemoryLakes,
    clock: Callable[[], float],
    parts_of_tick: Collection[str] = (),
) -> Worker:
    """Put together as `bootstrap` does it."""
    turnstiles = Turnstiles(lambda: Door(rng))
    index, ledger = parts.index(blobs, turnstiles), parts.ledger(blobs)
    history = History(blobs)
    computes = Computes(blobs, targets)
    slots = parts.slots(blobs)
    turns = parts.turns(index=index, ledger=ledger, slots=slots, turnstiles=turnstiles)
    submission = parts.submission(
        deployment=DEPLOYMENT,
        ledger=ledger,
        workspace=workspace,
        history=history,
        computes=computes,
        turns=turns,
        chain=lambda event: dispatcher.handle(event),
        outcomes=outcomes,
    )
    orders = parts.orders(deployment=DEPLOYMENT, variables={}, published=Published(blobs))
    manifests = parts.manifests(deployment=DEPLOYMENT, lakes=lakes, workspace=workspace)
    batches = parts.batches(
        deployment=DEPLOYMENT,
        index=index,
        orders=orders,
        ledger=ledger,
        inbox=parts.inbox(blobs),
        slots=slots,
        manifests=manifests,
        begin=lambda order, binding, snapshot: dispatcher.begin(order, binding, snapshot),
        submit=submission.submit,
        new_id=lambda: f"{rng.getrandbits(64):x}",
        side_by_side=in_turn,
        monotonic=clock,
    )
    dispatcher = parts.dispatcher(
        deployment=DEPLOYMENT,
        variables={},
        index=index,
        orders=orders,
        ledger=ledger,
        history=history,
        computes=computes,
        submission=submission,
        turns=turns,
        batches=batches,
        new_blobs=parts.new_blobs(
            blobs=blobs, ledger=ledger, lakes=lakes, manifests=manifests, monotonic=clock
        ),
        monotonic=clock,
    )
    sweeps = parts.sweeps(
        states=SweepStates(blobs),
        index=index,
        searches=parts.searches(
            orders=orders, ledger=ledger, lakes=lakes, dispatcher=dispatcher, variables={}
        ),
        monotonic=clock,
    )
    replays = parts.replays(
        deployment=DEPLOYMENT,
        states=ReplayStates(blobs),
        selections=parts.selections(index=index, ledger=ledger, history=history),
        occurrences=Occurrences(index=index, orders=orders, dispatcher=dispatcher),
        index=index,
        ledger=ledger,
        dispatcher=dispatcher,
        submission=submission,
        monotonic=clock,
    )
    others: dict[str, Part] = {
        "the batches": (BATCHES_BUDGET, batches.seal_due),
        "the sweeps": (SWEEPS_BUDGET, sweeps.run_due),
        "the replays": (REPLAYS_BUDGET, replays.run_due),
    }
    tick = parts.tick(
        index=index,
        ledger=ledger,
        heartbeat=Heartbeat(blobs),
        slots=slots,
        computes=computes,
        submission=submission,
        dispatcher=dispatcher,
        monotonic=clock,
        shuffle=rng.shuffle,
        others={name: others[name] for name in parts_of_tick},
    )
    return Worker(
        index=index,
        dispatcher=dispatcher,
        tick=tick,
        submission=submission,
        sweeps=sweeps,
        replays=replays,
    )
