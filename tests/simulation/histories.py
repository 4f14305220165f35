"""Many histories, one after the other, until the time is over."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.invariants import violations
from tests.simulation.simulation import Simulation


@dataclass
class Tally:
    """What was simulated."""

    histories: int = 0
    requests: int = 0
    crashes: int = 0
    #: States that records reached, and what else came about.
    seen: Counter[str] = field(default_factory=Counter)
    #: Seed -> the promises that its history broke.
    broken: dict[int, list[str]] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            histories=self.histories + other.histories,
            requests=self.requests + other.requests,
            crashes=self.crashes + other.crashes,
            seen=self.seen + other.seen,
            broken=self.broken | other.broken,
        )


def broken(simulation: Simulation) -> list[str]:
    """The promises that a history breaks."""
    try:
        simulation.run()
    except AssertionError as error:
        return [*simulation.watch.broken, f"undeclared transition: {error}"]
    return violations(simulation)


def simulate(seeds: Iterator[int], seconds: float) -> Tally:
    """Histories of these seeds, until the time is over."""
    logging.getLogger("shared").setLevel(logging.CRITICAL)
    tally, ends = Tally(), time.monotonic() + seconds
    for seed in seeds:
        simulation = Simulation(seed)
        if found := broken(simulation):
            tally.broken[seed] = found
        tally += Tally(
            histories=1,
            requests=len(simulation.world.calls),
            crashes=simulation.crashes,
            seen=simulation.watch.seen,
        )
        if time.monotonic() > ends:
            break
    return tally
