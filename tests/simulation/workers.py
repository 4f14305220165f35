"""One process of the app: the real rooms over services that fail."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from shared.batches import BUDGET, Batches
from shared.compute import Computes
from shared.dispatcher import Dispatcher, in_turn
from shared.history import History
from shared.inbox import Inbox
from shared.index import Index
from shared.ledger import Ledger
from shared.manifests import Manifests
from shared.new_blobs import NewBlobs
from shared.orders import Orders
from shared.published import Published
from shared.slots import Slots
from shared.submission import Submission
from shared.tick import Tick
from shared.turns import Turns
from tests.fakes import MemoryLakes
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


@dataclass(frozen=True, eq=False)
class Worker:
    """What is called of a process."""

    index: Index
    dispatcher: Dispatcher
    tick: Tick
    submission: Submission


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
) -> Worker:
    """Put together as `bootstrap` does it."""
    index, ledger = parts.index(blobs), parts.ledger(blobs)
    history = History(blobs)
    computes = Computes(blobs, targets)
    slots = parts.slots(blobs)
    turns = parts.turns(index=index, ledger=ledger, slots=slots)
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
    orders = Orders(deployment=DEPLOYMENT, variables={}, published=Published(blobs))
    manifests = Manifests(deployment=DEPLOYMENT, lakes=lakes, workspace=workspace)
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
        new_blobs=NewBlobs(
            blobs=blobs, ledger=ledger, lakes=lakes, manifests=manifests, monotonic=clock
        ),
        monotonic=clock,
    )
    tick = parts.tick(
        index=index,
        ledger=ledger,
        slots=slots,
        computes=computes,
        submission=submission,
        dispatcher=dispatcher,
        monotonic=clock,
        shuffle=rng.shuffle,
        others={"the batches": (BUDGET, batches.seal_due)},
    )
    return Worker(index=index, dispatcher=dispatcher, tick=tick, submission=submission)
