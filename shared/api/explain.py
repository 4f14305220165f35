"""Why something ran, or did not."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from shared.api import contract
from shared.api.contract import Called, NameQuery
from shared.api.problems import Place, Refused
from shared.questions import Explanation

router = APIRouter(tags=["explain"])

Text = Annotated[str | None, Query(min_length=1, max_length=2048)]


@router.get(
    "/api/explain",
    operation_id="explain",
    summary="Why something ran, or did not",
    responses=contract.refusals(404),
)
def explain(
    call: Called,
    blob: Annotated[
        Text, Query(description="An upload: its https address, or account/container/path.")
    ] = None,
    message: Annotated[
        Text, Query(description="A message or event: its id, or the message's sequence number.")
    ] = None,
    run: Annotated[
        str | None,
        Query(pattern=r"^[a-z][a-z0-9_-]{0,62}\.[0-9a-f]{32}$", description="A run's id."),
    ] = None,
    trigger: Annotated[NameQuery, Query(description="What this trigger decided.")] = None,
    schedule: Annotated[
        NameQuery, Query(description="What became of a time of this schedule; the last, or `at`.")
    ] = None,
    at: Annotated[
        datetime | None,
        Query(
            description="With `trigger`: around this time; UTC when it says no zone. With "
            "`schedule`: this scheduled time; by its own wall clock when it says no zone. A date "
            "is its midnight."
        ),
    ] = None,
) -> Explanation:
    """Ask about one thing: `blob`, `message`, `run`, `schedule` or `trigger`."""
    given = {
        "blob": blob,
        "message": message,
        "run": run,
        "schedule": schedule,
        "trigger": trigger,
    }
    asked = [name for name, value in given.items() if value is not None]
    if len(asked) != 1:
        raise Refused(
            422,
            f"Ask about exactly one of {', '.join(given)}.",
            errors=[Place(place=f"query.{name}", message="one at a time") for name in asked],
        )
    if at is not None and trigger is None and schedule is None:
        wrong = Place(place="query.at", message="goes with `trigger` and `schedule` only")
        raise Refused(422, "`at` goes with `trigger` and `schedule` only.", errors=[wrong])
    if blob is not None:
        return call.app.explain.blob(blob)
    if message is not None:
        return call.app.explain.message(message)
    if run is not None:
        return call.app.explain.run(run)
    if schedule is not None:
        return call.app.explain.schedule(schedule, at)
    assert trigger is not None
    return call.app.explain.trigger(trigger, at)
