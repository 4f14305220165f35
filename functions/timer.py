"""The minute timer: whatever an event's own call could not finish."""

import azure.functions as func

from shared import telemetry
from shared.bootstrap import app

bp = func.Blueprint()  # type: ignore[no-untyped-call]


@bp.function_name("timer")
@bp.timer_trigger(arg_name="timer", schedule="0 * * * * *", use_monitor=True)
def timer(timer: func.TimerRequest, context: func.Context) -> None:
    """Late, doubled or missing calls change nothing: the ledger says what is due."""
    with telemetry.continued(context.trace_context.trace_parent):
        app().tick.run()
