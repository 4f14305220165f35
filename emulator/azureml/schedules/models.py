"""One schedule: what was asked for, the operation it is in, and how ARM shows it."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from emulator.azureml.resources import now, system_data
from emulator.azureml.schedules.errors import (
    ScheduleBusy,
    ScheduleEnabled,
    ScheduleNotFound,
)
from emulator.azureml.schedules.times import Times
from emulator.azureml.store import Store
from emulator.azureml.workspace import PROVIDER, Workspace


@dataclass
class Operation:
    """A change that is under way, or the last one."""

    #: What the schedule's provisioning state says meanwhile.
    state: str
    #: By the monotonic clock.
    ends: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    since: datetime = field(default_factory=now)

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends


class Schedule:
    """One schedule. `at` is the workspace's clock of schedules, which may be ahead."""

    def __init__(self, name: str, properties: Mapping[str, Any], at: datetime) -> None:
        self.name = name
        #: Of the job it starts, macros as they are; set when it was checked.
        self.job: Mapping[str, Any] = {}
        self._created = at
        self.operation: Operation | None = None
        #: When it fires; None for one that is disabled or over.
        self.next: datetime | None = None
        self._put(properties, at)
        if self.times.runs_at_once and self.is_enabled:
            self.next = at

    def begin(self, state: str, seconds: float) -> Operation:
        """Raises ScheduleBusy."""
        if self.operation and not self.operation.is_over:
            raise ScheduleBusy(self.name, self.operation.state)
        self.operation = Operation(state, time.monotonic() + seconds)
        return self.operation

    def update(self, properties: Mapping[str, Any], at: datetime) -> None:
        """Take over another body; what lay in the past does not come again."""
        self._put(properties, at)

    def require_disabled(self) -> None:
        if self.is_enabled:
            raise ScheduleEnabled(self.name)

    def passed(self, moment: datetime) -> None:
        """It has fired for a moment."""
        self.next = self.times.after(moment)

    @property
    def is_enabled(self) -> bool:
        return bool(self.properties["isEnabled"])

    @property
    def is_gone(self) -> bool:
        found = self.operation
        return found is not None and found.state == "Deleting" and found.is_over

    @property
    def provisioning(self) -> str:
        found = self.operation
        return found.state if found and not found.is_over else "Succeeded"

    def resource(self, workspace: Workspace) -> dict[str, Any]:
        """The schedule as an ARM resource."""
        return {
            "id": workspace.child("schedules", self.name),
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/schedules",
            "properties": {**self.properties, "provisioningState": self.provisioning},
            "systemData": system_data(self._created, self._modified),
        }

    def _put(self, properties: Mapping[str, Any], at: datetime) -> None:
        self.times = Times(properties["trigger"], created=at)
        self.properties = dict(properties)
        self._modified = at
        self.next = self.times.after(at) if self.is_enabled else None


class ScheduleStore(Store[Schedule]):
    """All schedules of the workspace; `get` raises ScheduleNotFound."""

    def __init__(self) -> None:
        super().__init__(ScheduleNotFound)
