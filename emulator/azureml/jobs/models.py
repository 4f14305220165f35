"""Jobs: a run, the body it was created with, and the plan it follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.azureml.execution.plan import Plan
from emulator.azureml.jobs.errors import JobImmutable, JobNotFound
from emulator.azureml.resources import system_data
from emulator.azureml.runhistory.models import Run
from emulator.azureml.store import Store
from emulator.azureml.workspace import PROVIDER, Workspace

_CHANGEABLE = frozenset({"description", "tags", "displayName", "properties", "isArchived"})
#: What the server adds to a body, which therefore says nothing about a difference.
_SERVER_SIDE = frozenset({"status", "services"})
#: The names by which the service reports what a PUT may not change.
_REPORTED = {
    "inputs": ("Inputs", "InputBindings"),
    "outputs": ("Outputs", "OutputBindings"),
}


@dataclass(kw_only=True)
class Job:
    """One job. `run` is what happens to it; `body` is what was asked for."""

    run: Run
    body: Mapping[str, Any]
    plan: Plan
    #: The schedule that started it.
    schedule: str | None = None

    @property
    def name(self) -> str:
        return self.run.name

    def update(self, body: Mapping[str, Any]) -> None:
        """Apply a later PUT of the same name. Raises JobImmutable.

        Only what describes a job can change. A PUT that changes nothing at all is refused too:
        the service compares bindings it has rewritten, so even a fetched job that is put back
        as it is comes back as `InputBindings` (azure-sdk-for-python#47389).
        """
        differing: list[str] = []
        for key in sorted({*self.body, *body} - _CHANGEABLE - _SERVER_SIDE):
            if (self.body.get(key) or None) != (body.get(key) or None):
                differing += _REPORTED.get(key, (key[0].upper() + key[1:],))
        if differing or not self._describes_anew(body):
            raise JobImmutable(differing or ["InputBindings"])
        self.run.describe({**body, "hidden": body.get("isArchived")})

    def _describes_anew(self, body: Mapping[str, Any]) -> bool:
        run = self.run
        now = {
            "tags": run.tags,
            "properties": run.properties,
            "displayName": run.display_name,
            "description": run.description,
            "isArchived": run.hidden,
        }
        for key, value in now.items():
            given = body.get(key)
            if isinstance(value, dict):
                if any(value.get(name) != text for name, text in (given or {}).items()):
                    return True
            elif given is not None and given != value:
                return True
        return False

    def resource(self, workspace: Workspace) -> dict[str, Any]:
        """The job as an ARM resource."""
        run = self.run
        outputs = {
            key: dict(value or {}) for key, value in (self.body.get("outputs") or {}).items()
        }
        for key, asset in run.outputs.items():
            outputs.setdefault(key, {"jobOutputType": asset.type})["uri"] = asset.uri
        studio = (
            f"https://ml.azure.com/runs/{run.name}?wsid={workspace.arm_id}&tid={workspace.tenant}"
        )
        return {
            "id": workspace.child("jobs", run.name),
            "name": run.name,
            "type": f"{PROVIDER}/workspaces/jobs",
            "properties": {
                **self.body,
                "outputs": outputs,
                "displayName": run.display_name,
                "description": run.description,
                "experimentName": run.experiment,
                "tags": run.tags,
                "properties": run.properties,
                "isArchived": run.hidden,
                "status": run.status,
                "services": {
                    "Studio": {
                        "jobServiceType": "Studio",
                        "endpoint": studio,
                        "status": None,
                        "properties": None,
                    },
                    "Tracking": {
                        "jobServiceType": "Tracking",
                        "endpoint": f"azureml://{workspace.api_host}/mlflow/v1.0{workspace.arm_id}",
                        "status": None,
                        "properties": None,
                    },
                },
            },
            "systemData": system_data(run.created),
        }


class JobStore(Store[Job]):
    """All jobs of the workspace; `get` raises JobNotFound."""

    def __init__(self) -> None:
        super().__init__(JobNotFound)
