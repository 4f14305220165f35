"""What health and the publisher of outcomes tell when Service Bus refuses, asked of a broker."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from emulator.service_bus.entities import Namespace, Queue, Subscription, Topic
from shared.broker import Broker
from shared.errors import MessagingUnavailable
from shared.events import Event
from shared.outcomes import ServiceBusOutcomes
from shared.settings import load
from tests.integration.service_bus import RunningBroker, running_broker
from tests.unit.test_bootstrap import ENVIRONMENT
from tests.unit.test_service_bus import Anonymous

NO_CLAIM = {
    "condition": "amqp:unauthorized-access",
    "description": "Unauthorized access. 'Send' claim(s) are required to perform this operation.",
}
TOLD = Event(
    id="1",
    source="/signalbox/dev",
    type="signalbox.run.completed",
    subject="r.1",
    time=datetime(2026, 3, 14, tzinfo=UTC),
    via="run/p",
    data={"trigger": "t", "pipeline": "p"},
)


@pytest.fixture(scope="module")
def running() -> Iterator[RunningBroker]:
    topics = (
        Topic(name="company-news", subscriptions=(Subscription(name="signalbox"),)),
        Topic(name="told", subscriptions=(Subscription(name="everybody"),)),
    )
    queues = (Queue(name="signalbox-events"),)
    with running_broker(Namespace(queues=queues, topics=topics)) as running:
        yield running


def broker(running: RunningBroker, **settings: str) -> Broker:
    environment = {**ENVIRONMENT, "ServiceBusConnection": running.connection_string, **settings}
    return Broker(load(environment), Anonymous())


def outcomes(running: RunningBroker, topic: str) -> ServiceBusOutcomes:
    return ServiceBusOutcomes(
        topic,
        connection=running.connection_string,
        namespace=None,
        credential=Anonymous(),
        monotonic=lambda: 100.0,
    )


def test_everything_that_is_not_there_is_told_at_once(running: RunningBroker) -> None:
    settings = {"SIGNALBOX_EVENTS_QUEUE": "nowhere", "SIGNALBOX_OUTCOMES_TOPIC": "nobody"}
    with pytest.raises(MessagingUnavailable) as caught:
        broker(running, **settings).look()

    assert str(caught.value) == (
        "Service Bus has no queue 'nowhere'. Create it, or correct the app setting "
        "SIGNALBOX_EVENTS_QUEUE. Service Bus has no topic 'nobody'. Create it, or correct the app "
        "setting SIGNALBOX_OUTCOMES_TOPIC."
    )


def test_who_is_not_let_in_is_told_where(running: RunningBroker) -> None:
    running.faults(refuse_links=1, **NO_CLAIM)
    with pytest.raises(MessagingUnavailable) as caught:
        broker(running).look()

    assert "does not let the app in to queue 'signalbox-events'" in str(caught.value)
    assert "company-news" not in str(caught.value)


def test_outcomes_for_a_topic_that_is_not_there(running: RunningBroker) -> None:
    with pytest.raises(MessagingUnavailable, match="has no topic 'nobody'") as caught:
        outcomes(running, "nobody").publish([TOLD])

    assert "SIGNALBOX_OUTCOMES_TOPIC" in str(caught.value)


def test_outcomes_that_may_not_be_sent(running: RunningBroker) -> None:
    running.faults(refuse_links=1, **NO_CLAIM)
    with pytest.raises(MessagingUnavailable, match="does not let the app in to topic 'told'"):
        outcomes(running, "told").publish([TOLD])
    assert running.entity("told/Subscriptions/everybody")["messages"] == []


def test_a_topic_that_is_full_is_told_as_full(running: RunningBroker) -> None:
    full = {"condition": "amqp:resource-limit-exceeded", "description": "Maximum size reached."}
    running.faults(refuse_sends=1, **full)
    with pytest.raises(MessagingUnavailable, match="topic 'told', which is full"):
        outcomes(running, "told").publish([TOLD])
