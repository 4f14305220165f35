"""The triggers there are, and trying one without consequences."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from shared import envelopes, lint
from shared.api import bodies, contract, pipelines
from shared.api.bodies import TestRequest
from shared.api.contract import Called, NamePath
from shared.api.door import Call
from shared.api.problems import Place, Refused
from shared.bootstrap import App
from shared.definitions import Spec, TriggerDefinition
from shared.errors import NotFound
from shared.events import HTTP, MESSAGE, RUN, Event
from shared.index import IndexedTrigger, Snapshot
from shared.previews import Preview

router = APIRouter(tags=["triggers"])

#: No chain of runs is longer; see `Policies.max_depth`.
_DEPTHS = range(101)


class TriggerShown(BaseModel):
    """A trigger as it was published."""

    name: str
    #: blob, service_bus, http, run or event.
    source: str
    #: Where it listens, on one line.
    summary: str
    #: The pipeline that it starts, as its document names it.
    pipeline: str
    #: Uploads that are older are not its business.
    effective_from: AwareDatetime
    #: Changes when its document changes.
    revision: str
    #: Why its runs would be dead letters, whatever the event.
    problems: list[str]


class TriggerDetail(TriggerShown):
    """With its document."""

    definition: dict[str, Any]


class TriggerList(BaseModel):
    items: list[TriggerShown]


class PreviewList(BaseModel):
    items: list[Preview]


@router.get(
    "/api/triggers",
    operation_id="list_triggers",
    summary="Every trigger",
    responses=contract.refusals(),
)
def list_triggers(call: Called) -> TriggerList:
    snapshot = call.app.index.read().snapshot
    known = pipelines.ports(call.app, snapshot)
    return TriggerList(
        items=[
            TriggerShown(**_shown(trigger, known))
            for _, trigger in sorted(snapshot.triggers.items())
        ]
    )


@router.get(
    "/api/triggers/{name}",
    operation_id="get_trigger",
    summary="One trigger with its definition",
    responses=contract.refusals(404),
)
def get_trigger(call: Called, name: NamePath) -> TriggerDetail:
    trigger, snapshot = named(call.app, name)
    known = pipelines.ports(call.app, snapshot)
    definition = trigger.definition.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return TriggerDetail(**_shown(trigger, known), definition=definition)


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
    event = _tried(call, trigger.definition, given.event)
    return PreviewList(items=[call.app.previews.against(name, event)])


def named(app: App, name: str) -> tuple[IndexedTrigger, Snapshot]:
    """A trigger, and the index it is in. Raises NotFound."""
    snapshot = app.index.read().snapshot
    found = snapshot.triggers.get(name)
    if found is None:
        there = ", ".join(sorted(snapshot.triggers)) or "none"
        raise NotFound(f"There is no trigger {name!r}; there are: {there}.")
    return found, snapshot


def _tried(call: Call, trigger: TriggerDefinition, content: dict[str, Any]) -> Event:
    """The event as it would have come to the trigger."""
    spec, enveloped = trigger.spec, envelopes.is_enveloped(content)
    if not enveloped and (content.keys() != {"data"} or spec.blob or spec.event):
        raise Refused(
            422,
            "This is no event.",
            errors=[
                Place(
                    place="event",
                    message="must be a CloudEvent or an event of Event Grid; triggers of messages, "
                    'HTTP and runs also take {"data": …}',
                )
            ],
        )
    if spec.run:
        content = {**content, "data": _run_data(content.get("data"))}
    via = _via(trigger, content.get("data"))
    if enveloped:
        found = envelopes.parse(content, via=via, now=call.now())
        if not found:
            raise Refused(422, "The write that this event is about is not finished.")
        return found[0]
    return envelopes.request(
        content["data"],
        id=call.new_id(),
        source=f"/http/{call.principal}",
        type=_type(spec, content["data"]),
        via=via,
        now=call.now(),
    )


def _via(trigger: TriggerDefinition, data: Any) -> str:
    spec = trigger.spec
    if spec.service_bus:
        return spec.service_bus.via
    if spec.http:
        return f"{HTTP}{trigger.name}"
    return f"{RUN}{data.get('pipeline') or ''}" if spec.run else ""


def _type(spec: Spec, data: Any) -> str:
    if spec.service_bus:
        return MESSAGE
    return f"signalbox.run.{data['status']}" if spec.run else "signalbox.http"


def _run_data(data: Any) -> dict[str, Any]:
    """What the end of a run says of itself, with the depth that it always has."""
    depth = data.get("depth", 0) if isinstance(data, dict) else None
    if type(depth) is not int or depth not in _DEPTHS:
        place = Place(place="event.data", message="must be an object; its depth is 0 to 100")
        raise Refused(422, "This is not the end of a run.", errors=[place])
    return {"pipeline": None, "trigger": None, "status": None, **data, "depth": depth}


def _shown(trigger: IndexedTrigger, known: lint.Pipelines) -> dict[str, Any]:
    definition = trigger.definition
    return {
        "name": definition.name,
        "source": definition.spec.source,
        "summary": _summary(definition.name, definition.spec),
        "pipeline": definition.action.pipeline,
        "effective_from": trigger.effective_from,
        "revision": trigger.revision,
        "problems": lint.unbound(definition, known),
    }


def _summary(name: str, spec: Spec) -> str:
    """Where a trigger listens, on one line."""
    if spec.blob:
        return f"uploads to {spec.blob.account}/{spec.blob.container}, {spec.blob.path}"
    if bus := spec.service_bus:
        topic = f"topic {bus.topic}, subscription {bus.subscription}"
        return f"messages of {f'queue {bus.queue}' if bus.queue is not None else topic}"
    if run := spec.run:
        of = f" of pipeline {run.pipeline}" if run.pipeline else ""
        by = f" started by {run.trigger}" if run.trigger else ""
        return f"runs{of}{by} that are {' or '.join(run.status)}"
    if event := spec.event:
        source = f" from {event.source}" if event.source else ""
        return f"events of type {event.type}{source}, {event.subject or 'any subject'}"
    return f"POST /api/triggers/{name}/events"
