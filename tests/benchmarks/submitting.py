"""What a submission and a publish cost: the stock SDK, ZenML's shape and Signalbox side by side.

Everything goes through the front door over TLS, and the official SDK talks to the local AzureML,
which checks and keeps jobs and runs none. The ways take turns, since machines are noisy, and a
ratio is that of two calls of the same turn. Nothing is subtracted: what the local AzureML took is
told, and is part of the time on the clock.
"""

import logging
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import NamedTuple

from azure.ai.ml.entities import Environment

from emulator.stack import LocalAzure
from emulator.topology import Topology, Workspace
from tests.benchmarks.costs import Cost, Meter, Place
from tests.benchmarks.timing import Figure
from tests.benchmarks.ways import ENVIRONMENT, IMAGE, Assembled, Call, Signalbox, Stock, client
from tests.integration.conftest import exported

#: How often everything is measured, by the number of steps.
ROUNDS = {1: 7, 10: 5, 100: 3}
#: Measured once, each call in a process of its own and for so many seconds at most.
ONCE, AT_MOST = 1_000, 200.0
#: Seconds in which such a process begins to measure.
_TO_BEGIN = 60.0

SUBMIT, PUBLISH = "one submission", "one publish"


class Kind(NamedTuple):
    """What is measured: a way, and what it does."""

    what: str
    way: str


OURS = {SUBMIT: Kind(SUBMIT, "Signalbox"), PUBLISH: Kind(PUBLISH, "Signalbox")}
_STOCK = Kind(SUBMIT, "stock SDK, inline")
_ASSEMBLED = Kind(SUBMIT, "ZenML's shape")
#: More than the others do: they neither match an event nor keep what became of it.
_EVENT = Kind(SUBMIT, "Signalbox, the whole event")
#: The SDK has no publish. This registers the same steps and the same pipeline with it.
_COMPONENTS = Kind(PUBLISH, "stock SDK, components one by one")
_UNCHANGED = Kind(PUBLISH, "Signalbox, nothing changed")

_MANY_TIMES = (_STOCK, _ASSEMBLED, OURS[SUBMIT], _EVENT, _COMPONENTS, OURS[PUBLISH], _UNCHANGED)
#: Ours is published before it is submitted.
_ONE_TIME = (OURS[PUBLISH], _UNCHANGED, OURS[SUBMIT], _EVENT, _STOCK, _COMPONENTS)


@dataclass(frozen=True)
class Row:
    """What one kind of call cost at one number of steps."""

    kind: Kind
    steps: int
    #: One for each turn; none when it did not end within AT_MOST.
    costs: tuple[Cost, ...]


def rows(say: Callable[[str], None]) -> Iterator[Row]:
    """Measure everything; `say` is told what is being measured."""
    _quiet()
    topology = Topology(workspace=Workspace(executes=False))
    with (
        LocalAzure(topology=topology) as azure,
        exported(azure),
        tempfile.TemporaryDirectory() as folder,
    ):
        client(topology).environments.create_or_update(
            Environment(name=ENVIRONMENT, version="1", image=IMAGE)
        )
        place = Place.of(azure)
        yield from _in_turns(_Bench(place, Path(folder)), say)
        yield from _each_once(place, Path(folder), say)


class _Bench:
    """The three ways, each with its own client, warmed up."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._stock = Stock(client(place.topology), folder)
        self._assembled = Assembled(client(place.topology))
        self._signalbox = Signalbox(folder)
        self._meter = Meter(place)

    def warm_up(self, kinds: tuple[Kind, ...]) -> None:
        for kind in kinds:
            self.prepared(kind, 1)()

    def cost(self, call: Call) -> Cost:
        return self._meter.cost(call)

    def prepared(self, kind: Kind, steps: int) -> Call:
        """Made ready, to be measured."""
        calls: dict[Kind, Callable[[int], Call]] = {
            _STOCK: self._stock.submission,
            _ASSEMBLED: self._assembled.submission,
            OURS[SUBMIT]: self._signalbox.submission,
            _EVENT: self._signalbox.event,
            _COMPONENTS: self._stock.publication,
            OURS[PUBLISH]: self._signalbox.publication,
            _UNCHANGED: self._signalbox.publication_again,
        }
        return calls[kind](steps)


def _in_turns(bench: _Bench, say: Callable[[str], None]) -> Iterator[Row]:
    bench.warm_up(_MANY_TIMES)
    for steps, rounds in ROUNDS.items():
        found: dict[Kind, list[Cost]] = {kind: [] for kind in _MANY_TIMES}
        for turn in range(rounds):
            say(f"{in_steps(steps)}, turn {turn + 1} of {rounds}")
            # Nobody always comes after the same one.
            for kind in _MANY_TIMES[:: 1 if turn % 2 == 0 else -1]:
                found[kind].append(bench.cost(bench.prepared(kind, steps)))
        for kind, costs in found.items():
            yield Row(kind, steps, tuple(costs))


def _each_once(place: Place, folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    too_long = set[str]()
    for kind in _ONE_TIME:
        if kind.way.startswith("Signalbox") and OURS[PUBLISH].way in too_long:
            continue  # What could not be published cannot be submitted.
        say(f"{in_steps(ONCE)}, once: {kind.what}, {kind.way}")
        cost = _in_a_process(place, folder, kind)
        if cost is None:
            too_long.add(kind.way)
        yield Row(kind, ONCE, (cost,) if cost else ())


def _in_a_process(place: Place, folder: Path, kind: Kind) -> Cost | None:
    """The cost of one call that is ended when it takes too long."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_measure_once, args=(place, folder, kind, there), daemon=True)
    process.start()
    there.close()
    try:
        with suppress(EOFError):
            if not here.poll(_TO_BEGIN) or here.recv() != "ready":
                raise TimeoutError(f"{kind} did not begin within {_TO_BEGIN:g} s")
            if not here.poll(AT_MOST):
                return None
            found = here.recv()
            assert isinstance(found, Cost)
            return found
        raise ChildProcessError(f"{kind} ended without an answer; its errors are above")
    finally:
        process.kill()
        process.join()


def _measure_once(place: Place, folder: Path, kind: Kind, answers: Connection) -> None:
    _quiet()
    bench = _Bench(place, folder)
    bench.warm_up((kind,))
    call = bench.prepared(kind, ONCE)
    answers.send("ready")
    answers.send(bench.cost(call))


def _quiet() -> None:
    # The SDK has a line for each step, of experimental classes and of names it does not need.
    logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)


def in_steps(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps:,} steps"


def figures(found: list[Row]) -> Iterator[Figure]:
    """Each reference beside ours: requests, processor time, time on the clock."""
    for row in found:
        ours = next(
            (o for o in found if (o.kind, o.steps) == (OURS[row.kind.what], row.steps)), None
        )
        if row is ours or ours is None or not ours.costs or row.kind.way.startswith("Signalbox"):
            continue
        name = f"{row.kind.what} of {in_steps(row.steps)}, beside {row.kind.way}"
        if not row.costs:
            mine = ours.costs[0].wall_ms
            yield Figure(
                name=f"{name}, which did not end: wall ms",
                ours=round(mine, 4),
                reference=AT_MOST * 1000,
                ratio=round(mine / (AT_MOST * 1000), 6),
                reference_is="at least",
            )
            continue
        for unit, of in UNITS.items():
            ratios = [of(a) / of(b) for a, b in zip(ours.costs, row.costs, strict=True)]
            yield Figure(
                name=f"{name}: {unit}",
                ours=round(median(map(of, ours.costs)), 4),
                reference=round(median(map(of, row.costs)), 4),
                ratio=round(median(ratios), 6),
                ratio_from=round(min(ratios), 6),
                ratio_to=round(max(ratios), 6),
                rounds=len(ratios),
            )


UNITS: dict[str, Callable[[Cost], float]] = {
    "requests to AzureML": lambda cost: cost.requests,
    "CPU ms": lambda cost: cost.cpu_ms,
    "wall ms": lambda cost: cost.wall_ms,
}
