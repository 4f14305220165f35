"""Event Grid: an upload to a storage account was finished."""

import logging

import azure.functions as func

from shared import events
from shared.bootstrap import app
from shared.errors import EventInvalid

log = logging.getLogger(__name__)
bp = func.Blueprint()  # type: ignore[no-untyped-call]


@bp.function_name("blob_uploads")
@bp.event_grid_trigger(arg_name="event")
def blob_uploads(event: func.EventGridEvent) -> None:
    """Raising makes Event Grid deliver again; what never can succeed is logged and answered."""
    # The subscription chooses the schema; the worker hands over either, whatever is annotated.
    if isinstance(event, func.CloudEvent):
        source, type, time = event.source, event.type, event.time
    else:
        source, type, time = event.topic, event.event_type, event.event_time
    try:
        upload = events.blob_created(
            id=event.id,
            topic=source,
            type=type,
            subject=event.subject,
            time=time,
            data=event.get_json(),
        )
    except EventInvalid as error:
        log.error("An event was refused: %s", error, extra={"action": "event_refused"})
        return
    if upload is not None:
        app().dispatcher.handle(upload)
