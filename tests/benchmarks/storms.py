"""Thousands of uploads at once: how fast they are taken in, what each costs, when all is over.

Beside it, where that says something, the function that one would write without Signalbox.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.machine import (
    STOCK,
    Cost,
    Machine,
    machine,
    pipeline,
    trigger,
    write_definitions,
)
from tests.benchmarks.timing import Figure, figure

#: Uploads of one storm in `make bench`, where a storm of 10,000 would take too long.
UPLOADS = 150
_RESULTS = Path("build", "storms.json")

#: Requests to storage that an event may cost.
_WITHOUT_LIMIT, _WITH_LIMIT, _BATCHED = 4, 6, 5
#: Times as long that twice as many may take.
_TWICE = 2.1
#: Seconds until a storm must be over.
_PATIENCE = 1800.0

_UNLIMITED = {"concurrency": {"limit": "unlimited"}, "max_runs_per_day": "unlimited"}
_LIMITED = {"concurrency": {"limit": 20}, "max_runs_per_day": "unlimited"}
_BATCH = {
    **_LIMITED,
    "batch": {"wait_after_last_change": "PT5S", "max_wait": "PT10M", "max_events": 5000},
}

Say = Callable[[str], None]


def figures(uploads: int = UPLOADS, say: Say = lambda _: None) -> Iterator[Figure]:
    """Storms of so many uploads, to one host and to four."""
    with tempfile.TemporaryDirectory() as folder:
        definitions = write_definitions(
            Path(folder),
            {"steps-1": pipeline(1)},
            [
                trigger("plain", "steps-1", _UNLIMITED),
                trigger("limited", "steps-1", _LIMITED),
                trigger("batched", "steps-1", _BATCH),
            ],
        )
        with machine(definitions, app=STOCK) as stock:
            stock.measured("steps-1", 3)
            few = max(20, uploads // 20)
            reference = stock.measured("steps-1", few)
            say(_said(f"{few} to the function without Signalbox", reference))
        for hosts in (1, 4):
            yield from _taken_in(definitions, hosts, uploads, reference, say)
            yield from _to_the_end(definitions, hosts, uploads, say)


def _taken_in(
    definitions: Path, hosts: int, uploads: int, reference: Cost, say: Say
) -> Iterator[Figure]:
    """Until the last is answered: its record is there, and its job if it is its turn."""
    where = _where(hosts, uploads)
    with machine(definitions, hosts=hosts, timer=False) as found:
        for name, goal in (
            ("plain", _WITHOUT_LIMIT),
            ("limited", _WITH_LIMIT),
            ("batched", _BATCHED),
        ):
            found.measured(name, 4 * hosts)
            cost = found.measured(name, uploads)
            say(_said(f"{where} ({name})", cost))
            say(f"    {dict(found.last_requests)}")
            yield figure(
                f"{where}, {name}: requests to storage an event, beside the goal",
                cost.storage / uploads,
                goal,
            )
            yield figure(
                f"{where}, {name}: events a second, beside the function without Signalbox",
                uploads / cost.accepted,
                reference.events / reference.accepted,
            )
        yield figure(
            f"{where}: memory of a host after all of them in MB, beside that function's",
            cost.memory,
            reference.memory,
        )


def _to_the_end(definitions: Path, hosts: int, uploads: int, say: Say) -> Iterator[Figure]:
    """Until every run has ended; jobs take two seconds."""
    where = _where(hosts, uploads)
    with machine(definitions, hosts=hosts, jobs_end=True) as found:
        for name in ("plain", "limited", "batched"):
            found.measured(name, 4 * hosts, until=_over(found))
            once = found.measured(name, uploads, until=_over(found))
            say(_said(f"{where} ({name}) to the end", once))
            say(f"    {dict(found.last_requests)}")
            if hosts > 1:
                yield figure(
                    f"{where}, {name}: s until all runs are over, beside s until all are taken in",
                    once.drained,
                    once.accepted,
                )
                continue
            twice = found.measured(name, 2 * uploads, until=_over(found))
            say(_said(f"{_where(hosts, 2 * uploads)} ({name}) to the end", twice))
            yield figure(
                f"{where}, {name}: s until all runs are over of twice as many, beside as many",
                twice.drained,
                once.drained,
            )


def _over(found: Machine) -> Callable[[], bool]:
    """Whether nothing is left to do; the timer is not waited for where one can call it."""
    deadline, ticked = time.monotonic() + _PATIENCE, [time.monotonic()]

    def over() -> bool:
        assert time.monotonic() < deadline, "the storm does not come to an end"
        if found.empty("open/", "inbox/", "queue/"):
            return True
        if time.monotonic() - ticked[0] > 5:
            ticked[0] = time.monotonic()
            found.tick()
        return False

    return over


def _where(hosts: int, uploads: int) -> str:
    return f"{uploads:,} uploads to {hosts} host{'s' if hosts > 1 else ''}"


def _said(what: str, cost: Cost) -> str:
    return (
        f"{what}: {cost.events / cost.accepted:.1f} a second, taken in {cost.accepted:.1f} s, "
        f"over {cost.drained:.1f} s; an event: {cost.storage / cost.events:.2f} requests to "
        f"storage, {cost.azureml / cost.events:.2f} to AzureML, "
        f"{cost.cpu / cost.events * 1000:.1f} ms of CPU; {cost.memory:.0f} MB, "
        f"{cost.refused} refused"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.storms", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--uploads", type=int, default=UPLOADS, help=f"of one storm ({UPLOADS})")
    arguments = parser.parse_args()
    found = list(figures(arguments.uploads, lambda line: print(line, flush=True)))
    for each in found:
        print(f"{each['name']}: {each['ours']:g} / {each['reference']:g} = {each['ratio']:g}")
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    too_slow = [f for f in found if "twice as many" in f["name"] and f["ratio"] > _TWICE]
    for each in too_slow:
        print(f"more than {_TWICE:g} times as long: {each['name']}")
    return 1 if too_slow else 0


if __name__ == "__main__":
    sys.exit(main())
