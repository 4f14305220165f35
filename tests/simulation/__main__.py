"""`python -m tests.simulation`: histories with fresh seeds on every core, or one of them again."""

import argparse
import multiprocessing
import os
import random
import sys
from collections.abc import Iterator
from functools import reduce
from itertools import count
from operator import add

from tests.simulation import occurrences
from tests.simulation.histories import Tally, broken, simulate
from tests.simulation.simulation import Simulation

#: Seeds of `make test` are below.
_FRESH = 1_000_000


def main() -> int:
    """1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--base", type=int, help="the first seed; by chance if left out")
    parser.add_argument("--seed", type=int, help="run this history alone")
    parser.add_argument("--schedules", action="store_true", help="that one is of schedules")
    given = parser.parse_args()
    if given.seed is not None:
        return _again_of_schedules(given.seed) if given.schedules else _again(given.seed)
    base = given.base if given.base is not None else random.randrange(_FRESH, 10**9)
    cores = os.cpu_count() or 1
    print(f"Seeds from {base} on, on {cores} cores for {given.minutes:g} minutes", flush=True)
    with multiprocessing.Pool(cores) as pool:
        work = [(base + core, cores, given.minutes * 60) for core in range(cores)]
        tally = reduce(add, pool.starmap(_simulate, work), Tally())
        times = reduce(add, pool.starmap(_simulate_schedules, work), Tally())
    _told(tally, "")
    _told(times, " --schedules")
    return 1 if tally.broken or times.broken else 0


def _told(tally: Tally, option: str) -> None:
    print(
        f"{tally.histories} histories, {tally.requests} requests, {tally.crashes} crashes, "
        f"{len(tally.broken)} with a broken promise"
    )
    print("Met: " + ", ".join(f"{what} {number}" for what, number in tally.seen.most_common()))
    for seed, found in tally.broken.items():
        again = f"python -m tests.simulation{option} --seed {seed}"
        print(f"\n{found[0][:500]}\nreplay it with: {again}")


def _simulate(first: int, step: int, seconds: float) -> Tally:
    seeds: Iterator[int] = count(first, step)
    return simulate(seeds, seconds)


def _simulate_schedules(first: int, step: int, seconds: float) -> Tally:
    seeds: Iterator[int] = count(first, step)
    return occurrences.simulate(seeds, seconds / 4)


def _again_of_schedules(seed: int) -> int:
    found = occurrences.Occurrences(seed).run()
    print("\n".join(found) or "no promise is broken")
    return 1 if found else 0


def _again(seed: int) -> int:
    simulation = Simulation(seed)
    found = broken(simulation)
    print(f"{simulation.scenario}\n{simulation.odds}")
    print("\n".join(found) or "no promise is broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
