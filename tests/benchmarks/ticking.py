"""What a tick's look at ten thousand schedules costs, beside that at ten of which as much is due.

Storage is in memory, so this is the processor time of the app alone.
"""

import logging
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from statistics import median

from shared.definitions import TriggerDefinition
from shared.index import Index, Snapshot
from tests.benchmarks.timing import Figure, compared, figure
from tests.unit.scene import PIPELINE, UNBOUNDED, Scene

FEW, MANY = 10, 10_000


def figures() -> Iterator[Figure]:
    logging.getLogger("shared").setLevel(logging.WARNING)
    for due in (0, 1, 100):
        many = _published(MANY, due)
        # Ten of which a hundred times are due, or one, or none.
        few, minutes = _published(FEW, min(due, FEW)), max(1, due // FEW)
        for _ in range(2):
            assert _look(many, 1) == due
            assert _look(few, minutes) == due
        yield compared(
            f"a tick at which {due} times are due, {MANY:,} schedules beside {FEW}: ms",
            partial(_look, many, 1),
            partial(_look, few, minutes),
        )
    many, few = _published(MANY, 0), _published(FEW, 0)
    yield figure(
        f"a process' first tick, {MANY:,} schedules beside {FEW}: ms",
        *(median(_afresh(here) for _ in range(3)) for here in (many, few)),
    )
    yield figure(
        f"a tick after one of them was edited, {MANY:,} schedules beside {FEW}: ms",
        *(median(_after_an_edit(here, minute) for minute in range(3)) for here in (many, few)),
    )


def _afresh(here: Scene) -> float:
    here._put_together(here.blobs)
    return _timed(here)


def _after_an_edit(here: Scene, minute: int) -> float:
    """By somebody else."""
    edited = _schedule(0, often=False, minute=minute + 1)

    def change(before: Snapshot, _at: datetime) -> Snapshot:
        known = before.triggers[edited.name]
        new = known.model_copy(update={"definition": edited, "revision": str(minute)})
        triggers = {**before.triggers, edited.name: new}
        return before.model_copy(update={"triggers": triggers})

    Index(here.blobs).change(change)
    return _timed(here)


def _timed(here: Scene) -> float:
    began = time.perf_counter()
    assert _look(here, 1) == 0
    return (time.perf_counter() - began) * 1000


def _look(here: Scene, minutes: int) -> int:
    """One look, so many minutes later; the times that were written down."""
    here.world.calls.clear()
    here.world.pass_time(60 * minutes)
    here.schedules.run_due(lambda: False)
    return sum(1 for call in here.world.calls if call.startswith("create ledger/"))


def _published(schedules: int, due: int) -> Scene:
    """So many schedules, of which some are due every minute and the others once a month."""
    here = Scene()
    here.publish(*(_schedule(number, number < due) for number in range(schedules)))
    here.schedules.run_due(lambda: False)
    return here


def _schedule(number: int, often: bool, minute: int = 0) -> TriggerDefinition:
    monthly = f"{(number + minute) % 60} {number // 60 % 24} 15 * *"
    expression = "* * * * *" if often else monthly
    return TriggerDefinition.model_validate(
        {
            "name": f"schedule-{number:05}",
            "spec": {"schedule": {"cron": expression, "time_zone": "Europe/Berlin"}},
            "action": {
                "pipeline": PIPELINE,
                "inputs": {"data": "azureml://datastores/x/paths/${{ scheduled_time }}"},
            },
            "policies": UNBOUNDED,
        }
    )
