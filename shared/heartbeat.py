"""`tick.json`: when the minute timer last ended, and what it could not look at.

Everybody may read it, whatever instance the timer runs on. One small write for each tick.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState
from shared.errors import RecordUnreadable, places

_NAME = "tick.json"
SCHEMA = 1

#: The timer's schedule, in functions/timer.py.
EVERY = timedelta(minutes=1)


class Beat(BaseModel):
    """One tick that came to its end."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: Storage time.
    ended: AwareDatetime
    #: How long it took.
    seconds: float
    #: The parts that it could not look at, as in its log.
    failed: Sequence[str] = ()

    @property
    def began(self) -> datetime:
        return self.ended - timedelta(seconds=self.seconds)


class Heartbeat:
    """Keeps the newest tick. The last writer wins: two at once ended at the same time anyway."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def beat(self, beat: Beat) -> None:
        """Raises StorageUnavailable."""
        self._blobs.put(_NAME, beat.model_dump_json(by_alias=True).encode())

    def last(self) -> tuple[Beat | None, datetime | None]:
        """The newest tick, None before the first, and the storage time at which that was so.

        Raises StorageUnavailable, or RecordUnreadable.
        """
        blob = self._blobs.get(_NAME)
        if blob is None:
            return None, None
        try:
            return Beat.model_validate_json(blob.data), blob.at
        except ValidationError as error:
            raise RecordUnreadable(
                f"{_NAME} is not what the timer writes there: {places(error)}. Delete it: the next "
                "tick writes it anew"
            ) from None
