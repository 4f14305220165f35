"""One process of the app that has schedules: the real rooms beside those of any worker."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from shared.backfills import Backfills
from shared.clocks import Clocks
from shared.index import Index
from shared.ledger import Ledger
from shared.new_blobs import NewBlobs
from shared.occurrences import Occurrences
from shared.orders import Orders
from shared.pauses import Pauses
from shared.previews import Previews
from shared.published import Published
from shared.schedules import Schedules
from tests.fakes import World
from tests.simulation.fickle import (
    FickleBlobs,
    FickleLakes,
    FickleOutcomes,
    FickleTargets,
    FickleWorkspace,
    Odds,
)
from tests.simulation.scenario import DEPLOYMENT
from tests.simulation.workers import Parts, Worker, worker

#: So few are written down by one tick that its end comes within one second.
MOST = 3


@dataclass(frozen=True)
class Machinery:
    """The classes that schedules are made of; a trap replaces one."""

    schedules: type[Schedules] = Schedules
    clocks: type[Clocks] = Clocks
    orders: type[Orders] = Orders
    index: type[Index] = Index
    pauses: type[Pauses] = Pauses
    new_blobs: type[NewBlobs] = NewBlobs


@dataclass(eq=False)
class Timer:
    """What is called of a process."""

    worker: Worker
    schedules: Schedules
    pauses: Pauses
    backfills: Backfills


def timer(
    machinery: Machinery,
    *,
    rng: Random,
    world: World,
    blobs: FickleBlobs,
    workspace: FickleWorkspace,
    lakes: FickleLakes,
    clock: Callable[[], float],
    backfills: bool,
) -> Timer:
    """Put together as `bootstrap` does it; `backfills` says whether its tick goes on with them."""
    orders = machinery.orders(deployment=DEPLOYMENT, variables={}, published=Published(blobs))
    made = worker(
        Parts(index=machinery.index, orders=machinery.orders, new_blobs=machinery.new_blobs),
        rng=rng,
        blobs=blobs,
        workspace=workspace,
        outcomes=FickleOutcomes(world, rng, Odds.calm()),
        targets=FickleTargets(world, rng, Odds.calm(), ready_at=None),
        lakes=lakes,
        clock=clock,
        parts_of_tick=("the replays",) if backfills else (),
    )
    schedules = machinery.schedules(
        index=made.index,
        clocks=machinery.clocks(blobs),
        orders=orders,
        dispatcher=made.dispatcher,
        most=MOST,
    )
    ledger = Ledger(blobs)
    asked = Backfills(
        occurrences=Occurrences(index=made.index, orders=orders, dispatcher=made.dispatcher),
        orders=orders,
        ledger=ledger,
        previews=Previews(
            index=made.index, orders=orders, ledger=ledger, lakes=lakes, variables={}
        ),
        replays=made.replays,
    )
    return Timer(made, schedules, machinery.pauses(made.index), asked)
