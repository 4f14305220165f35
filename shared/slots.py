"""Who may run now under one concurrency key, who is next, and how many began today.

One blob for each key says who holds a place; each who waits has an entry of its own, named by its
number, so that the next is found without reading the others. What follows from that is decided
in `turns`; here is what is kept.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState, Listed
from shared.errors import RecordUnreadable, places

SCHEMA = 1

#: The slot of a trigger without a concurrency key; it also counts the runs of a day.
ALL = "all"

#: Names of a queue that one request lists.
PAGE = 20


class Slot(BaseModel):
    """Who runs and who waits under one key."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: What the runs have in common, for a reader; "" without a concurrency key.
    label: str = ""
    #: Run key -> since when, storage time.
    holders: dict[str, AwareDatetime] = Field(default_factory=dict)
    #: How many took a number since nobody waited. While it is not 0, places are given by number.
    waiting: int = 0
    next_number: int = 1
    #: A limit of its own, whatever the trigger's policies: that of a replay.
    own_limit: int | None = None
    #: The day, UTC, of which so many runs have begun.
    day: str = ""
    runs_today: int = 0

    def begun_on(self, at: datetime) -> int:
        """Runs that have begun on the day of a time."""
        return self.runs_today if self.day == _day(at) else 0

    def counting(self, at: datetime, runs: int) -> "Slot":
        """With more (or fewer) runs begun today."""
        today = max(0, self.begun_on(at) + runs)
        return self.model_copy(update={"day": _day(at), "runs_today": today})

    def holding(self, runs: Iterable[str], at: datetime) -> "Slot":
        """With places for these runs."""
        holders = self.holders | {run: at for run in runs if run not in self.holders}
        return self.model_copy(update={"holders": holders})

    def without(self, runs: Iterable[str]) -> "Slot":
        """With the places of these runs free again."""
        left = set(runs)
        holders = {run: since for run, since in self.holders.items() if run not in left}
        return self.model_copy(update={"holders": holders})

    def numbered(self) -> "Slot":
        """With the next number taken by somebody who waits."""
        return self.model_copy(
            update={"waiting": self.waiting + 1, "next_number": self.next_number + 1}
        )


@dataclass(frozen=True, kw_only=True)
class KeptSlot:
    """A slot and the ETag under which it may be changed; None before it was ever written."""

    slot: Slot
    etag: str | None
    #: Storage time of the reading; before the slot was ever written, what the reader knows.
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ListedSlot:
    """A slot as listed: whether it wants to be looked at."""

    trigger: str
    slot: str
    holders: bool
    waiting: bool
    etag: str
    last_modified: datetime


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One who waits, as listed."""

    number: int
    key: str


class Slots:
    """Reads and swaps slots, and keeps the entries of those who wait."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def read(self, trigger: str, slot: str, at: datetime) -> KeptSlot:
        """A slot, empty before its first use; `at` is a storage time, used only then.

        Raises StorageUnavailable, RecordUnreadable.
        """
        blob = self._blobs.get(_name(trigger, slot))
        if blob is None:
            return KeptSlot(slot=Slot(), etag=None, at=at)
        try:
            found = Slot.model_validate_json(blob.data)
        except ValidationError as error:
            raise RecordUnreadable(
                f"Slot {slot} of trigger {trigger} cannot be read: {places(error)}"
            ) from None
        return KeptSlot(slot=found, etag=blob.etag, at=blob.at)

    def swap(self, trigger: str, name: str, kept: KeptSlot, slot: Slot) -> bool:
        """Put a slot in the place of the one read; False when somebody else did first."""
        data = slot.model_dump_json(by_alias=True).encode()
        # What a listing tells, so that the tick reads no slot that is at rest.
        hints = {"holders": str(len(slot.holders)), "waiting": str(slot.waiting)}
        blob = _name(trigger, name)
        if kept.etag is None:
            return self._blobs.create(blob, data, metadata=hints) is not None
        return self._blobs.swap(blob, data, etag=kept.etag, metadata=hints) is not None

    def all(self) -> Iterator[ListedSlot]:
        """Every slot that was ever used."""
        for blob in self._blobs.list("slots/"):
            _, trigger, file = blob.name.split("/", 2)
            yield ListedSlot(
                trigger=trigger,
                slot=file.removesuffix(".json"),
                holders=blob.metadata.get("holders") != "0",
                waiting=blob.metadata.get("waiting") != "0",
                etag=blob.etag,
                last_modified=blob.last_modified,
            )

    def in_line(self) -> set[tuple[str, str, str]]:
        """Trigger, slot and key of all who wait where it is known that somebody waits."""
        waiting = {(each.trigger, each.slot) for each in self.all() if each.waiting}
        found = set()
        for blob in self._blobs.list("queue/") if waiting else ():
            _, trigger, slot, _ = blob.name.split("/", 3)
            if (trigger, slot) in waiting:
                found.add((trigger, slot, _entry(blob).key))
        return found

    def forget(self, listed: ListedSlot) -> None:
        """Delete a slot that nobody holds or waits for, unless somebody changed it since.

        With it goes what is left of its queue: entries that came after their run had begun.
        """
        name = _name(listed.trigger, listed.slot)
        entries = list(self.queue(listed.trigger, listed.slot))
        if entries:
            blob = self._blobs.get(name)
            if blob is None or blob.etag != listed.etag:
                return
        for entry in entries:
            self.leave(listed.trigger, listed.slot, entry.number, entry.key)
        self._blobs.delete(name, etag=listed.etag)

    def queue(self, trigger: str, slot: str) -> Iterator[Entry]:
        """Those who wait, by number; some may not wait any more."""
        for blob in self._blobs.list(f"queue/{trigger}/{slot}/", page=PAGE):
            yield _entry(blob)

    def enter(self, trigger: str, slot: str, number: int, key: str) -> None:
        """Write down that somebody waits; again is the same."""
        self._blobs.put(_entry_name(trigger, slot, number, key))

    def leave(self, trigger: str, slot: str, number: int, key: str) -> None:
        """Nobody waits with that number any more."""
        self._blobs.delete(_entry_name(trigger, slot, number, key))


def slot_of(text: str | None) -> str:
    """The slot of what a concurrency key comes to; None without one."""
    return ALL if text is None else hashlib.sha256(text.encode()).hexdigest()[:32]


def _day(at: datetime) -> str:
    return at.date().isoformat()


def _name(trigger: str, slot: str) -> str:
    return f"slots/{trigger}/{slot}.json"


def _entry_name(trigger: str, slot: str, number: int, key: str) -> str:
    return f"queue/{trigger}/{slot}/{number:010d}-{key}"


def _entry(blob: Listed) -> Entry:
    number, _, key = blob.name.rsplit("/", 1)[1].partition("-")
    return Entry(number=int(number), key=key)
