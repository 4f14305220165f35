"""`python -m tests.recurrences`: every change of every clock, then schedules by chance."""

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import add

from tests.recurrences import checks, clock
from tests.recurrences.checks import Wrong
from tests.recurrences.clock import DAY, MINUTE, wall

#: A moment, and what a clock shows before and at it.
type Change = tuple[datetime, ...]


@dataclass(frozen=True)
class Tally:
    """What was compared."""

    met: Counter[str] = field(default_factory=Counter)
    zones: frozenset[str] = frozenset()
    wrong: tuple[str, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.met + other.met, self.zones | other.zones, self.wrong + other.wrong)


def main() -> int:
    """1 when a schedule was due at another time than the clock came to."""
    parser = argparse.ArgumentParser(prog="python -m tests.recurrences", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--zones", default="all", help="names separated by commas; all if left out")
    parser.add_argument("--years", type=int, default=50, help="from 1990 on, of changed clocks")
    parser.add_argument("--seed", type=int, help="by chance if left out")
    given = parser.parse_args()
    names = clock.zones() if given.zones == "all" else given.zones.split(",")
    seed = given.seed if given.seed is not None else random.randrange(10**9)
    cores = os.cpu_count() or 1
    print(
        f"Schedules in {len(names)} time zones, seed {seed}, on {cores} cores for "
        f"{given.minutes:g} minutes and a look at all changed clocks",
        flush=True,
    )
    with multiprocessing.Pool(cores) as pool:
        alone = clock.different() if given.zones == "all" else names
        share = -(-len(alone) // cores)
        every = [(alone[n : n + share], given.years) for n in range(0, len(alone), share)]
        chance = [(names, given.years, seed + core, given.minutes * 60) for core in range(cores)]
        tallies = [*pool.starmap(_every_change, every), *pool.starmap(_by_chance, chance)]
        tally = reduce(add, tallies, Tally())
    print(
        f"{tally.met['times']} times as the clock has them: {tally.met['changes']} schedules "
        f"around a clock that is put forward or back, {tally.met['days']} on other days, "
        f"{tally.met['rare']} through {given.years} years, in {len(tally.zones)} time zones; "
        f"{tally.met['edges']} local times about all {tally.met['all changes']} changes; "
        f"{len(tally.wrong)} wrong"
    )
    for wrong in tally.wrong:
        print(f"\n{wrong}")
    return 1 if tally.wrong else 0


def _every_change(names: list[str], years: int) -> Tally:
    met, seen = Counter[str](), set[Change]()
    for name in names:
        try:
            for at in checks.changes(name, 1990, 1990 + years):
                change = at, *(wall(each, clock.zone(name)) for each in (at - MINUTE, at))
                # Many clocks of a region are changed at the same moment by the same time.
                if change not in seen:
                    met["edges"] += checks.edges(name, at)
                met["all changes"] += 1
                seen.add(change)
        except Wrong as wrong:
            return Tally(met, wrong=(str(wrong),))
    return Tally(met)


def _by_chance(names: list[str], years: int, seed: int, seconds: float) -> Tally:
    chance, until = random.Random(seed), time.monotonic() + seconds
    met, visited = Counter[str](), set[str]()
    while time.monotonic() < until:
        name = chance.choice(names)
        visited.add(name)
        changed = checks.changes(name, 1990, 1990 + years)
        some = datetime(1900, 1, 1, tzinfo=UTC) + chance.randrange(200 * 365) * DAY
        try:
            for at in chance.sample(changed, min(5, len(changed))):
                met["times"] += checks.watched(chance, name, at.replace(hour=0) - 2 * DAY)
                met["changes"] += 1
            met["times"] += checks.watched(chance, name, some)
            met["days"] += 1
            if chance.random() < 0.3:
                met["times"] += checks.rare(chance, name, years)
                met["rare"] += 1
        except Wrong as wrong:
            return Tally(met, frozenset(visited), (f"{wrong} (seed {seed})",))
    return Tally(met, frozenset(visited))


if __name__ == "__main__":
    sys.exit(main())
