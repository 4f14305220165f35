"""The protocol keeps its promises, and the simulation would notice if it did not."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.simulation.histories import broken
from tests.simulation.kinds import KINDS
from tests.simulation.traps import HARMLESS, SEEN, TRAPS
from tests.simulation.workers import Parts

#: `make faults` runs as many as its time allows, with seeds of its own.
HISTORIES = 100
#: A trap that these do not catch needs better weather, not more of them.
HISTORIES_PER_TRAP = 400
#: What shows that it is the trap that broke a promise, and not its weather.
HISTORIES_PER_WEATHER = 3


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A thousand histories log a million lines of trouble."""
    log = logging.getLogger("shared")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@pytest.mark.parametrize("kind", KINDS)
def test_no_history_breaks_a_promise(kind: str, counted: Callable[[str], None]) -> None:
    crashes = requests = 0
    number = HISTORIES * KINDS[kind].share // sum(each.share for each in KINDS.values())
    for seed in range(number):
        simulation = KINDS[kind].simulation(seed)
        found = broken(simulation, KINDS[kind])
        again = f"python -m tests.simulation --kind {kind} --seed {seed}"
        assert found == [], f"replay it with: {again}"
        crashes += simulation.crashes
        requests += len(simulation.world.calls)
    counted(
        f"Simulated {number} histories of {kind}, {requests} requests, {crashes} crashes: "
        "no violation"
    )


@pytest.mark.parametrize("name", TRAPS)
def test_a_rule_left_out_is_noticed(name: str) -> None:
    trap = TRAPS[name]
    first = SEEN.get(name, 0)
    seeds = range(first, first + HISTORIES_PER_TRAP)
    assert any(trap.broken(seed) for seed in seeds), f"{name}: not noticed"


@pytest.mark.parametrize("name", [name for name, trap in TRAPS.items() if trap.odds])
def test_the_same_weather_breaks_nothing_else(name: str) -> None:
    for seed in range(HISTORIES_PER_WEATHER):
        assert replace(TRAPS[name], parts=Parts()).broken(seed) == [], f"seed {seed}"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_another_rule_makes_up_for_breaks_nothing(name: str) -> None:
    for seed in range(HISTORIES_PER_WEATHER):
        assert HARMLESS[name].broken(seed) == [], f"seed {seed}"
