"""What a Service Bus trigger's binding names: an entity and how to reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from emulator.functions_host.bindings import Function, HostError

_DEFAULT_CONNECTION = "AzureWebJobsServiceBus"
_DEAD_LETTERS = "/$deadletterqueue"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A queue, or a topic's subscription."""

    #: the namespace's connection string
    connection: str = field(repr=False)
    #: the queue or the topic
    entity: str
    subscription: str | None
    #: its dead-letter queue instead of itself
    dead_letters: bool
    #: one call gets many messages
    many: bool
    #: bodies are handed over as bytes instead of text
    binary: bool

    def __str__(self) -> str:
        name = f"{self.entity}/{self.subscription}" if self.subscription else self.entity
        return f"{name}/$DeadLetterQueue" if self.dead_letters else name

    @classmethod
    def of(cls, function: Function, settings: Mapping[str, str]) -> "Source":
        """The binding's source. HostError names what is missing or not implemented."""
        trigger = function.trigger
        if trigger.get("isSessionsEnabled"):
            raise _refusal(function, "isSessionsEnabled (message sessions)")
        if trigger.get("autoCompleteMessages") is False:
            raise _refusal(function, "autoCompleteMessages: false")
        subscription = trigger.get("subscriptionName")
        entity = trigger.get("queueName") or trigger.get("topicName")
        if not entity or bool(trigger.get("topicName")) != bool(subscription):
            raise HostError(
                f"{function.name}: a Service Bus trigger needs a queueName, or a topicName and a "
                f"subscriptionName"
            )
        last = subscription or entity
        dead_letters = last.lower().endswith(_DEAD_LETTERS)
        if dead_letters:
            last = last[: -len(_DEAD_LETTERS)]
        return cls(
            connection=_connection(function, settings),
            entity=entity if subscription else last,
            subscription=last if subscription else None,
            dead_letters=dead_letters,
            many=str(trigger.get("cardinality", "one")).lower() == "many",
            binary=str(trigger.get("dataType", "")).lower() == "binary",
        )


def _connection(function: Function, settings: Mapping[str, str]) -> str:
    """The connection string in the setting that the binding names."""
    name = function.trigger.get("connection") or _DEFAULT_CONNECTION
    if text := settings.get(name) or settings.get(f"AzureWebJobs{name}"):
        return text
    if any(setting.startswith(f"{name}__") for setting in settings):
        raise _refusal(function, f"the connection {name} by an identity ({name}__…)")
    raise HostError(
        f"{function.name}: the Service Bus connection string {name!r} is missing or empty; add "
        f"{name} to the app settings"
    )


def _refusal(function: Function, feature: str) -> HostError:
    return HostError(f"{function.name}: {feature} is not implemented by the local functions host")
