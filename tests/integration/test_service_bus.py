"""Queues with the official SDK: sending, locks, settling, dead letters, peeking."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    ServiceBusAuthenticationError,
    ServiceBusError,
)

from emulator.service_bus.entities import Namespace, Queue
from tests.integration.service_bus import RunningBroker, running_broker

QUEUES = (
    *("send", "batch", "settle", "again", "renew", "lost", "peek", "delete", "release", "defer"),
    *("late", "busy"),
)


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    queues = tuple(Queue(name=name) for name in QUEUES)
    fragile = Queue(name="fragile", max_delivery_count=2)
    with running_broker(Namespace(queues=(*queues, fragile))) as running:
        yield running


@pytest.fixture(scope="module")
def client(broker: RunningBroker) -> Iterator[ServiceBusClient]:
    with broker.client() as client:
        yield client


@contextmanager
def both_ends(
    client: ServiceBusClient, queue: str
) -> Iterator[tuple[ServiceBusSender, ServiceBusReceiver]]:
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        yield sender, receiver


def test_a_message_is_sent_received_and_completed(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with both_ends(client, "send") as (sender, receiver):
        before = datetime.now(UTC)
        sender.send_messages(ServiceBusMessage("hello"))
        [message] = receiver.receive_messages(max_wait_time=5)
        assert str(message) == "hello"
        assert message.sequence_number == 1
        assert message.delivery_count == 0
        assert isinstance(message.lock_token, uuid.UUID)
        assert message.enqueued_time_utc is not None
        assert abs(message.enqueued_time_utc - before) < timedelta(seconds=5)
        assert message.locked_until_utc is not None
        assert abs(message.locked_until_utc - before - timedelta(seconds=60)) < timedelta(seconds=5)
        assert broker.entity("send")["locked"] == 1
        receiver.complete_message(message)
    assert broker.entity("send") == {
        "active": 0,
        "locked": 0,
        "scheduled": 0,
        "dead_lettered": 0,
        "messages": [],
    }


def test_a_batch_is_as_many_messages(client: ServiceBusClient) -> None:
    with both_ends(client, "batch") as (sender, receiver):
        batch = sender.create_message_batch()
        assert batch.max_size_in_bytes == 256 * 1024
        for number in range(30):
            batch.add_message(ServiceBusMessage(f"{number}", message_id=f"id-{number}"))
        sender.send_messages(batch)
        sender.send_messages([ServiceBusMessage("30"), ServiceBusMessage("31")])
        messages: list[ServiceBusReceivedMessage] = []
        while len(messages) < 32:
            received = receiver.receive_messages(max_message_count=32, max_wait_time=5)
            assert received
            messages += received
        assert [str(message) for message in messages] == [str(number) for number in range(32)]
        assert [message.sequence_number for message in messages] == list(range(1, 33))
        assert messages[29].message_id == "id-29"
        for message in messages:
            receiver.complete_message(message)


def test_an_abandoned_message_comes_again_and_counts(client: ServiceBusClient) -> None:
    with both_ends(client, "settle") as (sender, receiver):
        sender.send_messages(ServiceBusMessage("again"))
        for count in range(3):
            [message] = receiver.receive_messages(max_wait_time=5)
            assert message.delivery_count == count
            receiver.abandon_message(message)
        [message] = receiver.receive_messages(max_wait_time=5)
        receiver.complete_message(message)


def test_a_dead_lettered_message_says_why(broker: RunningBroker, client: ServiceBusClient) -> None:
    with both_ends(client, "again") as (sender, receiver):
        sender.send_messages(ServiceBusMessage("bad", application_properties={"kept": "yes"}))
        [message] = receiver.receive_messages(max_wait_time=5)
        receiver.dead_letter_message(message, reason="Broken", error_description="It is broken.")
    seen = broker.entity("again")
    assert (seen["active"], seen["dead_lettered"]) == (0, 1)
    [shown] = broker.entity("again/$DeadLetterQueue")["messages"]
    assert shown["dead_letter_reason"] == "Broken"
    assert shown["dead_letter_description"] == "It is broken."
    with client.get_queue_receiver("again", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead:
        [message] = dead.receive_messages(max_wait_time=5)
        assert str(message) == "bad"
        assert message.dead_letter_reason == "Broken"
        assert message.dead_letter_error_description == "It is broken."
        assert (message.application_properties or {})[b"kept"] == b"yes"
        with pytest.raises(ServiceBusError, match="has no dead-letter queue of its own"):
            dead.dead_letter_message(message, reason="Again")
    assert broker.entity("again")["dead_lettered"] == 1


def test_too_many_deliveries_dead_letter_a_message(client: ServiceBusClient) -> None:
    with both_ends(client, "fragile") as (sender, receiver):
        sender.send_messages(ServiceBusMessage("twice"))
        for _ in range(2):
            [message] = receiver.receive_messages(max_wait_time=5)
            receiver.abandon_message(message)
        assert receiver.receive_messages(max_wait_time=0.3) == []
    with client.get_queue_receiver("fragile", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as dead:
        [message] = dead.receive_messages(max_wait_time=5)
        assert message.dead_letter_reason == "MaxDeliveryCountExceeded"
        assert message.delivery_count == 2
        # a dead-letter queue never gives up on a message
        for _ in range(3):
            dead.abandon_message(message)
            [message] = dead.receive_messages(max_wait_time=5)
        dead.complete_message(message)


def test_a_renewed_lock_holds_and_an_expired_one_is_lost(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with both_ends(client, "renew") as (sender, receiver):
        sender.send_messages(ServiceBusMessage("slow"))
        [message] = receiver.receive_messages(max_wait_time=5)
        broker.pass_time(40)
        assert receiver.renew_message_lock(message) > datetime.now(UTC) + timedelta(seconds=90)
        broker.pass_time(40)
        receiver.complete_message(message)

        sender.send_messages(ServiceBusMessage("too slow"))
        [message] = receiver.receive_messages(max_wait_time=5)
        broker.pass_time(61)
        with pytest.raises(MessageLockLostError):
            receiver.renew_message_lock(message)
        with pytest.raises(MessageLockLostError):
            receiver.complete_message(message)
        [again] = receiver.receive_messages(max_wait_time=5)
        assert str(again) == "too slow"
        assert again.delivery_count == 1
        receiver.complete_message(again)


def test_the_old_lock_does_not_settle_the_new_delivery(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with both_ends(client, "lost") as (sender, first), client.get_queue_receiver("lost") as second:
        sender.send_messages(ServiceBusMessage("one"))
        [old] = first.receive_messages(max_wait_time=5)
        broker.pass_time(61)
        [new] = second.receive_messages(max_wait_time=5)
        with pytest.raises(MessageLockLostError):
            first.complete_message(old)
        assert broker.entity("lost")["locked"] == 1
        second.complete_message(new)
    assert broker.entity("lost")["messages"] == []


def test_settling_over_management_does_the_same(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with client.get_queue_sender("late") as sender:
        sender.send_messages([ServiceBusMessage("complete"), ServiceBusMessage("dead")])
    with client.get_queue_receiver("late") as receiver:
        one, two = receiver.receive_messages(max_message_count=2, max_wait_time=5)
        # what the SDK does when the link has gone meanwhile
        receiver._settle_message_via_mgmt_link("completed", [one.lock_token])  # type: ignore[list-item]
        details = {"deadletter-reason": "R", "deadletter-description": "D"}
        receiver._settle_message_via_mgmt_link("suspended", [two.lock_token], details)  # type: ignore[list-item]
        with pytest.raises(MessageLockLostError):
            receiver._settle_message_via_mgmt_link("abandoned", [one.lock_token])  # type: ignore[list-item]
    assert broker.entity("late")["messages"] == []
    [dead] = broker.entity("late/$DeadLetterQueue")["messages"]
    assert (dead["body"], dead["dead_letter_reason"]) == ("dead", "R")


def test_peeking_shows_messages_and_leaves_them(client: ServiceBusClient) -> None:
    with both_ends(client, "peek") as (sender, receiver):
        assert receiver.peek_messages(5) == []
        sender.send_messages([ServiceBusMessage(str(number)) for number in range(5)])
        peeked = receiver.peek_messages(3)
        assert [(str(m), m.sequence_number) for m in peeked] == [("0", 1), ("1", 2), ("2", 3)]
        assert [str(m) for m in receiver.peek_messages(5)] == ["3", "4"]
        assert [str(m) for m in receiver.peek_messages(2, sequence_number=2)] == ["1", "2"]
        assert len(receiver.receive_messages(max_message_count=5, max_wait_time=5)) == 5


def test_receive_and_delete_removes_at_once(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with client.get_queue_sender("delete") as sender:
        sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with client.get_queue_receiver("delete", receive_mode=mode) as receiver:
        received = receiver.receive_messages(max_message_count=2, max_wait_time=5)
        assert [str(message) for message in received] == ["a", "b"]
    assert broker.entity("delete")["messages"] == []


def test_closing_a_receiver_gives_its_prefetched_messages_back(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with client.get_queue_sender("release") as sender:
        sender.send_messages([ServiceBusMessage(str(number)) for number in range(10)])
    with client.get_queue_receiver("release", prefetch_count=10) as receiver:
        [message] = receiver.receive_messages(max_message_count=1, max_wait_time=5)
        receiver.complete_message(message)
    seen = broker.entity("release")
    assert (seen["active"], seen["locked"]) == (9, 0)
    assert {message["delivery_count"] for message in seen["messages"]} == {0}


def test_deferring_is_refused_by_name(broker: RunningBroker, client: ServiceBusClient) -> None:
    with both_ends(client, "defer") as (sender, receiver):
        sender.send_messages(ServiceBusMessage("later"))
        [message] = receiver.receive_messages(max_wait_time=5)
        with pytest.raises(ServiceBusError, match="deferred messages are not implemented"):
            receiver.defer_message(message)
        assert broker.entity("defer")["locked"] == 1
        with pytest.raises(ServiceBusError, match="deferred messages are not implemented"):
            receiver.receive_deferred_messages([1])


def test_an_unknown_entity_is_named_in_the_refusal(client: ServiceBusClient) -> None:
    with (
        pytest.raises(ServiceBusAuthenticationError) as refused,
        client.get_queue_sender("nowhere"),
    ):
        pass
    cause = str(refused.value.inner_exception)
    assert "Status code: 404" in cause
    assert "/nowhere' could not be found" in cause


def test_many_receivers_never_get_the_same_message(client: ServiceBusClient) -> None:
    with client.get_queue_sender("busy") as sender:
        sender.send_messages([ServiceBusMessage(str(number)) for number in range(120)])
    seen: list[str] = []
    with (
        client.get_queue_receiver("busy", prefetch_count=7) as one,
        client.get_queue_receiver("busy", prefetch_count=7) as two,
        client.get_queue_receiver("busy") as three,
    ):
        while len(seen) < 120:
            before = len(seen)
            for receiver in (one, two, three):
                for message in receiver.receive_messages(max_message_count=5, max_wait_time=0.2):
                    seen.append(str(message))
                    receiver.complete_message(message)
            assert len(seen) > before
    assert sorted(seen, key=int) == [str(number) for number in range(120)]
