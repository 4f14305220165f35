"""Many histories, one after the other, until the time is over."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.kinds import ALL, Kind, kind_of


@dataclass
class Tally:
    """What was simulated."""

    #: Of each kind.
    histories: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    crashes: int = 0
    #: States that records reached, and what else came about.
    seen: Counter[str] = field(default_factory=Counter)
    #: Kind and seed -> the promises that its history broke.
    broken: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            histories=self.histories + other.histories,
            requests=self.requests + other.requests,
            crashes=self.crashes + other.crashes,
            seen=self.seen + other.seen,
            broken=self.broken | other.broken,
        )


def broken(simulation: Any, kind: Kind[Any]) -> list[str]:
    """The promises that a history breaks."""
    try:
        simulation.run()
    except AssertionError as error:
        return [*simulation.watch.broken, f"undeclared transition: {error}"]
    return kind.violations(simulation)


def simulate(seeds: Iterator[int], seconds: float, only: str | None = None) -> Tally:
    """Histories of these seeds, of one kind or of any, until the time is over."""
    logging.getLogger("shared").setLevel(logging.CRITICAL)
    tally, ends = Tally(), time.monotonic() + seconds
    for seed in seeds:
        name = only or kind_of(seed)
        simulation = ALL[name].simulation(seed)
        if found := broken(simulation, ALL[name]):
            tally.broken[name, seed] = found
        tally += Tally(
            histories=Counter({name: 1}),
            requests=len(simulation.world.calls),
            crashes=simulation.crashes,
            seen=simulation.watch.seen,
        )
        if time.monotonic() > ends:
            break
    return tally
