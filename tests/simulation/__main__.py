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

from tests.simulation.histories import Tally, broken, simulate
from tests.simulation.kinds import ALL, SCHEDULES

#: Of the time, what histories of schedules have.
_OF_SCHEDULES = 1 / 5
#: Seeds of `make test` are below.
_FRESH = 1_000_000


def main() -> int:
    """1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--base", type=int, help="the first seed; by chance if left out")
    parser.add_argument("--seed", type=int, help="run this history alone")
    parser.add_argument("--kind", choices=ALL, help="histories of this kind alone")
    given = parser.parse_args()
    if given.seed is not None:
        return _again(given.seed, given.kind or "events")
    base = given.base if given.base is not None else random.randrange(_FRESH, 10**9)
    cores = os.cpu_count() or 1
    print(f"Seeds from {base} on, on {cores} cores for {given.minutes:g} minutes", flush=True)
    with multiprocessing.Pool(cores) as pool:
        work = [(base + core, cores, given.minutes * 60, given.kind) for core in range(cores)]
        tally = reduce(add, pool.starmap(_simulate, work), Tally())
    kinds = ", ".join(f"{number} of {name}" for name, number in tally.histories.most_common())
    print(
        f"{tally.histories.total()} histories ({kinds}), {tally.requests} requests, "
        f"{tally.crashes} crashes, {len(tally.broken)} with a broken promise"
    )
    print("Met: " + ", ".join(f"{what} {number}" for what, number in tally.seen.most_common()))
    for (kind, seed), found in tally.broken.items():
        again = f"python -m tests.simulation --kind {kind} --seed {seed}"
        print(f"\n{found[0][:500]}\nreplay it with: {again}")
    return 1 if tally.broken else 0


def _simulate(first: int, step: int, seconds: float, kind: str | None) -> Tally:
    seeds: Iterator[int] = count(first, step)
    if kind is not None:
        return simulate(seeds, seconds, kind)
    part = seconds * _OF_SCHEDULES
    return simulate(seeds, seconds - part) + simulate(seeds, part, SCHEDULES)


def _again(seed: int, name: str) -> int:
    simulation = ALL[name].simulation(seed)
    found = broken(simulation, ALL[name])
    print(f"{simulation.scenario}\n{simulation.odds}")
    print("\n".join(found) or "no promise is broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
