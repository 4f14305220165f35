"""Events that clients hand over: CloudEvents, those of Event Grid, and plain JSON for a trigger."""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import BaseModel

from shared import dispatcher, envelopes
from shared.api import bodies, contract, triggers
from shared.api.contract import Called, NamePath
from shared.api.door import Call, call_of
from shared.api.keys import Key
from shared.api.problems import Refused
from shared.dispatcher import same_request
from shared.errors import StorageUnavailable
from shared.events import HTTP, Event
from shared.ledger import Reason, State

router = APIRouter(tags=["events"])

#: Each may start runs, and somebody waits for the answer.
MAX_EVENTS = 100

#: What requests are known by, so that no sender may call itself so.
_OURS = "/http/"

#: Event Grid asks a webhook so whether it wants its events.
#: Source: Event Grid, "Endpoint validation with Event Grid event schema".
_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"

#: Source: CloudEvents HTTP webhooks 1.0.2, 4.1.1: a DNS name.
_ORIGIN = re.compile(r"[A-Za-z0-9.:-]{1,253}")

_CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "shop.order",
    "subject": "orders/1",
    "data": {"region": "north"},
}


class Decided(BaseModel):
    """What one trigger made of one event."""

    #: The event's id.
    event: str
    trigger: str
    decision: Literal["run", "waiting", "duplicate", "no_match", "dead_letter"]
    #: The check that said no.
    check: str | None
    run: str | None
    #: The run's.
    state: State | None
    #: Why the run is in that state, where that needs saying.
    reason: Reason | None


class Decisions(BaseModel):
    """Empty when no trigger was a candidate."""

    decisions: list[Decided]


class Validated(BaseModel):
    """Event Grid's question, answered."""

    validationResponse: str


def _read(request: Request) -> Any:
    """The body as JSON; None without one, as an event need not have data. Raises Refused."""
    return bodies.content_of(request) if call_of(request).body else None


Content = Annotated[Any, Depends(_read)]


#: What an event cannot do without; what else is wrong with one is a 400.
_EVENT = {
    "type": "object",
    "anyOf": [
        {
            "title": "CloudEvent",
            "properties": {
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "minLength": 1},
                "source": {"type": "string", "minLength": 1},
                "type": {"type": "string", "minLength": 1},
                "subject": {"description": "Text."},
                "time": {"description": "RFC 3339; now, when left out."},
                "data": {},
            },
            "required": ["specversion", "id", "source", "type"],
        },
        {
            "title": "Event Grid event",
            "properties": {
                "id": {"type": "string", "minLength": 1},
                "topic": {"type": "string", "minLength": 1},
                "eventType": {"type": "string", "minLength": 1},
                "subject": {"description": "Text."},
                "eventTime": {"description": "RFC 3339; now, when left out."},
                "data": {},
            },
            "required": ["id", "topic", "eventType"],
        },
    ],
}
_EVENTS = {
    "anyOf": [_EVENT, {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": MAX_EVENTS}]
}


def _body(description: str, schema: dict[str, Any], *kinds: str) -> dict[str, Any]:
    content = {"schema": schema, "example": _CLOUD_EVENT}
    return {
        "requestBody": {
            "description": description,
            "required": False,
            "content": dict.fromkeys(
                ["application/cloudevents+json", "application/json", *kinds], content
            ),
        }
    }


@router.post(
    "/api/triggers/{name}/events",
    status_code=202,
    operation_id="send_event_to_trigger",
    summary="Hand an event to one trigger",
    responses=contract.refusals(404, 415),
    openapi_extra=_body("One event; for a trigger of `http` any JSON, which becomes its data.", {}),
)
def send_event_to_trigger(
    call: Called, request: Request, name: NamePath, key: Key, content: Content
) -> Decisions:
    """A CloudEvent is known by its own source and id, other JSON by its Idempotency-Key."""
    trigger, _ = triggers.named(call.app, name)
    via = f"{HTTP}{name}" if trigger.definition.spec.http else ""
    if not via or _is_binary(request) or envelopes.is_enveloped(content):
        return Decisions(decisions=_handed(call, _events(call, request, content, via), only=name))
    event = envelopes.request(
        content,
        id=key,
        source=f"{_OURS}{call.principal}",
        type="signalbox.http",
        via=via,
        now=call.now(),
    )
    found = call.app.dispatcher.handle(event, only=name)
    for decision in found:
        if decision.duplicate and decision.record is None:
            raise StorageUnavailable("Whether this was sent before cannot be read now; try again.")
        if decision.record and not same_request(decision.record.event, event):
            raise Refused(
                422,
                "This Idempotency-Key was used for another body; choose a new one for each event.",
            )
    return Decisions(decisions=[_decided(event, decision) for decision in found])


@router.post(
    "/api/events",
    status_code=202,
    operation_id="send_events",
    summary="Hand events to whichever triggers they are for",
    response_model=Decisions,
    responses={
        200: {"description": "Event Grid's validation, answered.", "model": Validated},
        **contract.refusals(415),
    },
    openapi_extra=_body(
        "One CloudEvent, structured or with `ce-` headers, a batch, or events of Event Grid.",
        _EVENTS,
        "application/cloudevents-batch+json",
    ),
)
def send_events(call: Called, request: Request, content: Content) -> Decisions | Response:
    """At most 100 at a time. Send again what was not answered: nothing is taken in twice."""
    if code := _validation_code(content):
        answer = Validated(validationResponse=code)
        return Response(answer.model_dump_json(), media_type="application/json")
    return Decisions(decisions=_handed(call, _events(call, request, content, "")))


@router.options(
    "/api/events",
    operation_id="validate_webhook",
    summary="Say to a sender of CloudEvents that its events are welcome",
    response_class=Response,
    responses={
        200: {
            "description": "They are.",
            "headers": {
                "WebHook-Allowed-Origin": {"schema": {"type": "string"}},
                "WebHook-Allowed-Rate": {"schema": {"type": "string"}},
            },
        },
        **contract.refusals(),
    },
)
def validate_webhook(
    origin: Annotated[
        str | None,
        Header(
            alias="WebHook-Request-Origin",
            description="The sender's DNS name, as CloudEvents' webhooks have it.",
            json_schema_extra={"pattern": f"^{_ORIGIN.pattern}$"},
            examples=["eventgrid.azure.net"],
        ),
    ] = None,
) -> Response:
    """CloudEvents' abuse protection: the key in the address says that the sender is meant."""
    if origin is None or not _ORIGIN.fullmatch(origin):
        raise Refused(400, "WebHook-Request-Origin is missing, or no DNS name.")
    return Response(
        headers={
            "Allow": "POST, OPTIONS",
            "WebHook-Allowed-Origin": origin,
            "WebHook-Allowed-Rate": "*",
        }
    )


def _is_binary(request: Request) -> bool:
    return "ce-specversion" in request.headers


def _events(call: Call, request: Request, content: Any, via: str) -> list[Event]:
    """The events that a request holds. Raises EventInvalid, Refused."""
    if isinstance(content, list) and len(content) > MAX_EVENTS:
        raise Refused(400, f"Hand over at most {MAX_EVENTS} events at a time.")
    if _is_binary(request):
        found = [envelopes.binary(request.headers, content, via=via, now=call.now())]
    else:
        found = envelopes.parse(content, via=via, now=call.now())
    if any(event.source.startswith(_OURS) for event in found):
        raise Refused(422, f"Sources that begin with {_OURS} are Signalbox's own; take another.")
    return found


def _handed(call: Call, events: Sequence[Event], only: str | None = None) -> list[Decided]:
    def decisions() -> Iterator[Decided]:
        for event in events:
            for decision in call.app.dispatcher.handle(event, only=only):
                yield _decided(event, decision)

    return list(decisions())


def _decided(event: Event, decision: dispatcher.Decision) -> Decided:
    record = decision.record
    return Decided(
        event=event.id,
        trigger=decision.trigger,
        decision=_word(decision),
        check=decision.check,
        run=record.run_id if record else None,
        state=record.state if record else None,
        reason=record.reason if record else None,
    )


def _word(
    decision: dispatcher.Decision,
) -> Literal["run", "waiting", "duplicate", "no_match", "dead_letter"]:
    if decision.check is not None:
        return "no_match"
    if decision.duplicate:
        return "duplicate"
    if decision.record is not None and decision.record.state is State.WAITING_BATCH:
        return "waiting"
    dead = decision.record is not None and decision.record.state is State.DEAD_LETTER
    return "dead_letter" if dead else "run"


def _validation_code(content: Any) -> str | None:
    first = content[0] if isinstance(content, list) and len(content) == 1 else None
    if not isinstance(first, dict) or first.get("eventType") != _VALIDATION:
        return None
    data = first.get("data")
    code = data.get("validationCode") if isinstance(data, dict) else None
    return code if isinstance(code, str) and len(code) <= 200 else None
