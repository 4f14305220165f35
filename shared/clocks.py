"""How far the schedules of this deployment are: `clock.json`, one for all of them."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState
from shared.errors import RecordUnreadable, places

SCHEMA = 1

_NAME = "clock.json"


class Clock(BaseModel):
    """Everything that fired before has its record."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: Storage time up to which every schedule was looked at.
    last_evaluated: AwareDatetime
    #: Of what fires at that very moment, what has its record: the triggers up to this one by name.
    #: None: all of it.
    through: str | None = None
    #: The edition of the index that was looked at.
    edition: int = 0

    def is_past(self, at: datetime) -> bool:
        """Whether everything that fired by then has its record."""
        whole = self.through is None
        return at < self.last_evaluated or (whole and at == self.last_evaluated)


@dataclass(frozen=True, kw_only=True)
class KeptClock:
    """The clock and the ETag under which it may be moved on."""

    clock: Clock
    etag: str


class Clocks:
    """Reads the clock and moves it on. All raise StorageUnavailable."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def read(self) -> KeptClock | None:
        """None before the first look at any schedule. Raises RecordUnreadable."""
        blob = self._blobs.get(_NAME)
        if blob is None:
            return None
        try:
            return KeptClock(clock=Clock.model_validate_json(blob.data), etag=blob.etag)
        except ValidationError as error:
            raise RecordUnreadable(
                f"clock.json cannot be read, so no schedule fires: {places(error)}. Delete it, and "
                "they go on from then; what was due meanwhile has no record."
            ) from None

    def begin(self, at: datetime, edition: int) -> None:
        """Start the clock, unless somebody has."""
        self._blobs.create(_NAME, _bytes(Clock(last_evaluated=at, edition=edition)))

    def move(self, kept: KeptClock, clock: Clock) -> bool:
        """Put the clock on; False when somebody else did since it was read."""
        return self._blobs.swap(_NAME, _bytes(clock), etag=kept.etag) is not None


def _bytes(clock: Clock) -> bytes:
    return clock.model_dump_json(by_alias=True).encode()
