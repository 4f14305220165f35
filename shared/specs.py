"""When a trigger fires: its source, and what must hold of an event besides."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Self
from typing import Literal as TypingLiteral

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from shared import crons, exclusions, time_zones
from shared.durations import Duration, in_iso
from shared.events import QUEUE, TOPIC, Text
from shared.moments import Moment

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

Name = Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]

#: What a name is.
NAME_IN_WORDS = (
    "lower-case letters, digits, '_' and '-', beginning with a letter, at most 63 characters"
)

_ENTITY = r"^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9_])?$"
_ACCOUNT = r"^[a-z0-9]{3,24}$"
_CONTAINER = r"^[a-z0-9$](?:-?[a-z0-9]){2,62}$"

#: Pattern -> what is said of a text that does not fit it.
FORMS = {
    rf"^{NAME.pattern}$": f"is no name: {NAME_IN_WORDS}",
    _ENTITY: "is no name of a queue, topic or subscription: letters, digits, '.', '_', '-' and '/'",
    _ACCOUNT: "is no storage account's name: 3 to 24 lower-case letters and digits",
    _CONTAINER: "is no container's name: 3 to 63 lower-case letters, digits and single '-'",
}

Entity = Annotated[str, Field(pattern=_ENTITY)]
Pattern = Annotated[str, Field(min_length=1, max_length=1024)]

#: What a trigger may be for; a document names one of them.
SOURCES = ("blob", "service_bus", "schedule", "http", "run", "event")


class Part(BaseModel):
    """A part of a document: unknown keys are mistakes."""

    # Written as it is read: `not` is an alias.
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class BlobSpec(Part):
    """An upload to a container was finished."""

    #: Storage account name, as in https://<account>.blob.core.windows.net.
    account: Annotated[str, Field(pattern=_ACCOUNT)]
    container: Annotated[str, Field(pattern=_CONTAINER, max_length=63)]
    #: Path pattern; `{name}` captures text up to the next `/`.
    path: Pattern


class ServiceBusSpec(Part):
    """A message came: in a queue, or in a subscription of a topic."""

    queue: Entity | None = None
    topic: Entity | None = None
    subscription: Entity | None = None
    #: What makes two messages the same: their place in the queue, or the id their sender gave
    #: them. Senders reuse ids, so that is for those who know theirs do not.
    dedupe_by: TypingLiteral["sequence_number", "message_id"] = "sequence_number"

    @model_validator(mode="after")
    def _one_entity(self) -> Self:
        by_topic = self.topic is not None and self.subscription is not None
        none_of_topic = self.topic is None and self.subscription is None
        if not (by_topic if self.queue is None else none_of_topic):
            raise ValueError("name a queue, or a topic and its subscription")
        return self

    @property
    def via(self) -> str:
        """How events of this entity come in; see `Event.via`."""
        if self.queue is not None:
            return f"{QUEUE}{self.queue}"
        return f"{TOPIC}{self.topic}/{self.subscription}"


class NewBlobs(Part):
    """Uploads that a schedule looks for."""

    #: The account of the workspace's own datastore when left out.
    account: Annotated[str, Field(pattern=_ACCOUNT)] | None = None
    container: Annotated[str, Field(pattern=_CONTAINER, max_length=63)]
    #: Path pattern; what it captures is in the manifest.
    path: Pattern


class OnlyIf(Part):
    """What must be there when a schedule is due; without it the occurrence is skipped."""

    #: Uploads since those that the last run which completed was given.
    new_blobs: NewBlobs


class Studio(Part):
    """What AzureML's studio shows of a schedule that AzureML keeps; it does nothing else."""

    #: The trigger's name when left out.
    display_name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    description: Annotated[str, Field(min_length=1, max_length=5000)] | None = None
    tags: Annotated[dict[str, str], Field(max_length=40)] = Field(default_factory=dict)

    @field_validator("tags")
    @classmethod
    def _free(cls, value: dict[str, str]) -> dict[str, str]:
        if taken := sorted(name for name in value if name.startswith("signalbox_")):
            raise ValueError(f"{', '.join(taken)}: tags of such names say whose it is; rename them")
        return value


_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def _texts(value: Any, read: Callable[[str], str]) -> tuple[str, ...]:
    """What each text is read as; one may be written without a list.

    Raises ValueError with everything that is wrong.
    """
    found, wrong = dict[str, None](), list[str]()
    for each in value if isinstance(value, list | tuple) else (value,):
        # YAML makes dates of what looks like one.
        day = isinstance(each, date) and not isinstance(each, datetime)
        text = each.isoformat() if day else each
        try:
            if not isinstance(text, str):
                raise ValueError(f"{each!r} is no text; quote it, as in '0 6 * * *'")
            found[read(text)] = None
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(found)


_BOUNDS = {
    "every": (timedelta(minutes=1), timedelta(days=366)),
    "jitter": (timedelta(0), timedelta(days=1)),
    # The clock is looked at once a minute, and may be late.
    "catchup_window": (timedelta(minutes=5), timedelta(days=366)),
}


class ScheduleSpec(Part):
    """A time came: by local times in a time zone, or every so often."""

    #: Local times, as expressions of five fields; each as `crons.expression` returns it.
    cron: Annotated[
        tuple[str, ...], Field(max_length=50), WithJsonSchema(_TEXTS, mode="validation")
    ] = ()
    #: Elapsed time, whatever clocks do. Exactly one of the two.
    every: Duration | None = None
    #: What is left out, by local time: what a cron expression is for, days, ranges of days.
    exclude: Annotated[
        tuple[str, ...], Field(max_length=1000), WithJsonSchema(_TEXTS, mode="validation")
    ] = ()
    #: IANA.
    time_zone: str = "UTC"
    #: Nothing is due before.
    start_time: Moment | None = None
    #: Nothing is due then or later.
    end_time: Moment | None = None
    #: Runs begin later by up to so long, each trigger's at another moment.
    jitter: Duration | None = None
    #: What is later than this is not made up for.
    catchup_window: Duration = timedelta(days=1)
    #: Whose clock it is: the app's, or a schedule in AzureML.
    engine: TypingLiteral["signalbox", "azureml"] = "signalbox"
    only_if: OnlyIf | None = None
    #: Of one that AzureML keeps: what its studio shows of it.
    studio: Studio | None = None

    @field_validator("cron", mode="before")
    @classmethod
    def _expressions(cls, value: Any) -> tuple[str, ...]:
        return _texts(value, crons.expression)

    @field_validator("exclude", mode="before")
    @classmethod
    def _exclusions(cls, value: Any) -> tuple[str, ...]:
        found = _texts(value, exclusions.exclusion)
        # Days are looked up, expressions are tried one by one.
        if sum(" " in each for each in found) > 50:
            raise ValueError("has more than 50 cron expressions; put several in one")
        return found

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return time_zones.zone(value).key

    @field_validator("every", "jitter", "catchup_window")
    @classmethod
    def _sensible(cls, value: timedelta | None, info: ValidationInfo) -> timedelta | None:
        least, most = _BOUNDS[str(info.field_name)]
        if value is not None and not least <= value <= most:
            raise ValueError(f"must be from {in_iso(least)} to {in_iso(most)}")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if bool(self.cron) == (self.every is not None):
            there = "there are both" if self.cron else "there is neither"
            raise ValueError(f"name exactly one of cron and every; {there}")
        if self.studio is not None and self.engine != "azureml":
            raise ValueError("studio is for a schedule in AzureML (engine: azureml); leave it out")
        start, end = self.starts, self.ends
        if start is not None and end is not None and end <= start:
            raise ValueError("end_time is not after start_time, so nothing would ever be due")
        return self

    @property
    def text(self) -> str:
        """When it is due, on one line."""
        if self.every is not None:
            return f"every {in_iso(self.every)}"
        return f"{' and '.join(self.cron)} ({self.time_zone})"

    @property
    def starts(self) -> datetime | None:
        """The first moment at which anything may be due, UTC."""
        return self._instant(self.start_time)

    @property
    def ends(self) -> datetime | None:
        """The first moment at which nothing is due any more, UTC."""
        return self._instant(self.end_time)

    def _instant(self, moment: datetime | None) -> datetime | None:
        if moment is None or moment.tzinfo is not None:
            return moment.astimezone(UTC) if moment else None
        return time_zones.reached(moment, time_zones.zone(self.time_zone))


class HttpSpec(Part):
    """A client handed it an event: POST /api/triggers/<name>/events."""


_STATUS = {"enum": ["completed", "failed", "canceled"]}


class RunSpec(Part):
    """A run of Signalbox ended."""

    #: The pipeline that ran; any when left out.
    pipeline: Name | None = None
    #: The trigger that had started it; any when left out.
    trigger: Name | None = None
    #: How it ended.
    status: Annotated[
        tuple[TypingLiteral["completed", "failed", "canceled"], ...],
        Field(min_length=1),
        # One of them may be written without a list.
        WithJsonSchema(
            {"anyOf": [_STATUS, {"type": "array", "items": _STATUS, "minItems": 1}]},
            mode="validation",
        ),
    ] = ("completed",)

    @field_validator("status", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class EventSpec(Part):
    """Any CloudEvent, however it came."""

    type: Text
    source: Text | None = None
    #: Pattern of the subject; `{name}` captures text up to the next `/`.
    subject: Pattern | None = None


class Filter(Part):
    """CloudEvents' filter dialects; several of them must all hold.

    Source: CloudEvents Subscriptions API, 3.2.4.1.
    """

    #: Attribute -> text that it must be, begin with, or end with.
    exact: dict[str, str] = Field(default_factory=dict)
    prefix: dict[str, str] = Field(default_factory=dict)
    suffix: dict[str, str] = Field(default_factory=dict)
    all: Annotated[tuple["Filter", ...], Field(max_length=50)] = ()
    any: Annotated[tuple["Filter", ...], Field(max_length=50)] = ()
    #: `not` in YAML.
    not_: "Filter | None" = Field(default=None, alias="not")

    @field_validator("exact", "prefix", "suffix")
    @classmethod
    def _attributes(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name == "data" or not re.fullmatch(r"[a-z0-9]{1,20}", name):
                raise ValueError(
                    f"{name!r} is no attribute of an event; use id, source, type, subject or an "
                    "extension attribute, and `where` for what is in data"
                )
        return value


class Spec(Part):
    """When a trigger fires: one source, and what must hold besides."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [source]} for source in SOURCES]}
    )

    blob: BlobSpec | None = None
    service_bus: ServiceBusSpec | None = None
    schedule: ScheduleSpec | None = None
    http: HttpSpec | None = None
    run: RunSpec | None = None
    event: EventSpec | None = None
    filter: Filter = Field(default_factory=Filter)
    #: JMESPath that must be true, over `event`, `captures` and `settings`.
    where: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        named = [name for name in SOURCES if getattr(self, name) is not None]
        if len(named) != 1:
            there = " and ".join(named) or "none"
            raise ValueError(f"name exactly one of {', '.join(SOURCES)}; there is {there}")
        said = {"filter": self.filter != Filter(), "where": self.where is not None}
        if self.schedule and any(said.values()):
            raise ValueError(
                f"leave out {' and '.join(name for name in said if said[name])}: a schedule has no "
                "events; leave times out by schedule.exclude, and wait for uploads by "
                "schedule.only_if"
            )
        return self

    @property
    def source(self) -> str:
        """Which of SOURCES it is."""
        return next(name for name in SOURCES if getattr(self, name) is not None)

    @property
    def pattern(self) -> str | None:
        """The pattern that its captures come from."""
        if self.blob:
            return self.blob.path
        return self.event.subject if self.event else None
