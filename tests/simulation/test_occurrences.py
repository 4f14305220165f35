"""Each time of each schedule has one record, and the simulation would notice if it had not."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.simulation.histories import broken
from tests.simulation.kinds import ALL, SCHEDULES
from tests.simulation.occurrence_traps import OCCURRENCE_TRAPS, SEEN
from tests.simulation.occurrences import Occurrences

HISTORIES = 30
#: A trap that these do not catch needs better weather, not more of them.
HISTORIES_PER_TRAP = 60


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """A thousand histories log a million lines of trouble."""
    log = logging.getLogger("shared")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


def test_no_history_of_schedules_breaks_a_promise(counted: Callable[[str], None]) -> None:
    crashes, seen = 0, Counter[str]()
    for seed in range(HISTORIES):
        history = Occurrences(seed)
        again = f"python -m tests.simulation --kind schedules --seed {seed}"
        assert broken(history, ALL[SCHEDULES]) == [], f"replay it with: {again}"
        crashes += history.crashes
        seen += history.watch.seen
    # What was never met was not tried.
    states = ("submitting", "queued", "skipped", "missed", "held")
    beside = ("clock moved within a second", "index lost", "lists of uploads", "backfilled")
    assert all(seen[each] for each in (*states, *beside))
    counted(f"Simulated {HISTORIES} histories of schedules, {crashes} crashes: no violation")


@pytest.mark.parametrize("name", OCCURRENCE_TRAPS)
def test_a_rule_of_schedules_left_out_is_noticed(name: str) -> None:
    trap, first = OCCURRENCE_TRAPS[name], SEEN.get(name, 0)
    seeds = range(first, first + HISTORIES_PER_TRAP)
    found = next((seed for seed in seeds if trap.broken(seed)), None)
    assert found is not None, f"{name}: not noticed"
    # It is the rule, and not the weather.
    assert trap.broken(found, laid=False) == []
