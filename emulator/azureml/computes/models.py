"""One compute: what was asked for, the operation it is in, and how ARM shows it."""

import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from emulator.azureml.computes.errors import BadCompute, ComputeBusy
from emulator.azureml.computes.failures import ComputeFailures
from emulator.azureml.computes.states import OPERATIONS, STEADY
from emulator.azureml.errors import NotImplementedHere
from emulator.azureml.resources import now, timestamp
from emulator.azureml.workspace import PROVIDER, Workspace

SERVERLESS = "serverless"
CLUSTER, INSTANCE = "AmlCompute", "ComputeInstance"

_CLUSTER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,31}")
_INSTANCE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{2,23}")
_SIZE = re.compile(r"standard_[a-z0-9_]+", re.IGNORECASE)
#: The SDK turns its own spelling "LowPriority" into the second one.
_PRIORITIES = {
    "dedicated": "Dedicated",
    "lowpriority": "LowPriority",
    "low_priority": "LowPriority",
}
_FIXED = {
    CLUSTER: ("vmSize", "vmPriority", "subnet"),
    INSTANCE: ("vmSize", "subnet", "personalComputeInstanceSettings", "setupScripts"),
}
_SECRETS = ("adminUserPassword", "adminUserSshPublicKey")


@dataclass
class Progress:
    """An operation that is under way, or the last one."""

    name: str
    #: By the monotonic clock.
    ends: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    since: datetime = field(default_factory=now)
    status: str = "InProgress"
    error: Mapping[str, str] | None = None


class Compute:
    """One compute target. Operations take time; every look at it settles those that are over."""

    def __init__(self, name: str, body: Mapping[str, Any], failures: ComputeFailures) -> None:
        self.name = name
        self.type = str((body.get("properties") or {}).get("computeType"))
        self._failures = failures
        self._lock = threading.RLock()
        self._body = dict(body)
        self._created = self._modified = now()
        self._provisioning = "Succeeded"
        self._state = "Running" if self.type == INSTANCE else STEADY
        self._progress: Progress | None = None
        self._errors: list[Mapping[str, str]] = []

    def begin(self, operation: str, seconds: float) -> Progress:
        """Start an operation; one with nothing to do is over at once. Raises ComputeBusy."""
        declared = OPERATIONS[operation]
        with self._lock:
            self.settle()
            if self._state in declared.nothing_to_do:
                self._progress = Progress(operation, time.monotonic(), status="Succeeded")
                return self._progress
            busy = self._progress is not None and self._progress.status == "InProgress"
            wrong = declared.begins and self._state not in declared.begins
            if wrong or (busy and operation != "Delete"):
                raise ComputeBusy(self.name, operation, self.state)
            self._provisioning = declared.provisioning
            self._show(declared.during)
            self._progress = Progress(operation, time.monotonic() + seconds)
            return self._progress

    def settle(self) -> None:
        """End the operation whose time is over, well or as it was told to fail."""
        with self._lock:
            progress = self._progress
            if progress is None or progress.status != "InProgress":
                return
            if time.monotonic() < progress.ends or self._failures.holds(self.name, progress.name):
                return
            declared = OPERATIONS[progress.name]
            failure = self._failures.meet(self.name, progress.name)
            self._provisioning = "Succeeded"
            progress.status, state = "Succeeded", declared.after
            if failure:
                progress.status, state = "Failed", declared.failed
                progress.error = {"code": failure.code, "message": failure.message}
                self._errors = [progress.error]
                if progress.name == "Create":
                    self._provisioning = "Failed"
            else:
                self._errors = []
            self._show(state)
            self._modified = now()

    def update(self, body: Mapping[str, Any], seconds: float) -> Progress:
        """Take over new settings. Raises BadCompute for those that a compute keeps for ever."""
        with self._lock:
            self.settle()
            before, after = _settings(self._body), _settings(body)
            kind = str((body.get("properties") or {}).get("computeType"))
            if kind != self.type:
                raise BadCompute(f"The compute '{self.name}' exists as {self.type}, not {kind}.")
            for key in _FIXED[self.type]:
                if after.get(key) is not None and before.get(key) != after.get(key):
                    raise BadCompute(
                        f"The property {key} of compute '{self.name}' cannot be changed from "
                        f"{before.get(key)!r} to {after.get(key)!r}. Delete the compute first.",
                        "ComputePropertyImmutable",
                    )
            # What came to nothing is made anew.
            failed = self._provisioning == "Failed"
            progress = self.begin("Create" if failed else "Update", seconds)
            self._body = dict(body)
            return progress

    def power_off(self) -> None:
        """Be a stopped instance from the start."""
        self._show("Stopped")

    @property
    def is_gone(self) -> bool:
        with self._lock:
            self.settle()
            done = self._progress
            return done is not None and (done.name, done.status) == ("Delete", "Succeeded")

    @property
    def state(self) -> str:
        """What it does now: the state of an instance, the provisioning state of the others."""
        with self._lock:
            self.settle()
            return self._state if self.type == INSTANCE else self._provisioning

    @property
    def is_usable(self) -> bool:
        """Whether steps can start on it now."""
        return self.state in ("Running", "Succeeded", "Updating")

    @property
    def problem(self) -> str | None:
        """Why it will never be usable as it is, or None."""
        with self._lock:
            self.settle()
            if self._provisioning == "Failed":
                said = self._errors[0]["message"] if self._errors else ""
                return f"its provisioning has failed: {said}"
            return None

    def progress(self, operation_id: str) -> Progress | None:
        with self._lock:
            self.settle()
            found = self._progress
            return found if found and found.id == operation_id else None

    def resource(self, workspace: Workspace) -> dict[str, Any]:
        """The compute as an ARM resource."""
        with self._lock:
            self.settle()
            properties = dict(self._body.get("properties") or {})
            identity = self._body.get("identity")
            if identity:
                identity = {**identity, "tenantId": workspace.tenant}
                if "SystemAssigned" in str(identity.get("type")):
                    name = f"{workspace.arm_id}/{self.name}"
                    identity["principalId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, name))
            return {
                "id": workspace.child("computes", self.name),
                "name": self.name,
                "type": f"{PROVIDER}/workspaces/computes",
                "location": self._body.get("location") or workspace.region,
                "tags": self._body.get("tags") or {},
                "identity": identity,
                "properties": {
                    **properties,
                    "computeLocation": workspace.region,
                    "provisioningState": self._provisioning,
                    "provisioningErrors": [{"error": dict(e)} for e in self._errors] or None,
                    "isAttachedCompute": self.type not in (CLUSTER, INSTANCE),
                    "createdOn": timestamp(self._created),
                    "modifiedOn": timestamp(self._modified),
                    "properties": self._inner(),
                },
            }

    def _show(self, state: str) -> None:
        if self.type == INSTANCE and state:
            self._state = state

    def _inner(self) -> dict[str, Any]:
        settings = _settings(self._body)
        if secrets := settings.get("userAccountCredentials"):
            shown = {k: v for k, v in secrets.items() if k not in _SECRETS}
            settings["userAccountCredentials"] = shown
        if self.type == CLUSTER:
            return {**settings, "allocationState": STEADY, "currentNodeCount": 0}
        if self.type == INSTANCE:
            return {**settings, "state": self._state, "lastOperation": self._last_operation()}
        return settings

    def _last_operation(self) -> dict[str, Any] | None:
        done = self._progress
        if done is None:
            return None
        status = f"{done.name}Failed" if done.status == "Failed" else done.status
        return {
            "operationName": done.name,
            "operationTime": timestamp(done.since),
            "operationStatus": status,
            "operationTrigger": "User",
        }


def checked(name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a PUT as the service keeps it. Raises BadCompute or NotImplementedHere."""
    properties = body.get("properties") or {}
    kind = str(properties.get("computeType"))
    if kind not in (CLUSTER, INSTANCE):
        raise NotImplementedHere(f"Attaching computes of type {kind}", plural=False)
    rule = _CLUSTER_NAME if kind == CLUSTER else _INSTANCE_NAME
    if not rule.fullmatch(name):
        raise BadCompute(f"'{name}' is not a valid name of a compute: it must match {rule.pattern}")
    settings = dict(properties.get("properties") or {})
    size = str(settings.get("vmSize") or "")
    if not _SIZE.fullmatch(size):
        raise BadCompute(f"The vmSize {size!r} of compute '{name}' is not supported.")
    # the service writes sizes in capitals, however they were asked for
    settings["vmSize"] = size.upper()
    if kind == CLUSTER:
        _check_cluster(name, settings)
    else:
        settings.setdefault("enableNodePublicIp", True)
    return {**body, "properties": {**properties, "properties": settings}}


def _check_cluster(name: str, settings: dict[str, Any]) -> None:
    priority = str(settings.get("vmPriority") or "Dedicated")
    if priority.lower() not in _PRIORITIES:
        raise BadCompute(f"The vmPriority {priority!r} of compute '{name}' is unknown.")
    settings["vmPriority"] = _PRIORITIES[priority.lower()]
    scale = dict(settings.get("scaleSettings") or {})
    least, most = scale.get("minNodeCount") or 0, scale.get("maxNodeCount")
    if most is None or not 0 <= least <= most:
        raise BadCompute(
            f"The scaleSettings of compute '{name}' need 0 <= minNodeCount ({least}) <= "
            f"maxNodeCount ({most}).",
            "InvalidScaleSettings",
        )
    settings["scaleSettings"] = {
        "minNodeCount": least,
        "maxNodeCount": most,
        "nodeIdleTimeBeforeScaleDown": scale.get("nodeIdleTimeBeforeScaleDown") or "PT2M",
    }
    if settings.get("remoteLoginPortPublicAccess") in (None, "NotSpecified"):
        settings["remoteLoginPortPublicAccess"] = "Disabled"
    if settings.get("enableNodePublicIp") is None:
        settings["enableNodePublicIp"] = True


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    return dict((body.get("properties") or {}).get("properties") or {})
