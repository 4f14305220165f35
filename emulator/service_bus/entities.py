"""The entities of one namespace, as they would be declared in a template."""

from pydantic import BaseModel, ConfigDict, Field


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Receivable(_Declared):
    """What queues and subscriptions have in common."""

    #: without "/" and "$"; compared without regard to case
    name: str = Field(min_length=1, max_length=260, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$")
    #: how long a received message is hidden from other receivers, seconds
    lock_seconds: float = Field(default=60.0, gt=0, le=300)
    #: failed deliveries after which a message is dead-lettered
    max_delivery_count: int = Field(default=10, ge=1, le=2000)
    #: seconds a message lives that names no time to live, and the longest it can ask for
    default_ttl_seconds: float | None = Field(default=None, gt=0)
    #: expired messages go to the dead-letter queue instead of away
    dead_letter_on_expiration: bool = False


class Queue(_Receivable):
    """A queue, and its dead-letter queue."""

    #: how long message ids are remembered, seconds; None: repeated ids are accepted
    duplicate_detection_seconds: float | None = Field(default=None, gt=0)


class Subscription(_Receivable):
    """A topic's subscription: it gets a copy of every message (there are no filters)."""


class Topic(_Declared):
    """A topic and its subscriptions."""

    name: str = Field(min_length=1, max_length=260, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$")
    subscriptions: tuple[Subscription, ...] = ()
    #: how long message ids are remembered, seconds; None: repeated ids are accepted
    duplicate_detection_seconds: float | None = Field(default=None, gt=0)


class Namespace(_Declared):
    """Everything that one connection string gives access to."""

    queues: tuple[Queue, ...] = ()
    topics: tuple[Topic, ...] = ()
