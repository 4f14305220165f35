"""What was published: one immutable record per version of a pipeline."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState
from shared.errors import RecordUnreadable, listed, places
from shared.index import Snapshot
from shared.inputs import DATA_TYPES, DataInput, Literal, PipelineInput, compute_input

SCHEMA = 1


class PublishedPipeline(BaseModel):
    """One immutable version of a pipeline: what each of its jobs is made from."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    name: str
    version: str
    #: ARM id of this version, which jobs by reference name.
    component_id: str
    #: `reference` (the job names the component) or `inline` (it carries the steps).
    submission: str = "reference"
    #: Why it is inline.
    inline_because: tuple[str, ...] = ()
    #: The steps of an inline job, each referring to its registered component.
    jobs: dict[str, Any] | None = None
    #: The compute of each step that has one of its own, by step.
    computes: dict[str, str] = Field(default_factory=dict)
    inputs: dict[str, PipelineInput]
    outputs: dict[str, DataInput]
    settings: dict[str, Any]
    experiment_name: str | None = None
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str]
    properties: dict[str, str] = Field(default_factory=dict)
    identity: dict[str, Any] | None = None

    @property
    def optional(self) -> frozenset[str]:
        """The inputs that a job may leave out."""
        return frozenset(name for name, each in self.inputs.items() if each.optional)

    @property
    def data(self) -> frozenset[str]:
        """The inputs that are data."""
        return frozenset(name for name, each in self.inputs.items() if each.type in DATA_TYPES)

    def bind(
        self, values: Mapping[str, Any]
    ) -> tuple[dict[str, DataInput | Literal], dict[str, str]]:
        """A job's inputs from the values a trigger found, and what is wrong, by input."""
        bound: dict[str, DataInput | Literal] = {}
        problems = {
            name: f"the pipeline has no such input; it has {listed(sorted(self.inputs))}"
            for name in values.keys() - self.inputs.keys()
        }
        for name, declared in self.inputs.items():
            try:
                taken = declared.take(values.get(name))
            except ValueError as error:
                problems[name] = str(error)
            else:
                if taken is not None:
                    bound[name] = taken
        bound |= {compute_input(step): compute for step, compute in self.computes.items()}
        return bound, problems


#: Pinned versions that are kept in memory; when there are more, all are read again.
_PINNED = 100


class Published:
    """Finds what was published, and keeps it."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs
        #: Pinned versions never change, so they are read once.
        self._pinned: dict[str, PublishedPipeline] = {}

    def resolve(self, snapshot: Snapshot, reference: str) -> PublishedPipeline | None:
        """`name` or `name@latest`, which the index has, or `name@version`, read at most once.

        Raises StorageUnavailable, RecordUnreadable.
        """
        name, _, version = reference.partition("@")
        if version in ("", "latest"):
            return latest(snapshot, name)
        if (known := latest(snapshot, name)) and known.version == version:
            return known
        found = self._pinned.get(reference)
        if found is None and (found := self.read(name, version)):
            if len(self._pinned) >= _PINNED:
                self._pinned.clear()
            self._pinned[reference] = found
        return found

    def read(self, name: str, version: str) -> PublishedPipeline | None:
        """One version. Raises StorageUnavailable, RecordUnreadable."""
        blob = self._blobs.get(_blob_name(name, version))
        return _parse(PublishedPipeline.model_validate_json, blob.data) if blob else None

    def write(self, pipeline: PublishedPipeline) -> None:
        """Whoever publishes the same content at the same time writes the same record."""
        data = pipeline.model_dump_json(by_alias=True).encode()
        self._blobs.put(_blob_name(pipeline.name, pipeline.version), data)


def latest(snapshot: Snapshot, name: str) -> PublishedPipeline | None:
    """The latest version of a pipeline as the index has it."""
    found = snapshot.pipelines.get(name)
    return _parse(PublishedPipeline.model_validate, found) if found is not None else None


def _blob_name(name: str, version: str) -> str:
    return f"published/{name}/{version}.json"


def _parse(validate: Callable[[Any], PublishedPipeline], content: Any) -> PublishedPipeline:
    try:
        return validate(content)
    except ValidationError as error:
        raise RecordUnreadable(f"A published pipeline cannot be read: {places(error)}") from None
