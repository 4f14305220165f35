"""What starting one job takes, beside the function that one would write without Signalbox."""

import tempfile
from collections.abc import Iterator
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

#: Steps of a pipeline -> events that are measured, one after the other.
_STEPS = {1: 20, 10: 10, 100: 3}
#: An event of its own first: what is loaded once is not counted.
_WARM = 2


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        names = {steps: f"steps-{steps}" for steps in _STEPS}
        unlimited = {"concurrency": {"limit": "unlimited"}, "max_runs_per_day": "unlimited"}
        definitions = write_definitions(
            Path(folder),
            {name: pipeline(steps) for steps, name in names.items()},
            [trigger(name, name, unlimited) for name in names.values()],
        )
        with machine(definitions, timer=False) as found:
            ours = _each(found)
        with machine(definitions, app=STOCK) as found:
            theirs = _each(found)
        for steps in _STEPS:
            yield from _beside(steps, ours[steps], theirs[steps])


def _each(found: Machine) -> dict[int, Cost]:
    costs = {}
    for steps, events in _STEPS.items():
        found.measured(f"steps-{steps}", _WARM, at_once=1)
        costs[steps] = found.measured(f"steps-{steps}", events, at_once=1)
    return costs


def _beside(steps: int, ours: Cost, stock: Cost) -> Iterator[Figure]:
    what = f"an event that starts {steps} step{'s' if steps > 1 else ''}"
    beside = "beside load_job and create_or_update"
    for unit, mine, theirs in (
        ("requests to AzureML", ours.azureml, stock.azureml),
        ("requests in all", ours.azureml + ours.storage, stock.azureml + stock.storage),
        ("ms of CPU", ours.cpu * 1000, stock.cpu * 1000),
        ("ms until it is answered", ours.accepted * 1000, stock.accepted * 1000),
    ):
        yield figure(f"{what}, {beside}: {unit}", mine / ours.events, theirs / stock.events)
