"""Whether Service Bus lets the app in: to what it takes messages from, and to where it tells."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError

from shared import roles
from shared.errors import MessagingUnavailable
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusClient

#: Seconds that signing in may take.
_TIMEOUT = 5.0

#: What is opened, what it is, and the role that this takes.
_Link = tuple[Callable[[], AbstractContextManager[Any]], str, str]


class Broker:
    """Opens each link that the app needs, and closes it: takes and sends no message."""

    def __init__(self, settings: Settings, credential: TokenCredential) -> None:
        self._settings = settings
        self._credential = credential

    def look(self) -> str:
        """What was reached, in words. Raises MessagingUnavailable with what is wrong and to do."""
        if not (self._settings.service_bus_namespace or self._settings.service_bus_connection):
            return "No Service Bus is configured."
        what, reached = "anything", []
        try:
            with self._connect() as client:
                for link, what, role in self._links(client):
                    self._open(link, what, role)
                    reached.append(what)
        except (AzureError, OSError, ValueError) as error:
            if isinstance(error, ClientAuthenticationError):
                said = f"Could not sign in to Service Bus: {roles.sign_in(error)}"
                raise MessagingUnavailable(said) from error
            raise MessagingUnavailable(
                f"Service Bus could not be asked for {what}: {error}"
            ) from error
        return "Service Bus answers: " + ", ".join(reached) + "."

    def _open(self, link: Callable[[], AbstractContextManager[Any]], what: str, role: str) -> None:
        from azure.servicebus.exceptions import (
            MessagingEntityNotFoundError,
            ServiceBusAuthenticationError,
            ServiceBusAuthorizationError,
        )

        try:
            with link():
                pass
        except (ServiceBusAuthenticationError, ServiceBusAuthorizationError) as error:
            raise MessagingUnavailable(
                f"Service Bus does not let the app in to {what}. {roles.give(role)}"
            ) from error
        except MessagingEntityNotFoundError as error:
            raise MessagingUnavailable(
                f"Service Bus has no {what}. Create it, or correct the app setting that names it."
            ) from error

    def _connect(self) -> "ServiceBusClient":
        from azure.servicebus import ServiceBusClient

        options: dict[str, Any] = {"retry_total": 0, "auth_timeout": _TIMEOUT}
        connection = self._settings.service_bus_connection
        if connection:
            return ServiceBusClient.from_connection_string(connection, **options)
        namespace = str(self._settings.service_bus_namespace)
        return ServiceBusClient(namespace, self._credential, **options)

    def _links(self, client: "ServiceBusClient") -> list[_Link]:
        queue, topic = self._settings.events_queue, self._settings.events_topic
        subscription, outcomes = self._settings.events_subscription, self._settings.outcomes_topic
        links: list[_Link] = [
            (lambda: client.get_queue_receiver(queue), f"queue {queue!r}", roles.MESSAGES),
            (
                lambda: client.get_subscription_receiver(topic, subscription),
                f"subscription {subscription!r} of topic {topic!r}",
                roles.MESSAGES,
            ),
        ]
        if outcomes is not None:
            sender = lambda: client.get_topic_sender(outcomes)  # noqa: E731
            links.append((sender, f"topic {outcomes!r}", roles.OUTCOMES))
        return links
