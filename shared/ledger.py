"""One record per (trigger, key): what happened, what was decided, and the run it became.

A record that is not final has an `open` marker beside it, so that the tick lists what is left to
do instead of reading everything. Markers are hints; decisions read records.
"""

import hashlib
import heapq
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.blob_state import BlobState, Listed
from shared.errors import RecordUnreadable, places
from shared.events import Event
from shared.workspace import JobBody

SCHEMA = 1

#: How long a worker may take to submit before another takes over; storage time.
LEASE = timedelta(seconds=90)
#: functionTimeout in host.json: past it the host has ended the call.
FUNCTION_TIMEOUT = timedelta(minutes=5)
#: A marker without a record after this has no writer any more.
ABSENT = FUNCTION_TIMEOUT + timedelta(minutes=1)
#: A job not seen this long after its last PUT could start will never come:
#: functionTimeout, the longest request, and how stale a GET may be.
GRACE = FUNCTION_TIMEOUT + timedelta(minutes=5)
#: How long submitting is tried. Event Grid gives up on an event after the same time.
PATIENCE = timedelta(days=1)
#: Characters of a reason's text: what events, AzureML and definitions say may be long.
REASON_LENGTH = 2_000

_RUN_ID = re.compile(r"([a-z][a-z0-9_-]{0,62})\.([0-9a-f]{32})")


class State(StrEnum):
    """Where a record is: a run, or an event that a batch is to take."""

    #: An event of a batched trigger, before and after a batch took it.
    WAITING_BATCH = "waiting_batch"
    BATCHED = "batched"
    HELD = "held"
    QUEUED = "queued"
    WAITING_COMPUTE = "waiting_compute"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    DEAD_LETTER = "dead_letter"
    SKIPPED = "skipped"
    #: A time of a schedule that nobody was there for when it came, and is not made up for.
    MISSED = "missed"

    @property
    def final(self) -> bool:
        return not TRANSITIONS[self]


#: Every way a record may go. What has no way on is final.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.WAITING_BATCH: frozenset({State.BATCHED}),
    State.HELD: frozenset(
        {
            State.QUEUED,
            State.WAITING_COMPUTE,
            State.SUBMITTING,
            State.WAITING_BATCH,
            State.SKIPPED,
            State.CANCELED,
            State.DEAD_LETTER,
        }
    ),
    State.QUEUED: frozenset({State.SUBMITTING, State.SKIPPED, State.CANCELED}),
    # Through `queued` where runs take slots: a waiting run holds none.
    State.WAITING_COMPUTE: frozenset(
        {State.QUEUED, State.SUBMITTING, State.CANCELED, State.DEAD_LETTER}
    ),
    State.SUBMITTING: frozenset({State.SUBMITTED, State.CANCELED, State.DEAD_LETTER}),
    # To `submitting` with the next attempt, never through `failed`: its slot would be lost.
    State.SUBMITTED: frozenset(
        {State.SUBMITTING, State.RUNNING, State.COMPLETED, State.FAILED, State.CANCELED}
    ),
    State.RUNNING: frozenset({State.SUBMITTING, State.COMPLETED, State.FAILED, State.CANCELED}),
    State.BATCHED: frozenset(),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.DEAD_LETTER: frozenset(),
    State.SKIPPED: frozenset(),
    State.MISSED: frozenset(),
}


class _Stored(BaseModel):
    """Fields that a newer version wrote survive our writes."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


def _cut(text: str) -> str:
    return text if len(text) <= REASON_LENGTH else f"{text[: REASON_LENGTH - 1]}…"


class Reason(_Stored):
    """Why: a word to query on, and a sentence for a person."""

    code: str
    text: Annotated[str, AfterValidator(_cut)]


class Attempt(_Stored):
    """One job that the run is to become."""

    number: int
    job_name: str
    #: Storage time at which a worker last took it on to submit it.
    submitting_at: AwareDatetime
    #: Workers that took over from one that was not heard of, or whose PUT was refused.
    takeovers: int = 0
    #: Workers that know that AzureML did not take their PUT, or that they sent none.
    refused: int = 0
    #: When the last of them may be followed by another, who does not wait for the lease.
    free_from: AwareDatetime | None = None
    #: Why its job failed, when another attempt followed.
    failure: Reason | None = None

    @property
    def unsent(self) -> bool:
        """Whether no PUT of it can be on its way: all who had it in hand know so."""
        return self.refused > self.takeovers

    @property
    def first_put(self) -> bool:
        """Whether whoever has it in hand sends its first PUT that may take effect."""
        return self.refused >= self.takeovers

    def free(self, at: datetime) -> bool:
        """Whether its lease need not be waited for."""
        # Written by whoever has it in hand; a version that does not know of it may have taken over.
        return self.free_from is not None and self.submitting_at <= self.free_from <= at


class Transition(_Stored):
    """A state that was reached."""

    state: State
    at: AwareDatetime


class Member(_Stored):
    """What an event of a batched trigger brings along for its batch."""

    #: The group's id; see `groups.Group`.
    group: str
    #: What its events have in common.
    values: dict[str, str] = Field(default_factory=dict)
    captures: dict[str, str] = Field(default_factory=dict)
    #: It says that the group is complete, and is in no batch itself.
    releases: bool = False
    #: When its batch is due at the latest, storage time.
    until: AwareDatetime | None = None


class Record(_Stored):
    """One (trigger, key) and all that became of it."""

    schema_version: int = Field(default=SCHEMA, alias="schema")
    trigger: str
    key: str
    state: State
    #: Why it is in this state, where that needs saying.
    reason: Reason | None = None
    event: Event
    #: `name@version`; None when it could not be found.
    pipeline: str | None = None
    #: Frozen when the record is made; None when no job could be made of the event.
    body: JobBody | None = None
    attempts: tuple[Attempt, ...] = ()
    #: The slot that it takes while it is under way; None when nothing bounds its trigger.
    slot: str | None = None
    #: Its number in the slot's queue, if it had to wait.
    number: int | None = None
    #: Jobs that it may have in all, and how long each may take; its trigger's, when it was made.
    max_attempts: int = 1
    run_timeout: timedelta | None = None
    #: Set for an event that a batch is to take, or took.
    member: Member | None = None
    #: The events of a batch, by key.
    members: tuple[str, ...] = ()
    #: What these are about, in the same order; see `Event.about`.
    abouts: tuple[str, ...] = ()
    #: The batch that took this event, by key.
    batch: str | None = None
    #: Somebody asked for the run to stop.
    cancel_requested: bool = False
    #: Storage time since which AzureML has not shown a job that it had.
    missing_since: AwareDatetime | None = None
    #: Why its job is being stopped, when nobody asked for that: it took too long.
    stopping: Reason | None = None
    #: AzureML refused the job, but an earlier PUT may still take effect.
    given_up: Reason | None = None
    #: Whether somebody has looked why the job failed.
    cause_sought: bool = False
    #: The steps that failed: [{step, job, log_tail}].
    failed_steps: tuple[dict[str, Any], ...] = ()
    #: Where the job wrote its outputs, once it is completed.
    outputs: dict[str, str] = Field(default_factory=dict)
    #: What is not as it should be and keeps nothing up: settings of computes that differ.
    warnings: tuple[str, ...] = ()
    #: How many runs came before it, each started by the end of the one before.
    depth: int = 0
    #: The run that this one tries again, and the replay that did it with many.
    replay_of: str | None = None
    replay: str | None = None
    #: The states that were told to whoever listens to outcomes.
    announced: tuple[State, ...] = ()
    #: The trace that it is part of, as W3C writes it; its job's tag says the same.
    traceparent: str | None = None
    transitions: tuple[Transition, ...]

    @property
    def run_id(self) -> str:
        return f"{self.trigger}.{self.key}"

    @property
    def batch_id(self) -> str | None:
        """The run of the batch that took this event."""
        return f"{self.trigger}.{self.batch}" if self.batch else None

    @property
    def attempt(self) -> Attempt:
        return self.attempts[-1]

    def moved(self, state: State, at: datetime, reason: Reason | None = None) -> Self:
        """The record in its next state; a way that is not declared is a bug."""
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"{self.run_id}: {self.state} -> {state} is not declared")
        return self.model_copy(
            update={
                "state": state,
                "reason": reason,
                "transitions": (*self.transitions, Transition(state=state, at=at)),
            }
        )

    def begun(self, at: datetime) -> Self:
        """The record, whose compute is there, in the hands of whoever swaps this in."""
        attempt = self.attempt.model_copy(update={"submitting_at": at})
        begun = self.moved(State.SUBMITTING, at)
        return begun.model_copy(update={"attempts": (*self.attempts[:-1], attempt)})

    def decided(self, first: "Record", at: datetime) -> Self:
        """The record, held until now, as it would be if it were made now."""
        fields = ("event", "pipeline", "body", "attempts", "slot", "number", "warnings")
        more = ("max_attempts", "run_timeout")
        update = {name: getattr(first, name) for name in (*fields, *more)}
        return self.moved(first.state, at, first.reason).model_copy(update=update)

    def again(self, at: datetime, job_name: str, failure: Reason) -> Self:
        """The record at its next attempt, after the job of this one failed."""
        failed = self.attempt.model_copy(update={"failure": failure})
        following = Attempt(number=failed.number + 1, job_name=job_name, submitting_at=at)
        again = self.moved(State.SUBMITTING, at)
        return again.model_copy(
            update={"attempts": (*self.attempts[:-1], failed, following), "missing_since": None}
        )

    def refused(self, until: datetime) -> Self:
        """The record, of which whoever swaps this in has no PUT on its way."""
        attempt = self.attempt.model_copy(
            update={"refused": self.attempt.refused + 1, "free_from": until}
        )
        return self.model_copy(update={"attempts": (*self.attempts[:-1], attempt)})

    def taken_over(self, at: datetime) -> Self:
        """The record with its attempt in the hands of whoever swaps this in."""
        attempt = self.attempt.model_copy(
            update={"submitting_at": at, "takeovers": self.attempt.takeovers + 1}
        )
        return self.model_copy(update={"attempts": (*self.attempts[:-1], attempt)})


def run_key(
    deployment: str, event: Event, *, by_message_id: bool = False, replay: str | None = None
) -> str:
    """The key under which every delivery of one event meets; a replay has one of its own."""
    parts = [deployment, event.dedupe_key(by_message_id=by_message_id)]
    return _digest(*parts, *([replay] if replay else []))[:32]


def batch_key(deployment: str, group: str, birth: str, number: int) -> str:
    """The key under which everybody who makes one batch meets."""
    return _digest(deployment, "batch", group, birth, str(number))[:32]


def parse_run_id(text: str) -> tuple[str, str] | None:
    """The trigger and key of a run's id; None when it is none."""
    found = _RUN_ID.fullmatch(text)
    return (found[1], found[2]) if found else None


def job_name(deployment: str, trigger: str, key: str, attempt: int) -> str:
    """The same attempt always gets the same name, so a second PUT meets the first."""
    return f"{trigger[:40]}-{_digest(deployment, trigger, key)[:16]}-a{attempt}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A record and the ETag under which it may be changed."""

    record: Record
    etag: str
    #: Storage time of the read or write that gave it.
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Marker:
    """An open record's marker as listed."""

    trigger: str
    key: str
    etag: str
    last_modified: datetime
    #: When the record wants to be looked at again; storage time.
    next_check: datetime
    #: What its event is about; see `Event.about`.
    about: str = ""
    #: The slot that its run takes.
    slot: str | None = None
    #: Nobody has said yet when to look; it is as it was put, before its record.
    fresh: bool = False


class Ledger:
    """Creates, reads and swaps records, and keeps their markers."""

    def __init__(self, blobs: BlobState) -> None:
        self._blobs = blobs

    def mark_open(self, trigger: str, key: str, event: Event, slot: str | None = None) -> datetime:
        """Put the marker that makes the tick look for the record; the storage time of it."""
        hints = {"about": event.about} | ({"slot": slot} if slot else {})
        return self._blobs.put(_marker_name(trigger, key), metadata=hints).at

    def mark_held(self, trigger: str, key: str, event: Event) -> datetime:
        """Put the marker of what waits until its trigger is resumed; the storage time of it."""
        return self._blobs.put(_held_name(trigger, key), metadata={"about": event.about}).at

    def create(self, record: Record) -> Kept | None:
        """None when the event has its record already."""
        written = self._blobs.create(
            _record_name(record.trigger, record.key),
            _bytes(record),
            tags=_tags(record),
            metadata={"about": record.event.about},
        )
        return Kept(record=record, etag=written.etag, at=written.at) if written else None

    def read(self, trigger: str, key: str) -> Kept | None:
        blob = self._blobs.get(_record_name(trigger, key))
        if blob is None:
            return None
        try:
            record = Record.model_validate_json(blob.data)
        except ValidationError as error:
            raise RecordUnreadable(
                f"The ledger record of run {trigger}.{key} cannot be read: {places(error)}"
            ) from None
        return Kept(record=record, etag=blob.etag, at=blob.at)

    def swap(self, kept: Kept, record: Record) -> Kept | None:
        """Put a record in the place of the one kept; None when somebody else did first."""
        written = self._blobs.swap(
            _record_name(record.trigger, record.key),
            _bytes(record),
            etag=kept.etag,
            tags=_tags(record),
            metadata={"about": record.event.about},
        )
        return Kept(record=record, etag=written.etag, at=written.at) if written else None

    def check_again(self, record: Record, at: datetime) -> None:
        """Tell the tick when to look next. Never brings a deleted marker back."""
        hints = {"next_check": at.isoformat(), "about": record.event.about}
        hints |= {"slot": record.slot} if record.slot else {}
        self._blobs.set_metadata(_marker_name(record.trigger, record.key), hints)

    def close(self, trigger: str, key: str) -> None:
        """Delete the marker: nothing is left to do."""
        self._blobs.delete(_marker_name(trigger, key))

    def unhold(self, trigger: str, key: str, *, etag: str | None = None) -> None:
        """Delete the marker of what was held; with an ETag, unless somebody touched it since."""
        self._blobs.delete(_held_name(trigger, key), etag=etag)

    def discard(self, marker: Marker) -> None:
        """Delete a marker that has no record, unless somebody touched it since."""
        self._blobs.delete(_marker_name(marker.trigger, marker.key), etag=marker.etag)

    def open(self, trigger: str | None = None) -> Iterator[Marker]:
        """Every record, or those of one trigger, that is not known to be finished."""
        for blob in self._blobs.list(f"open/{trigger}/" if trigger else "open/"):
            yield _marker(blob)

    def held(self, trigger: str | None = None) -> Iterator[Marker]:
        """What waits until its trigger is resumed."""
        for blob in self._blobs.list(f"held/{trigger}/" if trigger else "held/"):
            yield _marker(blob)

    def unfinished(self, trigger: str | None = None) -> Iterator[Marker]:
        """What is open and what is held, each once, by name."""
        last = None
        for marker in heapq.merge(self.open(trigger), self.held(trigger), key=_order):
            # What goes on from being held has both markers for a moment.
            if _order(marker) != last:
                last = _order(marker)
                yield marker

    def subjects(self, trigger: str) -> Iterator[str]:
        """What the events of all records of a trigger are about, as listed; see `Event.about`."""
        for blob in self._blobs.list(f"ledger/{trigger}/"):
            if about := blob.metadata.get("about"):
                yield about

    def marker(self, trigger: str, key: str) -> Marker | None:
        """The marker of one record, while it is open."""
        name = _marker_name(trigger, key)
        return next((_marker(blob) for blob in self._blobs.list(name) if blob.name == name), None)


def _marker(blob: Listed) -> Marker:
    _, trigger, key = blob.name.split("/", 2)
    return Marker(
        trigger=trigger,
        key=key,
        etag=blob.etag,
        last_modified=blob.last_modified,
        next_check=_next_check(blob.metadata.get("next_check"), blob.last_modified),
        about=blob.metadata.get("about", ""),
        slot=blob.metadata.get("slot"),
        fresh="next_check" not in blob.metadata,
    )


def _order(marker: Marker) -> str:
    return f"{marker.trigger}/{marker.key}"


def _next_check(hint: str | None, last_modified: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(hint or "")
    except ValueError:
        return last_modified
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _record_name(trigger: str, key: str) -> str:
    return f"ledger/{trigger}/{key}.json"


def _held_name(trigger: str, key: str) -> str:
    return f"held/{trigger}/{key}"


def _marker_name(trigger: str, key: str) -> str:
    return f"open/{trigger}/{key}"


def _bytes(record: Record) -> bytes:
    return record.model_dump_json(by_alias=True).encode()


def _tags(record: Record) -> dict[str, str] | None:
    """What lifecycle rules expire final records by."""
    return {"state": "final"} if record.state.final else None
