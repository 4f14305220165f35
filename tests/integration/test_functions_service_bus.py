"""Messages, sent with the official SDK, and the functions that are called with them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.identity import DefaultAzureCredential
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.storage.blob import BlobServiceClient

from tests.integration.basic_app import MESSAGING, BasicApp, running_app
from tests.integration.conftest import exported
from tests.integration.messaging_topology import MESSAGING_TOPOLOGY
from tests.integration.waiting import eventually
from tests.loopback import loopback


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicApp]:
    folder = tmp_path_factory.mktemp("messaging")
    with (
        running_app(MESSAGING, folder, topology=MESSAGING_TOPOLOGY) as running,
        exported(running.azure),
    ):
        yield running


@pytest.fixture(scope="module")
def bus(app: BasicApp) -> Iterator[ServiceBusClient]:
    connection = app.azure.environment["ServiceBusConnection"]
    with ServiceBusClient.from_connection_string(connection) as client:
        yield client


def send(bus: ServiceBusClient, queue: str, *messages: str | bytes | ServiceBusMessage) -> None:
    with bus.get_queue_sender(queue) as sender:
        for message in messages:
            given = (
                message if isinstance(message, ServiceBusMessage) else ServiceBusMessage(message)
            )
            sender.send_messages(given)


def calls(app: BasicApp, function: str, body: str) -> list[dict[str, Any]]:
    return [call for call in app.calls(function) if call["body"] == body]


def waiting(bus: ServiceBusClient, queue: str) -> int:
    """How many messages are in the queue, locked or not."""
    with bus.get_queue_receiver(queue) as receiver:
        return len(receiver.peek_messages(100))


def test_the_function_sees_what_was_sent_in_the_types_of_azure(
    app: BasicApp, bus: ServiceBusClient
) -> None:
    before = datetime.now(UTC)
    sent = ServiceBusMessage(
        "grüße",
        message_id="m-1",
        content_type="application/json",
        correlation_id="c-1",
        subject="greetings",
        to="somebody",
        reply_to="me",
        partition_key="p-1",
        application_properties={"text": "ä", "number": 7, "yes": True, "half": 0.5},
    )
    send(bus, "work", sent)
    (call,) = eventually(lambda: [c for c in app.calls("work") if c["message_id"] == "m-1"])
    assert call["body"].encode("latin-1").decode() == "grüße"
    assert call["content_type"] == "application/json"
    assert call["correlation_id"] == "c-1"
    assert (call["subject"], call["label"]) == ("greetings", "greetings")
    assert (call["to"], call["reply_to"], call["partition_key"]) == ("somebody", "me", "p-1")
    properties = {"text": "ä", "number": 7, "yes": True, "half": 0.5}
    assert call["application_properties"] == call["user_properties"] == properties
    assert type(call["sequence_number"]) is int
    assert call["delivery_count"] == 1
    assert call["unknown"] == [None, None, None]
    # as in Azure it is UTC that does not say so
    assert call["enqueued_is_aware"] is False
    enqueued = datetime.fromisoformat(call["enqueued"]).replace(tzinfo=UTC)
    assert before - timedelta(seconds=5) < enqueued < datetime.now(UTC) + timedelta(seconds=5)


def test_a_message_with_nothing_but_a_body(app: BasicApp, bus: ServiceBusClient) -> None:
    send(bus, "work", "plain")
    (call,) = eventually(lambda: calls(app, "work", "plain"))
    assert call["application_properties"] == {}
    assert [call[name] for name in ("subject", "correlation_id", "to", "content_type")] == [
        None
    ] * 4


def test_a_topics_subscription_calls_its_function(app: BasicApp, bus: ServiceBusClient) -> None:
    with bus.get_topic_sender("company-news") as sender:
        sender.send_messages(ServiceBusMessage("news", subject="s"))
    (call,) = eventually(lambda: calls(app, "news", "news"))
    assert call["subject"] == "s"


def test_bytes_stay_bytes_when_the_binding_says_binary(
    app: BasicApp, bus: ServiceBusClient
) -> None:
    body = bytes(range(256))
    send(bus, "bytes", body)
    eventually(lambda: calls(app, "bytes", body.decode("latin-1")))


def test_what_succeeded_is_gone(app: BasicApp, bus: ServiceBusClient) -> None:
    send(bus, "work", "once", "only")
    eventually(lambda: calls(app, "work", "once") and calls(app, "work", "only"))
    eventually(lambda: waiting(bus, "work") == 0)
    assert len(calls(app, "work", "once")) == 1


def test_a_failed_function_gets_its_message_again(app: BasicApp, bus: ServiceBusClient) -> None:
    send(bus, "work", "stumbles")
    eventually(lambda: len(calls(app, "work", "stumbles")) == 2)
    eventually(lambda: waiting(bus, "work") == 0)
    first, second = calls(app, "work", "stumbles")
    assert (first["delivery_count"], second["delivery_count"]) == (1, 2)
    assert first["sequence_number"] == second["sequence_number"]
    assert app.calls("buried") == []


def test_a_message_that_always_fails_is_dead_lettered_by_the_broker(
    app: BasicApp, bus: ServiceBusClient
) -> None:
    send(bus, "work", "doomed")
    (buried,) = eventually(lambda: calls(app, "buried", "doomed"))
    tries = calls(app, "work", "doomed")
    assert [call["delivery_count"] for call in tries] == [1, 2, 3]
    assert buried["message_id"] == tries[0]["message_id"]


def test_the_lock_is_renewed_while_the_function_runs(app: BasicApp, bus: ServiceBusClient) -> None:
    # the queue's lock is 4 s, far shorter than this call
    send(bus, "work", "slow 9")
    eventually(lambda: app.calls("slow_ended"))
    eventually(lambda: waiting(bus, "work") == 0)
    assert len(calls(app, "work", "slow 9")) == 1


def test_no_more_calls_at_once_than_host_json_allows(app: BasicApp, bus: ServiceBusClient) -> None:
    bodies = [f"slow 1 {number}" for number in range(12)]
    send(bus, "work", *bodies)
    eventually(lambda: all(calls(app, "work", body) for body in bodies))
    beside = [calls(app, "work", body)[0]["beside"] for body in bodies]
    assert max(beside) == 4


def test_a_batch_is_one_call(app: BasicApp, bus: ServiceBusClient) -> None:
    with bus.get_queue_sender("batches") as sender:
        batch = sender.create_message_batch()
        for number in range(20):
            message = ServiceBusMessage(
                f"b{number}", message_id=f"id{number}", application_properties={"number": number}
            )
            batch.add_message(message)
        sender.send_messages(batch)
    eventually(lambda: sum(len(call["messages"]) for call in app.calls("batches")) == 20)
    assert len(app.calls("batches")) < 20
    seen = [message for call in app.calls("batches") for message in call["messages"]]
    assert [message["body"] for message in seen] == [f"b{number}" for number in range(20)]
    assert [message["message_id"] for message in seen] == [f"id{n}" for n in range(20)]
    assert [message["user_properties"] for message in seen] == [{"number": n} for n in range(20)]
    assert {message["delivery_count"] for message in seen} == {1}
    assert len({message["sequence_number"] for message in seen}) == 20
    eventually(lambda: waiting(bus, "batches") == 0)


def test_a_disabled_function_leaves_its_messages(app: BasicApp, bus: ServiceBusClient) -> None:
    send(bus, "off", "ignored")
    send(bus, "work", "after off")
    eventually(lambda: calls(app, "work", "after off"))
    assert waiting(bus, "off") == 1
    assert app.calls("off") == []


def test_event_grid_puts_events_into_a_queue(app: BasicApp) -> None:
    account = app.azure.topology.account("contosolake").url
    service = BlobServiceClient(account, credential=DefaultAzureCredential())
    service.get_blob_client("landing", "to-queue/a.csv").upload_blob(b"1")
    service.get_blob_client("landing", "elsewhere/a.csv").upload_blob(b"1")
    (call,) = eventually(
        lambda: [
            c
            for c in app.calls("work")
            if c["content_type"] == "application/json" and "to-queue" in c["body"]
        ]
    )
    event = json.loads(call["body"])
    assert event["subject"].endswith("/landing/blobs/to-queue/a.csv")
    assert event["data"]["api"] == "PutBlob"
    assert call["application_properties"]["aeg-event-type"] == "Notification"
    assert call["application_properties"]["aeg-output-event-id"] == event["id"]
    found = loopback.get(f"{app.azure.control_url}/deliveries").json()
    (delivery,) = [d for d in found if d.get("queue") == "work"]
    assert delivery["state"] == "delivered"


def test_a_message_is_sent_by_hand_through_the_admin_api(app: BasicApp) -> None:
    headers = {"x-functions-key": app.functions.master_key}
    answer = app.request(
        "POST", "/admin/functions/work", headers=headers, json={"input": "by hand"}
    )
    assert answer.status_code == 202
    (call,) = eventually(lambda: calls(app, "work", "by hand"))
    assert call["message_id"] is None


def test_a_host_that_is_stopped_finishes_what_it_has_begun(
    app: BasicApp, bus: ServiceBusClient
) -> None:
    before = len(app.calls("slow_ended"))
    send(bus, "work", "slow 1.5 stopping")
    eventually(lambda: calls(app, "work", "slow 1.5 stopping"))
    app.functions.stop()
    assert len(app.calls("slow_ended")) == before + 1
    assert waiting(bus, "work") == 0
    send(bus, "work", "meanwhile")
    app.functions.start()
    eventually(lambda: calls(app, "work", "meanwhile"))
    assert len(calls(app, "work", "slow 1.5 stopping")) == 1


def test_a_host_that_was_killed_gets_its_message_again(
    app: BasicApp, bus: ServiceBusClient
) -> None:
    send(bus, "work", "slow 2 killed")
    eventually(lambda: calls(app, "work", "slow 2 killed"))
    app.functions.kill()
    app.functions.start()
    eventually(lambda: len(calls(app, "work", "slow 2 killed")) == 2, seconds=30)
    eventually(lambda: waiting(bus, "work") == 0)


def test_a_host_is_ready_when_every_trigger_listens(app: BasicApp) -> None:
    app.functions.stop()
    size = app.functions.log.stat().st_size
    app.functions.start()
    said = app.functions.log.read_bytes()[size:].decode()
    for source in ("work", "work/$DeadLetterQueue", "bytes", "company-news/signalbox", "batches"):
        assert f" listens to {source}\n" in said
    assert "listens to off" not in said
