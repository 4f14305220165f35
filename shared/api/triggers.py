"""The triggers there are; trying one without consequences, pausing and resuming one."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from shared import lint, previews
from shared.api import bodies, contract, pipelines
from shared.api.bodies import PauseRequest, TestRequest
from shared.api.contract import Called, Limit, NameCursor, NamePath
from shared.api.door import Call
from shared.api.problems import Refused
from shared.bootstrap import App
from shared.changes import TRIGGER
from shared.errors import NotFound
from shared.index import IndexedTrigger, Paused, Snapshot
from shared.previews import Preview
from shared.specs import Spec

router = APIRouter(tags=["triggers"])


class TriggerShown(BaseModel):
    """A trigger as it was published."""

    name: str
    #: blob, service_bus, schedule, http, run or event.
    source: str
    #: Where it listens, on one line.
    summary: str
    #: The pipeline that it starts, as its document names it.
    pipeline: str
    #: Uploads that are older are not its business.
    effective_from: AwareDatetime
    #: Changes when its document changes.
    revision: str
    #: Since when nothing new begins, and why; None while it is not paused.
    paused: Paused | None
    #: Why its runs would be dead letters, whatever the event; of one trigger also what is wrong
    #: with its file in the definitions container.
    problems: list[str]


class TriggerDetail(TriggerShown):
    """With its document."""

    definition: dict[str, Any]


class TriggerList(BaseModel):
    """Some triggers by name, and where to go on."""

    items: list[TriggerShown]
    #: Hand it back for what follows; None when nothing does.
    cursor: str | None = None


class PreviewList(BaseModel):
    items: list[Preview]


@router.get(
    "/api/triggers",
    operation_id="list_triggers",
    summary="Every trigger, by name",
    responses=contract.refusals(),
)
def list_triggers(call: Called, limit: Limit = 50, cursor: NameCursor = None) -> TriggerList:
    snapshot = call.app.index.read().snapshot
    known = pipelines.ports(call.app, snapshot)
    names, further = contract.page(snapshot.triggers, limit, cursor)
    items = [TriggerShown(**_shown(snapshot.triggers[name], known)) for name in names]
    return TriggerList(items=items, cursor=further)


@router.get(
    "/api/triggers/{name}",
    operation_id="get_trigger",
    summary="One trigger with its definition",
    responses=contract.refusals(404),
)
def get_trigger(call: Called, name: NamePath) -> TriggerDetail:
    trigger, snapshot = named(call.app, name)
    return _detail(call, trigger, snapshot)


@router.post(
    "/api/triggers/{name}/pause",
    operation_id="pause_trigger",
    summary="Let nothing new begin, until it is resumed",
    responses=contract.refusals(404, 415),
    openapi_extra=contract.body(
        PauseRequest, required=True, a_note={"note": "the lake is being moved"}
    ),
)
def pause_trigger(
    call: Called, name: NamePath, given: Annotated[PauseRequest, bodies.of(PauseRequest)]
) -> TriggerDetail:
    """What runs goes on. Events wait until it is resumed, or are dropped if `while_paused` or the
    trigger's own policy says so. Asking again changes nothing but the note."""
    trigger = call.app.pauses.pause(
        name, note=given.note, by=call.principal, while_paused=given.while_paused
    )
    return _detail(call, trigger, call.app.index.read().snapshot)


@router.post(
    "/api/triggers/{name}/resume",
    operation_id="resume_trigger",
    summary="Let a paused trigger go on",
    responses=contract.refusals(404),
)
def resume_trigger(call: Called, name: NamePath) -> TriggerDetail:
    """What was held is taken up within a minute, with what is published then."""
    trigger = call.app.pauses.resume(name)
    return _detail(call, trigger, call.app.index.read().snapshot)


@router.post(
    "/api/triggers/{name}/test",
    operation_id="test_trigger",
    summary="What a trigger would make of an event, or of blobs that are there; changes nothing",
    responses=contract.refusals(404, 415),
    openapi_extra=contract.body(
        TestRequest,
        required=True,
        blobs={"blobs": {"limit": 20, "prefix": "sales/"}},
        message={"event": {"data": {"region": "north"}}},
        cloud_event={
            "event": {
                "specversion": "1.0",
                "id": "1",
                "source": "/shop",
                "type": "shop.order",
                "data": {"region": "north"},
            }
        },
    ),
)
def test_trigger(
    call: Called, name: NamePath, given: Annotated[TestRequest, bodies.of(TestRequest)]
) -> PreviewList:
    """Say one of `event` and `blobs`."""
    trigger, _ = named(call.app, name)
    if (given.event is None) == (given.blobs is None):
        raise Refused(422, "Say one of `event` and `blobs`.")
    if given.blobs is not None:
        limit, prefix = given.blobs.limit, given.blobs.prefix
        return PreviewList(items=call.app.previews.against_blobs(name, limit, prefix))
    assert given.event is not None
    event = previews.arriving(
        trigger.definition,
        given.event,
        id=call.new_id(),
        source=f"/http/{call.principal}",
        now=call.now(),
    )
    return PreviewList(items=[call.app.previews.against(name, event)])


def named(app: App, name: str) -> tuple[IndexedTrigger, Snapshot]:
    """A trigger, and the index it is in. Raises NotFound."""
    snapshot = app.index.read().snapshot
    found = snapshot.triggers.get(name)
    if found is None:
        there = ", ".join(sorted(snapshot.triggers)) or "none"
        wrong = pipelines.wrong_file(app, TRIGGER, name)
        raise NotFound(f"There is no trigger {name!r}; there are: {there}.{wrong}")
    return found, snapshot


def _detail(call: Call, trigger: IndexedTrigger, snapshot: Snapshot) -> TriggerDetail:
    known = pipelines.ports(call.app, snapshot)
    definition = trigger.definition.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    found = _shown(trigger, known)
    found["problems"] += call.app.drops.problems(TRIGGER, trigger.definition.name)
    return TriggerDetail(**found, definition=definition)


def _shown(trigger: IndexedTrigger, known: lint.Pipelines) -> dict[str, Any]:
    definition = trigger.definition
    return {
        "name": definition.name,
        "source": definition.spec.source,
        "summary": _summary(definition.name, definition.spec),
        "pipeline": definition.action.pipeline,
        "effective_from": trigger.effective_from,
        "revision": trigger.revision,
        "paused": trigger.paused,
        "problems": lint.unbound(definition, known),
    }


def _summary(name: str, spec: Spec) -> str:
    """Where a trigger listens, on one line."""
    if spec.blob:
        return f"uploads to {spec.blob.account}/{spec.blob.container}, {spec.blob.path}"
    if bus := spec.service_bus:
        topic = f"topic {bus.topic}, subscription {bus.subscription}"
        return f"messages of {f'queue {bus.queue}' if bus.queue is not None else topic}"
    if spec.schedule:
        return f"a schedule: {spec.schedule.text}"
    if run := spec.run:
        of = f" of pipeline {run.pipeline}" if run.pipeline else ""
        by = f" started by {run.trigger}" if run.trigger else ""
        return f"runs{of}{by} that are {' or '.join(run.status)}"
    if event := spec.event:
        source = f" from {event.source}" if event.source else ""
        return f"events of type {event.type}{source}, {event.subject or 'any subject'}"
    return f"POST /api/triggers/{name}/events"
