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
    try:
        upload = events.blob_created(
            id=event.id,
            topic=event.topic,
            type=event.event_type,
            subject=event.subject,
            time=event.event_time,
            data=event.get_json(),
        )
    except EventInvalid as error:
        log.error("An event was refused: %s", error, extra={"action": "event_refused"})
        return
    if upload is not None:
        app().dispatcher.handle(upload)
