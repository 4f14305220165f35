"""What is known of a trigger's sweeps: `sweeps/{trigger}.json`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState
from shared.errors import RecordUnreadable, places

SCHEMA = 1

#: Uploads that one report names; all are counted.
NAMED = 100


class _Stored(BaseModel):
    """Fields that a newer version wrote survive our writes."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Noticed(_Stored):
    """An upload that no event had told of."""

    path: str
    etag: str
    #: Bytes.
    size: int
    #: Storage time of its last change.
    last_modified: AwareDatetime
    #: Storage time of the sweep that noticed it.
    at: AwareDatetime
    #: The run that it became, or would be.
    run: str


class Counts(_Stored):
    """What a sweep came across."""

    #: Blobs that were listed.
    listed: int = 0
    #: Of those: changed within the time that is looked at, and for the trigger.
    looked_at: int = 0
    #: Of those that were looked at: recorded before.
    known: int = 0
    #: Lost, and handed to the trigger.
    found: int = 0
    #: Not recorded, though a blob of that path was there or recorded before.
    overwritten: int = 0
    #: Listed, and left to the next sweep, as they are too young.
    young: int = 0
    #: Listed, and no event may have such a name.
    unnameable: int = 0
    #: Looked at, and could not be handed over; the log says why.
    failed: int = 0


class Course(_Stored):
    """A sweep: how it goes, and how far it has come."""

    #: Storage time.
    began: AwareDatetime
    ended: AwareDatetime | None = None
    #: Uploads that were changed before are not looked at.
    since: AwareDatetime
    #: Whether the whole lookback is looked at, not only what came since the sweep before.
    full: bool
    #: What was created before this and changed since was overwritten; see `Counts`.
    horizon: AwareDatetime
    #: A person asked for it.
    asked: bool = False
    #: What was overwritten is started as well.
    overwritten: bool = False
    #: Nothing is started.
    dry_run: bool = False
    #: What is listed: account/container/beginning.
    place: str
    #: The page that is looked at, and the last path on it that is done.
    marker: str | None = None
    after: str | None = None
    counts: Counts = Counts()
    #: The first that were found, and that were overwritten.
    found: tuple[Noticed, ...] = ()
    changed: tuple[Noticed, ...] = ()

    def counted(self, **more: int) -> "Course":
        """With so many more of what it came across."""
        counts = self.counts
        update = {name: getattr(counts, name) + number for name, number in more.items()}
        return self.model_copy(update={"counts": counts.model_copy(update=update)})

    def anew(self) -> "Course":
        """From its first page."""
        return self.model_copy(update={"marker": None, "after": None, "counts": Counts()})


class SweepState(_Stored):
    """All that is known of a trigger's sweeps."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    #: When the last one began by itself that came to its end, and the last of those that was full.
    last: AwareDatetime | None = None
    full: AwareDatetime | None = None
    #: The one that is under way.
    course: Course | None = None
    #: The last one that came to its end.
    report: Course | None = None
    #: What was found lately; and what was overwritten and has no record yet. Newest first.
    found: tuple[Noticed, ...] = ()
    overwritten: tuple[Noticed, ...] = ()
    #: Why the last try went no further, and when that was.
    problem: str | None = None
    tried: AwareDatetime | None = None


@dataclass(frozen=True)
class KeptSweep:
    """A state and the ETag under which it may be changed; None before it was ever written."""

    state: SweepState
    etag: str | None


@dataclass(frozen=True, kw_only=True)
class ListedSweep:
    """A state as listed: whether something is due."""

    last: datetime | None
    tried: datetime | None
    under_way: bool
    last_modified: datetime


class SweepStates:
    """Reads and swaps states. All raise StorageUnavailable."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def all(self) -> dict[str, ListedSweep]:
        """Every state, by trigger, as listed."""
        return {
            blob.name.removeprefix("sweeps/").removesuffix(".json"): ListedSweep(
                last=_time(blob.metadata.get("last")),
                tried=_time(blob.metadata.get("tried")),
                under_way=blob.metadata.get("under_way") == "yes",
                last_modified=blob.last_modified,
            )
            for blob in self._blobs.list("sweeps/")
        }

    def read(self, trigger: str) -> KeptSweep:
        """A trigger's state, empty before its first sweep. Raises RecordUnreadable."""
        blob = self._blobs.get(_name(trigger))
        if blob is None:
            return KeptSweep(SweepState(), None)
        try:
            return KeptSweep(SweepState.model_validate_json(blob.data), blob.etag)
        except ValidationError as error:
            raise RecordUnreadable(
                f"The sweeps of trigger {trigger} cannot be read: {places(error)}"
            ) from None

    def swap(self, trigger: str, kept: KeptSweep, state: SweepState) -> KeptSweep | None:
        """Put a state in the place of the one read; None when somebody else did first."""
        data = state.model_dump_json(by_alias=True).encode()
        # What a listing tells, so that the tick reads none that is at rest.
        hints = {
            "under_way": "yes" if state.course else "no",
            **({"last": state.last.isoformat()} if state.last else {}),
            **({"tried": state.tried.isoformat()} if state.tried else {}),
        }
        if kept.etag is None:
            written = self._blobs.create(_name(trigger), data, metadata=hints)
        else:
            written = self._blobs.swap(_name(trigger), data, etag=kept.etag, metadata=hints)
        return KeptSweep(state, written.etag) if written else None


def newest(some: Iterable[Noticed], before: Iterable[Noticed]) -> tuple[Noticed, ...]:
    """What was noticed now and before, each path once, as many as are named."""
    by_path: dict[str, Noticed] = {}
    for one in (*some, *before):
        by_path.setdefault(one.path, one)
    return tuple(by_path.values())[:NAMED]


def _name(trigger: str) -> str:
    return f"sweeps/{trigger}.json"


def _time(hint: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(hint or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
