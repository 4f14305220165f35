"""What bounds a trigger's runs: how many at once and a day, in batches, again, for how long."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from shared.durations import Duration
from shared.specs import Filter, Name, Part

#: Characters of an expression that a policy holds.
_EXPRESSION_LENGTH = 600


def _limit(value: Any) -> Any:
    if value == "unlimited":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ValueError("must be a whole number from 1, or 'unlimited'")


#: How many; None when there is no bound, which is written `unlimited`.
Limit = Annotated[
    int | None,
    BeforeValidator(_limit),
    PlainSerializer(lambda limit: "unlimited" if limit is None else limit),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "unlimited"}]}),
]


#: Left out of the schema for editors: what holds where a document says nothing depends on its
#: source.
_BY_SOURCE: dict[str, Any] = {"json_schema_extra": lambda made: made.pop("default")}


class Concurrency(Part):
    """How many runs are under way at once."""

    #: Text with expressions: runs for which it finds the same share one limit. All of the
    #: trigger's runs do when it is left out.
    key: Annotated[str, Field(min_length=1, max_length=_EXPRESSION_LENGTH)] | None = None
    limit: Limit = Field(default=20, **_BY_SOURCE)


class Retry(Part):
    """What follows on a failed job."""

    #: Jobs that one run may have in all.
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 1


class Batch(Part):
    """Many events for one run."""

    #: Captures of the path: events with the same values belong together. All events do when it is
    #: left out.
    group_by: Annotated[tuple[Name, ...], Field(max_length=10)] = ()
    #: The group is complete when nothing came for so long.
    wait_after_last_change: Duration = timedelta(minutes=2)
    #: No event waits longer than this.
    max_wait: Duration = timedelta(minutes=30)
    #: No batch holds more. Each takes some milliseconds, and one function call makes a batch.
    max_events: Annotated[int, Field(ge=1, le=10_000)] = 5_000
    #: An event that says that the group is complete, such as the upload of `_SUCCESS`. It need
    #: not fit the trigger's path, and is not in the batch.
    release_on: Filter | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.wait_after_last_change > self.max_wait:
            raise ValueError("wait_after_last_change is longer than max_wait; one of them never is")
        if not timedelta(0) <= self.wait_after_last_change:
            raise ValueError("wait_after_last_change is negative")
        if self.max_wait > timedelta(days=7):
            raise ValueError("max_wait is longer than P7D")
        if self.release_on == Filter():
            raise ValueError("release_on asks for nothing, so every event would release its group")
        if len({*self.group_by}) < len(self.group_by):
            raise ValueError("group_by names a capture twice")
        return self


#: Source -> what holds where a document says nothing, if it is not what `Policies` says.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "schedule": {"overlap": "skip", "while_paused": "drop", "concurrency": {"limit": 1}}
}


def completed(policies: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Policies as a document has them, with what holds for its source where it says nothing.

    This is the one place that knows; a trigger's policies say the rest.
    """
    defaults = _DEFAULTS.get(source, {})
    made = {**defaults, **policies}
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(given := policies.get(name), dict):
            made[name] = {**default, **given}
    return made


class Policies(Part):
    """What bounds a trigger's runs."""

    # Defaults are those of events; `completed` has the others.

    concurrency: Concurrency = Field(default_factory=Concurrency)
    #: What becomes of an event or an occurrence while as many runs as may be are under way: each
    #: waits for its turn (`buffer_all`), it starts nothing (`skip`), or one waits (`buffer_one`):
    #: with a batch, which stays open meanwhile, the next run takes everything; of a schedule's
    #: occurrences, those that come while one waits are skipped.
    overlap: Literal["buffer_all", "skip", "buffer_one"] = Field(default="buffer_all", **_BY_SOURCE)
    #: Runs that may begin within one day, UTC; what is beyond waits for the next.
    max_runs_per_day: Limit = 1000
    #: What becomes of an event while the trigger is paused: it waits (`hold`) or starts nothing.
    while_paused: Literal["hold", "drop"] = Field(default="hold", **_BY_SOURCE)
    retry: Retry = Field(default_factory=Retry)
    #: A job that takes longer is canceled, and its run has failed.
    run_timeout: Duration | None = None
    #: How many runs may follow one another, each started by the end of the one before.
    max_depth: Annotated[int, Field(ge=1, le=100)] = 5
    batch: Batch | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.overlap == "buffer_one" and not self.bounded:
            raise ValueError("overlap buffer_one needs a concurrency.limit")
        if self.run_timeout is not None and self.run_timeout < timedelta(minutes=1):
            raise ValueError("run_timeout is shorter than PT1M")
        return self

    @property
    def bounded(self) -> bool:
        """Whether runs take a slot."""
        return self.concurrency.limit is not None or self.max_runs_per_day is not None


class Sweep(Part):
    """Looking for uploads whose events were lost."""

    every: Duration = timedelta(hours=1)
    #: How far back an upload may lie.
    lookback: Duration = timedelta(days=2)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.every < timedelta(minutes=5):
            raise ValueError("every is shorter than PT5M")
        if self.lookback < self.every:
            raise ValueError("lookback is shorter than every: uploads in between would be missed")
        return self
