"""Publishing definitions: check, register, then swap the index once.

Rare and by a person; it costs many requests so that an event costs one. Every step may be
repeated: versions are made of content, and what exists is left alone.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from shared import changes, compiler, definitions, lint, native_triggers, timetables
from shared.changes import COMPUTE, TRIGGER, Change, Did, Key, Prune, Wanted
from shared.compiler import CompiledPipeline
from shared.compute import Computes
from shared.datastores import Datastores
from shared.definitions import Definitions
from shared.errors import DefinitionsInvalid, JobRejected, Problem, Transient
from shared.index import Index, Snapshot
from shared.labels import Labels, Noted
from shared.native_schedules import Foreseen, NativeSchedules
from shared.progress import Piece, Progress
from shared.published import Published, PublishedPipeline
from shared.registrations import CompiledAsset, CompiledComponent

#: The time before there is an index.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Registry(Protocol):
    """Where component versions are registered. All raise WorkspaceUnavailable, JobRejected."""

    def component_id(self, name: str, version: str) -> str: ...

    def registered(self, name: str, version: str) -> bool: ...

    def register(self, document: dict[str, Any]) -> None: ...

    def has_asset(self, asset: CompiledAsset) -> bool: ...

    def upload(self, asset: CompiledAsset) -> None: ...

    def labelled(self, kind: str, name: str, label: str) -> str | None: ...


@dataclass(frozen=True)
class Plan:
    """What publishing would do now, and what it needs for that."""

    changes: tuple[Change, ...]
    wanted: Wanted
    pipelines: tuple[CompiledPipeline, ...]
    #: What is taken, and hardly meant so.
    warnings: tuple[str, ...] = ()
    #: Of each compute: where Azure has it and what will be done about it, then what differs.
    computes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: What will be done about schedules in AzureML.
    native: Foreseen = field(default_factory=Foreseen)

    @property
    def differs(self) -> bool:
        """Whether applying it changes what events meet, or what AzureML runs by itself."""
        changed = any(change.did not in (Did.UNCHANGED, Did.LEFT) for change in self.changes)
        return changed or self.native.differs

    @property
    def inline(self) -> dict[str, tuple[str, ...]]:
        """The pipelines whose jobs carry their steps, and why."""
        return {each.name: each.inline_because for each in self.pipelines if each.inline_because}


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
        native: NativeSchedules | None = None,
        datastores: Datastores | None = None,
    ) -> None:
        self._published = published
        self._index = index
        self._registry = registry
        #: What the app takes messages from, as `Event.via` spells it.
        self._listens = listens
        self._datastores = datastores or {}
        #: Makes computes be there; None where none are asked for.
        self._computes = computes
        #: Looks after schedules in AzureML; None where there are none.
        self._native = native

    def plan(
        self,
        folder: Path | Definitions,
        *,
        owner: str = "",
        prune: Prune = Prune.NO,
        spared: Collection[Key] = (),
    ) -> Plan:
        """What publishing the folder would do now; registers and writes nothing.

        Raises DefinitionsInvalid with every problem of every document, PruneRefused,
        StorageUnavailable, WorkspaceUnavailable, RecordUnreadable.
        """
        found = definitions.load(folder) if isinstance(folder, Path) else folder
        compiled, loose = self._compiled(found)
        records = [_published(pipeline, self._registry) for pipeline in compiled]
        wanted = Wanted(
            records,
            [file.trigger for file in found.triggers],
            found.computes,
            owner=owner,
            prune=prune,
            spared=frozenset(spared),
        )
        snapshot, at = self._index.peeked()
        made = tuple(changes.changes(snapshot, wanted))
        native = self._foreseen(changes.applied(snapshot, at or _NEVER, wanted), at, found)
        warnings = [
            *found.warnings,
            *loose,
            *(warning for each in compiled for warning in each.warnings),
            *_hints(found, made, at or _NEVER),
        ]
        return Plan(
            changes=made,
            wanted=wanted,
            pipelines=tuple(compiled),
            warnings=(
                *map(str, warnings),
                *_takeovers(snapshot, wanted),
                *_beside(native, found),
            ),
            computes=self._computes.foresee(found.computes) if self._computes else {},
            native=native,
        )

    def _foreseen(self, after: Snapshot, at: datetime | None, found: Definitions) -> Foreseen:
        """What an index will ask of AzureML. Raises DefinitionsInvalid for what cannot be had."""
        if self._native is None:
            return Foreseen()
        foreseen = self._native.foresee(after, at or _NEVER)
        problems = [
            file.document.problem(("name",), foreseen.problems[file.trigger.name])
            for file in found.triggers
            if file.trigger.name in foreseen.problems
        ]
        if problems:
            raise DefinitionsInvalid(problems)
        return foreseen

    def apply(
        self, plan: Plan, progress: Progress, wait: Callable[[float], None] | None = None
    ) -> list[Change]:
        """Register what is new, then swap the index once; what then became of each definition.

        `wait` lets so many seconds pass, where AzureML must be done with something before that.
        Whatever stops it, `progress` knows how far it came. Raises PruneRefused, JobRejected,
        StorageUnavailable, WorkspaceUnavailable, RecordUnreadable.
        """
        made: list[Change] = []
        progress.run(
            [
                *self._stages(plan, progress),
                self._releasing(plan, wait),
                [self._switch(plan.wanted, made)],
                self._reconciling(progress),
            ]
        )
        return made

    def publish(self, folder: Path | Definitions, say: Callable[[str], None]) -> list[Change]:
        """Plan and apply."""
        return self.apply(self.plan(folder), Progress(say))

    def _compiled(self, found: Definitions) -> tuple[list[CompiledPipeline], list[Problem]]:
        """The folder's pipelines with versions for labels, if nothing at all is wrong with it.

        Beside them the labels that stay.
        """
        noted = {each.name: Noted() for each in found.pipelines}
        try:
            elsewhere: Mapping[str, lint.Ports | None] = self._elsewhere(found)
        except Transient:
            # What is wrong in the documents themselves is told all the same, and first.
            self._checked(found, dict.fromkeys(_named(found)), noted)
            raise
        compiled = self._checked(found, elsewhere, noted)
        # Only now, so that mistakes in a folder are told without Azure.
        labels = Labels(self._registry.labelled)
        documents = {each.name: each for each in found.pipelines}
        missing = [
            problem
            for name, labelled in noted.items()
            for problem in labelled.missing(documents[name].document, labels)
        ]
        if missing:
            raise DefinitionsInvalid(missing)
        pinned = [
            compiler.compile(documents[each.name], labels.pin) if noted[each.name].found else each
            for each in compiled
        ]
        loose = [
            problem
            for name, labelled in noted.items()
            for problem in labelled.loose(documents[name].document)
        ]
        return pinned, loose

    def _checked(
        self,
        found: Definitions,
        elsewhere: Mapping[str, lint.Ports | None],
        noted: Mapping[str, Noted],
    ) -> list[CompiledPipeline]:
        """The pipelines compiled, if nothing at all is wrong in the folder; notes their labels.

        Raises DefinitionsInvalid with every problem of every document.
        """
        problems = [*found.problems]
        compiled = []
        for definition in found.pipelines:
            try:
                compiled.append(compiler.compile(definition, noted[definition.name].pin))
            except DefinitionsInvalid as error:
                problems.extend(error.problems)
        known: dict[str, lint.Ports | None] = {**elsewhere}
        # A pipeline that cannot be compiled is known all the same; its inputs are not.
        known |= dict.fromkeys(definition.name for definition in found.pipelines)
        for pipeline in compiled:
            pinned = {f"{pipeline.name}@{pipeline.version}"} & _named(found)
            known |= dict.fromkeys({pipeline.name, *pinned}, (pipeline.inputs, pipeline.outputs))
        for definition in found.pipelines:
            for place, message in lint.secrets_of(definition.document.content):
                problems.append(definition.document.problem(place, message))
        for file in found.triggers:
            problems.extend(lint.check(file, known, self._listens, self._datastores))
        problems.extend(lint.circles(found.triggers))
        if problems:
            raise DefinitionsInvalid(problems)
        return compiled

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

    def _stages(self, plan: Plan, progress: Progress) -> list[list[Piece]]:
        """What is to be done before the index is swapped, in an order in which each part may
        refer to those before it."""
        fresh = self._fresh(plan)
        steps = _each_once(step for pipeline, _ in fresh for step in pipeline.steps)
        nested = [step for step in steps if step.document["type"] == "pipeline"]
        assets = {(a.name, a.version): a for pipeline, _ in fresh for a in pipeline.assets}
        return [
            # Begun first: they become ready while the steps are registered.
            self._computes_of(plan, progress),
            # One after the other: uploads of the SDK share their counters, and wait for each
            # other's files for ever.
            *([self._upload(asset)] for asset in assets.values()),
            [self._registration(step) for step in steps if step not in nested],
            # A pipeline comes after those within it.
            *([self._registration(step)] for step in nested),
            [self._registration(each.component) for each, _ in fresh if each.by_reference],
            [self._record(record) for _, record in fresh],
            self._forgetting(plan),
        ]

    def _fresh(self, plan: Plan) -> list[tuple[CompiledPipeline, PublishedPipeline]]:
        """The pipelines of which this version was not published before."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            records = plan.wanted.pipelines
            known = pool.map(lambda each: self._published.read(each.name, each.version), records)
            return [
                (pipeline, record)
                for pipeline, record, there in zip(plan.pipelines, records, known, strict=True)
                # The same state may be used with another workspace, which has none of it yet.
                if there is None or there.component_id != record.component_id
            ]

    def _computes_of(self, plan: Plan, progress: Progress) -> list[Piece]:
        computes, wanted = self._computes, plan.wanted.computes
        if computes is None or not wanted:
            return []
        names = ", ".join(each.name for each in wanted)

        def adopt() -> bool:
            computes.adopt(wanted, progress.say)
            return True

        return [Piece("looked after", f"compute {names}", adopt)]

    def _upload(self, asset: CompiledAsset) -> Piece:
        def upload() -> bool:
            if self._registry.has_asset(asset):
                return False
            self._registry.upload(asset)
            return True

        return Piece("uploaded", f"data {asset.name}:{asset.version}", upload)

    def _registration(self, component: CompiledComponent) -> Piece:
        what = f"component {component.name}:{component.version}"

        def register() -> bool:
            # Asking costs one request, registering a step three and more, and its upload.
            if self._registry.registered(component.name, component.version):
                return False
            try:
                self._registry.register(component.document)
            except JobRejected as error:
                raise JobRejected(error.code, f"{what}: {error.message}") from error
            return True

        return Piece("registered", what, register)

    def _record(self, record: PublishedPipeline) -> Piece:
        def write() -> bool:
            self._published.write(record)
            return True

        return Piece("kept", f"pipeline {record.name}:{record.version}", write)

    def _forgetting(self, plan: Plan) -> list[Piece]:
        """Before the index: when it stops in between, they are still known to be removed."""
        removed = [c for c in plan.changes if c.kind == COMPUTE and c.did is Did.REMOVED]
        computes, names = self._computes, [change.name for change in removed]
        if computes is None or not names:
            return []

        def forget() -> bool:
            computes.forget(names)
            return True

        return [Piece("forgot", f"the definition of compute {', '.join(names)}", forget)]

    def _releasing(self, plan: Plan, wait: Callable[[float], None] | None) -> list[Piece]:
        """Right before the index: two clocks must not fire for one trigger."""
        native = self._native
        if native is None:
            return []

        def release() -> bool:
            snapshot, at = self._index.peeked()
            after = changes.applied(snapshot, at or _NEVER, plan.wanted)
            return bool(native.release(after, wait))

        return [Piece("disabled", "schedules in AzureML that get another engine", release)]

    def _reconciling(self, progress: Progress) -> list[Piece]:
        """After the index, which says what there is to be; the timer does what this cannot."""
        native = self._native
        if native is None:
            return []

        def reconcile() -> bool:
            try:
                applied = native.reconcile()
            except (Transient, JobRejected) as error:
                progress.say(f"schedules in AzureML: {error} The timer tries again within minutes.")
                return False
            for name, why in applied.problems.items():
                progress.say(f"schedule {name} in AzureML: {why}")
            return bool(applied.steps)

        return [Piece("brought up to date", "the schedules in AzureML", reconcile)]

    def _switch(self, wanted: Wanted, made: list[Change]) -> Piece:
        def change(snapshot: Snapshot, at: Any) -> Snapshot:
            # Called again when another publisher was faster: only the last account counts.
            made[:] = changes.changes(snapshot, wanted)
            return changes.applied(snapshot, at, wanted)

        def swap() -> bool:
            self._index.change(change)
            return any(each.did not in (Did.UNCHANGED, Did.LEFT) for each in made)

        return Piece("switched over", "the index", swap)


def _hints(found: Definitions, made: Sequence[Change], now: datetime) -> list[Problem]:
    """What is hardly meant so of schedules that come or change; told once, not every time."""
    new = {each.name for each in made if each.kind == TRIGGER and each.did is not Did.UNCHANGED}
    return [
        file.document.problem(place, hint)
        for file in found.triggers
        if file.trigger.name in new
        for hints in (native_triggers.hints, timetables.hints)
        for place, hint in hints(file.trigger, now)
    ]


def _beside(native: Foreseen, found: Definitions) -> list[str]:
    """What is wrong with schedules that are not among the definitions."""
    here = {file.trigger.name for file in found.triggers}
    return [f"schedule {name}: {why}" for name, why in native.problems.items() if name not in here]


def _each_once(components: Iterable[CompiledComponent]) -> list[CompiledComponent]:
    return list({(each.name, each.version): each for each in components}.values())


def _takeovers(snapshot: Snapshot, wanted: Wanted) -> list[str]:
    mine = f"becomes {wanted.owner}'s" if wanted.owner else "becomes nobody's in particular"
    return [
        f"{' '.join(key)} was published by {owner or 'nobody in particular'} and {mine}"
        for key, owner in changes.taken_over(snapshot, wanted)
    ]


def _named(found: Definitions) -> set[str]:
    """Every pipeline that the folder's triggers may name."""
    return {name for file in found.triggers for name in file.trigger.action.pipelines}


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
