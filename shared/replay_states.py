"""What is known of replays and backfills: `replays/{id}.json`, and what each is to run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState
from shared.errors import RecordUnreadable, StorageUnavailable, places
from shared.ledger import State

SCHEMA = 1

#: Runs that are told of those that could not be started.
TOLD = 100


class _Stored(BaseModel):
    """Fields that a newer version wrote survive our writes."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Stage(StrEnum):
    """How far a replay is."""

    RUNNING = "running"
    #: Nothing more is started, and not everything that was is over, or known.
    CANCELING = "canceling"
    DONE = "done"
    CANCELED = "canceled"


class Selection(_Stored):
    """What is run: what was decided so within a time, runs by name, or times of a schedule."""

    trigger: str
    outcomes: tuple[State, ...] = ()
    #: Storage time of the decisions; of occurrences, since <= scheduled time < until.
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    #: The runs are named one by one.
    named: bool = False
    #: It is a backfill: the times of a schedule, whatever became of them before.
    occurrences: bool = False
    #: Of occurrences: the latest scheduled time begins.
    newest_first: bool = False


class NotStarted(_Stored):
    """What could not be run: a run once more, or an occurrence by its scheduled time."""

    run: str | None = None
    scheduled_time: AwareDatetime | None = None
    why: str

    @property
    def of(self) -> str | datetime:
        """What could not be run."""
        found = self.run or self.scheduled_time
        assert found is not None
        return found


class Replay(_Stored):
    """One replay or backfill, and how far it is."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    id: str
    #: Storage time at which it was asked for, and who did.
    at: AwareDatetime
    by: str
    #: Tells the request from others with the same key.
    request: str
    selection: Selection
    #: Runs of it that are under way at once.
    limit: int
    #: The list of what is run, runs or scheduled times, and how long that is.
    chosen: str
    total: int
    #: How many of the list were come to.
    position: int = 0
    #: Runs that were started and are not known to be over.
    active: tuple[str, ...] = ()
    #: How many ended so.
    ended: Mapping[State, int] = Field(default_factory=dict)
    not_started: int = 0
    #: The first of those that could not be started.
    problems: tuple[NotStarted, ...] = ()
    cancel_requested: bool = False
    #: Storage time until which who was starting more when it was canceled may not have said so;
    #: None when all that was started is known.
    unheard_until: AwareDatetime | None = None
    #: Why nothing is started now.
    waiting: str | None = None

    @property
    def stage(self) -> Stage:
        if self.cancel_requested and self.position < self.total:
            ends = self.active or self.unheard_until
            return Stage.CANCELING if ends else Stage.CANCELED
        return Stage.RUNNING if self.active or self.position < self.total else Stage.DONE

    @property
    def over(self) -> bool:
        return self.stage in (Stage.DONE, Stage.CANCELED)

    @property
    def started(self) -> int:
        """Runs that it started, each once."""
        return sum(self.ended.values()) + len(self.active)

    @property
    def slot(self) -> str:
        """The slot that its runs take."""
        return slot_of(self.id)


@dataclass(frozen=True)
class KeptReplay:
    """A replay and the ETag under which it may be changed."""

    replay: Replay
    etag: str


@dataclass(frozen=True, kw_only=True)
class ListedReplay:
    """A replay as listed."""

    id: str
    at: datetime
    over: bool
    last_modified: datetime


class ReplayStates:
    """Creates, reads and swaps replays. All raise StorageUnavailable."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def all(self) -> list[ListedReplay]:
        """Every replay, newest first."""
        found = [
            ListedReplay(
                id=blob.name.removeprefix("replays/").removesuffix(".json"),
                at=_time(blob.metadata.get("at"), blob.last_modified),
                over=blob.metadata.get("over") == "yes",
                last_modified=blob.last_modified,
            )
            for blob in self._blobs.list("replays/")
        ]
        return sorted(found, key=lambda one: (one.at, one.id), reverse=True)

    def read(self, id: str) -> KeptReplay | None:
        """Raises RecordUnreadable."""
        blob = self._blobs.get(_name(id))
        if blob is None:
            return None
        try:
            return KeptReplay(Replay.model_validate_json(blob.data), blob.etag)
        except ValidationError as error:
            raise RecordUnreadable(f"Replay {id} cannot be read: {places(error)}") from None

    def create(self, replay: Replay) -> KeptReplay | None:
        """None when there is one of that id."""
        written = self._blobs.create(_name(replay.id), _bytes(replay), metadata=_hints(replay))
        return KeptReplay(replay, written.etag) if written else None

    def swap(self, kept: KeptReplay, replay: Replay) -> KeptReplay | None:
        """None when somebody else changed it first."""
        written = self._blobs.swap(
            _name(replay.id), _bytes(replay), etag=kept.etag, metadata=_hints(replay)
        )
        return KeptReplay(replay, written.etag) if written else None

    def choose(self, id: str, items: Sequence[str]) -> str:
        """Write down what a replay is to run; the name of that list."""
        data = json.dumps(list(items)).encode()
        # Two requests of one key may have chosen at different times: neither's list is the other's.
        name = f"{id}-{hashlib.sha256(data).hexdigest()[:16]}"
        self._blobs.put(_list_name(name), data)
        return name

    def chosen(self, replay: Replay) -> list[str]:
        """What a replay is to run. Raises RecordUnreadable."""
        blob = self._blobs.get(_list_name(replay.chosen))
        if blob is None:
            raise StorageUnavailable(f"The list of replay {replay.id} was there, and is not")
        try:
            found = json.loads(blob.data)
        except ValueError:
            found = None
        if not isinstance(found, list) or len(found) != replay.total:
            raise RecordUnreadable(f"The list of replay {replay.id} cannot be read")
        return [str(item) for item in found]


def slot_of(id: str) -> str:
    """The slot that the runs of a replay take."""
    return f"replay-{id}"


def _name(id: str) -> str:
    return f"replays/{id}.json"


def _list_name(name: str) -> str:
    return f"replayed/{name}.json"


def _bytes(replay: Replay) -> bytes:
    return replay.model_dump_json(by_alias=True).encode()


def _hints(replay: Replay) -> dict[str, str]:
    return {"at": replay.at.isoformat(), "over": "yes" if replay.over else "no"}


def _time(hint: str | None, otherwise: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(hint or "")
    except ValueError:
        return otherwise
    return found if found.tzinfo else found.replace(tzinfo=UTC)
