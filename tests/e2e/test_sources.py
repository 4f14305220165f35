"""Every way in but uploads: messages, CloudEvents, ends of runs; and outcomes on the way out."""

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from shared.events import blob_subject
from tests.e2e.running_signalbox import BETWEEN_TICKS, Json, RunningSignalbox
from tests.integration.waiting import eventually

DEFINITIONS = Path(__file__).parent / "sources"


class Post:
    """Sends messages as others would, and reads what the app tells them."""

    def __init__(self, app: RunningSignalbox, client: ServiceBusClient) -> None:
        self.app = app
        self._client = client
        self._senders: dict[str, Any] = {}

    def send(self, body: object, *, topic: bool = False, **properties: Any) -> None:
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        kind = "topic" if topic else "queue"
        if kind not in self._senders:
            self._senders[kind] = (
                self._client.get_topic_sender("company-news")
                if topic
                else self._client.get_queue_sender("signalbox-events")
            )
        self._senders[kind].send_messages(ServiceBusMessage(text, **properties))

    def records(self, trigger: str) -> list[Json]:
        """Those that are there, while others come and, after an outage, come back."""
        names = list(self.app.state.list_blob_names(name_starts_with=f"ledger/{trigger}/"))
        found = []
        for name in names:
            with suppress(ResourceNotFoundError):
                found.append(self.app.read(name))
        return found

    def record(self, trigger: str, where: str, *, state: str | None = None) -> Json:
        """The one record of a trigger whose event says `where` somewhere, once in that state."""

        def look() -> Json | None:
            found = [r for r in self.records(trigger) if where in json.dumps(r["event"])]
            assert len(found) <= 1, found
            if found and state in (None, found[0]["state"]):
                return found[0]
            if state and found:
                self.app.tick()
            return None

        record = eventually(look, seconds=60, every=BETWEEN_TICKS if state else 0.02)
        assert record
        return record

    def outcomes(self, run: str, count: int) -> list[Json]:
        """What the topic for outcomes has of a run, once it is so much."""
        heard: list[Json] = []
        with self._client.get_subscription_receiver("signalbox-outcomes", "watch") as receiver:

            def look() -> bool:
                for message in receiver.receive_messages(50, max_wait_time=1):
                    heard.append(json.loads(str(message)))
                    receiver.complete_message(message)
                return len([event for event in heard if event["subject"] == run]) >= count

            eventually(look, seconds=30)
        return [event for event in heard if event["subject"] == run]


@pytest.fixture(scope="module")
def post(bare_signalbox: RunningSignalbox) -> Iterator[Post]:
    published = bare_signalbox.publish(DEFINITIONS)
    assert published.returncode == 0, published.stderr
    connection = bare_signalbox.azure.environment["ServiceBusConnection"]
    with ServiceBusClient.from_connection_string(connection) as client:
        yield Post(bare_signalbox, client)


def test_a_message_becomes_a_run_and_its_end_another(post: Post) -> None:
    post.send({"text": "first message", "times": 3}, message_id="m-1", subject="greeting")
    record = post.record("note-message", "first message", state="completed")

    assert record["event"]["source"] == "servicebus:queue/signalbox-events"
    assert record["event"]["subject"] == "greeting"
    assert record["event"]["messageid"] == "m-1"
    assert record["body"]["inputs"] == {"text": "first message", "times": 3}
    run = f"note-message.{record['key']}"

    next_one = post.record("read-after-message", run, state="completed")
    assert next_one["event"]["type"] == "signalbox.run.completed"
    assert next_one["depth"] == 1
    assert next_one["body"]["inputs"]["status"] == "completed"
    assert next_one["body"]["inputs"]["note"]["path"] == record["outputs"]["note"]
    told = post.outcomes(run, 2)
    assert [event["type"] for event in told] == [
        "signalbox.run.submitted",
        "signalbox.run.completed",
    ]
    assert told[1]["specversion"] == "1.0"
    assert told[1]["data"]["outputs"] == record["outputs"]


def test_the_same_message_sent_twice_is_two_runs_unless_ids_count(post: Post) -> None:
    for _ in range(2):
        post.send({"text": "twice in the queue", "times": 1}, message_id="m-2")
        post.send({"headline": "twice in the news"}, topic=True, message_id="n-2")
    post.send({"headline": "the last of the news"}, topic=True, message_id="n-3")
    post.record("note-news", "the last of the news")

    def both() -> bool:
        found = [r for r in post.records("note-message") if r["event"].get("messageid") == "m-2"]
        return len(found) == 2

    eventually(both)
    assert post.record("note-news", "twice in the news")


@pytest.mark.parametrize("topic", [False, True])
def test_a_cloud_event_in_a_message_is_that_event(post: Post, topic: bool) -> None:
    event = {
        "specversion": "1.0",
        "id": f"sale-{topic}",
        "source": "/shops",
        "type": "com.contoso.sold",
        "subject": "shops/aix/apples",
        "data": {"amount": 12, "headline": "apples were sold"},
    }
    for _ in range(2):
        post.send(event, topic=topic)
    record = post.record("note-sale", f"sale-{topic}")

    assert record["event"]["id"] == f"sale-{topic}"
    assert record["body"]["inputs"] == {"text": "aix", "times": 12}


def test_an_upload_that_comes_through_the_queue_is_that_upload(post: Post) -> None:
    etag = post.app.upload("by-queue/one.txt")
    record = post.record("note-upload", "by-queue/one.txt")
    subject = blob_subject("landing", "by-queue/one.txt")
    event = {
        "id": "another-id",
        "topic": "/subscriptions/x/storageAccounts/contosolake",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": record["event"]["time"],
        "subject": subject,
        "data": record["event"]["data"],
        "dataVersion": "",
        "metadataVersion": "1",
    }
    post.send(event)
    post.send({"text": "behind the upload", "times": 1})
    post.record("note-message", "behind the upload")

    # It is the run that the direct delivery had become.
    assert record["event"]["data"]["eTag"] == etag
    assert len([r for r in post.records("note-upload") if etag in json.dumps(r)]) == 1


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("this is no JSON", "event_invalid", "not JSON"),
        (b"\xff\xfe\x00", "event_invalid", "not"),
        ('{"specversion": "1.0", "id": "broken"}', "event_invalid", "source"),
        ('{"pipeline": "read-note", "text": "forbidden"}', "pipeline_not_allowed", "note-down"),
        ('{"text": "no times"}', "input_missing", "times"),
        ('{"text": "$(reboot)", "times": 1}', "input_missing", "shell"),
        ('{"text": "untimely", "times": "often"}', "input_missing", "integer"),
    ],
)
def test_what_can_never_run_is_a_dead_letter_after_one_attempt(
    post: Post, body: str | bytes, code: str, says: str
) -> None:
    trigger = "unreadable" if code == "event_invalid" else "note-message"
    before = {record["key"] for record in post.records(trigger)}
    post.send(body)

    def look() -> list[Json]:
        return [record for record in post.records(trigger) if record["key"] not in before]

    [record] = eventually(look)
    assert record["state"] == "dead_letter"
    assert record["reason"]["code"] == code
    assert says in record["reason"]["text"]
    assert record["attempts"] == []


@pytest.mark.parametrize(
    ("body", "trigger"),
    [
        ('{"text": "sent into the dark", "times": 1}', "note-message"),
        ("no JSON sent into the dark", "unreadable"),
    ],
)
def test_a_message_outlives_an_outage_of_storage(post: Post, body: str, trigger: str) -> None:
    storage, failed = post.app.azure.logs / "azurite.log", "Executed 'Functions.queue_messages' (F"

    def refusals() -> int:
        lines = storage.read_text(errors="replace").splitlines()
        return len([line for line in lines if "/signalbox-state/" in line and ":404" in line])

    before, failures = refusals(), post.app.log().count(failed)
    with post.app.state_lost():
        post.send(body)
        # From here it waits for two seconds before it gives the message back.
        eventually(lambda: refusals() > before)
    assert post.record(trigger, "sent into the dark")
    # Given back at once, the broker would have given it up within a second.
    assert post.app.log().count(failed) - failures <= 2


def test_a_cloud_event_that_event_grid_delivers_is_whole(post: Post) -> None:
    def sale(id: str, item: str, **data: object) -> Json:
        return {
            "specversion": "1.0",
            "id": id,
            "source": "/shops",
            "type": "com.contoso.sold",
            "subject": "shops/bern/fruit",
            "time": "2026-03-01T12:00:00Z",
            # An attribute of its own, which the trigger's filter asks for.
            "item": item,
            **data,
        }

    encoded = base64.b64encode(b'{"amount": 40}').decode()
    for event in (
        sale("grid-1", "pears", data={"amount": 30}),
        sale("grid-2", "apples", data={"amount": 30}),
        sale("grid-3", "apples", data_base64=encoded),
    ):
        assert post.app.post([event]).status_code == 202

    found = {r["event"]["id"]: r["body"]["inputs"] for r in post.records("note-sale")}
    assert "grid-1" not in found
    assert found["grid-2"] == {"text": "bern", "times": 30}
    assert found["grid-3"] == {"text": "bern", "times": 40}
