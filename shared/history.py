"""Final decisions, newest first by plain listing, for whoever asks what happened."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.blob_state import BlobState
from shared.events import Event

SCHEMA = 1

#: Milliseconds since 1970 are subtracted from this, so that the newest name sorts first.
_FAR_FUTURE = 9_999_999_999_999


class History:
    """Writes one blob per decision; writing it again rewrites the same blob."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def finished(
        self, trigger: str, key: str, event: Event, at: datetime, decision: Mapping[str, Any]
    ) -> None:
        """A record that reached its final state at `at` (storage time)."""
        self._write(trigger, key, event, at, decision)

    def filtered(self, trigger: str, key: str, event: Event, check: str) -> None:
        """A candidate trigger that said no, with the check that failed.

        Named by the event's own time, so a redelivery rewrites it.
        """
        decision = {"decision": "no_match", "check": check}
        self._write(trigger, key, event, event.time, decision)

    def _write(
        self, trigger: str, key: str, event: Event, at: datetime, decision: Mapping[str, Any]
    ) -> None:
        inverted = _FAR_FUTURE - int(at.timestamp() * 1000)
        entry = {
            "schema": SCHEMA,
            "trigger": trigger,
            "key": key,
            "at": at.isoformat(),
            "event": {"id": event.id, "source": event.source, "subject": event.subject},
            **decision,
        }
        self._blobs.put(
            f"history/{trigger}/{inverted:013d}-{event.about}-{key}.json",
            json.dumps(entry).encode(),
            # A listing tells these, so that whoever looks for one kind reads no other.
            metadata={"decision": str(decision["decision"])},
        )
