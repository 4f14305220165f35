"""What messages carry, and when they come: properties, sizes, schedules, expiry, topics."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusMessageState
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType
from azure.servicebus.exceptions import MessageSizeExceededError, ServiceBusError

from emulator.service_bus.entities import Namespace, Queue, Subscription, Topic
from tests.integration.service_bus import RunningBroker, running_broker

NAMESPACE = Namespace(
    queues=(
        *(Queue(name=name) for name in ("properties", "bodies", "large", "scheduled", "ttl")),
        Queue(name="Jobs.High_1"),
        Queue(name="once", duplicate_detection_seconds=60),
        Queue(name="short", default_ttl_seconds=5, dead_letter_on_expiration=True),
    ),
    topics=(
        Topic(
            name="events",
            subscriptions=(Subscription(name="first"), Subscription(name="second")),
            duplicate_detection_seconds=60,
        ),
    ),
)


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    with running_broker(NAMESPACE) as running:
        yield running


@pytest.fixture(scope="module")
def client(broker: RunningBroker) -> Iterator[ServiceBusClient]:
    with broker.client() as client:
        yield client


def send(client: ServiceBusClient, queue: str, *messages: Any) -> None:
    with client.get_queue_sender(queue) as sender:
        for message in messages:
            sender.send_messages(message)


def bodies(broker: RunningBroker, path: str) -> list[str]:
    return [message["body"] for message in broker.entity(path)["messages"]]


def test_every_property_arrives_as_it_was_sent(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    identity = uuid.uuid4()
    application_properties: dict[str | bytes, Any] = {
        "text": "täxt",
        "number": 7,
        "large": 2**31 - 1,
        "negative": -3,
        "ratio": 0.25,
        "yes": True,
        "no": False,
        "id": identity,
    }
    message = ServiceBusMessage(
        b"\x00\xff body",
        application_properties=application_properties,
        message_id="m-1",
        subject="a subject",
        content_type="application/json",
        correlation_id="c-1",
        to="somebody",
        reply_to="somewhere",
        time_to_live=timedelta(hours=1),
    )
    send(client, "properties", message)
    [shown] = broker.entity("properties")["messages"]
    assert shown["message_id"] == "m-1"
    assert shown["subject"] == "a subject"
    assert shown["application_properties"] == {**application_properties, "id": str(identity)}
    with client.get_queue_receiver("properties") as receiver:
        [got] = receiver.receive_messages(max_wait_time=5)
        assert b"".join(got.body) == b"\x00\xff body"
        assert got.application_properties == {
            b"text": "täxt".encode(),
            b"number": 7,
            b"large": 2**31 - 1,
            b"negative": -3,
            b"ratio": 0.25,
            b"yes": True,
            b"no": False,
            b"id": identity,
        }
        assert (got.message_id, got.subject) == ("m-1", "a subject")
        assert (got.content_type, got.correlation_id) == ("application/json", "c-1")
        assert (got.to, got.reply_to) == ("somebody", "somewhere")
        assert got.time_to_live == timedelta(hours=1)
        assert got.enqueued_time_utc is not None
        assert got.expires_at_utc == got.enqueued_time_utc + timedelta(hours=1)
        receiver.complete_message(got)


def test_bodies_of_values_and_sequences_pass(client: ServiceBusClient) -> None:
    value = AmqpAnnotatedMessage(value_body={b"a": [1, None, b"x"]})
    send(client, "bodies", value, AmqpAnnotatedMessage(sequence_body=[1, b"two"]))
    with client.get_queue_receiver("bodies") as receiver:
        one, two = receiver.receive_messages(max_message_count=2, max_wait_time=5)
        assert one.body_type == AmqpMessageBodyType.VALUE
        assert one.body == {b"a": [1, None, b"x"]}
        assert two.body_type == AmqpMessageBodyType.SEQUENCE
        assert [list(part) for part in two.body] == [[1, b"two"]]


def test_a_message_of_many_frames_arrives_whole(client: ServiceBusClient) -> None:
    body = bytes(number % 251 for number in range(200_000))
    send(client, "large", ServiceBusMessage(body, application_properties={"n": 1}))
    with client.get_queue_receiver("large") as receiver:
        [message] = receiver.receive_messages(max_wait_time=5)
        assert b"".join(message.body) == body
        receiver.complete_message(message)


def test_a_message_of_more_than_256_kb_is_refused(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with client.get_queue_sender("large") as sender:
        with pytest.raises(MessageSizeExceededError, match=r"exceeds the limit \(262144 bytes\)"):
            sender.send_messages(ServiceBusMessage(b"x" * 300_000))
        # and the link still works
        sender.send_messages(ServiceBusMessage(b"x" * 250_000))
    [shown] = broker.entity("large")["messages"]
    assert len(shown["body"]) == 250_000


def test_scheduled_messages_come_at_their_time(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    with client.get_queue_sender("scheduled") as sender:
        numbers = sender.schedule_messages(
            [ServiceBusMessage("kept"), ServiceBusMessage("cancelled")], due
        )
        sender.send_messages(ServiceBusMessage("property", scheduled_enqueue_time_utc=due))
        sender.cancel_scheduled_messages(numbers[1])
        with pytest.raises(
            ServiceBusError, match=f"no scheduled message has the number {numbers[1]}"
        ):
            sender.cancel_scheduled_messages(numbers[1])
    seen = broker.entity("scheduled")
    assert (seen["active"], seen["scheduled"]) == (0, 2)
    with client.get_queue_receiver("scheduled") as receiver:
        peeked = receiver.peek_messages(5)
        assert [message.state for message in peeked] == [ServiceBusMessageState.SCHEDULED] * 2
        assert peeked[0].scheduled_enqueue_time_utc is not None
        assert abs(peeked[0].scheduled_enqueue_time_utc - due) < timedelta(seconds=1)
        broker.pass_time(3500)
        assert broker.entity("scheduled")["scheduled"] == 2
        broker.pass_time(101)
        received = receiver.receive_messages(max_message_count=5, max_wait_time=5)
        received += receiver.receive_messages(max_message_count=5, max_wait_time=0.3)
        assert sorted(str(message) for message in received) == ["kept", "property"]
        # they were enqueued when they were due, and numbered then
        assert min(message.sequence_number or 0 for message in received) > max(numbers)


def test_a_message_id_is_taken_once_within_the_window(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    def message(body: str, message_id: str | None) -> ServiceBusMessage:
        return ServiceBusMessage(body, message_id=message_id)

    send(client, "once", message("1", "a"), message("2", "a"), message("3", "b"))
    send(client, "once", message("4", None), message("5", None))
    with client.get_queue_sender("once") as sender:
        sender.send_messages([message("6", "a"), message("7", "c"), message("8", "c")])
    assert bodies(broker, "once") == ["1", "3", "4", "5", "7"]
    broker.pass_time(61)
    send(client, "once", message("9", "a"))
    assert bodies(broker, "once")[-1] == "9"


def test_expired_messages_are_gone(broker: RunningBroker, client: ServiceBusClient) -> None:
    brief = ServiceBusMessage("brief", time_to_live=timedelta(seconds=100))
    send(client, "ttl", brief, ServiceBusMessage("lasting"))
    broker.pass_time(60)
    assert bodies(broker, "ttl") == ["brief", "lasting"]
    broker.pass_time(41)
    assert bodies(broker, "ttl") == ["lasting"]
    assert broker.entity("ttl")["dead_lettered"] == 0


def test_expired_messages_are_dead_lettered_where_that_is_declared(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    send(client, "short", ServiceBusMessage("default", time_to_live=timedelta(hours=1)))
    broker.pass_time(6)
    assert broker.entity("short")["active"] == 0
    [dead] = broker.entity("short/$DeadLetterQueue")["messages"]
    assert dead["dead_letter_reason"] == "TTLExpiredException"


def test_each_subscription_gets_its_own_copy(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with client.get_topic_sender("events") as sender:
        sender.send_messages(ServiceBusMessage("news", message_id="n"))
        sender.send_messages(ServiceBusMessage("news again", message_id="n"))
        [number] = sender.schedule_messages(
            ServiceBusMessage("cancelled"), datetime.now(UTC) + timedelta(hours=2)
        )
        sender.cancel_scheduled_messages(number)
        sender.schedule_messages(
            ServiceBusMessage("later"), datetime.fromtimestamp(broker.now() + 100, UTC)
        )
    with client.get_subscription_receiver("events", "first") as receiver:
        [message] = receiver.receive_messages(max_wait_time=5)
        assert str(message) == "news"
        receiver.dead_letter_message(message, reason="why not")
    assert bodies(broker, "events/Subscriptions/first") == []
    assert bodies(broker, "events/Subscriptions/first/$DeadLetterQueue") == ["news"]
    assert bodies(broker, "events/Subscriptions/second") == ["news"]
    broker.pass_time(101)
    assert bodies(broker, "events/Subscriptions/first") == ["later"]
    assert bodies(broker, "events/Subscriptions/second") == ["news", "later"]


def test_names_are_compared_without_regard_to_case(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    send(client, "jobs.high_1", ServiceBusMessage("x"))
    assert bodies(broker, "Jobs.High_1") == ["x"]


def test_topics_do_not_receive_and_subscriptions_do_not_take(client: ServiceBusClient) -> None:
    with (
        pytest.raises(ServiceBusError, match="events is a topic: receive from its subscriptions"),
        client.get_queue_receiver("events"),
    ):
        pass
    with (
        pytest.raises(ServiceBusError, match="messages cannot be sent to events/Subscriptions/"),
        client.get_queue_sender("events/Subscriptions/first"),
    ):
        pass
