"""Runs: what has happened to every job and every step, the truth behind both APIs."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from emulator.azureml.locations import Location
from emulator.azureml.resources import now, timestamp
from emulator.azureml.runhistory.errors import RunNotFound
from emulator.azureml.runhistory.states import TRANSITIONS, Status
from emulator.azureml.store import Store

STD_LOG = "user_logs/std_log.txt"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
PIPELINE_LOG = "logs/azureml/executionlogs.txt"


@dataclass(frozen=True)
class RunError:
    """Why a run failed."""

    code: str
    message: str


@dataclass(frozen=True)
class RunAsset:
    """Data that a run read or wrote, under the id by which run history knows it."""

    asset_id: str
    type: str
    uri: str


@dataclass(kw_only=True)
class Run:
    """One run: a job, or a step of one."""

    name: str
    kind: str
    experiment: str
    display_name: str
    description: str | None = None
    parent: str | None = None
    compute: str = "serverless"
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    hidden: bool = False
    status: Status = Status.NOT_STARTED
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    started: datetime | None = None
    ended: datetime | None = None
    error: RunError | None = None
    #: What is worth knowing and no error; clients print it at the end of a stream.
    warnings: list[str] = field(default_factory=list)
    inputs: dict[str, RunAsset] = field(default_factory=dict)
    outputs: dict[str, RunAsset] = field(default_factory=dict)
    logs: dict[str, Location] = field(default_factory=dict)
    #: Told of every new status, in their order; it is waited for, so it must only take note.
    watcher: "Callable[[Run], None] | None" = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def type(self) -> str:
        """What run history calls this kind of run."""
        return "azureml.PipelineRun" if self.kind == "pipeline" else "azureml.StepRun"

    def move(self, status: Status, error: RunError | None = None) -> bool:
        """Go to `status` if the transition table allows it; False when the run is past that."""
        with self._lock:
            if status not in TRANSITIONS[self.status]:
                return False
            moment = now()
            if status is Status.RUNNING:
                self.started = moment
            if status.is_final:
                self.ended = moment
            self.status, self.error, self.modified = status, error, moment
            if self.watcher:
                self.watcher(self)
            return True

    def describe(self, changes: Mapping[str, Any]) -> None:
        """Update what may change of a run; tags and properties are merged."""
        with self._lock:
            self.tags = {**self.tags, **(changes.get("tags") or {})}
            self.properties = {**self.properties, **(changes.get("properties") or {})}
            if changes.get("displayName") is not None:
                self.display_name = str(changes["displayName"])
            if changes.get("description") is not None:
                self.description = str(changes["description"])
            if changes.get("hidden") is not None:
                self.hidden = bool(changes["hidden"])
            self.modified = now()

    def document(self, root: str, region: str) -> dict[str, Any]:
        """The run as run history shows it."""
        ended = self.ended or now()
        duration = ended - self.started if self.started else None
        return {
            "runId": self.name,
            "runUuid": self.name,
            "parentRunId": self.parent,
            "rootRunId": root,
            "experimentId": self.experiment,
            "status": self.status,
            "displayName": self.display_name,
            "name": self.name,
            "description": self.description,
            "dataContainerId": f"dcid.{self.name}",
            "hidden": self.hidden,
            "runType": self.type,
            "createdUtc": timestamp(self.created),
            "createdTimeUtc": timestamp(self.created),
            "startTimeUtc": timestamp(self.started),
            "endTimeUtc": timestamp(self.ended),
            "lastModifiedUtc": timestamp(self.modified),
            "duration": _clock(duration) if duration else None,
            "target": self.compute,
            "compute": {"target": self.compute, "targetType": "AmlCompute"},
            "tags": self.tags,
            "properties": self.properties,
            "error": self._error_document(region),
            "warnings": [{"source": "local", "message": text} for text in self.warnings],
            "inputs": _references(self.inputs),
            "outputs": _references(self.outputs),
        }

    def _error_document(self, region: str) -> dict[str, Any] | None:
        if self.error is None:
            return None
        return {
            "error": {
                "code": self.error.code,
                "severity": None,
                "message": self.error.message,
                "messageFormat": None,
                "messageParameters": {},
                "details": [],
                "innerError": None,
            },
            "correlation": {"operation": self.name, "request": self.name},
            "environment": region,
            "location": region,
            "time": timestamp(self.ended),
            "componentName": "CommonRuntime" if self.kind == "command" else "PipelineService",
        }


class RunStore(Store[Run]):
    """All runs of the workspace; `get` raises RunNotFound.

    `watcher` is told of every new status of a run that is in the store.
    """

    def __init__(self, watcher: Callable[[Run], None] | None = None) -> None:
        super().__init__(RunNotFound)
        self._watcher = watcher

    def add(self, run: Run) -> None:
        run.watcher = self._watcher
        super().add(run)

    def children(self, name: str) -> list[Run]:
        """The runs below a run, newest first, as the service lists them."""
        return [run for run in self.newest_first() if run.parent == name]

    def root(self, run: Run) -> str:
        """Name of the job that a run belongs to."""
        return run.name if run.parent is None else self.root(self.get(run.parent))

    def asset(self, asset_id: str) -> RunAsset | None:
        """Data by the id that run history gave it."""
        for run in self.newest_first():
            for asset in [*run.outputs.values(), *run.inputs.values()]:
                if asset.asset_id == asset_id:
                    return asset
        return None


def _references(assets: Mapping[str, RunAsset]) -> dict[str, Any]:
    return {name: {"assetId": a.asset_id, "type": a.type} for name, a in assets.items()}


def _clock(duration: timedelta) -> str:
    hours, rest = divmod(duration.total_seconds(), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{int(hours):02d}:{int(minutes):02d}:{seconds:010.7f}"
