"""What the index wants of AzureML: a schedule for each trigger that AzureML runs."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from shared import native_triggers
from shared.datastores import Datastores
from shared.errors import (
    Conflict,
    ExpressionInvalid,
    NotFound,
    RequestInvalid,
    SignalboxError,
    listed,
)
from shared.index import IndexedTrigger, Snapshot
from shared.inputs import redacted
from shared.native_jobs import body_of
from shared.native_plans import WantedSchedule
from shared.native_triggers import trigger_of
from shared.published import Published, PublishedPipeline
from shared.specs import Studio
from shared.workspace import JobBody


class Labels(Protocol):
    """Where versions are that labels stand for now."""

    def labelled(self, kind: str, name: str, label: str) -> str | None:
        """None when there is none. Raises WorkspaceUnavailable, JobRejected."""


class NativeOrders:
    """Makes them of triggers and what is published."""

    def __init__(
        self,
        *,
        deployment: str,
        variables: Mapping[str, str],
        published: Published,
        labels: Labels,
        datastores: Datastores | None = None,
    ) -> None:
        self._deployment = deployment
        self._variables = variables
        self._published = published
        self._labels = labels
        self._datastores = datastores or {}

    def all(self, snapshot: Snapshot, now: datetime) -> tuple[list[WantedSchedule], dict[str, str]]:
        """What an index wants, and why some of it cannot be had, by trigger."""
        wanted, problems = list[WantedSchedule](), dict[str, str]()
        for name, trigger in natives(snapshot).items():
            try:
                wanted.append(self.one(snapshot, trigger, now))
            except SignalboxError as error:
                problems[name] = redacted(str(error))
        return wanted, problems

    def one(self, snapshot: Snapshot, trigger: IndexedTrigger, now: datetime) -> WantedSchedule:
        """The schedule of one trigger.

        Raises NotFound, ExpressionInvalid, WorkspaceUnavailable, JobRejected, StorageUnavailable.
        """
        spec = trigger.definition.spec.schedule
        assert spec is not None
        body = self._body(trigger, self._pipeline(snapshot, trigger), {})
        try:
            # Distances are counted on through an edit; local times begin when they are published.
            native = trigger_of(spec, trigger.anchor if spec.every else trigger.since)
        except ValueError as error:
            raise ExpressionInvalid(str(error)) from None
        return WantedSchedule(
            name=trigger.definition.name,
            deployment=self._deployment,
            enabled=trigger.paused is None,
            trigger=native,
            body=body,
            over=spec.ends is not None and spec.ends <= now,
            studio=spec.studio or Studio(),
        )

    def with_inputs(
        self, snapshot: Snapshot, trigger: IndexedTrigger, inputs: Mapping[str, Any]
    ) -> JobBody:
        """What one of its jobs is made from, with other inputs. Raises RequestInvalid as well."""
        pipeline = self._pipeline(snapshot, trigger)
        if strange := sorted(inputs.keys() - pipeline.inputs.keys()):
            there = f"{pipeline.name} has no such input; it has {listed(sorted(pipeline.inputs))}"
            raise RequestInvalid(
                "These inputs do not fit", {f"inputs.{name}": there for name in strange}
            )
        try:
            return self._body(trigger, pipeline, inputs)
        except ExpressionInvalid as error:
            raise RequestInvalid("These inputs do not fit", {"inputs": str(error)}) from None

    def _pipeline(self, snapshot: Snapshot, trigger: IndexedTrigger) -> PublishedPipeline:
        reference = trigger.definition.action.pipeline
        pipeline = self._published.resolve(snapshot, reference)
        if pipeline is None:
            there = listed(sorted(snapshot.pipelines))
            raise NotFound(
                f"No pipeline named {reference!r} is published; publish it. There are: {there}."
            )
        return pipeline

    def _body(
        self, trigger: IndexedTrigger, pipeline: PublishedPipeline, given: Mapping[str, Any]
    ) -> JobBody:
        body = body_of(
            trigger.definition,
            pipeline,
            deployment=self._deployment,
            variables=self._variables,
            datastores=self._datastores,
            given=given,
        )
        return self._pinned(body)

    def _pinned(self, body: JobBody) -> JobBody:
        """The body with the versions that are the latest now."""
        labelled = body.latest()
        found = {
            name: self._labels.labelled(kind, asset, "latest")
            for name, (kind, asset) in labelled.items()
        }
        for name, version in found.items():
            if version is None:
                kind, asset = labelled[name]
                raise NotFound(
                    f"inputs.{name}: the workspace has no {kind} named {asset!r}, so none is the "
                    "latest; register it, or bind another"
                )
        return body.with_versions({n: version for n, version in found.items() if version})


def natives(snapshot: Snapshot) -> dict[str, IndexedTrigger]:
    """The triggers that AzureML runs, by name."""
    return {name: each for name, each in sorted(snapshot.triggers.items()) if is_native(each)}


def is_native(trigger: IndexedTrigger) -> bool:
    """Whether AzureML runs it."""
    return native_triggers.is_native(trigger.definition.spec)


def native(snapshot: Snapshot, name: str) -> IndexedTrigger:
    """One of them. Raises NotFound, Conflict."""
    found = snapshot.triggers.get(name)
    if found is None:
        there = listed(sorted(natives(snapshot)))
        raise NotFound(f"There is no trigger {name!r}. AzureML runs these: {there}.")
    if not is_native(found):
        there = listed(sorted(natives(snapshot)))
        raise Conflict(
            f"{name!r} is none that AzureML runs (engine: azureml). AzureML runs these: {there}."
        )
    return found


def digest(snapshot: Snapshot) -> str:
    """Another one whenever an index wants something else of AzureML."""
    said = [
        [
            name,
            each.revision,
            each.since.isoformat(),
            each.paused is None,
            snapshot.pipelines.get(each.definition.action.pipeline.partition("@")[0], {}).get(
                "version"
            ),
        ]
        for name, each in natives(snapshot).items()
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
