"""`index.json`: all that an event needs to be decided, in one blob."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import Blob, BlobState, Unchanged
from shared.definitions import TriggerDefinition
from shared.errors import RecordUnreadable, StorageUnavailable

_NAME = "index.json"
SCHEMA = 1


class Paused(BaseModel):
    """That nothing new begins for a trigger until somebody resumes it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    #: Why, for a person.
    note: str
    #: Since when, storage time.
    at: AwareDatetime
    #: Who said so: a caller as sources of events name it.
    by: str | None = None
    #: What becomes of its events meanwhile; None: as its policies say.
    while_paused: Literal["hold", "drop"] | None = None

    @property
    def text(self) -> str:
        """Since when, by whom and why, within a sentence."""
        who = "a holder of a key" if self.by == "key" else self.by
        by = f" by {who}" if who else ""
        note = f" ({self.note})" if self.note else ""
        return f"since {self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{by}{note}"


class IndexedTrigger(BaseModel):
    """A trigger as published."""

    model_config = ConfigDict(frozen=True, extra="allow")

    definition: TriggerDefinition
    #: Changes when the document changes.
    revision: str
    #: Storage time of its first publish. Older events are not its business.
    effective_from: AwareDatetime
    #: Storage time since which it waits for what it waits for; None: ever.
    spec_since: AwareDatetime | None = None
    paused: Paused | None = None


class Snapshot(BaseModel):
    """The index at one moment."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    triggers: dict[str, IndexedTrigger] = Field(default_factory=dict)
    #: The latest published record of every pipeline; `published` gives it its meaning.
    pipelines: dict[str, dict[str, Any]] = Field(default_factory=dict)
    #: The computes that are defined, with their revisions; `compute` keeps what is known of them.
    computes: dict[str, str] = Field(default_factory=dict)
    #: Who published a definition, by `kind/name`; those of nobody in particular are left out.
    owners: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A snapshot and the storage time at which it was the truth."""

    snapshot: Snapshot
    etag: str
    at: datetime


class Index:
    """Reads the index with one conditional request and swaps it by ETag."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs
        self._known: Reading | None = None

    def read(self) -> Reading:
        """The index as it is now: unchanged costs a 304.

        Raises StorageUnavailable, or RecordUnreadable.
        """
        known = self._known
        if known is None:
            blob = self._get_or_create()
        else:
            answer = self._blobs.get_if_changed(_NAME, known.etag)
            if isinstance(answer, Unchanged):
                # The snapshot stays the same object: what is derived from it stays valid.
                return Reading(snapshot=known.snapshot, etag=known.etag, at=answer.at)
            blob = answer or self._get_or_create()
        self._known = Reading(snapshot=_parse(blob.data), etag=blob.etag, at=blob.at)
        return self._known

    def recent(self) -> Snapshot:
        """The index as this process last read it; for what may be behind by a minute."""
        return self._known.snapshot if self._known else self.read().snapshot

    def peek(self) -> Snapshot:
        """The index as it is now; writes nothing, where `read` makes the first one.

        Raises StorageUnavailable, or RecordUnreadable.
        """
        blob = self._blobs.get(_NAME)
        return _parse(blob.data) if blob else Snapshot()

    def now(self) -> datetime:
        """The storage service's time, of a look at the index that does not read it."""
        known = self._known
        answer = self._blobs.get_if_changed(_NAME, known.etag) if known else None
        return (answer or self._get_or_create()).at

    def change(self, change: Callable[[Snapshot, datetime], Snapshot]) -> Snapshot:
        """Apply a change to the newest index, again and again until nobody was in between.

        `change` gets the storage time of the reading and must be pure. Raises StorageUnavailable
        when writers keep colliding.
        """
        for _ in range(20):
            blob = self._get_or_create()
            before = _parse(blob.data)
            after = change(before, blob.at)
            if after == before:
                return before
            if self._blobs.swap(_NAME, _bytes(after), etag=blob.etag):
                return after
        raise StorageUnavailable("The index kept changing under this write; try again")

    def _get_or_create(self) -> Blob:
        while (blob := self._blobs.get(_NAME)) is None:
            self._blobs.create(_NAME, _bytes(Snapshot()))
        return blob


def _bytes(snapshot: Snapshot) -> bytes:
    return snapshot.model_dump_json(by_alias=True).encode()


def _parse(data: bytes) -> Snapshot:
    try:
        return Snapshot.model_validate_json(data)
    except ValidationError as error:
        raise RecordUnreadable(
            f"index.json is not an index of schema {SCHEMA}: {error.error_count()} errors. "
            "Publish with the version of Signalbox that runs."
        ) from None
