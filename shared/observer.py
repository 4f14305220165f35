"""What AzureML says of itself: a job of ours makes its run be looked at now, all else is an event.

AzureML's events come late, in no order and not for every failure. So they are a hint: what a run
came to is decided by a GET.
"""

import logging
import re

from shared.binding import DEPLOYMENT_TAG, RUN_TAG
from shared.dispatcher import Dispatcher
from shared.errors import SignalboxError
from shared.events import Event
from shared.ledger import parse_run_id
from shared.submission import Submission

log = logging.getLogger(__name__)

_PREFIX = "Microsoft.MachineLearningServices."
_RUNS = frozenset({f"{_PREFIX}RunCompleted", f"{_PREFIX}RunStatusChanged"})

#: AzureML's documentation and its runs spell them with other letters.
_ENDS = frozenset({"completed", "failed", "canceled", "cancelled"})

#: The names that `ledger.job_name` gives.
_OURS = re.compile(r"[a-z][a-z0-9_-]*-[0-9a-f]{16}-a[0-9]+")

#: Where AzureML says which pipeline job a step belongs to.
_PARENTS = ("azureml.pipelinerunid", "azureml.parentrunid", "azureml.rootrunid", "ParentRunId")


class Observer:
    """Takes in the events of the AzureML workspace."""

    def __init__(self, *, deployment: str, dispatcher: Dispatcher, submission: Submission) -> None:
        self._deployment = deployment
        self._dispatcher = dispatcher
        self._submission = submission

    def handle(self, event: Event) -> None:
        """Raises StorageUnavailable: deliver it again."""
        if event.type not in _RUNS or not _is_ours(event):
            self._dispatcher.handle(event)
            return
        # What a run of ours came to is told to triggers by its end in the ledger, once. Were they
        # told here as well, a trigger for any job's end would start itself again and again.
        tags = _part(event, "runTags")
        run = parse_run_id(str(tags.get(RUN_TAG, "")))
        if run is None or tags.get(DEPLOYMENT_TAG) != self._deployment or not _may_be_over(event):
            return
        about = {"action": "run_observed", "run": ".".join(run)}
        try:
            self._submission.resume(*run)
        except SignalboxError as error:
            log.warning(
                "Run %s is looked at again by the timer: %s", about["run"], error, extra=about
            )


def _is_ours(event: Event) -> bool:
    """Whether it is about a job that Signalbox submitted, this deployment or another, or a step."""
    data = event.data if isinstance(event.data, dict) else {}
    properties = _part(event, "runProperties")
    names = [data.get("runId"), *(properties.get(name) for name in _PARENTS)]
    return any(isinstance(name, str) and _OURS.fullmatch(name) for name in names)


def _may_be_over(event: Event) -> bool:
    """Whether a look may find the end; how far a job is on its way is for the timer to see."""
    status = event.data.get("runStatus") if isinstance(event.data, dict) else None
    return not isinstance(status, str) or status.lower() in _ENDS


def _part(event: Event, name: str) -> dict[str, object]:
    found = event.data.get(name) if isinstance(event.data, dict) else None
    return found if isinstance(found, dict) else {}
