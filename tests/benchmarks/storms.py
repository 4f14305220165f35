"""Thousands of uploads at once: how fast they are taken in, what each costs, when all is over.

Beside it, where that says something, the function that one would write without Signalbox.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

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
from tests.e2e.running_signalbox import Json

_RESULTS = Path("build", "storms.json")

_UNLIMITED = {"concurrency": {"limit": "unlimited"}, "max_runs_per_day": "unlimited"}
_LIMITED = {"concurrency": {"limit": 20}, "max_runs_per_day": "unlimited"}
#: A slot for each, and one that counts the day of all.
_KEYED = {
    "concurrency": {"limit": 1, "key": "${{ captures.file }}"},
    "max_runs_per_day": 1_000_000,
}
_BATCH = {
    **_LIMITED,
    "batch": {"wait_after_last_change": "PT5S", "max_wait": "PT10M", "max_events": 10_000},
}

#: What bounds the trigger of a storm.
Kind = Literal["plain", "limited", "keyed", "batched"]
#: How far a storm is watched: each event is answered, or its run has ended as well.
Until = Literal["taken-in", "over"]

_POLICIES: dict[Kind, Json] = {
    "plain": _UNLIMITED,
    "limited": _LIMITED,
    "keyed": _KEYED,
    "batched": _BATCH,
}
#: Requests to storage that an event may cost until it is taken in.
_GOALS: dict[Kind, int] = {"plain": 4, "limited": 6, "keyed": 8, "batched": 5}
#: Times as long that twice as many may take, not counting what other machines took meanwhile.
_TWICE = 2.1
#: Seconds until a storm must be over.
_PATIENCE = 3600.0


@dataclass(frozen=True, kw_only=True)
class Storms:
    """Which storms, each by itself."""

    #: Uploads of one storm; `make bench` has no time for one of 10,000.
    uploads: int = 150
    hosts: Sequence[int] = (1, 4)
    kinds: Sequence[Kind] = get_args(Kind)
    until: Sequence[Until] = get_args(Until)
    #: Numbers of hosts with which a storm of twice as many follows.
    twice: Sequence[int] = (1,)
    #: Without it, nothing is measured of the function without Signalbox.
    reference: bool = True


Say = Callable[[str], None]


def figures(storms: Storms | None = None, say: Say = lambda _: None) -> Iterator[Figure]:
    """What these storms cost and how long they took."""
    storms = storms or Storms()
    with tempfile.TemporaryDirectory() as folder:
        definitions = write_definitions(
            Path(folder),
            {"steps-1": pipeline(1)},
            [trigger(kind, "steps-1", policies) for kind, policies in _POLICIES.items()],
        )
        reference = _reference(storms, say) if "taken-in" in storms.until else None
        for hosts in storms.hosts:
            if "taken-in" in storms.until:
                yield from _taken_in(definitions, hosts, storms, reference, say)
            if "over" in storms.until:
                yield from _to_the_end(definitions, hosts, storms, say)


def _reference(storms: Storms, say: Say) -> Cost | None:
    if not storms.reference:
        return None
    with tempfile.TemporaryDirectory() as folder:
        definitions = write_definitions(Path(folder), {"steps-1": pipeline(1)}, [])
        with machine(definitions, app=STOCK) as stock:
            stock.measured("steps-1", 3)
            few = max(20, min(500, storms.uploads // 20))
            reference = stock.measured("steps-1", few)
            say(_said(f"{few} to the function without Signalbox", reference))
            return reference


def _taken_in(
    definitions: Path, hosts: int, storms: Storms, reference: Cost | None, say: Say
) -> Iterator[Figure]:
    """Until the last is answered: its record is there, and its job if it is its turn."""
    where = _where(hosts, storms.uploads)
    with machine(definitions, hosts=hosts, timer=False) as found:
        for kind in storms.kinds:
            found.measured(kind, 4 * hosts)
            cost = _storm(found, kind, storms.uploads, say)
            yield figure(
                f"{where}, {kind}: requests to storage an event, beside the goal",
                cost.storage / cost.events,
                _GOALS[kind],
            )
            if reference is not None:
                yield figure(
                    f"{where}, {kind}: events a second, beside the function without Signalbox",
                    cost.events / cost.accepted,
                    reference.events / reference.accepted,
                )
            if hosts in storms.twice:
                twice = _storm(found, kind, 2 * storms.uploads, say)
                yield figure(
                    f"{where}, {kind}: s until twice as many are taken in, beside as many",
                    twice.accepted - twice.stolen,
                    cost.accepted - cost.stolen,
                )
        if reference is not None:
            yield figure(
                f"{where}: memory of a host after all of them in MB, beside that function's",
                cost.memory,
                reference.memory,
            )


def _to_the_end(definitions: Path, hosts: int, storms: Storms, say: Say) -> Iterator[Figure]:
    """Until every run has ended; jobs take two seconds."""
    where, uploads = _where(hosts, storms.uploads), storms.uploads
    with machine(definitions, hosts=hosts, jobs_end=True) as found:
        for kind in storms.kinds:
            found.measured(kind, 4 * hosts, until=_over(found, lambda _: None))
            once = _storm(found, kind, uploads, say, to_the_end=True)
            yield figure(
                f"{where}, {kind}: requests to storage an event to the end, beside until taken in",
                once.storage / once.events,
                _GOALS[kind],
            )
            yield figure(
                f"{where}, {kind}: s until all runs are over, beside s until all are taken in",
                once.drained,
                once.accepted,
            )
            if hosts not in storms.twice:
                continue
            twice = _storm(found, kind, 2 * uploads, say, to_the_end=True)
            yield figure(
                f"{where}, {kind}: s until all runs are over of twice as many, beside as many",
                twice.drained - twice.stolen,
                once.drained - once.stolen,
            )


def _storm(found: Machine, kind: Kind, uploads: int, say: Say, *, to_the_end: bool = False) -> Cost:
    """So many uploads, and what they took."""
    cost = found.measured(kind, uploads, until=_over(found, say) if to_the_end else None)
    what = f"{_where(len(found.hosts), uploads)} ({kind}){' to the end' if to_the_end else ''}"
    by_kind = ", ".join(
        f"{number / cost.events:.2f} {blob}"
        for blob, number in found.last_requests.most_common()
        if number >= cost.events / 100
    )
    say(_said(what, cost))
    say(f"    {by_kind}")
    return cost


def _over(found: Machine, say: Say) -> Callable[[], bool]:
    """Whether nothing is left to do; the timer is not waited for where one can call it."""
    began = ticked = said = time.monotonic()

    def over() -> bool:
        nonlocal ticked, said
        now = time.monotonic()
        assert now - began < _PATIENCE, "the storm does not come to an end"
        if found.empty("open/", "inbox/", "queue/"):
            return True
        if now - said > 30:
            said = now
            left = {prefix: found.count(f"{prefix}/") for prefix in ("open", "inbox", "queue")}
            say(f"    {now - began:.0f} s since it began, left: {left}")
        if now - ticked > 5:
            found.tick()
            ticked = time.monotonic()
        return False

    return over


def _where(hosts: int, uploads: int) -> str:
    return f"{uploads:,} uploads to {hosts} host{'s' if hosts > 1 else ''}"


def _said(what: str, cost: Cost) -> str:
    return (
        f"{what}: {cost.events / cost.accepted:.1f} a second, taken in {cost.accepted:.1f} s, "
        f"over {cost.drained:.1f} s ({cost.stolen:.1f} stolen); an event: "
        f"{cost.storage / cost.events:.2f} requests to storage, "
        f"{cost.azureml / cost.events:.2f} to AzureML, "
        f"{cost.cpu / cost.events * 1000:.1f} ms of CPU; {cost.memory:.0f} MB, "
        f"{cost.refused} refused"
    )


def _arguments() -> Storms:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.storms", description=__doc__.partition("\n")[0]
    )
    every = Storms()
    parser.add_argument("--uploads", type=int, default=every.uploads, help="of one storm (150)")
    parser.add_argument("--hosts", type=_numbers, default=every.hosts, help="1,4")
    parser.add_argument(
        "--kinds", type=_among(get_args(Kind)), default=every.kinds, help=",".join(every.kinds)
    )
    parser.add_argument(
        "--until", type=_among(get_args(Until)), default=every.until, help=",".join(every.until)
    )
    parser.add_argument(
        "--twice",
        action=argparse.BooleanOptionalAction,
        help="a storm of twice as many after it; only with one host if left out",
    )
    parser.add_argument(
        "--reference",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the function without Signalbox as well",
    )
    given = parser.parse_args()
    twice = {None: every.twice, True: given.hosts, False: ()}[given.twice]
    return Storms(
        uploads=given.uploads,
        hosts=given.hosts,
        kinds=given.kinds,
        until=given.until,
        twice=twice,
        reference=given.reference,
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _among(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def chosen(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        if unknown := set(found) - set(names):
            raise argparse.ArgumentTypeError(f"{sorted(unknown)}: there are {', '.join(names)}")
        return found

    return chosen


def _merged(found: Sequence[Figure]) -> list[Figure]:
    """These figures, and those of other storms that were measured before."""
    before: list[Figure] = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else []
    return list({each["name"]: each for each in (*before, *found)}.values())


def main() -> int:
    began = time.monotonic()

    def say(line: str) -> None:
        load = os.getloadavg()[0]
        clock = f"{datetime.now(UTC):%H:%M:%S} {time.monotonic() - began:5.0f} s, load {load:4.1f}"
        print(f"{clock}  {line}", flush=True)

    found = []
    for each in figures(_arguments(), say):
        found.append(each)
        # After each, so that a storm that is broken off leaves those before it.
        _RESULTS.parent.mkdir(exist_ok=True)
        _RESULTS.write_text(json.dumps(_merged(found), indent=2) + "\n")
    for each in found:
        print(f"{each['name']}: {each['ours']:g} / {each['reference']:g} = {each['ratio']:g}")
    too_slow = [f for f in found if "twice as many" in f["name"] and f["ratio"] > _TWICE]
    for each in too_slow:
        print(f"more than {_TWICE:g} times as long: {each['name']}")
    return 1 if too_slow else 0


if __name__ == "__main__":
    sys.exit(main())
