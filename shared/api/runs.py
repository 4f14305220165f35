"""Runs: start them, list them, look at one, stop it, run it once more."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from shared import envelopes
from shared.api import bodies, contract
from shared.api.bodies import RunRequest
from shared.api.contract import Called, Cursor, Limit, NameQuery, ReferencePath
from shared.api.door import Call
from shared.api.keys import Key
from shared.api.problems import Refused
from shared.dispatcher import Decision
from shared.errors import Conflict, NotFound, SignalboxError, StorageUnavailable
from shared.events import MANUAL
from shared.ledger import Record, State, parse_run_id
from shared.members import MemberPage
from shared.runs import RunPage
from shared.summaries import RunDetail, RunSummary, summary

router = APIRouter(tags=["runs"])

RunId = Annotated[
    str,
    Path(
        pattern=r"^[a-z][a-z0-9_-]{0,62}\.[0-9a-f]{32}$",
        description="A run's id, as starting or listing runs tells it.",
        examples=["on-upload.0123456789abcdef0123456789abcdef"],
    ),
]
PipelineQuery = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z][a-z0-9_-]{0,62}(@[A-Za-z0-9_.-]{1,64})?$",
        description="Runs of this pipeline only: name, or name@version.",
    ),
]

LOCATION = {
    "Location": {"description": "Where the run is.", "schema": {"type": "string"}},
}


@router.post(
    "/api/pipelines/{name}/runs",
    status_code=202,
    operation_id="start_run",
    summary="Run a pipeline",
    responses={
        202: {"description": "The run is recorded and will be submitted.", "headers": LOCATION},
        **contract.refusals(404, 415),
    },
    openapi_extra=contract.body(
        RunRequest,
        required=False,
        a_region={"inputs": {"region": "north"}, "tags": {"asked_by": "finance"}},
        defaults={},
    ),
)
def start_run(
    call: Called,
    response: Response,
    name: ReferencePath,
    key: Key,
    given: Annotated[RunRequest, bodies.of(RunRequest)],
) -> RunSummary:
    """Answers once the run is recorded; the job follows within seconds. The same Idempotency-Key
    with the same body answers with the same run, with another body it is refused (422)."""
    event = envelopes.request(
        given.content(),
        id=key,
        source=f"/http/{call.principal}",
        type="signalbox.request",
        via=f"{MANUAL}{name}",
        now=call.now(),
    )
    try:
        decision = call.app.dispatcher.run(event)
    except Conflict as error:
        raise Refused(422, str(error)) from None
    return accepted(call, response, decision)


@router.get(
    "/api/runs",
    operation_id="list_runs",
    summary="Runs that are open, then those that are over, newest first",
    responses=contract.refusals(404),
)
def list_runs(
    call: Called,
    trigger: NameQuery = None,
    pipeline: PipelineQuery = None,
    state: State | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RunPage:
    """Runs that clients started have the trigger `manual`. Where there are more than 200 triggers,
    name one, or ask for runs that are open."""
    return call.app.runs.list(
        trigger=trigger, pipeline=pipeline, state=state, limit=limit, cursor=cursor
    )


@router.get(
    "/api/dead-letters",
    operation_id="list_dead_letters",
    summary="Runs that could never be submitted, newest first, with the reason",
    responses=contract.refusals(404),
)
def list_dead_letters(
    call: Called, trigger: NameQuery = None, limit: Limit = 50, cursor: Cursor = None
) -> RunPage:
    """What arrived and was no event is here as well, under the trigger `unreadable`. Without
    `trigger`, 200 triggers are looked at; `left_out` says how many were not."""
    return call.app.runs.list(
        trigger=trigger, state=State.DEAD_LETTER, limit=limit, cursor=cursor, cut=True
    )


@router.get(
    "/api/runs/{id}",
    operation_id="get_run",
    summary="All that is known of a run",
    responses=contract.refusals(404),
)
def get_run(call: Called, id: RunId) -> RunDetail:
    """Its steps are asked of AzureML; when that fails the rest is answered all the same."""
    return call.app.runs.get(id)


@router.get(
    "/api/runs/{id}/members",
    operation_id="list_members",
    summary="The events of a batch, oldest first",
    responses=contract.refusals(404),
)
def list_members(call: Called, id: RunId, limit: Limit = 50, cursor: Cursor = None) -> MemberPage:
    """Empty for a run of one event. The job reads them in the manifest."""
    return call.app.members.list(id, limit, cursor)


@router.post(
    "/api/runs/{id}/cancel",
    status_code=202,
    operation_id="cancel_run",
    summary="Ask for a run to stop",
    responses=contract.refusals(404, 409),
)
def cancel_run(call: Called, id: RunId) -> RunSummary:
    """`cancel_requested` says that it was asked for; the run is over once its job has stopped."""
    trigger, key = _parts(id)
    asked = call.app.submission.request_cancel(trigger, key)
    if asked:
        # What fails here the timer does: it is written down.
        with suppress(SignalboxError):
            call.app.submission.resume(trigger, key)
    kept = call.app.ledger.read(trigger, key)
    if kept is None:
        raise NotFound(f"There is no run {id}.")
    if kept.record.state is State.WAITING_BATCH:
        raise Conflict(f"{id} is an event that waits for its batch: there is no run to stop yet.")
    if not asked:
        raise Conflict(
            f"Run {id} is {kept.record.state} already; only what is open can be stopped."
        )
    return _summary(call, kept.record)


@router.post(
    "/api/runs/{id}/retry",
    status_code=202,
    operation_id="retry_run",
    summary="Run once more what failed, was canceled or is a dead letter",
    responses={
        202: {"description": "The new run is recorded.", "headers": LOCATION},
        **contract.refusals(404, 409),
    },
)
def retry_run(call: Called, response: Response, id: RunId) -> RunSummary:
    """A new run for the same event, with what is published now. Asking twice answers the same."""
    return accepted(call, response, call.app.dispatcher.retry(*_parts(id)))


def _parts(id: str) -> tuple[str, str]:
    found = parse_run_id(id)
    if found is None:
        raise NotFound(f"There is no run {id}.")
    return found


def accepted(call: Call, response: Response, decision: Decision) -> RunSummary:
    """The answer to who asked for a run, which says where it is. Raises StorageUnavailable."""
    if decision.record is None:
        raise StorageUnavailable("The run was recorded before, and cannot be read now; try again.")
    response.headers["Location"] = f"/api/runs/{decision.record.run_id}"
    return _summary(call, decision.record)


def _summary(call: Call, record: Record) -> RunSummary:
    return summary(record, call.app.workspace.studio_url)
