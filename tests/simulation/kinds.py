"""The kinds of histories there are, one a line, each with its share of those that are simulated."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation import batch_invariants, invariants, replay_invariants, sweep_invariants
from tests.simulation.batching import Batching
from tests.simulation.replaying import Replaying
from tests.simulation.simulation import Simulation
from tests.simulation.sweeping import Sweeping


@dataclass(frozen=True)
class Kind:
    """What happens in histories of a kind, and what must hold at their end."""

    simulation: type[Simulation]
    #: Every promise that a history of it broke.
    violations: Callable[[Any], list[str]]
    #: Of all histories, beside the others' shares.
    share: int


KINDS: dict[str, Kind] = {
    "events": Kind(Simulation, invariants.violations, share=4),
    "batches": Kind(Batching, batch_invariants.violations, share=3),
    "replays": Kind(Replaying, replay_invariants.violations, share=2),
    "sweeps": Kind(Sweeping, sweep_invariants.violations, share=2),
}


def kind_of(seed: int) -> str:
    """The kind of a seed's history where it may be any."""
    return Random(seed).choices([*KINDS], [kind.share for kind in KINDS.values()])[0]
