"""Replays: see what one would do, ask for one; follow and cancel it, and backfills alike."""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel

from shared.api import bodies, contract
from shared.api.bodies import ReplayRequest, ReplaySelection
from shared.api.contract import Called, Limit
from shared.api.keys import Key
from shared.api.problems import Refused
from shared.errors import Conflict
from shared.ledger import State
from shared.previews import Preview
from shared.replay_states import NotStarted, Replay, Selection, Stage

router = APIRouter(tags=["replays"])

ReplayId = Annotated[
    str,
    Path(
        pattern=r"^[0-9a-f]{16}$",
        description="A replay's id, as asking for or listing replays tells it.",
        examples=["0123456789abcdef"],
    ),
]
ReplayCursor = Annotated[
    str | None,
    Query(pattern=r"^[0-9a-f]{16}$", description="The `cursor` of the page before."),
]
RunCursor = Annotated[
    str | None,
    Query(
        pattern=r"^[a-z][a-z0-9_-]{0,62}\.[0-9a-f]{32}$",
        description="The `cursor` of the page before: its last run.",
    ),
]

LOCATION = {
    "Location": {"description": "Where the replay is.", "schema": {"type": "string"}},
}


class SelectionShown(BaseModel):
    """What is run: once more, or of a schedule."""

    trigger: str
    outcomes: list[State]
    #: When it was decided; of a backfill, since <= scheduled time < until.
    since: AwareDatetime | None
    until: AwareDatetime | None
    #: The runs were named one by one.
    named: bool
    #: It is a backfill: times of a schedule, whatever became of them before.
    occurrences: bool
    newest_first: bool


class ProblemShown(BaseModel):
    """A run, or of a backfill a scheduled time, that could not be run."""

    run: str | None
    scheduled_time: AwareDatetime | None
    why: str


class ReplayShown(BaseModel):
    """A replay or a backfill, and how far it is."""

    id: str
    #: running, canceling, done, canceled.
    state: Stage
    at: AwareDatetime
    by: str
    selection: SelectionShown
    #: Runs of it that are under way at once.
    limit: int
    total: int
    #: How many of them were come to, and of those: started, and could not be.
    position: int
    started: int
    not_started: int
    #: How many of those that were started ended so.
    ended: dict[State, int]
    #: Runs that were started and are not known to be over.
    active: list[str]
    #: The first of those that could not be started.
    problems: list[ProblemShown]
    cancel_requested: bool
    #: Why nothing is started now.
    waiting_for: str | None


class ReplayList(BaseModel):
    """Some replays, newest first, and where to go on."""

    items: list[ReplayShown]
    #: Hand it back for what follows; None when nothing does.
    cursor: str | None = None


class OutlookShown(BaseModel):
    """What would become of one run that is run once more."""

    run: str
    #: None when it cannot be: then `why_not` says why.
    preview: Preview | None
    why_not: str | None


class OutlookList(BaseModel):
    """What a replay would do, in its order."""

    items: list[OutlookShown]
    #: On all pages.
    total: int
    #: With `until` as it is now: hand it over to run exactly what was shown.
    selection: SelectionShown
    cursor: str | None = None


_DEAD = {"trigger": "on-upload", "outcomes": ["dead_letter"], "since": "2026-03-01T00:00:00Z"}


@router.post(
    "/api/replay-preview",
    operation_id="preview_replay",
    summary="What a replay would do; changes nothing",
    responses=contract.refusals(404, 415),
    openapi_extra=contract.body(ReplaySelection, required=True, dead_letters=_DEAD),
)
def preview_replay(
    call: Called,
    given: Annotated[ReplaySelection, bodies.of(ReplaySelection)],
    limit: Limit = 50,
    cursor: RunCursor = None,
) -> OutlookList:
    """Each page is looked at anew: hand the `until` of the first one over with the others."""
    page = call.app.outlooks.of(given.wish, limit=limit, cursor=cursor)
    return OutlookList(
        items=[
            OutlookShown(run=item.run, preview=item.preview, why_not=item.why_not)
            for item in page.items
        ],
        total=page.total,
        selection=selected(page.selection),
        cursor=page.cursor,
    )


@router.post(
    "/api/replays",
    status_code=202,
    operation_id="start_replay",
    summary="Run once more what was decided before",
    responses={
        202: {"description": "The replay is recorded and goes on.", "headers": LOCATION},
        **contract.refusals(404, 415),
    },
    openapi_extra=contract.body(ReplayRequest, required=True, dead_letters={**_DEAD, "limit": 5}),
)
def start_replay(
    call: Called,
    response: Response,
    key: Key,
    given: Annotated[ReplayRequest, bodies.of(ReplayRequest)],
) -> ReplayShown:
    """What is chosen is fixed now, at most 10,000 runs; the timer starts one after the other, with
    what is published then. The same Idempotency-Key with the same body answers with the same
    replay, with another body it is refused (422)."""
    ask = partial(call.app.replays.ask, given.wish, limit=given.limit, by=call.principal, key=key)
    return accepted(response, ask)


@router.get(
    "/api/replays",
    operation_id="list_replays",
    summary="Replays and backfills, newest first",
    responses=contract.refusals(),
)
def list_replays(call: Called, limit: Limit = 50, cursor: ReplayCursor = None) -> ReplayList:
    found, further = call.app.replays.page(limit=limit, cursor=cursor)
    return ReplayList(items=[shown(replay) for replay in found], cursor=further)


@router.get(
    "/api/replays/{id}",
    operation_id="get_replay",
    summary="One replay or backfill, and how far it is",
    responses=contract.refusals(404),
)
def get_replay(call: Called, id: ReplayId) -> ReplayShown:
    return shown(call.app.replays.find(id))


@router.post(
    "/api/replays/{id}/cancel",
    status_code=202,
    operation_id="cancel_replay",
    summary="Start nothing more of a replay or backfill",
    responses=contract.refusals(404, 409),
)
def cancel_replay(call: Called, id: ReplayId) -> ReplayShown:
    """Runs that wait for their turn are canceled; those that have begun go on."""
    return shown(call.app.replays.cancel(id))


def accepted(response: Response, ask: Callable[[], Replay]) -> ReplayShown:
    """What was asked for, and where it is. Raises Refused for a key that had another request."""
    try:
        replay = ask()
    except Conflict as error:
        raise Refused(422, str(error)) from None
    response.headers["Location"] = f"/api/replays/{replay.id}"
    return shown(replay)


def shown(replay: Replay) -> ReplayShown:
    return ReplayShown(
        id=replay.id,
        state=replay.stage,
        at=replay.at,
        by=replay.by,
        selection=selected(replay.selection),
        limit=replay.limit,
        total=replay.total,
        position=replay.position,
        started=replay.started,
        not_started=replay.not_started,
        ended=dict(replay.ended),
        active=list(replay.active),
        problems=[_problem(problem) for problem in replay.problems],
        cancel_requested=replay.cancel_requested,
        waiting_for=replay.waiting,
    )


def selected(selection: Selection) -> SelectionShown:
    return SelectionShown(
        trigger=selection.trigger,
        outcomes=list(selection.outcomes),
        since=selection.since,
        until=selection.until,
        named=selection.named,
        occurrences=selection.occurrences,
        newest_first=selection.newest_first,
    )


def _problem(problem: NotStarted) -> ProblemShown:
    return ProblemShown(run=problem.run, scheduled_time=problem.scheduled_time, why=problem.why)
