"""What a tick's look at ten thousand schedules costs, beside that at ten of which as much is due.

Storage is in memory, so this is the processor time of the app alone.
"""

import logging
from collections.abc import Iterator

from shared.clocks import Clock
from shared.definitions import TriggerDefinition
from shared.upcoming import Upcoming
from tests.benchmarks.timing import Figure, compared
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
            lambda many=many: _look(many, 1),  # type: ignore[misc]
            lambda few=few, minutes=minutes: _look(few, minutes),  # type: ignore[misc]
        )
    many, few = _published(MANY, 0), _published(FEW, 0)
    yield compared(
        f"arrange a changed index by what is due next, {MANY:,} schedules beside {FEW}: ms",
        lambda: _arranged(many),
        lambda: _arranged(few),
        rounds=5,
    )


def _arranged(here: Scene) -> None:
    Upcoming(here.index.recent().triggers, Clock(last_evaluated=here.world.now, edition=1))


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


def _schedule(number: int, often: bool) -> TriggerDefinition:
    expression = "* * * * *" if often else f"{number % 60} {number // 60 % 24} 15 * *"
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
