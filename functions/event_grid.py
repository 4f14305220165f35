"""What the functions for Event Grid have in common: from the worker's objects to events."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

import azure.functions as func

from shared import envelopes
from shared.dispatcher import Dispatcher
from shared.errors import EventInvalid
from shared.events import Event

log = logging.getLogger(__name__)


def events_of(event: func.EventGridEvent | func.CloudEvent, dispatcher: Dispatcher) -> list[Event]:
    """The event, or none: a write that is not finished, or what is no event and now a dead letter.

    Raises StorageUnavailable.
    """
    content = _content(event)
    now = datetime.now(UTC)
    try:
        return envelopes.parse(envelopes.bounded(content), now=now)
    except EventInvalid as error:
        log.error("An event was refused: %s", error, extra={"action": "event_refused"})
        source = str(content.get("topic") or content.get("source") or "")
        id, at = str(content.get("id") or ""), now
        try:
            text = json.dumps(content, default=str)
        except RecursionError:
            text = f"Event {id} is nested too deeply to be shown."
        dispatcher.refuse(text, id=id, source=source, via="", at=at, why=str(error))
        return []


def _content(event: func.EventGridEvent | func.CloudEvent) -> dict[str, Any]:
    # The subscription chooses the schema; the worker hands over either, whatever is annotated.
    if isinstance(event, func.CloudEvent):
        return {
            **event.extension_attrs,
            "specversion": event.specversion,
            "id": event.id,
            "source": event.source,
            "type": event.type,
            "subject": event.subject,
            "time": _time(event.time),
            "data": event.get_json(),
        }
    return {
        "id": event.id,
        "topic": event.topic,
        "eventType": event.event_type,
        "subject": event.subject,
        "eventTime": _time(event.event_time),
        "data": event.get_json(),
    }


def _time(time: datetime | None) -> str | None:
    # The worker drops the zone; Event Grid's times are UTC.
    return time.replace(tzinfo=time.tzinfo or UTC).isoformat() if time else None
