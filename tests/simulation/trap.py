"""What a trap is, and the weather that most of them are laid in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.simulation.fickle import Odds
from tests.simulation.histories import broken
from tests.simulation.kinds import KINDS
from tests.simulation.scenario import Scenario
from tests.simulation.workers import Parts


@dataclass(frozen=True)
class Trap:
    """A rule left out, and what shows that soonest."""

    parts: Parts
    #: The weather; None leaves it to chance.
    odds: Odds | None = None
    #: What is not left to chance of the scenario; see `Scenario.drawn`.
    scenario: Mapping[str, Any] = field(default_factory=dict)
    #: Of the histories in which it shows.
    kind: str = "events"

    def broken(self, seed: int) -> list[str]:
        """The promises that a history breaks in which the trap shows."""
        kind = KINDS[self.kind]

        def drawn(rng: Random) -> Scenario:
            return kind.simulation.scenarios.drawn(rng, **{"anew": 0.0, **self.scenario})

        return broken(kind.simulation(seed, parts=self.parts, odds=self.odds, scenario=drawn), kind)


#: Nothing goes wrong but what is named.
FAIR = Odds(
    storage_fails=0,
    storage_answer_lost=0,
    storage_meets_itself=0,
    put_unapplied=0,
    put_applied_unanswered=0,
    put_late=0,
    put_rejected=0,
    put_throttled=0,
    get_fails=0,
    get_stale=0,
    crash=0,
    cancel=0,
    outcome_fails=0,
    outcome_answer_lost=0,
    leap=0.003,
    pause=0,
    midnight=0,
    job_hangs=0,
)
