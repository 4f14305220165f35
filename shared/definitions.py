"""What users write: a folder with `pipelines/<name>.yml` and `triggers/<name>.yml`."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from shared import documents
from shared.documents import Document
from shared.errors import DefinitionsInvalid, Problem
from shared.inputs import Literal

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]


def _literal(value: Any) -> Literal:
    # A union of types would be told as one error for each of them.
    if isinstance(value, str | bool | int | float):
        return value
    raise ValueError("must be text, a number, true or false; quote it to make it text")


class _Part(BaseModel):
    """A part of a document: unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BlobSpec(_Part):
    """Fires when an upload to a container is finished."""

    #: Storage account name, as in https://<account>.blob.core.windows.net.
    account: Annotated[str, Field(pattern=r"^[a-z0-9]{3,24}$")]
    container: Annotated[str, Field(pattern=r"^[a-z0-9$](?:-?[a-z0-9]){2,62}$", max_length=63)]
    #: Path pattern; `{name}` captures text up to the next `/`.
    path: Annotated[str, Field(min_length=1, max_length=1024)]


class Filter(_Part):
    """CloudEvents filter dialects: attribute -> text that it must begin or end with."""

    prefix: dict[str, str] = Field(default_factory=dict)
    suffix: dict[str, str] = Field(default_factory=dict)


class Spec(_Part):
    """When a trigger fires."""

    blob: BlobSpec
    filter: Filter = Field(default_factory=Filter)


class Action(_Part):
    """What a trigger starts: values may hold `${{ … }}` expressions."""

    #: The pipeline's name; its latest version runs.
    pipeline: Name
    inputs: dict[str, Annotated[Literal, PlainValidator(_literal)]] = Field(default_factory=dict)
    #: Replaces the pipeline's default_compute.
    compute: str | None = None
    experiment_name: str | None = None
    force_rerun: bool | None = None
    tags: dict[str, str] = Field(default_factory=dict)


class TriggerDefinition(_Part):
    """One trigger document."""

    name: Name
    spec: Spec
    action: Action

    @model_validator(mode="after")
    def _filters_name_attributes(self) -> Self:
        known = {"id", "source", "type", "subject"}
        for dialect in (self.spec.filter.prefix, self.spec.filter.suffix):
            if unknown := sorted(dialect.keys() - known):
                raise ValueError(
                    f"filters on {', '.join(unknown)}; an event has {', '.join(sorted(known))}"
                )
        return self


@dataclass(frozen=True)
class PipelineDefinition:
    """One AzureML CLI v2 pipelineJob YAML, named by its file."""

    name: str
    document: Document

    @property
    def component_name(self) -> str:
        """AzureML allows no hyphen in a component's name."""
        return self.name.replace("-", "_")


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
    #: What is wrong with the documents that could not be taken, and between those that could.
    problems: tuple[Problem, ...] = ()


def load(folder: Path) -> Definitions:
    """Read a folder of definitions; problems come along, so that others can be found as well."""
    problems: list[Problem] = []
    pipelines = [
        PipelineDefinition(name=document.path.stem, document=document)
        for document in _documents(folder, "pipelines", problems)
    ]
    triggers: list[TriggerFile] = []
    for document in _documents(folder, "triggers", problems):
        try:
            triggers.append(TriggerFile(trigger=_trigger(document), document=document))
        except DefinitionsInvalid as error:
            problems.extend(error.problems)
    problems.extend(_clashes(pipelines))
    problems.extend(_doubles(triggers))
    if not (problems or pipelines or triggers):
        problems.append(
            Problem(
                file=str(folder),
                line=0,
                message="has no definitions; expected pipelines/*.yml and triggers/*.yml in it",
            )
        )
    return Definitions(
        pipelines=tuple(pipelines), triggers=tuple(triggers), problems=tuple(problems)
    )


def _documents(folder: Path, kind: str, problems: list[Problem]) -> list[Document]:
    found = []
    for path in sorted((folder / kind).glob("*")):
        if path.suffix not in (".yml", ".yaml"):
            continue
        try:
            document = documents.read(path, root=folder)
        except DefinitionsInvalid as error:
            problems.extend(error.problems)
            continue
        if not NAME.fullmatch(path.stem):
            problems.append(
                document.problem(
                    (),
                    "its file name is its name, which must be lower-case letters, digits, '_' "
                    "and '-', begin with a letter and have at most 63 characters",
                )
            )
            continue
        found.append(document)
    return found


def _trigger(document: Document) -> TriggerDefinition:
    problems = []
    name = document.content.get("name", document.path.stem)
    if name != document.path.stem:
        message = f"name is {name!r}; it must equal the file name, {document.path.stem!r}"
        problems.append(document.problem(("name",), message))
    try:
        trigger = TriggerDefinition.model_validate(document.content)
    except ValidationError as error:
        problems += [document.problem(item["loc"], _in_words(item)) for item in error.errors()]
    if problems:
        raise DefinitionsInvalid(problems)
    return trigger


def _in_words(item: Any) -> str:
    """A pydantic error as a sentence with the remedy."""
    place = ".".join(str(part) for part in item["loc"]) or "the document"
    match item["type"]:
        case "extra_forbidden":
            return f"{place} is not a key that is known here; check its spelling"
        case "missing":
            return f"{place} is missing"
        case _:
            return f"{place}: {item['msg']}"


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
