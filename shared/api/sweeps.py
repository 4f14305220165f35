"""Uploads that no event told of: what was found, and looking for them now."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from shared.api import bodies, contract
from shared.api.bodies import SweepRequest
from shared.api.contract import Called, NamePath
from shared.policies import Sweep
from shared.sweep_states import Course, Noticed, SweepState

router = APIRouter(tags=["triggers"])


class UploadNoticed(BaseModel):
    """An upload that no event had told of."""

    path: str
    etag: str
    #: Bytes.
    size: int
    #: Its last change.
    last_modified: AwareDatetime
    #: The sweep that noticed it.
    at: AwareDatetime
    #: The run that it became, or would be.
    run: str


class SweepShown(BaseModel):
    """One sweep."""

    began: AwareDatetime
    #: None while it is under way.
    ended: AwareDatetime | None
    #: Uploads that were changed before were not looked at.
    since: AwareDatetime
    #: The whole lookback, not only what came since the sweep before.
    full: bool
    asked: bool
    dry_run: bool
    #: Blobs that were listed.
    listed: int
    #: Of those: changed since then, and for the trigger.
    looked_at: int
    #: Recorded before.
    known: int
    #: Lost, and started.
    found: int
    #: Not recorded, though a blob of that path was there or recorded before; not started.
    overwritten: int
    #: Left to the next sweep, as they are too young.
    young: int
    #: No event may have such a name.
    unnameable: int
    #: Could not be handed over; the log says why.
    failed: int
    #: The first that were found, and that were overwritten.
    found_uploads: list[UploadNoticed]
    overwritten_uploads: list[UploadNoticed]


class SweepReport(BaseModel):
    """What is known of a trigger's sweeps."""

    trigger: str
    #: How often it is swept, and how far back; None when only somebody's asking does it.
    every: timedelta | None
    lookback: timedelta
    #: When the last sweep began that nobody asked for, and when the next one is due.
    last: AwareDatetime | None
    next: AwareDatetime | None
    under_way: SweepShown | None
    #: The last one that came to its end.
    report: SweepShown | None
    #: What sweeps found and started lately, and what was overwritten and is not recorded.
    found: list[UploadNoticed]
    overwritten: list[UploadNoticed]
    #: Why the last try went no further.
    problem: str | None


@router.get(
    "/api/triggers/{name}/sweep",
    operation_id="get_sweep",
    summary="What sweeps of a trigger found",
    responses=contract.refusals(404),
)
def get_sweep(call: Called, name: NamePath) -> SweepReport:
    return _shown(name, *call.app.sweeps.state(name))


@router.post(
    "/api/triggers/{name}/sweep",
    status_code=202,
    operation_id="sweep_trigger",
    summary="Look now for uploads that no event told of",
    responses=contract.refusals(404, 415),
    openapi_extra=contract.body(
        SweepRequest,
        required=False,
        as_published={},
        try_it={"lookback": "P7D", "dry_run": True},
    ),
)
def sweep_trigger(
    call: Called, name: NamePath, given: Annotated[SweepRequest, bodies.of(SweepRequest)]
) -> SweepReport:
    """Takes the place of one that is under way. What does not fit into this request's time the
    timer does; `under_way` is `null` when it has ended."""
    call.app.sweeps.ask(
        name, lookback=given.lookback, overwritten=given.overwritten, dry_run=given.dry_run
    )
    return _shown(name, *call.app.sweeps.state(name))


def _shown(name: str, policy: Sweep | None, state: SweepState) -> SweepReport:
    due = policy and state.last and state.last + policy.every
    return SweepReport(
        trigger=name,
        every=policy.every if policy else None,
        lookback=(policy or Sweep()).lookback,
        last=state.last,
        next=due or None,
        under_way=_course(state.course) if state.course else None,
        report=_course(state.report) if state.report else None,
        found=_uploads(state.found),
        overwritten=_uploads(state.overwritten),
        problem=state.problem,
    )


def _course(course: Course) -> SweepShown:
    counts = {name: getattr(course.counts, name) for name in type(course.counts).model_fields}
    return SweepShown(
        began=course.began,
        ended=course.ended,
        since=course.since,
        full=course.full,
        asked=course.asked,
        dry_run=course.dry_run,
        found_uploads=_uploads(course.found),
        overwritten_uploads=_uploads(course.changed),
        **counts,
    )


def _uploads(noticed: tuple[Noticed, ...]) -> list[UploadNoticed]:
    return [
        UploadNoticed(**one.model_dump(include=set(UploadNoticed.model_fields))) for one in noticed
    ]
