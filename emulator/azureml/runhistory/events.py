"""What the workspace tells Event Grid about runs.

Schema: https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning
"""

import uuid
from collections.abc import Callable
from typing import Any

from emulator.azureml.resources import timestamp
from emulator.azureml.runhistory.models import Run
from emulator.azureml.runhistory.states import Status
from emulator.azureml.workspace import PROVIDER, Workspace

#: Takes an event at once, from any thread, and never raises.
type Publish = Callable[[dict[str, Any]], None]

STATUS_CHANGED = f"{PROVIDER}.RunStatusChanged"
#: Raised for success only, as the service documents it; failures are changes of status.
COMPLETED = f"{PROVIDER}.RunCompleted"


class RunEvents:
    """Raises the events of runs, jobs and steps alike, as their status changes."""

    def __init__(self, workspace: Workspace, publish: Publish) -> None:
        self._workspace = workspace
        self._publish = publish

    def __call__(self, run: Run) -> None:
        """Tell of the status that the run has just come to."""
        about = self._about(run)
        self._publish(
            self._event(run, STATUS_CHANGED, {**about, "runStatus": str(run.status)}),
        )
        if run.status is Status.COMPLETED:
            self._publish(self._event(run, COMPLETED, about))

    def _about(self, run: Run) -> dict[str, Any]:
        return {
            "experimentId": self._experiment_id(run),
            "experimentName": run.experiment,
            "runId": run.name,
            "runType": run.type,
            "runTags": dict(run.tags),
            "runProperties": dict(run.properties),
        }

    def _event(self, run: Run, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "topic": self._workspace.arm_id,
            "subject": f"experiments/{self._experiment_id(run)}/runs/{run.name}",
            "eventType": kind,
            "id": str(uuid.uuid4()),
            "eventTime": timestamp(run.modified),
            "data": data,
            "dataVersion": "",
            "metadataVersion": "1",
        }

    def _experiment_id(self, run: Run) -> str:
        """The same for the same name, so that a restart keeps it."""
        name = f"{self._workspace.arm_id.lower()}/experiments/{run.experiment}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, name))
