"""Publishing definitions, and finding what was published.

Rare and by a person; it costs many requests so that an event costs one. Every step may be
repeated: versions are made of content, and what exists is left alone.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared import compiler, definitions, triggers
from shared.blob_state import BlobState
from shared.compiler import CompiledComponent, CompiledPipeline
from shared.definitions import Definitions, TriggerDefinition, TriggerFile
from shared.errors import DefinitionsInvalid, Problem, RecordUnreadable
from shared.index import Index, IndexedTrigger, Snapshot
from shared.inputs import DataInput, Literal, PipelineInput

SCHEMA = 1


class PublishedPipeline(BaseModel):
    """One immutable version of a pipeline: what each of its jobs is made from."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    name: str
    version: str
    component_id: str
    inputs: dict[str, PipelineInput]
    outputs: dict[str, DataInput]
    settings: dict[str, Any]
    experiment_name: str | None = None
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str]

    def bind(
        self, values: Mapping[str, Any]
    ) -> tuple[dict[str, DataInput | Literal], dict[str, str]]:
        """A job's inputs from the values a trigger found, and what is wrong, by input."""
        bound: dict[str, DataInput | Literal] = {}
        problems = {
            name: f"the pipeline has no such input; it has {', '.join(sorted(self.inputs))}"
            for name in values.keys() - self.inputs.keys()
        }
        for name, declared in self.inputs.items():
            try:
                bound[name] = declared.take(values.get(name))
            except ValueError as error:
                problems[name] = str(error)
        return bound, problems


def resolve(snapshot: Snapshot, name: str) -> PublishedPipeline | None:
    """The latest version of a pipeline as the index has it."""
    found = snapshot.pipelines.get(name)
    return _parse(found) if found is not None else None


def _parse(content: Any) -> PublishedPipeline:
    try:
        return PublishedPipeline.model_validate(content)
    except ValidationError as error:
        raise RecordUnreadable(f"A published pipeline cannot be read: {error}") from None


class Registry(Protocol):
    """Where component versions are registered."""

    def component_id(self, name: str, version: str) -> str: ...

    def registered(self, name: str, version: str) -> bool: ...

    def register(self, document: dict[str, Any]) -> None: ...


class Did(StrEnum):
    """What publishing did with a definition."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Change:
    """One definition and what became of it."""

    kind: str
    name: str
    did: Did
    #: The version or revision that holds now.
    version: str


class Publishing:
    """Makes a folder of definitions what events meet."""

    def __init__(self, blobs: BlobState, index: Index, registry: Registry) -> None:
        self._blobs = blobs
        self._index = index
        self._registry = registry

    def publish(self, folder: Path, say: Callable[[str], None]) -> list[Change]:
        """Check everything, register what is new, then swap the index once.

        `say` is told of each step that takes time. Raises DefinitionsInvalid with every problem
        of every document before anything is registered.
        """
        found = definitions.load(folder)
        compiled = _checked(found, self._elsewhere(found))
        latest = {pipeline.name: self._publish(pipeline, say) for pipeline in compiled}
        return self._activate(found.triggers, latest)

    def _elsewhere(self, found: Definitions) -> dict[str, Mapping[str, PipelineInput]]:
        """The inputs of published pipelines that triggers name and the folder does not hold.

        The index is read only then, so that mistakes in a folder are told without Azure.
        """
        here = {definition.name for definition in found.pipelines}
        named = {file.trigger.action.pipeline for file in found.triggers}
        if named <= here:
            return {}
        snapshot = self._index.read().snapshot
        return {
            name: pipeline.inputs
            for name in snapshot.pipelines
            if (pipeline := resolve(snapshot, name))
        }

    def _publish(self, pipeline: CompiledPipeline, say: Callable[[str], None]) -> PublishedPipeline:
        record = _published(pipeline, self._registry)
        name = f"published/{pipeline.name}/{pipeline.version}.json"
        blob = self._blobs.get(name)
        known = _parse(json.loads(blob.data)) if blob else None
        # The same state may be used with another workspace, which has none of it yet.
        if known is None or known.component_id != record.component_id:
            say(f"registering the steps of {pipeline.name}: {len(pipeline.steps)}")
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(self._register, pipeline.steps))
            say(f"registering {pipeline.name}:{pipeline.version}")
            self._register(pipeline.component)
            # Whoever publishes the same content at the same time writes the same record.
            self._blobs.put(name, record.model_dump_json(by_alias=True).encode())
        return record

    def _register(self, component: CompiledComponent) -> None:
        # Asking costs one request, registering a step three and more, and its upload.
        if not self._registry.registered(component.name, component.version):
            self._registry.register(component.document)

    def _activate(
        self, files: tuple[TriggerFile, ...], latest: Mapping[str, PublishedPipeline]
    ) -> list[Change]:
        changes: list[Change] = []

        def change(snapshot: Snapshot, at: datetime) -> Snapshot:
            # Called again when another publisher was faster: only the last account counts.
            changes.clear()
            pipelines, indexed = dict(snapshot.pipelines), dict(snapshot.triggers)
            for name, pipeline in latest.items():
                before = pipelines.get(name)
                pipelines[name] = pipeline.model_dump(mode="json", by_alias=True)
                did = _did(before["version"] if before else None, pipeline.version)
                changes.append(Change("pipeline", name, did, pipeline.version))
            for file in files:
                known = indexed.get(file.trigger.name)
                revision = _revision(file.trigger)
                did = _did(known.revision if known else None, revision)
                if did is not Did.UNCHANGED:
                    indexed[file.trigger.name] = IndexedTrigger(
                        definition=file.trigger,
                        revision=revision,
                        # An edit must not cut off the uploads that are on their way.
                        effective_from=known.effective_from if known else at,
                    )
                changes.append(Change("trigger", file.trigger.name, did, revision))
            return snapshot.model_copy(update={"pipelines": pipelines, "triggers": indexed})

        self._index.change(change)
        return changes


def _checked(
    found: Definitions, elsewhere: Mapping[str, Mapping[str, PipelineInput]]
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
    known: dict[str, Mapping[str, PipelineInput] | None] = {**elsewhere}
    # A pipeline that cannot be compiled is known all the same; its inputs are not.
    known |= dict.fromkeys(definition.name for definition in found.pipelines)
    known |= {pipeline.name: pipeline.inputs for pipeline in compiled}
    for file in found.triggers:
        problems.extend(triggers.check(file))
        problems.extend(_check_action(file, known))
    if problems:
        raise DefinitionsInvalid(problems)
    return compiled


def _check_action(
    file: TriggerFile, known: Mapping[str, Mapping[str, PipelineInput] | None]
) -> Iterator[Problem]:
    """A trigger names a pipeline that is there, and binds inputs that it has."""
    action = file.trigger.action
    if action.pipeline not in known:
        names = ", ".join(sorted(known)) or "none"
        yield file.document.problem(
            ("action", "pipeline"), f"no pipeline is named {action.pipeline!r}; there are: {names}"
        )
    inputs = known.get(action.pipeline)
    if inputs is None:
        return
    for name, value in action.inputs.items():
        place = ("action", "inputs", name)
        if name not in inputs:
            there = ", ".join(sorted(inputs)) or "none"
            yield file.document.problem(
                place, f"{action.pipeline} has no input {name!r}; it has: {there}"
            )
        elif "${{" not in str(value):
            try:
                inputs[name].take(value)
            except ValueError as error:
                yield file.document.problem(place, f"{name}: {error}")
    for name, declared in inputs.items():
        if declared.required and name not in action.inputs:
            yield file.document.problem(
                ("action", "inputs"),
                f"{action.pipeline} needs the input {name!r} ({declared.type}) and has no default "
                "for it; bind it here",
            )


def _published(pipeline: CompiledPipeline, registry: Registry) -> PublishedPipeline:
    component = pipeline.component
    return PublishedPipeline(
        name=pipeline.name,
        version=pipeline.version,
        component_id=registry.component_id(component.name, component.version),
        inputs=pipeline.inputs,
        outputs=pipeline.outputs,
        settings=pipeline.settings,
        experiment_name=pipeline.experiment_name,
        display_name=pipeline.display_name,
        description=pipeline.description,
        tags=pipeline.tags,
    )


def _revision(trigger: TriggerDefinition) -> str:
    return hashlib.sha256(trigger.model_dump_json().encode()).hexdigest()[:16]


def _did(before: str | None, after: str) -> Did:
    if before is None:
        return Did.CREATED
    return Did.UNCHANGED if before == after else Did.UPDATED
