"""Publishing definitions: check, register, then swap the index once.

Rare and by a person; it costs many requests so that an event costs one. Every step may be
repeated: versions are made of content, and what exists is left alone.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from shared import compiler, definitions, lint
from shared.compiler import CompiledPipeline
from shared.compute import Computes
from shared.compute_definitions import ComputeDefinition
from shared.definitions import Definitions, TriggerDefinition, TriggerFile
from shared.errors import DefinitionsInvalid, Transient
from shared.index import Index, IndexedTrigger, Snapshot
from shared.published import Published, PublishedPipeline
from shared.registrations import CompiledAsset, CompiledComponent


class Registry(Protocol):
    """Where component versions are registered."""

    def component_id(self, name: str, version: str) -> str: ...

    def registered(self, name: str, version: str) -> bool: ...

    def register(self, document: dict[str, Any]) -> None: ...

    def has_asset(self, asset: CompiledAsset) -> bool: ...

    def upload(self, asset: CompiledAsset) -> None: ...


class Did(StrEnum):
    """What publishing does with a definition."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Change:
    """One definition and what becomes of it."""

    #: `compute`, `pipeline` or `trigger`.
    kind: str
    name: str
    did: Did
    #: The version or revision that holds afterwards.
    version: str
    #: The one that held before; None when there was none.
    before: str | None = None


class Publishing:
    """Makes a folder of definitions what events meet."""

    def __init__(
        self,
        published: Published,
        index: Index,
        registry: Registry,
        *,
        listens: Collection[str],
        computes: Computes | None = None,
    ) -> None:
        self._published = published
        self._index = index
        self._registry = registry
        #: What the app takes messages from, as `Event.via` spells it.
        self._listens = listens
        #: Makes computes be there; None where none are asked for.
        self._computes = computes

    def plan(self, folder: Path | Definitions) -> list[Change]:
        """What publishing the folder would do now; registers and writes nothing.

        Raises DefinitionsInvalid, StorageUnavailable, RecordUnreadable.
        """
        found, compiled = self._prepare(folder)
        now = [_published(pipeline, self._registry) for pipeline in compiled]
        return _changes(self._index.peek(), now, found)

    def publish(
        self,
        folder: Path | Definitions,
        say: Callable[[str], None],
        planned: Callable[[list[Change]], None] = lambda _plan: None,
    ) -> list[Change]:
        """Check everything, register what is new, then swap the index once.

        `planned` is told what is going to be done before any of it is, `say` of each step that
        takes time. Raises DefinitionsInvalid with every problem of every document before anything
        is registered.
        """
        found, compiled = self._prepare(folder)
        now = [_published(pipeline, self._registry) for pipeline in compiled]
        planned(_changes(self._index.peek(), now, found))
        # Begun first: they become ready while the steps are registered.
        if self._computes:
            self._computes.adopt(found.computes, say)
        for pipeline, record in zip(compiled, now, strict=True):
            self._register_all(pipeline, record, say)
        return self._activate(now, found)

    def _prepare(self, folder: Path | Definitions) -> tuple[Definitions, list[CompiledPipeline]]:
        """The folder's definitions, if nothing at all is wrong with them."""
        found = definitions.load(folder) if isinstance(folder, Path) else folder
        try:
            elsewhere: Mapping[str, lint.Ports | None] = self._elsewhere(found)
        except Transient:
            # What is wrong in the documents themselves is told all the same, and first.
            _checked(found, dict.fromkeys(_named(found)), self._listens)
            raise
        return found, _checked(found, elsewhere, self._listens)

    def _elsewhere(self, found: Definitions) -> dict[str, lint.Ports]:
        """The published pipelines that triggers name and the folder does not hold.

        The index is read only then, so that mistakes in a folder are told without Azure.
        """
        here = {definition.name for definition in found.pipelines}
        named = _named(found)
        if named <= here:
            return {}
        snapshot = self._index.peek()
        references = {*snapshot.pipelines, *(name for name in named if "@" in name)}
        return {
            reference: (pipeline.inputs, pipeline.outputs)
            for reference in references
            if (pipeline := self._published.resolve(snapshot, reference))
        }

    def _register_all(
        self, pipeline: CompiledPipeline, record: PublishedPipeline, say: Callable[[str], None]
    ) -> None:
        known = self._published.read(pipeline.name, pipeline.version)
        # The same state may be used with another workspace, which has none of it yet.
        if known is None or known.component_id != record.component_id:
            for warning in pipeline.warnings:
                say(f"warning: {warning}")
            for reason in pipeline.inline_because:
                say(f"{pipeline.name} is submitted inline: {reason}")
            if pipeline.assets:
                say(f"uploading the data of {pipeline.name}: {len(pipeline.assets)}")
            # One after the other: uploads of the SDK share their counters, and wait for each
            # other's files for ever.
            for asset in pipeline.assets:
                self._upload(asset)
            say(f"registering the steps of {pipeline.name}: {len(pipeline.steps)}")
            pipelines = [step for step in pipeline.steps if step.document["type"] == "pipeline"]
            steps = [step for step in pipeline.steps if step not in pipelines]
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(self._register, steps))
            # A pipeline comes after those within it.
            for step in pipelines:
                self._register(step)
            if pipeline.by_reference:
                say(f"registering {pipeline.name}:{pipeline.version}")
                self._register(pipeline.component)
            self._published.write(record)

    def _upload(self, asset: CompiledAsset) -> None:
        if not self._registry.has_asset(asset):
            self._registry.upload(asset)

    def _register(self, component: CompiledComponent) -> None:
        # Asking costs one request, registering a step three and more, and its upload.
        if not self._registry.registered(component.name, component.version):
            self._registry.register(component.document)

    def _activate(self, now: Sequence[PublishedPipeline], found: Definitions) -> list[Change]:
        changes: list[Change] = []

        def change(snapshot: Snapshot, at: datetime) -> Snapshot:
            # Called again when another publisher was faster: only the last account counts.
            changes[:] = _changes(snapshot, now, found)
            computes = snapshot.computes | {
                each.name: _revision_of(each) for each in found.computes
            }
            pipelines, indexed = dict(snapshot.pipelines), dict(snapshot.triggers)
            for pipeline in now:
                pipelines[pipeline.name] = pipeline.model_dump(mode="json", by_alias=True)
            for file in found.triggers:
                name, revision = file.trigger.name, _revision(file.trigger)
                known = indexed.get(name)
                if known is None or known.revision != revision:
                    indexed[name] = IndexedTrigger(
                        definition=file.trigger,
                        revision=revision,
                        # An edit must not cut off the uploads that are on their way.
                        effective_from=known.effective_from if known else at,
                        spec_since=known.spec_since if known and _waits_alike(known, file) else at,
                        paused=known.paused if known else None,
                    )
            return snapshot.model_copy(
                update={"pipelines": pipelines, "triggers": indexed, "computes": computes}
            )

        self._index.change(change)
        return changes


def _waits_alike(known: IndexedTrigger, file: TriggerFile) -> bool:
    return known.definition.spec == file.trigger.spec


def _named(found: Definitions) -> set[str]:
    """Every pipeline that the folder's triggers may name."""
    return {name for file in found.triggers for name in file.trigger.action.pipelines}


def _changes(
    snapshot: Snapshot, now: Sequence[PublishedPipeline], found: Definitions
) -> list[Change]:
    """What publishing these changes in an index."""
    changes = []
    for compute in found.computes:
        before, revision = snapshot.computes.get(compute.name), _revision_of(compute)
        did = _did(before, revision)
        changes.append(Change("compute", compute.name, did, revision, before))
    for pipeline in now:
        # As it is written: publishing also mends a record that cannot be read.
        known = snapshot.pipelines.get(pipeline.name, {})
        before = known.get("version")
        did = _did(before, pipeline.version)
        if known and known.get("component_id") != pipeline.component_id:
            did = Did.UPDATED  # the same version, in another workspace
        changes.append(Change("pipeline", pipeline.name, did, pipeline.version, before))
    for file in found.triggers:
        indexed = snapshot.triggers.get(file.trigger.name)
        before, revision = indexed.revision if indexed else None, _revision(file.trigger)
        did = _did(before, revision)
        changes.append(Change("trigger", file.trigger.name, did, revision, before))
    return changes


def _checked(
    found: Definitions, elsewhere: Mapping[str, lint.Ports | None], listens: Collection[str]
) -> list[CompiledPipeline]:
    """The pipelines compiled, if nothing at all is wrong in the folder.

    Raises DefinitionsInvalid with every problem of every document.
    """
    problems = [*found.problems]
    compiled = []
    for definition in found.pipelines:
        try:
            compiled.append(compiler.compile(definition))
        except DefinitionsInvalid as error:
            problems.extend(error.problems)
    known: dict[str, lint.Ports | None] = {**elsewhere}
    # A pipeline that cannot be compiled is known all the same; its inputs are not.
    known |= dict.fromkeys(definition.name for definition in found.pipelines)
    known |= {pipeline.name: (pipeline.inputs, pipeline.outputs) for pipeline in compiled}
    for definition in found.pipelines:
        for place, message in lint.secrets_of(definition.document.content):
            problems.append(definition.document.problem(place, message))
    for file in found.triggers:
        problems.extend(lint.check(file, known, listens))
    problems.extend(lint.circles(found.triggers))
    if problems:
        raise DefinitionsInvalid(problems)
    return compiled


def _published(pipeline: CompiledPipeline, registry: Registry) -> PublishedPipeline:
    component = pipeline.component
    return PublishedPipeline(
        name=pipeline.name,
        version=pipeline.version,
        component_id=pipeline.registered
        or registry.component_id(component.name, component.version),
        submission="inline" if pipeline.jobs is not None else "reference",
        inline_because=pipeline.inline_because,
        jobs=pipeline.jobs,
        computes=pipeline.computes,
        inputs=pipeline.inputs,
        outputs=pipeline.outputs,
        settings=pipeline.settings,
        experiment_name=pipeline.experiment_name,
        display_name=pipeline.display_name,
        description=pipeline.description,
        tags=pipeline.tags,
        properties=pipeline.properties,
        identity=pipeline.identity,
    )


def _revision_of(compute: ComputeDefinition) -> str:
    content = json.dumps(compute.content, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _revision(trigger: TriggerDefinition) -> str:
    return hashlib.sha256(
        trigger.model_dump_json(by_alias=True, exclude_defaults=True).encode()
    ).hexdigest()[:16]


def _did(before: str | None, after: str) -> Did:
    if before is None:
        return Did.CREATED
    return Did.UNCHANGED if before == after else Did.UPDATED
