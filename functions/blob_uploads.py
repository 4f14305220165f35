"""Event Grid: an upload to a storage account was finished."""

import azure.functions as func

from functions import event_grid
from shared import telemetry
from shared.bootstrap import app

bp = func.Blueprint()  # type: ignore[no-untyped-call]


@bp.function_name("blob_uploads")
@bp.event_grid_trigger(arg_name="event")
def blob_uploads(event: func.EventGridEvent, context: func.Context) -> None:
    """Raising makes Event Grid deliver again; what never can succeed is kept as a dead letter."""
    with telemetry.continued(context.trace_context.trace_parent):
        app().dispatcher.handle(*event_grid.events_of(event, app().dispatcher))
