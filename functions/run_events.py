"""Event Grid: AzureML says that something became of a run, a model, or else."""

import azure.functions as func

from functions import event_grid
from shared import telemetry
from shared.bootstrap import app

bp = func.Blueprint()  # type: ignore[no-untyped-call]


@bp.function_name("run_events")
@bp.event_grid_trigger(arg_name="event")
def run_events(event: func.EventGridEvent, context: func.Context) -> None:
    """Late, doubled or missing calls change nothing: AzureML's GET decides."""
    with telemetry.continued(context.trace_context.trace_parent):
        app().dispatcher.handle(*event_grid.events_of(event, app().dispatcher))
