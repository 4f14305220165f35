"""`index.json`: all that an event needs to be decided, in one blob."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from shared.blob_state import Blob, BlobState, Unchanged
from shared.definitions import TriggerDefinition
from shared.errors import RecordUnreadable, StorageUnavailable
from shared.specs import ScheduleSpec
from shared.turnstiles import Crowd, Turnstiles, Wish

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


class Former(BaseModel):
    """What a trigger's schedule was before an edit, kept until all that was due then is written
    down: the timer may be late."""

    model_config = ConfigDict(frozen=True, extra="allow")

    definition: TriggerDefinition
    #: Where its intervals are counted from.
    anchor: AwareDatetime
    #: Scheduled times that are its own: since < time <= until.
    since: AwareDatetime
    until: AwareDatetime
    #: The edition of the index that brought it.
    edition: int = 0


class PastPause(BaseModel):
    """A pause of a schedule that is over, kept until all that fired then is written down."""

    model_config = ConfigDict(frozen=True, extra="allow")

    paused: Paused
    until: AwareDatetime


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
    #: Where the intervals of its schedule are counted from; None: since it has this spec.
    anchored: AwareDatetime | None = None
    #: The edition of the index that brought its spec.
    edition: int = 0
    #: Of a schedule, oldest first.
    former: tuple[Former, ...] = ()
    pauses: tuple[PastPause, ...] = ()

    @property
    def since(self) -> datetime:
        """Scheduled times that are later are those of its spec."""
        return self.spec_since or self.effective_from

    @property
    def anchor(self) -> datetime:
        """Where the intervals of its schedule are counted from, if it says no start."""
        return self.anchored or self.since

    @property
    def schedule(self) -> ScheduleSpec | None:
        """Its schedule, if its clock is the app's."""
        spec = self.definition.spec.schedule
        return spec if spec and spec.engine == "signalbox" else None


class Snapshot(BaseModel):
    """The index at one moment."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: Counts what was published of specs, so that whoever looks can tell what is new to it.
    edition: int = 0
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

    def __init__(self, blobs: BlobState, turnstiles: Turnstiles | None = None) -> None:
        self._blobs = blobs
        self._turnstiles = turnstiles or Turnstiles()
        self._known: Reading | None = None
        #: Each trigger as it was last read, beside its JSON.
        self._parsed: dict[str, tuple[bytes, IndexedTrigger]] = {}

    def read(self) -> Reading:
        """The index as it is now, or was after this was asked: unchanged costs a 304.

        Threads that ask while another reads share the next reading. Raises StorageUnavailable, or
        RecordUnreadable.
        """
        wish = Wish[Reading]()
        self._turnstiles.through(_NAME, wish, self._serve)
        return wish.answer

    def _serve(self, crowd: Crowd[Wish[Reading]]) -> None:
        # Before it is read: whoever comes later may know of what this does not tell.
        wishes = crowd.wishes()
        reading = self._read()
        crowd.grant(lambda waiting: dict.fromkeys(waiting, reading), wishes)

    def _read(self) -> Reading:
        known = self._known
        if known is None:
            blob = self._get_or_create()
        else:
            answer = self._blobs.get_if_changed(_NAME, known.etag)
            if isinstance(answer, Unchanged):
                # The snapshot stays the same object: what is derived from it stays valid.
                return Reading(snapshot=known.snapshot, etag=known.etag, at=answer.at)
            blob = answer or self._get_or_create()
        self._known = Reading(snapshot=self._parse(blob.data), etag=blob.etag, at=blob.at)
        return self._known

    def _parse(self, data: bytes) -> Snapshot:
        """An index in which a trigger that did not change is the same object: among ten thousand
        hardly any did, and what is derived from the others stays valid."""
        try:
            content = from_json(data)
            parsed = {
                name: self._trigger(name, to_json(one))
                for name, one in content.pop("triggers", {}).items()
            }
            rest = Snapshot.model_validate_json(to_json(content))
        except (ValueError, TypeError, AttributeError):
            # What is wrong with it is told as of any other.
            return _parse(data)
        self._parsed = parsed
        return rest.model_copy(
            update={"triggers": {name: one for name, (_, one) in parsed.items()}}
        )

    def _trigger(self, name: str, text: bytes) -> tuple[bytes, IndexedTrigger]:
        known = self._parsed.get(name)
        if known is not None and known[0] == text:
            return known
        return text, IndexedTrigger.model_validate_json(text)

    def recent(self) -> Snapshot:
        """The index as this process last read it; for what may be behind by a minute."""
        return self._known.snapshot if self._known else self.read().snapshot

    def peek(self) -> Snapshot:
        """The index as it is now; writes nothing, where `read` makes the first one.

        Raises StorageUnavailable, or RecordUnreadable.
        """
        return self.peeked()[0]

    def peeked(self) -> tuple[Snapshot, datetime | None]:
        """As `peek`, with the storage time of it; None when there is no index yet."""
        blob = self._blobs.get(_NAME)
        return (_parse(blob.data), blob.at) if blob else (Snapshot(), None)

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
