"""The kinds of histories there are, one a line, each with its share of those that are simulated."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation import (
    batch_invariants,
    invariants,
    occurrence_invariants,
    replay_invariants,
    sweep_invariants,
)
from tests.simulation.batching import Batching
from tests.simulation.occurrences import Occurrences
from tests.simulation.replaying import Replaying
from tests.simulation.simulation import Simulation
from tests.simulation.sweeping import Sweeping


@dataclass(frozen=True)
class Kind[History]:
    """What happens in histories of a kind, and what must hold at their end."""

    simulation: type[History]
    #: Every promise that a history of it broke.
    violations: Callable[[Any], list[str]]
    #: Of all histories, beside the others' shares.
    share: int


KINDS: dict[str, Kind[Simulation]] = {
    "events": Kind(Simulation, invariants.violations, share=4),
    "batches": Kind(Batching, batch_invariants.violations, share=3),
    "replays": Kind(Replaying, replay_invariants.violations, share=2),
    "sweeps": Kind(Sweeping, sweep_invariants.violations, share=2),
}

#: Histories of schedules have a machinery of their own, and a part of the time in place of a share.
SCHEDULES = "schedules"
ALL: dict[str, Kind[Any]] = {
    **KINDS,
    SCHEDULES: Kind(Occurrences, occurrence_invariants.violations, share=0),
}


def kind_of(seed: int) -> str:
    """The kind of a seed's history where it may be any."""
    return Random(seed).choices([*KINDS], [kind.share for kind in KINDS.values()])[0]
