"""`python -m tests.faults --minutes 5`: real processes in a storm, and what came of it."""

import argparse
import random
import sys

from tests.faults.storm import Weather, storm
from tests.faults.world import world


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="in all, but for the end (5)")
    parser.add_argument("--seed", type=int, default=None, help="another storm each time without it")
    parser.add_argument("--per-second", type=float, default=1.0, help="events in each stream (1)")
    parser.add_argument("--hosts", type=int, default=2, help="functions hosts (2)")
    parser.add_argument(
        "--steady",
        action="store_true",
        help="nothing goes wrong: what many events do to memory and open files",
    )
    arguments = parser.parse_args()
    rough = not arguments.steady
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    seconds = arguments.minutes * 60
    weather = Weather(
        storm=seconds / 2 if rough else 0,
        calm=seconds / 2 if rough else seconds,
        per_second=arguments.per_second,
        kills_every=15.0 if rough else None,
        pauses_every=20.0 if rough else None,
        # what meets a fault waits for its lease: with many more, nothing else would happen
        faults_every=4.0 if rough else None,
        patient=True,
        # the longest wait is for whoever may come back: a call's time and a minute, and a tick
        still=450.0,
        rest=max(900.0, seconds),
    )
    _say(f"seed {seed}, {arguments.hosts} hosts, {arguments.minutes:g} minutes")
    with world(hosts=arguments.hosts) as app:
        outcome = storm(app, weather, seed=seed, say=_say)
    for line in outcome.lines():
        _say(line)
    return 1 if outcome.wrong or outcome.unfinished else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
