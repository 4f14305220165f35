"""Schedules: when each runs next and what became of it; pausing, resuming, running one now."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel

from shared import lint, occurrences
from shared.api import bodies, contract, pipelines, runs
from shared.api.bodies import PauseRequest, PromptRequest
from shared.api.contract import Called, Limit, NameCursor, NamePath
from shared.api.door import Call
from shared.api.keys import Key
from shared.errors import Conflict, JobExists, RequestInvalid, SignalboxError
from shared.events import PROMPTED_TYPE
from shared.index import IndexedTrigger, Paused, Reading
from shared.ledger import Reason, State
from shared.native_orders import is_native
from shared.summaries import RunSummary, shown
from shared.timetables import Coming, Timetable

router = APIRouter(tags=["schedules"])

Engine = Literal["signalbox", "azureml"]

#: Times of a schedule that one of it tells.
_LAST = 20

#: Runs that are looked at for the last one; some may be of a backfill.
_LATELY = 5

_THREADS = 8

#: How AzureML has a schedule, where there is nothing else to say of it.
_AS_IT_SHOULD_BE, _NOT_ASKED = "is in AzureML as it should be", "AzureML could not be asked: {}"


class ComingShown(BaseModel):
    """A time of a schedule that is to come."""

    scheduled_time: AwareDatetime
    #: The same on the wall clock of the schedule's time zone, with its offset.
    local_time: datetime
    #: When its run begins: later by the schedule's jitter.
    fires_at: AwareDatetime
    #: What clocks do then, where that changes anything.
    note: str | None


class OccurrenceShown(BaseModel):
    """What became of a time of a schedule, or of a run that somebody asked for."""

    scheduled_time: AwareDatetime
    local_time: datetime
    run: str
    state: State
    reason: Reason | None
    #: When it came to that state, if it is over.
    ended_at: AwareDatetime | None
    #: The backfill or replay that made it; None of the schedule's own.
    replay: str | None
    #: The run that it tries again.
    replay_of: str | None
    #: Somebody asked for it to run then; no clock did.
    prompted: bool


class ScheduleShown(BaseModel):
    """A schedule as it is published."""

    name: str
    #: Whose clock it is: signalbox, or azureml.
    engine: Engine
    #: When it is due, on one line.
    summary: str
    time_zone: str
    #: The pipeline that it starts.
    pipeline: str
    #: Its next time; None when none is to come, or while it is paused.
    next: ComingShown | None
    #: Since when nothing new begins, and why; None while it is not paused.
    paused: Paused | None
    #: The latest time that anything is recorded of.
    last: OccurrenceShown | None
    #: Scheduled times that are later are those of the schedule as it is now.
    since: AwareDatetime
    #: Changes when its document changes.
    revision: str
    #: Why its runs would be dead letters.
    problems: list[str]
    #: Of one that AzureML keeps: how it is there, and what the timer does about it.
    in_azureml: str | None


class ScheduleDetail(ScheduleShown):
    """With its document, and what became of its last times."""

    definition: dict[str, Any]
    #: The latest first.
    occurrences: list[OccurrenceShown]


class ScheduleList(BaseModel):
    """Some schedules by name, and where to go on."""

    items: list[ScheduleShown]
    #: Hand it back for what follows; None when nothing does.
    cursor: str | None = None


class ComingList(BaseModel):
    """The next times of a schedule."""

    time_zone: str
    #: Nothing runs while it is paused.
    paused: Paused | None
    items: list[ComingShown]


class PromptShown(BaseModel):
    """A run that somebody asked for."""

    engine: Engine
    #: The name of its AzureML job, if there will be one.
    job: str | None
    #: Where a person looks at that.
    studio_url: str | None
    #: None of one that AzureML starts: it keeps its own list of jobs.
    run: RunSummary | None


class DiffShown(BaseModel):
    """How AzureML has a schedule, against how it was published."""

    #: Whether it has it at all.
    there: bool
    enabled: bool | None
    #: AzureML's word for it: Succeeded, or what is under way.
    state: str | None
    #: What differs, each in words.
    drift: list[str]
    #: What the timer does about it: create, update, disable, enable, delete or keep.
    action: str
    #: Why it is not as it should be, as far as anybody knows.
    problem: str | None


@router.get(
    "/api/schedules",
    operation_id="list_schedules",
    summary="Every schedule, by name",
    responses=contract.refusals(),
)
def list_schedules(call: Called, limit: Limit = 50, cursor: NameCursor = None) -> ScheduleList:
    reading = call.app.index.read()
    there = {
        name: indexed
        for name, indexed in reading.snapshot.triggers.items()
        if indexed.definition.spec.schedule
    }
    known = pipelines.ports(call.app, reading.snapshot)
    names, further = contract.page(there, limit, cursor)
    native = _in_azureml(call, reading, names)

    def look(name: str) -> ScheduleShown:
        told = _shown(call, there[name], known, reading.at, _LATELY)
        return ScheduleShown(**told, in_azureml=native.get(name))

    with ThreadPoolExecutor(_THREADS) as pool:
        return ScheduleList(items=[*pool.map(look, names)], cursor=further)


@router.get(
    "/api/schedules/{name}",
    operation_id="get_schedule",
    summary="One schedule with its definition and its last times",
    responses=contract.refusals(404),
)
def get_schedule(call: Called, name: NamePath) -> ScheduleDetail:
    return _detail(call, name)


@router.get(
    "/api/schedules/{name}/next",
    operation_id="next_times",
    summary="The next times of a schedule",
    responses=contract.refusals(404),
)
def next_times(
    call: Called,
    name: NamePath,
    count: Annotated[int, Query(ge=1, le=200, description="How many.")] = 10,
) -> ComingList:
    """Exclusions are left out. A note says what a change of the clocks makes of a time."""
    reading = call.app.index.read()
    indexed = occurrences.named(reading.snapshot.triggers, name)
    table = Timetable(indexed)
    return ComingList(
        time_zone=table.zone.key,
        paused=indexed.paused,
        items=[_coming(each) for each in table.coming(reading.at, count)],
    )


@router.post(
    "/api/schedules/{name}/pause",
    operation_id="pause_schedule",
    summary="Let nothing new begin, until it is resumed",
    responses=contract.refusals(404, 415),
    openapi_extra=contract.body(
        PauseRequest, required=True, a_note={"note": "the lake is being moved"}
    ),
)
def pause_schedule(
    call: Called, name: NamePath, given: Annotated[PauseRequest, bodies.of(PauseRequest)]
) -> ScheduleDetail:
    """What runs goes on. Times that come meanwhile are skipped, or held if `while_paused` or the
    schedule's own policy says so."""
    occurrences.named(call.app.index.read().snapshot.triggers, name)
    call.app.pauses.pause(name, note=given.note, by=call.principal, while_paused=given.while_paused)
    return _detail(call, name)


@router.post(
    "/api/schedules/{name}/resume",
    operation_id="resume_schedule",
    summary="Let a paused schedule go on",
    responses=contract.refusals(404),
)
def resume_schedule(call: Called, name: NamePath) -> ScheduleDetail:
    """With its next time: what came while it was paused is not made up for, unless it was held."""
    occurrences.named(call.app.index.read().snapshot.triggers, name)
    call.app.pauses.resume(name)
    return _detail(call, name)


@router.post(
    "/api/schedules/{name}/trigger",
    status_code=202,
    operation_id="trigger_schedule",
    summary="Run a schedule's pipeline now",
    responses={
        202: {
            "description": "The run is recorded and will be submitted.",
            "headers": runs.LOCATION,
        },
        **contract.refusals(404, 415),
    },
    openapi_extra=contract.body(PromptRequest, required=False, now={}),
)
def trigger_schedule(
    call: Called,
    response: Response,
    name: NamePath,
    key: Key,
    given: Annotated[PromptRequest, bodies.of(PromptRequest)],
) -> PromptShown:
    """As if it were due now, also while it is paused; limits and `overlap` hold. The same
    Idempotency-Key is the same run. One that AzureML keeps must not be paused, unless it is given
    inputs; without them, asking again starts another job."""
    indexed = occurrences.named(call.app.index.read().snapshot.triggers, name)
    if not is_native(indexed):
        if given.inputs:
            why = "are what the schedule binds; `signalbox run` runs a pipeline with others"
            raise RequestInvalid("These inputs cannot be given", {"inputs": why})
        decision = call.app.occurrences.now(name, by=call.principal, key=key)
        run = runs.accepted(call, response, decision)
        return PromptShown(engine="signalbox", job=run.job, studio_url=run.studio_url, run=run)
    of = json.dumps([call.principal, key])
    try:
        job = call.app.native.trigger_now(name, given.inputs, key=of)
    except JobExists:
        raise Conflict("AzureML has the job that was asked for by this Idempotency-Key.") from None
    studio_url = call.app.workspace.studio_url(job)
    return PromptShown(engine="azureml", job=job, studio_url=studio_url, run=None)


@router.get(
    "/api/schedules/{name}/diff",
    operation_id="diff_schedule",
    summary="How AzureML has a schedule, against how it was published",
    responses=contract.refusals(404, 409),
)
def diff_schedule(call: Called, name: NamePath) -> DiffShown:
    """For schedules that AzureML keeps; 409 for those that Signalbox does."""
    occurrences.named(call.app.index.read().snapshot.triggers, name)
    found = call.app.native.look(name)
    return DiffShown(
        there=found.there,
        enabled=found.enabled,
        state=found.state,
        drift=list(found.drift),
        action=found.action,
        problem=found.problem,
    )


def _detail(call: Call, name: str) -> ScheduleDetail:
    reading = call.app.index.read()
    indexed = occurrences.named(reading.snapshot.triggers, name)
    known = pipelines.ports(call.app, reading.snapshot)
    told = _shown(call, indexed, known, reading.at, _LAST)
    native = _how_it_is_there(call, name) if is_native(indexed) else None
    definition = indexed.definition.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return ScheduleDetail(**told, in_azureml=native, definition=definition)


def _in_azureml(call: Call, reading: Reading, names: Sequence[str]) -> dict[str, str]:
    """How AzureML has those of these schedules that it keeps."""
    triggers = reading.snapshot.triggers
    native = [name for name in names if is_native(triggers[name])]
    if not native:
        return {}
    try:
        found = call.app.native.foresee(reading.snapshot, reading.at)
    except SignalboxError as error:
        return dict.fromkeys(native, _NOT_ASKED.format(shown(str(error))))
    told = {**found.told, **found.problems}
    return {name: told.get(name, _AS_IT_SHOULD_BE) for name in native}


def _how_it_is_there(call: Call, name: str) -> str:
    """The same of one schedule, for which no other is looked at."""
    try:
        return call.app.native.look(name).told or _AS_IT_SHOULD_BE
    except SignalboxError as error:
        return _NOT_ASKED.format(shown(str(error)))


def _shown(
    call: Call, indexed: IndexedTrigger, known: lint.Pipelines, now: datetime, looks: int
) -> dict[str, Any]:
    definition, table = indexed.definition, Timetable(indexed)
    spec = definition.spec.schedule
    assert spec is not None
    lately = _lately(call, definition.name, table, looks)
    coming = table.coming(now, 0 if indexed.paused else 1)
    return {
        "name": definition.name,
        "engine": spec.engine,
        "summary": spec.text,
        "time_zone": spec.time_zone,
        "pipeline": definition.action.pipeline,
        "next": _coming(coming[0]) if coming else None,
        "paused": indexed.paused,
        "last": lately[0] if lately else None,
        "occurrences": lately,
        "since": indexed.since,
        "revision": indexed.revision,
        "problems": lint.unbound(definition, known),
    }


def _lately(call: Call, name: str, table: Timetable, looks: int) -> list[OccurrenceShown]:
    """What became of the last times of a schedule, the latest first."""
    found = call.app.runs.list(trigger=name, limit=looks).items
    found = sorted(found, key=lambda run: (run.event.time, run.created_at), reverse=True)
    return [_occurrence(run, table) for run in found]


def _occurrence(run: RunSummary, table: Timetable) -> OccurrenceShown:
    return OccurrenceShown(
        scheduled_time=run.event.time,
        local_time=run.event.time.astimezone(table.zone),
        run=run.id,
        state=run.state,
        reason=run.reason,
        ended_at=run.ended_at,
        replay=run.replay,
        replay_of=run.replay_of,
        prompted=run.event.type == PROMPTED_TYPE,
    )


def _coming(coming: Coming) -> ComingShown:
    return ComingShown(
        scheduled_time=coming.scheduled,
        local_time=coming.local,
        fires_at=coming.fires,
        note=coming.note,
    )
