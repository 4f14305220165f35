"""What is said of a run to whoever asks: on a line, in full, and what it waits for."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.compute import COMPUTE_PATIENCE
from shared.events import Event
from shared.inputs import DataInput, clean, redacted
from shared.ledger import GRACE, LEASE, PATIENCE, Marker, Reason, Record, State, Transition
from shared.literals import flag
from shared.workspace import FailedStep, JobBody, Step

#: Characters of text from outside that a sentence takes.
SHOWN = 300

#: AzureML has, or had, no job of a run in these.
_JOBLESS = frozenset(
    {
        State.WAITING_BATCH,
        State.BATCHED,
        State.HELD,
        State.QUEUED,
        State.WAITING_COMPUTE,
        State.SUBMITTING,
        State.DEAD_LETTER,
        State.SKIPPED,
        State.MISSED,
    }
)

#: What history tells of a run as it is.
_AS_TOLD = (
    "trigger",
    "pipeline",
    "reason",
    "event",
    "created_at",
    "attempt",
    "cancel_requested",
    "replay_of",
    "depth",
)


class Shown(BaseModel):
    """What clients are answered."""

    model_config = ConfigDict(frozen=True)


class EventBrief(Shown):
    """What happened, without its data."""

    id: str
    source: str
    type: str
    subject: str
    time: AwareDatetime


class FullEvent(EventBrief):
    """What happened, with its data and extension attributes, without the secrets in them."""

    model_config = ConfigDict(extra="allow")

    data: Any = None
    via: str = ""


class Waiting(Shown):
    """What a run waits for, in words."""

    text: str
    #: When it is looked at again or given up, where that is known; storage time.
    until: AwareDatetime | None = None


class RunSummary(Shown):
    """A run on one line."""

    id: str
    trigger: str
    #: `name@version`; None when no pipeline was found for it.
    pipeline: str | None
    state: State
    reason: Reason | None
    #: The name of its AzureML job, also when it never came to be.
    job: str | None
    #: Where a person looks at the job; None when AzureML never had one.
    studio_url: str | None
    event: EventBrief
    created_at: AwareDatetime
    ended_at: AwareDatetime | None
    #: 0 when no job could be made of the event.
    attempt: int
    cancel_requested: bool
    #: The run that this one tries again.
    replay_of: str | None
    #: The replay or backfill that made it.
    replay: str | None
    #: How many runs came before it, each started by the end of the one before.
    depth: int


class RunDetail(RunSummary):
    """All that is known of a run."""

    #: Values as the job has them; data as its path.
    inputs: dict[str, Any]
    #: Where the job wrote its outputs.
    outputs: dict[str, str]
    experiment_name: str | None
    #: Whether no step may be taken from an earlier run; None: as AzureML does by itself.
    force_rerun: bool | None
    tags: dict[str, str]
    transitions: list[Transition]
    #: None when there is no job yet, or when AzureML cannot be asked: then `steps_error` says why.
    steps: list[Step] | None
    steps_error: str | None = None
    failed_steps: list[FailedStep]
    #: What is not as it should be and keeps nothing up: settings of computes that differ.
    warnings: list[str]
    waiting_for: Waiting | None
    #: The run of the batch that took this event; None for what is a run itself.
    batch: str | None
    #: Events of a batch; 0 for a run of one event.
    members: int
    event: FullEvent


def brief(event: Event) -> EventBrief:
    """An event without its data."""
    return EventBrief(
        id=event.id, source=event.source, type=event.type, subject=event.subject, time=event.time
    )


def summary(record: Record, studio_url: Callable[[str], str]) -> RunSummary:
    """A run as its record has it; `studio_url` says where a person looks at a job."""
    last = record.transitions[-1]
    attempt = record.attempts[-1] if record.attempts else None
    job = attempt.job_name if attempt else None
    there = job is not None and has_job(record.state, record.reason)
    return RunSummary(
        id=record.run_id,
        trigger=record.trigger,
        pipeline=record.pipeline,
        state=record.state,
        reason=record.reason,
        job=job,
        studio_url=studio_url(job) if job and there else None,
        event=brief(record.event),
        created_at=record.transitions[0].at,
        ended_at=last.at if record.state.final else None,
        attempt=attempt.number if attempt else 0,
        cancel_requested=record.cancel_requested,
        replay_of=record.replay_of,
        replay=record.replay,
        depth=record.depth,
    )


def told(content: Mapping[str, Any], studio_url: Callable[[str], str]) -> RunSummary | None:
    """A run that is over, as history has it; None when that is nothing we wrote."""
    job, state = content.get("job"), str(content.get("decision"))
    try:
        reason = content["reason"] and Reason.model_validate(content["reason"])
        there = isinstance(job, str) and has_job(State(state), reason)
        return RunSummary.model_validate(
            {
                **{name: content[name] for name in _AS_TOLD},
                "id": content["run"],
                # Earlier versions did not write it.
                "replay": content.get("replay"),
                "state": state,
                "job": job,
                "studio_url": studio_url(str(job)) if there else None,
                "ended_at": content["at"],
            }
        )
    except (KeyError, ValueError, TypeError):
        return None


def event_told(content: Mapping[str, Any]) -> EventBrief | None:
    """The event of an entry of history; None when that is nothing we wrote."""
    try:
        return EventBrief.model_validate(content["event"])
    except (KeyError, ValueError):
        return None


def has_job(state: State, reason: Reason | None) -> bool:
    """Whether AzureML had a job of a run in that state."""
    never_came = state is State.CANCELED and reason is not None and reason.code == "canceled"
    return state not in _JOBLESS and not never_came


def detail(
    record: Record,
    marker: Marker | None,
    studio_url: Callable[[str], str],
    steps: list[Step] | None,
    steps_error: str | None,
) -> RunDetail:
    """All that is known of a run."""
    body = record.body
    event = FullEvent.model_validate(clean(record.event.model_dump(mode="json")))
    return RunDetail(
        **dict(summary(record, studio_url)) | {"event": event},
        inputs=values(body) if body else {},
        outputs=record.outputs,
        experiment_name=body.experiment_name if body else None,
        force_rerun=_force_rerun(body),
        tags=body.tags if body else {},
        transitions=list(record.transitions),
        steps=steps,
        steps_error=steps_error,
        failed_steps=[
            FailedStep(
                step=str(step.get("step", "")),
                job=str(step.get("job", "")),
                log_tail=redacted(str(step.get("log_tail", ""))),
            )
            for step in record.failed_steps
        ],
        warnings=list(record.warnings),
        waiting_for=waiting(record, marker),
        batch=record.batch_id,
        members=len(record.members),
    )


def _force_rerun(body: JobBody | None) -> bool | None:
    said = body.settings.get("force_rerun") if body else None
    return None if said is None else flag(said)


def values(body: JobBody) -> dict[str, Any]:
    """A job's inputs: values as it has them, data as its path."""
    return {
        name: value.path if isinstance(value, DataInput) else value
        for name, value in body.inputs.items()
    }


def waiting(record: Record, marker: Marker | None) -> Waiting | None:
    """What a run waits for, in words; None when it is over."""
    if record.state.final:
        return None
    if record.state is State.WAITING_COMPUTE:
        return _waiting_compute(record)
    if record.state is State.HELD:
        why = f": {record.reason.text}" if record.reason else "."
        return Waiting(text=f"It is held since {stamp(record.transitions[-1].at)}{why}")
    if record.state is State.WAITING_BATCH:
        why = f": {record.reason.text}" if record.reason else "."
        until = record.member.until if record.member else None
        return Waiting(text=f"It waits for its batch{why}", until=until)
    if record.state is State.QUEUED:
        why = f": {record.reason.text}" if record.reason else "."
        return Waiting(text=f"It waits for its turn{why}")
    attempt = record.attempt
    look = marker.next_check if marker else None
    if record.state is State.SUBMITTING:
        gone = attempt.submitting_at + GRACE
        if record.given_up:
            return Waiting(
                text=f"AzureML did not take it: {record.given_up.text} An earlier request may "
                "still make the job, so it is looked for until that is out of the question; then "
                "the run is a dead letter.",
                until=gone,
            )
        if record.cancel_requested:
            return Waiting(
                text="It was asked to stop before AzureML had confirmed its job. It is looked for "
                "until no request of it can be on its way any more; then the run is canceled.",
                until=gone,
            )
        lease = attempt.submitting_at + LEASE
        took = f" It was taken over {attempt.takeovers} times." if attempt.takeovers else ""
        return Waiting(
            text=f"Its job, attempt {attempt.number}, is being handed to AzureML.{took} When "
            "nothing is heard of that, the timer takes over, and gives up at "
            f"{stamp(record.transitions[-1].at + PATIENCE)}.",
            until=max(lease, look) if look else lease,
        )
    if record.missing_since:
        return Waiting(
            text=f"AzureML does not show job {attempt.job_name} since "
            f"{stamp(record.missing_since)}; when it stays away the run has failed.",
            until=record.missing_since + GRACE,
        )
    if record.cancel_requested:
        return Waiting(text=f"AzureML is to stop job {attempt.job_name}; the timer asks it to.")
    if record.state is State.SUBMITTED:
        return Waiting(
            text=f"AzureML has job {attempt.job_name} and has not begun it; compute may be on its "
            "way. The timer looks every minute."
        )
    return Waiting(
        text=f"AzureML is running job {attempt.job_name}; the timer looks every minute how it ends."
    )


def _waiting_compute(record: Record) -> Waiting:
    if record.cancel_requested:
        return Waiting(text="It was asked to stop; the timer ends it within a minute.")
    what = record.reason.text.rstrip(".") if record.reason else "its compute is not there"
    until = record.transitions[0].at + COMPUTE_PATIENCE
    return Waiting(
        text=f"It waits for its compute: {what}. The timer looks every minute, submits it when the "
        f"compute is there, and makes it a dead letter at {stamp(until)}.",
        until=until,
    )


def stamp(at: datetime) -> str:
    """A time for a person: 2026-03-01 12:00:00 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def shown(text: str) -> str:
    """Text from outside within a sentence: on one line, not long, no secret."""
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in redacted(text))
    return plain if len(plain) <= SHOWN else f"{plain[:SHOWN]}…"
