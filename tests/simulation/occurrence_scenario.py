"""What is published in a history of schedules, and what happens beside ticks and edits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from shared.definitions import TriggerDefinition
from shared.lakes import Upload
from tests.simulation.scenario import PIPELINE

#: In the end one that has the minutes of the first, and other seconds.
SPECS: Sequence[Mapping[str, Any]] = (
    {"cron": "* * * * *"},
    {"cron": "*/2 * * * *"},
    {"every": "PT1M"},
    {"every": "PT90S"},
    {"every": "PT70S", "jitter": "PT2M"},
    {"cron": "* * * * *", "jitter": "PT3M"},
    {"cron": "*/3 * * * *", "catchup_window": "PT5M"},
    {"every": "PT1M", "start_time": "2026-03-01T12:00:30Z"},
)
_POLICIES: list[dict[str, Any]] = [
    {},
    {"while_paused": "hold"},
    {"overlap": "buffer_one"},
    {"overlap": "buffer_all", "concurrency": {"limit": 2}},
    {"overlap": "buffer_all", "concurrency": {"limit": "unlimited"}},
]
#: Those of one run at a time, which leaves out what comes meanwhile.
_ONE_AT_A_TIME = _POLICIES[:2]

_ONLY_IF = {
    "new_blobs": {"account": "lake", "container": "landing", "path": "in/{number}.csv"},
}


@dataclass(frozen=True)
class OccurrenceScenario:
    """What is not left to chance; as it is, only ticks, edits, pauses and crashes happen."""

    specs: Sequence[Mapping[str, Any]] = SPECS
    #: How often whoever publishes gets to go on, beside ticks.
    pace: float = 0.4
    #: For each step: an edit during which a tick is slow that had read the index before it, a pause
    #: upon a pause, and an index that is lost or put back as it was.
    overtaken: float = 0
    paused_twice: float = 0
    lost: float = 0
    #: For each step, an upload; then some schedules run only if there are new ones.
    uploaded: float = 0
    #: For each step, somebody who has the past of a schedule run.
    backfilled: float = 0

    @classmethod
    def drawn(cls, rng: Random) -> "OccurrenceScenario":
        """Much of it in few histories, none of it in most."""
        return cls(
            overtaken=rng.choice([0, 0, 0, 0.03]),
            paused_twice=rng.choice([0, 0, 0, 0.03]),
            lost=rng.choice([0, 0, 0, 0, 0.005]),
            uploaded=rng.choice([0, 0, 0, 0, 0.05]),
            backfilled=rng.choice([0, 0, 0, 0, 0.02]),
        )

    def trigger(self, name: str, rng: Random, beside: Random) -> TriggerDefinition:
        """A schedule by chance; `beside` tells what only some scenarios have."""
        schedule, policies = dict(rng.choice(self.specs)), rng.choice(_POLICIES)
        if self.uploaded and beside.random() < 0.7:
            schedule["only_if"] = _ONLY_IF
            policies = beside.choice(_ONE_AT_A_TIME)
        return TriggerDefinition.model_validate(
            {
                "name": name,
                "spec": {"schedule": schedule},
                "action": {"pipeline": PIPELINE.name},
                "policies": policies,
            }
        )


def upload(number: int, at: datetime) -> Upload:
    """A file of a path of its own, which schedules wait for; storage tells whole seconds."""
    at = at.replace(microsecond=0)
    return Upload(
        account="lake",
        container="landing",
        path=f"in/{number}.csv",
        etag=f"0x{number}",
        size=number,
        last_modified=at,
        created=at,
    )
