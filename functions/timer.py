"""The minute timer: whatever an event's own call could not finish."""

import azure.functions as func

from shared.bootstrap import app

bp = func.Blueprint()  # type: ignore[no-untyped-call]


@bp.function_name("timer")
@bp.timer_trigger(arg_name="timer", schedule="0 * * * * *", use_monitor=True)
def timer(timer: func.TimerRequest) -> None:
    """Late, doubled or missing calls change nothing: the ledger says what is due."""
    app().tick.run()
