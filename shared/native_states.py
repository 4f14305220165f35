"""What is known of AzureML's schedules: `native-schedules.json`, whose swap lets one timer go."""

from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState
from shared.errors import RecordUnreadable
from shared.native_plans import WantedSchedule

_NAME = "native-schedules.json"
SCHEMA = 1

#: After so long, what AzureML would not take is put once more.
_SETTLED_FOR = timedelta(days=1)


class Settled(BaseModel):
    """Places at which AzureML has something else, though the trigger's was put there."""

    model_config = ConfigDict(frozen=True, extra="allow")

    #: Of what was put.
    revision: str
    at: AwareDatetime
    #: Place -> what is there.
    found: dict[str, str | None]


class Kept(BaseModel):
    """What was last found of one schedule."""

    model_config = ConfigDict(frozen=True, extra="allow")

    #: Why it is not as it should be; None when nothing is known to be wrong.
    problem: str | None = None
    settled: Settled | None = None

    def unlike(self, wanted: WantedSchedule, now: datetime) -> dict[str, str | None]:
        """The places at which another try would change nothing, and what is there."""
        known = self.settled
        if known is None or known.revision != wanted.revision or now - known.at > _SETTLED_FOR:
            return {}
        return known.found


class NativeState(BaseModel):
    """All of it."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: When AzureML was last looked at, and a digest of what the index said of it then.
    looked_at: AwareDatetime
    of: str = ""
    #: False while that goes on, and when not everything came of it.
    done: bool = False
    schedules: dict[str, Kept] = Field(default_factory=dict)


class NativeStates:
    """Reads and swaps it. All raise StorageUnavailable."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def read(self) -> tuple[NativeState | None, str | None]:
        """With its ETag. Raises RecordUnreadable."""
        blob = self._blobs.get(_NAME)
        if blob is None:
            return None, None
        try:
            return NativeState.model_validate_json(blob.data), blob.etag
        except ValidationError as error:
            raise RecordUnreadable(
                f"{_NAME} is not of schema {SCHEMA}: {error.error_count()} errors. Publish with "
                "the version of Signalbox that runs."
            ) from None

    def write(self, state: NativeState, etag: str | None) -> str | None:
        """Its new ETag; None when somebody else wrote first. No ETag: when there was none."""
        data = state.model_dump_json(by_alias=True).encode()
        written = (
            self._blobs.create(_NAME, data)
            if etag is None
            else self._blobs.swap(_NAME, data, etag=etag)
        )
        return written.etag if written else None

    def is_latest(self, etag: str) -> bool:
        """Whether nobody wrote since."""
        return self.read()[1] == etag
