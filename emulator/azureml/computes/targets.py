"""All computes of the workspace, and whether a step may start on one."""

import threading
from collections.abc import Mapping
from typing import Any

from emulator.azureml.arm_ids import last_segment
from emulator.azureml.computes.errors import ComputeNotFound, UnknownComputeTarget
from emulator.azureml.computes.failures import ComputeFailures
from emulator.azureml.computes.models import (
    CLUSTER,
    INSTANCE,
    SERVERLESS,
    Compute,
    Progress,
    checked,
)
from emulator.azureml.workspace import Workspace
from emulator.topology import Compute as Given

_LOCAL = "Steps run as processes of this computer."


class Computes:
    """The computes by name, those of the topology from the start."""

    def __init__(self, workspace: Workspace, failures: ComputeFailures) -> None:
        self._workspace = workspace
        self._failures = failures
        self._lock = threading.Lock()
        self._computes: dict[str, Compute] = {}
        for given in workspace.computes:
            compute = Compute(given.name, _body(given, workspace), failures)
            if given.type == INSTANCE and given.state == "Stopped":
                compute.power_off()
            self._computes[given.name] = compute

    def put(self, name: str, body: Mapping[str, Any]) -> tuple[Compute, bool, Progress]:
        """Create or update; the flag says whether it is new. Raises ServiceError."""
        wanted = checked(name, body)
        seconds = self._workspace.compute_seconds
        with self._lock:
            existing = self._find(name)
            if existing is not None:
                return existing, False, existing.update(wanted, seconds)
            compute = self._computes[name] = Compute(name, wanted, self._failures)
            return compute, True, compute.begin("Create", seconds)

    def get(self, name: str) -> Compute:
        """Raises ComputeNotFound."""
        with self._lock:
            found = self._find(name)
        if found is None:
            raise ComputeNotFound(name, self._workspace)
        return found

    def all(self) -> list[Compute]:
        with self._lock:
            return [found for name in list(self._computes) if (found := self._find(name))]

    def names(self) -> list[str]:
        return [compute.name for compute in self.all()]

    def progress(self, operation_id: str) -> Progress | None:
        """A running or lately ended operation, also of a compute that is gone."""
        with self._lock:
            for compute in self._computes.values():
                if found := compute.progress(operation_id):
                    return found
        return None

    def check_target(self, compute: str, where: str) -> None:
        """Raise UnknownComputeTarget unless a job may run on `compute`, an id or a bare name."""
        name = last_segment(compute)
        if name.lower() != SERVERLESS and name not in self.names():
            raise UnknownComputeTarget(compute, where, self.names())

    def is_usable(self, name: str) -> bool:
        """Whether a step can start there now."""
        if name.lower() == SERVERLESS:
            return True
        with self._lock:
            found = self._find(name)
        return found is not None and found.is_usable

    def problem(self, name: str) -> str | None:
        """Why steps will never start there as it is, or None."""
        if name.lower() == SERVERLESS:
            return None
        with self._lock:
            found = self._find(name)
        return found.problem if found else "it does not exist any more"

    def _find(self, name: str) -> Compute | None:
        found = self._computes.get(name)
        return None if found is None or found.is_gone else found


def _body(given: Given, workspace: Workspace) -> dict[str, Any]:
    settings: dict[str, Any] = {"vmSize": given.size}
    if given.type == CLUSTER:
        settings |= {
            "osType": "Linux",
            "vmPriority": "Dedicated",
            "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 4},
        }
    elif given.type == "Kubernetes":
        settings = {"namespace": "default", "defaultInstanceType": "defaultinstancetype"}
    elif given.type == "VirtualMachine":
        settings = {"virtualMachineSize": given.size, "address": "127.0.0.1", "sshPort": 22}
    body: dict[str, Any] = {
        "location": workspace.region,
        "properties": {
            "computeType": given.type,
            "description": _LOCAL,
            "disableLocalAuth": True,
            "properties": settings,
        },
    }
    if given.type in (CLUSTER, INSTANCE):
        return checked(given.name, body)
    group = workspace.arm_id.partition("/providers/")[0]
    kind = {
        "Kubernetes": "Microsoft.Kubernetes/connectedClusters",
        "VirtualMachine": "Microsoft.Compute/virtualMachines",
    }[given.type]
    body["properties"]["resourceId"] = f"{group}/providers/{kind}/{given.name}"
    return body
