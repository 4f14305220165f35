"""What AzureML says of jobs that are runs of ours: a hint to look, never an event of its own.

AzureML's events come late, in no order and not for every failure, so what a run came to is decided
by a GET. Triggers are told of it once, by the run's end in the ledger: were they told by these as
well, a trigger for any job's end would start itself again and again, whatever way the event came.
"""

import re

from shared.binding import DEPLOYMENT_TAG, RUN_TAG
from shared.events import Event
from shared.ledger import parse_run_id

_PREFIX = "Microsoft.MachineLearningServices."
_COMPLETED, _CHANGED = f"{_PREFIX}RunCompleted", f"{_PREFIX}RunStatusChanged"
_RUNS = frozenset({_COMPLETED, _CHANGED})

#: AzureML's documentation and its runs spell them with other letters.
_ENDS = frozenset({"completed", "failed", "canceled", "cancelled"})

#: The names that `ledger.job_name` gives.
_OURS = re.compile(r"[a-z][a-z0-9_-]*-[0-9a-f]{16}-a[0-9]+")

#: Where AzureML says which pipeline job a step belongs to.
_PARENTS = ("azureml.pipelinerunid", "azureml.parentrunid", "azureml.rootrunid", "ParentRunId")


def is_ours(event: Event) -> bool:
    """Whether it is about a job that Signalbox submitted, this deployment or another, or a step."""
    if event.type not in _RUNS:
        return False
    data = event.data if isinstance(event.data, dict) else {}
    properties = _part(event, "runProperties")
    names = [data.get("runId"), *(properties.get(name) for name in _PARENTS)]
    return any(isinstance(name, str) and _OURS.fullmatch(name) for name in names)


def ended_run(event: Event, deployment: str) -> tuple[str, str] | None:
    """The trigger and key of the run of this deployment that may be over now."""
    tags = _part(event, "runTags")
    if tags.get(DEPLOYMENT_TAG) != deployment or not _may_be_over(event):
        return None
    return parse_run_id(str(tags.get(RUN_TAG, "")))


def _may_be_over(event: Event) -> bool:
    # How far a job is on its way is for the timer to see.
    status = event.data.get("runStatus") if isinstance(event.data, dict) else None
    if not isinstance(status, str):
        return True
    if event.type == _CHANGED and status.lower() == "completed":
        # Told by an event of its own at the same time: two would look, and get in each other's way.
        return False
    return status.lower() in _ENDS


def _part(event: Event, name: str) -> dict[str, object]:
    found = event.data.get(name) if isinstance(event.data, dict) else None
    return found if isinstance(found, dict) else {}
