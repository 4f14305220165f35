"""What users write: a folder with pipelines/, triggers/, schedules/ and computes/, a YAML file for
each."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import (
    BaseModel,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from shared import compute_definitions, documents, mistakes, policies, schedule_definitions
from shared.compute_definitions import ComputeDefinition
from shared.documents import Document
from shared.errors import DefinitionsInvalid, Problem
from shared.inputs import Literal
from shared.policies import Policies, Sweep
from shared.specs import FORMS, NAME, SOURCES, Name, Part, Spec

_REFERENCE = rf"^({NAME.pattern}(@[A-Za-z0-9_.-]{{1,64}})?|.*\$\{{\{{.*)$"

#: `name`, `name@version`, or text with an expression.
Reference = Annotated[
    str,
    Field(pattern=_REFERENCE, max_length=600),
]


#: Names under which the ledger keeps what no trigger decided: runs that a client asked for by
#: name, and what could not be read.
MANUAL_TRIGGER, UNREADABLE_TRIGGER = "manual", "unreadable"
RESERVED = frozenset({MANUAL_TRIGGER, UNREADABLE_TRIGGER})

#: Pattern -> what is said of a text that does not fit it.
ALL_FORMS = FORMS | {
    _REFERENCE: "is no pipeline: name, name@version, or an expression (${{ … }})",
}


def _literal(value: Any) -> Literal:
    # A union of types would be told as one error for each of them.
    if isinstance(value, str | bool | int | float):
        return value
    raise ValueError("must be text, a number, true or false; quote it to make it text")


class Action(Part):
    """What a trigger starts: values may hold `${{ … }}` expressions."""

    #: The pipeline: `name` (its latest version runs), `name@version`, or an expression.
    pipeline: Reference
    #: The pipelines that an expression may name.
    allow: tuple[Name, ...] = ()
    inputs: dict[str, Annotated[Literal, PlainValidator(_literal)]] = Field(default_factory=dict)
    #: Replaces the pipeline's default_compute.
    compute: str | None = None
    experiment_name: str | None = None
    force_rerun: bool | None = None
    tags: dict[str, str] = Field(default_factory=dict)

    @field_validator("pipeline")
    @classmethod
    def _latest(cls, value: str) -> str:
        """`name@latest`, as users of AzureML write it, is the name alone."""
        return value.removesuffix("@latest")

    @model_validator(mode="after")
    def _allowed(self) -> Self:
        if self.computed and not self.allow:
            raise ValueError("pipeline is an expression: list in `allow` which ones it may name")
        if self.allow and not self.computed:
            raise ValueError("allow is for a pipeline that is an expression")
        return self

    @property
    def computed(self) -> bool:
        """Whether the event decides which pipeline it is."""
        return "${{" in self.pipeline

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Every pipeline it may name."""
        return self.allow if self.computed else (self.pipeline,)


class TriggerDefinition(Part):
    """One trigger document."""

    name: Name
    spec: Spec
    action: Action
    policies: Policies = Field(default_factory=Policies)
    #: For blob triggers: how often to look for uploads that no event told of; never when left out.
    sweep: Sweep | None = None

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"{value!r} is a name that Signalbox keeps for itself; choose another")
        return value

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, value: Any) -> Any:
        """With what holds for its source where its policies say nothing."""
        if not isinstance(value, dict):
            return value
        spec, said = value.get("spec"), value.get("policies", {})
        if isinstance(spec, Spec):
            source = spec.source
        elif isinstance(spec, dict):
            source = next((name for name in SOURCES if spec.get(name) is not None), "")
        else:
            return value
        if not isinstance(said, dict):
            return value
        return {**value, "policies": policies.completed(said, source)}

    @field_validator("policies")
    @classmethod
    def _fitting(cls, value: Policies, info: ValidationInfo) -> Policies:
        """Policies that mean something for what it waits for."""
        spec = info.data.get("spec")
        if spec is None:
            return value
        if spec.schedule and value.batch is not None:
            raise ValueError("batch is for events; each time that a schedule comes is a run")
        if value.overlap == "skip" and value.batch is not None:
            raise ValueError("overlap skip would lose a whole batch; use buffer_all or buffer_one")
        if value.overlap == "buffer_one" and value.batch is None and not spec.schedule:
            raise ValueError(
                "overlap buffer_one is for batches and schedules; use buffer_all or skip"
            )
        return value

    @field_validator("sweep")
    @classmethod
    def _of_uploads(cls, value: Sweep | None, info: ValidationInfo) -> Sweep | None:
        spec = info.data.get("spec")
        if value is not None and spec is not None and spec.blob is None:
            raise ValueError(f"sweep is for blob triggers, and this one is for {spec.source}")
        return value


@dataclass(frozen=True)
class PipelineDefinition:
    """One AzureML CLI v2 pipelineJob YAML, named by its file."""

    name: str
    document: Document

    @property
    def component_name(self) -> str:
        """AzureML allows no hyphen in a component's name."""
        return self.name.replace("-", "_")


_STUDIO = ("spec", "schedule", "studio")
#: Texts of a trigger that AzureML's studio shows -> whether they may have several lines.
_SHOWN = {
    ("action", "compute"): False,
    ("action", "experiment_name"): False,
    (*_STUDIO, "display_name"): False,
    (*_STUDIO, "description"): True,
}
_SHOWN_TAGS = (("action", "tags"), (*_STUDIO, "tags"))


@dataclass(frozen=True)
class TriggerFile:
    """A trigger and where it is written."""

    trigger: TriggerDefinition
    document: Document


@dataclass(frozen=True)
class Definitions:
    """Everything a folder defines."""

    pipelines: tuple[PipelineDefinition, ...]
    triggers: tuple[TriggerFile, ...]
    computes: tuple[ComputeDefinition, ...] = ()
    #: What is wrong with the documents that could not be taken, and between those that could.
    problems: tuple[Problem, ...] = ()
    #: What is taken, and hardly meant so.
    warnings: tuple[Problem, ...] = ()


def load(folder: Path) -> Definitions:
    """Read a folder of definitions; problems come along, so that others can be found as well."""
    problems: list[Problem] = []
    found = {
        kind: _documents(folder, kind, problems) for kind in ("pipelines", "triggers", "computes")
    }
    schedules = _documents(folder, "schedules", problems)
    problems += _singular(folder, (*found, "schedules"))
    if not (problems or schedules or any(found.values())):
        problems.append(
            Problem(
                file=str(folder),
                line=0,
                message="has no definitions; expected pipelines/*.yml, triggers/*.yml, "
                "schedules/*.yml or computes/*.yml in it",
            )
        )
    read = list(_schedules(schedules, folder, problems))
    return of(
        **found,
        schedules=[each.trigger for each in read if each.trigger],
        scheduled=[each.pipeline for each in read if each.pipeline],
        problems=problems,
        warnings=[warning for each in read for warning in each.warnings],
    )


def of(
    *,
    pipelines: Sequence[Document] = (),
    triggers: Sequence[Document] = (),
    computes: Sequence[Document] = (),
    schedules: Sequence[Document] = (),
    scheduled: Sequence[tuple[str, Document]] = (),
    problems: Sequence[Problem] = (),
    warnings: Sequence[Problem] = (),
) -> Definitions:
    """What documents define, with everything that is wrong with them beside `problems`.

    `schedules` are triggers that AzureML's schedules were read as, `scheduled` their pipelines.
    """
    problems, warnings = list(problems), list(warnings)
    named = [
        PipelineDefinition(name=each.path.stem, document=each)
        for each in _named(pipelines, problems)
    ]
    named += _each_once(scheduled, problems)
    files: list[TriggerFile] = []
    for document in (*_named(triggers, problems), *schedules):
        try:
            by_file = document not in schedules
            files.append(TriggerFile(trigger=_trigger(document, by_file), document=document))
        except DefinitionsInvalid as error:
            problems.extend(error.problems)
    wanted: list[ComputeDefinition] = []
    # A compute's name is AzureML's, which has rules of its own.
    for document in computes:
        read = compute_definitions.read(document)
        wanted.extend([read.definition] if read.definition else [])
        problems.extend(read.problems)
        warnings.extend(read.warnings)
    problems.extend(_clashes(named))
    problems.extend(_doubles(files))
    return Definitions(
        pipelines=tuple(named),
        triggers=tuple(files),
        computes=tuple(wanted),
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def _singular(folder: Path, kinds: Iterable[str]) -> list[Problem]:
    """Folders that would be read if their names ended with an s, and have YAML files in them."""
    return [
        Problem(
            file=singular,
            line=0,
            message=f"is a folder that is not read; is it meant to be {kind}/? Rename it, also "
            "when it holds something else",
        )
        for kind in kinds
        if any(_files(folder, singular := kind.removesuffix("s")))
    ]


def _files(folder: Path, kind: str) -> list[Path]:
    return [path for path in sorted((folder / kind).glob("*")) if path.suffix in (".yml", ".yaml")]


def _documents(folder: Path, kind: str, problems: list[Problem]) -> list[Document]:
    found = []
    for path in _files(folder, kind):
        try:
            found.append(documents.read(path, root=folder))
        except DefinitionsInvalid as error:
            problems.extend(error.problems)
    return found


def _named(found: Sequence[Document], problems: list[Problem]) -> list[Document]:
    """Those whose file's name may be a name."""
    why = (
        "its file name is its name, which must be lower-case letters, digits, '_' and '-', begin "
        "with a letter and have at most 63 characters"
    )
    problems += [each.problem((), why) for each in found if not NAME.fullmatch(each.path.stem)]
    return [each for each in found if NAME.fullmatch(each.path.stem)]


def _schedules(
    found: Sequence[Document], folder: Path, problems: list[Problem]
) -> Iterator[schedule_definitions.Read]:
    """AzureML's schedules; beside them lie the jobs that they name."""

    def job(file: Path) -> Document:
        return documents.read(file, root=folder)

    jobs = {
        file.resolve()
        for each in found
        if (file := schedule_definitions.job_file(each)) is not None
    }
    for document in found:
        if schedule_definitions.is_schedule(document.content):
            read = schedule_definitions.read(document, folder / "pipelines", job)
            problems.extend(read.problems)
            yield read
        elif document.path.resolve() not in jobs:
            why = (
                "is no schedule (it has no `trigger` and no `create_job`) and no schedule's job; "
                "pipelines belong into pipelines/, triggers of Signalbox's own into triggers/"
            )
            problems.append(document.problem((), why))


def _each_once(
    scheduled: Sequence[tuple[str, Document]], problems: list[Problem]
) -> list[PipelineDefinition]:
    """The pipelines of schedules; several may start the same one."""
    by_name: dict[str, Document] = {}
    for name, document in scheduled:
        first = by_name.setdefault(name, document)
        if (first.path, first.content) != (document.path, document.content):
            why = f"would be the pipeline {name}, as {first.file} is; rename one of the files"
            problems.append(document.problem((), why))
    return [PipelineDefinition(name, document) for name, document in by_name.items()]


def _trigger(document: Document, by_file: bool = True) -> TriggerDefinition:
    """A trigger's document; `by_file` when its file has to have its name."""
    problems = []
    name = document.content.get("name", document.path.stem)
    if by_file and name != document.path.stem:
        message = f"name is {name!r}; it must equal the file name, {document.path.stem!r}"
        problems.append(document.problem(("name",), message))
    content, hollow = _filled(document)
    problems += hollow
    try:
        trigger = TriggerDefinition.model_validate(content)
    except ValidationError as error:
        problems += [document.problem(item["loc"], _in_words(item)) for item in error.errors()]
    problems += [
        document.problem(place, f"{'.'.join(place)} {why}")
        for place, text, lines in _shown(document.content)
        if (why := mistakes.unprintable(text, lines=lines))
    ]
    if problems:
        raise DefinitionsInvalid(problems)
    return trigger


def _shown(content: Any) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Texts that AzureML's studio shows: place, text, and whether it may have several lines.

    Looked at where they are published, not where they are read from what was; what is no text
    is told by others.
    """
    for place, lines in _SHOWN.items():
        if isinstance(text := _at(content, place), str):
            yield place, text, lines
    for place in _SHOWN_TAGS:
        if isinstance(tags := _at(content, place), dict):
            for name, value in tags.items():
                yield place, str(name), False
                if isinstance(value, str):
                    yield (*place, str(name)), value, True


def _at(content: Any, place: Sequence[str]) -> Any:
    for key in place:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _filled(document: Document) -> tuple[dict[str, Any], list[Problem]]:
    """A trigger's content with `{}` for a source that has nothing below it, as it is meant."""
    content, spec = document.content, document.content.get("spec")
    bare = [name for name in SOURCES if isinstance(spec, dict) and spec.get(name, 0) is None]
    if not (bare and isinstance(spec, dict)):
        return content, []
    problems = [
        document.problem(("spec", name), f"spec.{name} has nothing in it; write `{name}: {{}}`")
        for name in bare
        # What the others need is told as missing.
        if name in ("http", "run")
    ]
    return {**content, "spec": {**spec, **{name: {} for name in bare}}}, problems


def _in_words(item: Any) -> str:
    """A pydantic error as a sentence with the remedy."""
    # What is wrong with a key is said of the key; pydantic adds that it is one.
    place = ".".join(str(part) for part in item["loc"] if part != "[key]") or "the document"
    if item["type"] != "extra_forbidden":
        return mistakes.at(place, item, ALL_FORMS)
    *parts, key = item["loc"]
    meant = difflib.get_close_matches(str(key), _keys(parts), n=1)
    hint = f"did you mean {meant[0]!r}?" if meant else "check its spelling"
    return f"{place} is not a key that is known here; {hint}"


def _keys(place: Sequence[str | int]) -> list[str]:
    """The keys that a part of a trigger's document may have."""
    part: type[BaseModel] = TriggerDefinition
    for name in place:
        fields = {field.alias or key: field for key, field in part.model_fields.items()}
        if name in fields:
            part = next(_models(fields[str(name)].annotation), part)
    return [field.alias or key for key, field in part.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _clashes(pipelines: list[PipelineDefinition]) -> list[Problem]:
    by_component: dict[str, PipelineDefinition] = {}
    problems = []
    for pipeline in pipelines:
        first = by_component.setdefault(pipeline.component_name, pipeline)
        if first is not pipeline:
            problems.append(
                pipeline.document.problem(
                    (),
                    f"has the same AzureML component name ({pipeline.component_name}) as "
                    f"{first.document.file}; rename one of them",
                )
            )
    return problems


def _doubles(triggers: list[TriggerFile]) -> list[Problem]:
    by_name: dict[str, TriggerFile] = {}
    return [
        file.document.problem(
            ("name",), f"defines the same trigger as {first.document.file}; remove one of them"
        )
        for file in triggers
        if (first := by_name.setdefault(file.trigger.name, file)) is not file
    ]
