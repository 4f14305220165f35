"""Final decisions, newest first by plain listing, for whoever asks what happened."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.blob_state import BlobState, Listed
from shared.errors import RecordUnreadable
from shared.events import Event

SCHEMA = 1

#: What is decided of an event that a candidate trigger says no to.
NO_MATCH = "no_match"

#: Milliseconds since 1970 are subtracted from this, so that the newest name sorts first.
_FAR_FUTURE = 9_999_999_999_999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_TAIL = re.compile(r"([0-9]{13})-([0-9a-f]+)-(.+)\.json", re.DOTALL)

#: Digits of the inverted time by which a listing begins further on: a thousandth of a second has
#: 13, so these are days of entries.
_COARSE = 5


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A decision as listed; its content is not read."""

    trigger: str
    key: str
    #: What its event is about; see `Event.about`.
    about: str
    #: Storage time of a run's end; an event's own time when it was filtered.
    at: datetime
    #: A run's final state, or NO_MATCH; empty when it was written by nobody of ours.
    decision: str
    #: Its place among all entries, of any trigger: the newest first.
    place: str

    @property
    def name(self) -> str:
        return f"history/{self.trigger}/{self.place}"


class History:
    """Writes one blob per decision; writing it again rewrites the same blob."""

    def __init__(self, blobs: BlobState, *, passed_over: int = 5_000) -> None:
        self._blobs = blobs
        #: Entries that are passed over one by one before a listing begins further on: what the
        #: service lists in one request.
        self._passed_over = passed_over

    def finished(
        self, trigger: str, key: str, event: Event, at: datetime, decision: Mapping[str, Any]
    ) -> None:
        """A record that reached its final state at `at` (storage time)."""
        self._write(trigger, key, event, at, decision)

    def filtered(
        self, trigger: str, key: str, event: Event, check: str, passed: Sequence[str] = ()
    ) -> None:
        """A candidate trigger that said no, with the check that failed and those before it.

        Named by the event's own time, so a redelivery rewrites it.
        """
        decision = {"decision": NO_MATCH, "check": check, "passed": list(passed)}
        self._write(trigger, key, event, event.time, decision)

    def entries(self, trigger: str, *, after: str = "") -> Iterator[Entry]:
        """The decisions of a trigger, newest first; those behind the place `after` alone.

        Raises StorageUnavailable.
        """
        passed = 0
        for listed in self._blobs.list(f"history/{trigger}/"):
            entry = _entry(trigger, listed)
            if entry is None:
                continue
            if entry.place > after:
                yield entry
                continue
            passed += 1
            if passed == self._passed_over:
                break
        else:
            return
        for digits in _onwards(after):
            for listed in self._blobs.list(f"history/{trigger}/{digits}"):
                entry = _entry(trigger, listed)
                if entry is not None and entry.place > after:
                    yield entry

    def read(self, entry: Entry) -> dict[str, Any] | None:
        """What an entry says; None when it has expired.

        Raises StorageUnavailable, RecordUnreadable.
        """
        blob = self._blobs.get(entry.name)
        if blob is None:
            return None
        try:
            content = json.loads(blob.data)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise RecordUnreadable(f"{entry.name!r} is no decision that Signalbox wrote.")
        return content

    def has(self, trigger: str, key: str, event: Event, at: datetime) -> bool:
        """Whether the end of a run is told here already. Raises StorageUnavailable."""
        return self._blobs.get(_name(trigger, key, event, at)) is not None

    def _write(
        self, trigger: str, key: str, event: Event, at: datetime, decision: Mapping[str, Any]
    ) -> None:
        entry = {
            "schema": SCHEMA,
            "trigger": trigger,
            "key": key,
            "at": at.isoformat(),
            "event": {
                "id": event.id,
                "source": event.source,
                "type": event.type,
                "subject": event.subject,
                "time": event.time.isoformat(),
            },
            **decision,
        }
        self._blobs.put(
            _name(trigger, key, event, at),
            json.dumps(entry).encode(),
            # A listing tells these, so that whoever looks for one kind reads no other.
            metadata={"decision": str(decision["decision"])},
        )


def place_of(at: datetime) -> str:
    """The place before every entry of that time and of those before it."""
    return _inverted(at)


def is_place(text: str) -> bool:
    """Whether text is the place of an entry."""
    return _TAIL.fullmatch(text) is not None


def _name(trigger: str, key: str, event: Event, at: datetime) -> str:
    return f"history/{trigger}/{_inverted(at)}-{event.about}-{key}.json"


def _inverted(at: datetime) -> str:
    # An event says its time itself, and may say any.
    passed = min(max(int(at.timestamp() * 1000), 0), _FAR_FUTURE)
    return f"{_FAR_FUTURE - passed:013d}"


def _entry(trigger: str, listed: Listed) -> Entry | None:
    place = listed.name.removeprefix(f"history/{trigger}/")
    found = _TAIL.fullmatch(place)
    if found is None:
        return None
    return Entry(
        trigger=trigger,
        key=found[3],
        about=found[2],
        at=_EPOCH + timedelta(milliseconds=_FAR_FUTURE - int(found[1])),
        decision=listed.metadata.get("decision", ""),
        place=place,
    )


def _onwards(place: str) -> Iterator[str]:
    """Beginnings of names that together are all those from a place on, in order."""
    digits = place[:_COARSE]
    yield digits
    for length in range(len(digits) - 1, -1, -1):
        if not digits[length].isdigit():
            return
        for digit in range(int(digits[length]) + 1, 10):
            yield f"{digits[:length]}{digit}"
