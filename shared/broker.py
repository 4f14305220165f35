"""Whether Service Bus lets the app in: to what it takes messages from, and to where it tells."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError

from shared import roles
from shared.errors import MessagingUnavailable
from shared.service_bus import Entity, ServiceBus, topic_for_outcomes
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusClient

#: What opens a link.
_Open = Callable[["ServiceBusClient"], AbstractContextManager[Any]]


class Broker:
    """Opens each link that the app needs, and closes it: takes and sends no message."""

    def __init__(self, settings: Settings, credential: TokenCredential) -> None:
        self._settings = settings
        self._bus = ServiceBus(
            credential=credential,
            namespace=settings.service_bus_namespace,
            connection=settings.service_bus_connection,
        )

    def look(self) -> str:
        """What was reached, in words. Raises MessagingUnavailable with all that is wrong."""
        if not (self._bus.namespace or self._bus.connection):
            return "No Service Bus is configured."
        wrong: list[str] = []
        reached: list[str] = []
        try:
            with self._bus.client() as client:
                for entity, opened in self._links():
                    try:
                        with opened(client):
                            reached.append(entity.what)
                    except (AzureError, OSError, ValueError) as error:
                        wrong.append(self._bus.refusal(error, entity))
                        if self._bus.is_away(error):
                            # The others would wait as long to say the same.
                            break
        except (AzureError, OSError, ValueError) as error:
            wrong.append(self._bus.refusal(error, self._links()[0][0]))
        if wrong:
            raise MessagingUnavailable(" ".join(wrong))
        return f"Service Bus answers: {', '.join(reached)}."

    def _links(self) -> list[tuple[Entity, _Open]]:
        queue, topic = self._settings.events_queue, self._settings.events_topic
        subscription, outcomes = self._settings.events_subscription, self._settings.outcomes_topic
        links: list[tuple[Entity, _Open]] = [
            (
                Entity(
                    what=f"queue {queue!r}", setting="SIGNALBOX_EVENTS_QUEUE", role=roles.MESSAGES
                ),
                lambda client: client.get_queue_receiver(queue),
            ),
            (
                Entity(
                    what=f"subscription {subscription!r} of topic {topic!r}",
                    setting="SIGNALBOX_EVENTS_SUBSCRIPTION or SIGNALBOX_EVENTS_TOPIC",
                    role=roles.MESSAGES,
                ),
                lambda client: client.get_subscription_receiver(topic, subscription),
            ),
        ]
        if outcomes is not None:
            links.append((topic_for_outcomes(outcomes), lambda c: c.get_topic_sender(outcomes)))
        return links
