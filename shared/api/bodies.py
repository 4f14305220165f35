"""What clients send: JSON, and the shapes that are asked for."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from shared import envelopes
from shared.api import problems
from shared.api.door import call_of
from shared.api.problems import Refused
from shared.durations import Duration
from shared.errors import RequestInvalid
from shared.inputs import Literal as Scalar
from shared.mistakes import LINES, ONE_LINE
from shared.occurrences import Range
from shared.pauses import NOTE_LENGTH
from shared.questions import moment
from shared.replays import MOST_AT_ONCE
from shared.selections import MOST, Wish
from shared.specs import NAME

_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.-]+\+)?json|text/json")


def _literal(value: Any) -> Scalar:
    # A union of types would be told as one error for each of them.
    if isinstance(value, str | bool | int | float):
        return value
    raise ValueError("must be text, a number, true or false")


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return moment(datetime.fromisoformat(value))
    except RequestInvalid as error:
        raise ValueError("; ".join(error.problems.values())) from None
    except ValueError:
        raise ValueError("is no time; write it as ISO 8601 does: 2026-03-01T12:00:00Z") from None


def _wall_time(value: Any) -> Any:
    _time(value)
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Value = Annotated[
    Any,
    BeforeValidator(_literal),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
Short = Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
InputName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$")]
TagName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,254}$")]


class Body(BaseModel):
    """Unknown fields are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunRequest(Body):
    """What to run a pipeline with."""

    #: Input -> value; data inputs take a path: https://…, azureml:…
    inputs: dict[InputName, Value] = Field(
        default_factory=dict, max_length=500, examples=[{"region": "north", "epochs": 3}]
    )
    #: Replaces the pipeline's experiment.
    experiment_name: Short | None = None
    #: Replaces the pipeline's default compute.
    compute: Short | None = None
    tags: dict[TagName, Annotated[str, LINES]] = Field(default_factory=dict, max_length=50)
    #: Run every step anew, also those whose inputs have not changed.
    force_rerun: bool | None = None

    def content(self) -> dict[str, Any]:
        """What was said, as an event's data: what only repeats a default is left out."""
        return {"inputs": self.inputs, **self.model_dump(exclude={"inputs"}, exclude_defaults=True)}


class BlobsThere(Body):
    """Blobs that lie there now."""

    limit: Annotated[int, Field(ge=1, le=200)] = 20
    #: Instead of the literal text that the trigger's path begins with.
    prefix: Annotated[str, Field(max_length=1024)] = ""


class TestRequest(Body):
    """What to try a trigger with: one event, or blobs that lie there now."""

    __test__ = False

    #: A CloudEvent, an Event Grid event, or {"data": …} for triggers of messages and HTTP.
    event: dict[str, Any] | None = None
    blobs: BlobsThere | None = None


class PauseRequest(Body):
    """Why a trigger is paused."""

    #: For whoever asks why nothing begins.
    note: Annotated[str, Field(min_length=1, max_length=NOTE_LENGTH)]
    #: What becomes of its events meanwhile, instead of what its policies say.
    while_paused: Literal["hold", "drop"] | None = None


class SweepRequest(Body):
    """How to sweep a trigger."""

    #: How far back uploads may lie, PT5M to P30D; as the trigger's document has it when left out.
    lookback: Duration | None = None
    #: Start what was overwritten as well.
    overwritten: bool = False
    #: Only say what would be started.
    dry_run: bool = False


class ReplaySelection(Body):
    """What is run once more: by how it ended and when, or by name."""

    trigger: Annotated[str | None, Field(pattern=f"^{NAME.pattern}$")] = None
    #: completed, failed, canceled, dead_letter, skipped, missed.
    outcomes: Annotated[tuple[str, ...], Field(max_length=10), BeforeValidator(_listed)] = ()
    #: When it was decided; UTC when it says no zone.
    since: Annotated[datetime | None, BeforeValidator(_time)] = None
    until: Annotated[datetime | None, BeforeValidator(_time)] = None
    #: Ids of runs, instead of all of the above.
    runs: Annotated[tuple[str, ...], Field(max_length=MOST), BeforeValidator(_listed)] = ()

    @property
    def wish(self) -> Wish:
        return Wish(
            trigger=self.trigger,
            outcomes=self.outcomes,
            since=self.since,
            until=self.until,
            runs=self.runs,
        )


class ReplayRequest(ReplaySelection):
    """What is run once more, and how many at a time."""

    #: Runs of the replay that are under way at once.
    limit: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 5


class BackfillRange(Body):
    """Times of a schedule: since <= time < until."""

    trigger: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    #: By the wall clock of the schedule's time zone when it says no offset.
    since: Annotated[datetime, BeforeValidator(_wall_time)]
    #: Until now when left out.
    until: Annotated[datetime | None, BeforeValidator(_wall_time)] = None
    newest_first: bool = False

    @property
    def range(self) -> Range:
        return Range(
            trigger=self.trigger,
            since=self.since,
            until=self.until,
            newest_first=self.newest_first,
        )


class BackfillRequest(BackfillRange):
    """Times of a schedule, and how many of them at a time."""

    #: Runs of the backfill that are under way at once.
    limit: Annotated[int, Field(ge=1, le=MOST_AT_ONCE)] = 1


class PromptRequest(Body):
    """What to run a schedule now with."""

    #: Of a schedule that AzureML keeps: input -> value, instead of what it binds.
    inputs: dict[InputName, Value] = Field(default_factory=dict, max_length=500)


def of[M: BaseModel](model: type[M]) -> Any:
    """The dependency that reads a body of this shape; a plain function, so off the event loop."""

    def read(request: Request) -> M:
        try:
            return model.model_validate(content_of(request))
        except ValidationError as error:
            found = problems.places(error)
            raise Refused(422, "The body is not as it should be.", errors=found) from None

    return Depends(read)


def content_of(request: Request) -> Any:
    """The body as JSON; no body is an empty object. Raises Refused, EventInvalid."""
    body = call_of(request).body
    if not body:
        return {}
    require_json(request)
    return envelopes.decode(body)


def require_json(request: Request) -> None:
    """Raises Refused for a body that says it is something else; one that says nothing may be."""
    said = request.headers.get("content-type", "application/json").partition(";")[0]
    if not _JSON_TYPE.fullmatch(said.strip().lower()):
        raise Refused(415, "Bodies are JSON here: send Content-Type: application/json.")
