"""The unbatched protocol keeps its promises, and the simulation would notice if it did not."""

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.simulation.invariants import violations
from tests.simulation.simulation import Parts, Simulation
from tests.simulation.traps import TRAPS, Trap

HISTORIES = 800
#: A trap that these do not catch needs better weather, not more of them.
HISTORIES_PER_TRAP = 600


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """A thousand histories log a million lines of trouble."""
    logging.getLogger("shared").setLevel(logging.CRITICAL)


def _broken(seed: int, trap: Trap) -> list[str]:
    simulation = Simulation(
        seed,
        parts=trap.parts,
        odds=trap.odds,
        chains=trap.chains,
        late_compute=trap.late_compute,
        labels=trap.labels,
    )
    try:
        simulation.run()
    except AssertionError as error:
        return [f"undeclared transition: {error}"]
    return violations(simulation)


def test_no_history_breaks_a_promise(counted: Callable[[str], None]) -> None:
    crashes = requests = 0
    for seed in range(HISTORIES):
        simulation = Simulation(seed)
        simulation.run()
        assert violations(simulation) == [], f"seed {seed}"
        crashes += simulation.crashes
        requests += len(simulation.world.calls)
    counted(
        f"Simulated {HISTORIES} histories, {requests} requests, {crashes} crashes: no violation"
    )


@pytest.mark.parametrize("name", TRAPS)
def test_a_rule_left_out_is_noticed(name: str) -> None:
    trap = TRAPS[name]
    assert any(_broken(seed, trap) for seed in range(HISTORIES_PER_TRAP)), f"{name}: not noticed"


@pytest.mark.parametrize("name", [name for name, trap in TRAPS.items() if trap.odds])
def test_the_same_weather_breaks_nothing_else(name: str) -> None:
    for seed in range(60):
        assert _broken(seed, replace(TRAPS[name], parts=Parts())) == [], f"seed {seed}"
