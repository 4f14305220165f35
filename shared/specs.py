"""When a trigger fires: its source, and what must hold of an event besides."""

import re
from typing import Annotated, Any, Self
from typing import Literal as TypingLiteral

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from shared.events import QUEUE, TOPIC, Text

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
SOURCES = ("blob", "service_bus", "http", "run", "event")


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
            said = " and ".join(named) or "none"
            raise ValueError(f"name exactly one of {', '.join(SOURCES)}; there is {said}")
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
