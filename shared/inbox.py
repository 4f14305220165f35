"""The events that wait for their batch, and the number of each group's next one.

An event's record says that it waits, or which batch took it; the marker here is a hint that makes
it be found, and its time is when the event came. A group's blob is never deleted: with its birth
and its number it names a batch that everybody who makes it meets.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState, Listed
from shared.errors import RecordUnreadable, places
from shared.releases import Waiting

SCHEMA = 1


class Numbered(BaseModel):
    """Which batch of a group is next."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: Random: a group that was deleted and comes back numbers from the beginning.
    birth: str
    seq: int = 0
    #: What its events have in common, for a reader.
    values: dict[str, str] = Field(default_factory=dict)
    #: How many members of the batch of which number were told that it took them, when whoever told
    #: them had no more time.
    told: int = 0
    told_of: int = -1

    @property
    def done(self) -> int:
        """Members of the next batch, should it be there already, that need not be told."""
        return self.told if self.told_of == self.seq else 0


@dataclass(frozen=True, kw_only=True)
class KeptNumber:
    """A group's number and the ETag under which it may be changed."""

    numbered: Numbered
    etag: str


@dataclass(frozen=True, kw_only=True)
class Waits:
    """An event that waits, as listed."""

    trigger: str
    group: str
    waiting: Waiting
    #: What it is about; see `Event.about`.
    about: str = ""

    @property
    def key(self) -> str:
        return self.waiting.key


class Inbox:
    """Keeps the markers of what waits, and the numbers of groups. All raise StorageUnavailable."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def put(self, trigger: str, group: str, key: str, *, about: str, releases: bool) -> None:
        """Have an event be found by its batch; again is the same, and keeps the first's time."""
        hints = {"about": about} | ({"releases": "true"} if releases else {})
        self._blobs.create(_marker(trigger, group, key), b"", metadata=hints)

    def waiting(self, trigger: str | None = None, group: str | None = None) -> Iterator[Waits]:
        """What waits, group by group: of one trigger or one group, or all of it."""
        parts = [part for part in (trigger, group) if part is not None]
        for blob in self._blobs.list("/".join(["inbox", *parts, ""])):
            yield _waits(blob)

    def forget(self, trigger: str, group: str, keys: Iterable[str]) -> None:
        """Delete the markers of what waits no more."""
        self._blobs.delete_all([_marker(trigger, group, key) for key in keys])

    def number(self, trigger: str, group: str) -> KeptNumber | None:
        """Which batch of a group is next; None before its first. Raises RecordUnreadable."""
        blob = self._blobs.get(_group(trigger, group))
        if blob is None:
            return None
        try:
            found = Numbered.model_validate_json(blob.data)
        except ValidationError as error:
            raise RecordUnreadable(
                f"Group {group} of trigger {trigger} cannot be read: {places(error)}"
            ) from None
        return KeptNumber(numbered=found, etag=blob.etag)

    def begin(self, trigger: str, group: str, values: Mapping[str, str], birth: str) -> KeptNumber:
        """A group's first number, as whoever was first has written it."""
        first = Numbered(birth=birth, values=dict(values))
        while (kept := self.number(trigger, group)) is None:
            self._blobs.create(_group(trigger, group), _bytes(first))
        return kept

    def count(self, trigger: str, group: str, kept: KeptNumber) -> bool:
        """On to the next number; False when somebody else has changed it."""
        return self._change(trigger, group, kept, {"seq": kept.numbered.seq + 1})

    def tell(self, trigger: str, group: str, kept: KeptNumber, members: int) -> bool:
        """Note how many members of the batch need not be told; False as for `count`."""
        return self._change(trigger, group, kept, {"told": members, "told_of": kept.numbered.seq})

    def _change(
        self, trigger: str, group: str, kept: KeptNumber, changes: Mapping[str, int]
    ) -> bool:
        changed = _bytes(kept.numbered.model_copy(update=changes))
        return self._blobs.swap(_group(trigger, group), changed, etag=kept.etag) is not None


def _bytes(numbered: Numbered) -> bytes:
    return numbered.model_dump_json(by_alias=True).encode()


def _marker(trigger: str, group: str, key: str) -> str:
    return f"inbox/{trigger}/{group}/{key}"


def _group(trigger: str, group: str) -> str:
    return f"groups/{trigger}/{group}.json"


def _waits(blob: Listed) -> Waits:
    _, trigger, group, key = blob.name.split("/", 3)
    releases = blob.metadata.get("releases") == "true"
    return Waits(
        trigger=trigger,
        group=group,
        waiting=Waiting(since=blob.last_modified, key=key, releases=releases),
        about=blob.metadata.get("about", ""),
    )
