"""Backfills: what one would do, and asking for one. It is a replay from then on."""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel

from shared.api import bodies, contract, replays
from shared.api.bodies import BackfillRange, BackfillRequest
from shared.api.contract import Called, Limit
from shared.api.keys import Key
from shared.api.replays import ReplayShown, SelectionShown
from shared.backfills import Outlook
from shared.ledger import State
from shared.previews import Preview

router = APIRouter(tags=["schedules"])

TimeCursor = Annotated[
    str | None,
    Query(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$",
        description="The `cursor` of the page before: its last scheduled time.",
    ),
]


class BackfillOutlook(BaseModel):
    """What would become of one scheduled time that is backfilled."""

    scheduled_time: AwareDatetime
    #: The same on the wall clock of the schedule's time zone, with its offset.
    local_time: datetime
    #: What clocks do then, where that changes anything.
    note: str | None
    preview: Preview
    #: The schedule's own run of that time, and its state; None where nothing is recorded.
    run: str | None
    state: State | None


class BackfillOutlookList(BaseModel):
    """What a backfill would do, in its order."""

    items: list[BackfillOutlook]
    #: On all pages.
    total: int
    time_zone: str
    #: With `until` as it is now: hand it over to run exactly what was shown.
    selection: SelectionShown
    cursor: str | None = None


_FEBRUARY = {
    "trigger": "nightly",
    "since": "2026-02-01T00:00:00Z",
    "until": "2026-03-01T00:00:00Z",
}


@router.post(
    "/api/backfill-preview",
    operation_id="preview_backfill",
    summary="What a backfill would do; changes nothing",
    responses=contract.refusals(404, 415),
    openapi_extra=contract.body(BackfillRange, required=True, february=_FEBRUARY),
)
def preview_backfill(
    call: Called,
    given: Annotated[BackfillRange, bodies.of(BackfillRange)],
    limit: Limit = 50,
    cursor: TimeCursor = None,
) -> BackfillOutlookList:
    """Each page is looked at anew: hand the `until` of the first one over with the others."""
    page = call.app.backfills.preview(given.range, limit=limit, cursor=cursor)
    return BackfillOutlookList(
        items=[_shown(item) for item in page.items],
        total=page.total,
        time_zone=page.time_zone,
        selection=replays.selected(page.selection),
        cursor=page.cursor,
    )


@router.post(
    "/api/backfills",
    status_code=202,
    operation_id="start_backfill",
    summary="Run the times of a schedule that lie in a range",
    responses={
        202: {"description": "The backfill is recorded and goes on.", "headers": replays.LOCATION},
        **contract.refusals(404, 415),
    },
    openapi_extra=contract.body(BackfillRequest, required=True, february={**_FEBRUARY, "limit": 2}),
)
def start_backfill(
    call: Called,
    response: Response,
    key: Key,
    given: Annotated[BackfillRequest, bodies.of(BackfillRequest)],
) -> ReplayShown:
    """Each time is run once, whatever became of it before, at most 10,000; the timer starts one
    after the other. It is a replay from then on: followed and canceled as one. The same
    Idempotency-Key with the same body answers with the same backfill, with another it is 422."""
    ask = partial(
        call.app.backfills.ask, given.range, limit=given.limit, by=call.principal, key=key
    )
    return replays.accepted(response, ask)


def _shown(item: Outlook) -> BackfillOutlook:
    return BackfillOutlook(
        scheduled_time=item.time.scheduled,
        local_time=item.time.local,
        note=item.time.note,
        preview=item.preview,
        run=item.run,
        state=item.state,
    )
