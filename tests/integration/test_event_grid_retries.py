"""How Event Grid deals with each answer of a webhook, with the pauses of Azure left out."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import httpx
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

from emulator.event_grid import MOST_ATTEMPTS, MOST_REQUESTS, EventGrid
from emulator.instances import Instances
from emulator.queue_sender import QueueSender
from emulator.topology import (
    EventSubscription,
    FunctionDestination,
    QueueDestination,
    Topology,
)

#: nobody listens there
NOWHERE = (
    "Endpoint=sb://127.0.0.1:9;SharedAccessKeyName=x;SharedAccessKey=y;UseDevelopmentEmulator=true;"
)

type Answer = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def event(name: str, *, account: str = "contosolake") -> dict[str, Any]:
    return {
        "topic": Topology().account_id(account),
        "subject": f"/blobServices/default/containers/landing/blobs/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "id": name,
        "dataVersion": "",
        "metadataVersion": "1",
    }


def run_event(kind: str = "RunCompleted") -> dict[str, Any]:
    return {
        "topic": Topology().workspace_id,
        "subject": "experiments/1/runs/a-job",
        "eventType": f"Microsoft.MachineLearningServices.{kind}",
        "id": kind,
        "data": {"runId": "a-job"},
        "dataVersion": "",
        "metadataVersion": "1",
    }


def deliver(
    events: Iterable[dict[str, Any]],
    answer: Answer,
    *,
    topology: Topology | None = None,
    key: str | None = "system-key",
    queues: QueueSender | None = None,
) -> list[dict[str, Any]]:
    """Publish the events to a webhook that answers so; the deliveries once all are over."""

    async def run() -> list[dict[str, Any]]:
        grid = EventGrid(
            topology or Topology(),
            instances=Instances(["http://functions.test"]),
            key=key,
            queues=queues or QueueSender(NOWHERE),
            back_off=(0.0,),
            transport=httpx.MockTransport(answer),
        )
        for published in events:
            grid.publish(published)
        while any(d["state"] == "pending" for d in grid.deliveries()):
            await asyncio.sleep(0)
        await grid.close()
        return grid.deliveries()

    return asyncio.run(asyncio.wait_for(run(), 20))


def answers(*statuses: int) -> tuple[Answer, list[httpx.Request]]:
    """A webhook that gives these answers and repeats the last, and the requests it got."""
    requests: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(statuses[min(len(requests), len(statuses)) - 1])

    return answer, requests


def test_the_webhook_is_called_as_azure_calls_it() -> None:
    answer, requests = answers(202)
    deliver([event("a.csv")], answer)
    (request,) = requests
    assert request.url.path == "/runtime/webhooks/EventGrid"
    assert dict(request.url.params) == {"functionName": "blob_uploads", "code": "system-key"}
    assert request.headers["aeg-event-type"] == "Notification"
    assert request.headers["aeg-delivery-count"] == "0"


@pytest.mark.parametrize("status", [400, 413])
def test_what_can_never_be_accepted_is_given_up_at_once(status: int) -> None:
    answer, requests = answers(status)
    (delivery,) = deliver([event("a.csv")], answer)
    assert delivery["state"] == "dead_letter"
    assert len(requests) == 1


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500, 503])
def test_every_other_refusal_is_tried_again(status: int) -> None:
    answer, requests = answers(status, status, 200)
    (delivery,) = deliver([event("a.csv")], answer)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 3)
    assert requests[0].content == requests[2].content


def test_only_so_many_requests_are_under_way_and_none_is_left_out() -> None:
    under_way, most = 0, 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _turn in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return httpx.Response(202)

    number = 3 * MOST_REQUESTS
    delivered = deliver([event(f"{each}.csv") for each in range(number)], answer)
    assert [d["state"] for d in delivered] == ["delivered"] * number
    assert most == MOST_REQUESTS


def test_a_webhook_that_cannot_be_reached_is_tried_again() -> None:
    tried = []

    async def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request)
        if len(tried) < 3:
            raise httpx.ConnectError("connection refused")
        return httpx.Response(200)

    (delivery,) = deliver([event("a.csv")], answer)
    assert delivery["state"] == "delivered"
    assert delivery["answers"][0] == "ConnectError connection refused"


def test_in_the_end_an_event_is_dead_lettered() -> None:
    answer, requests = answers(500)
    (delivery,) = deliver([event("a.csv")], answer)
    assert delivery["state"] == "dead_letter"
    assert len(requests) == MOST_ATTEMPTS


def test_a_webhook_that_hangs_holds_up_no_other_event() -> None:
    released = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if b"slow.csv" in request.content:
            await released.wait()
        else:
            released.set()
        return httpx.Response(200)

    deliveries = deliver([event("slow.csv"), event("quick.csv")], answer)
    assert [d["state"] for d in deliveries] == ["delivered", "delivered"]


def test_filters_of_the_subscription_are_applied() -> None:
    subscription = EventSubscription(
        account="contosolake",
        destination=FunctionDestination(function="csv_files"),
        subject_begins_with="/blobServices/default/containers/landing/",
        subject_ends_with=".csv",
    )
    topology = Topology(event_subscriptions=(subscription,))
    answer, _ = answers(200)
    events = [event("a.csv"), event("a.txt"), event("b.csv", account="signalboxstate")]
    delivered = deliver(events, answer, topology=topology)
    assert [d["event"]["id"] for d in delivered] == ["a.csv"]


class Queues(QueueSender):
    """Takes messages, after it has been down for the first so many."""

    def __init__(self, *, down: int = 0) -> None:
        super().__init__(NOWHERE)
        self._down = down
        self.sent: list[tuple[str, ServiceBusMessage]] = []

    async def send(self, queue: str, message: ServiceBusMessage) -> None:
        self._down -= 1
        if self._down >= 0:
            raise ServiceBusError("the broker is down")
        self.sent.append((queue, message))


TO_QUEUE = Topology(
    event_subscriptions=(
        EventSubscription(account="contosolake", destination=QueueDestination(queue="work")),
    )
)


async def no_webhook(_: httpx.Request) -> httpx.Response:
    pytest.fail("a webhook was called")


def test_an_event_for_a_queue_is_the_body_of_one_message() -> None:
    queues = Queues()
    (delivery,) = deliver([event("a.csv")], no_webhook, topology=TO_QUEUE, key=None, queues=queues)
    ((queue, message),) = queues.sent
    assert (delivery["state"], delivery["queue"]) == ("delivered", "work")
    assert queue == "work"
    assert json.loads(str(message)) == event("a.csv")
    assert message.content_type == "application/json"
    properties = message.application_properties or {}
    assert properties["aeg-event-type"] == "Notification"
    assert properties["aeg-output-event-id"] == "a.csv"


def test_a_queue_that_is_down_gets_the_event_later_under_one_message_id() -> None:
    queues = Queues(down=2)
    events = [event("a.csv"), event("b.csv")]
    deliveries = deliver(events, no_webhook, topology=TO_QUEUE, queues=queues)
    assert sorted(d["attempts"] for d in deliveries) == [2, 2]
    assert deliveries[0]["answers"][0].startswith("ServiceBusError the broker is down")
    assert len({message.message_id for _, message in queues.sent}) == 2


def test_nothing_goes_to_functions_without_a_function_app() -> None:
    assert deliver([event("a.csv"), run_event()], no_webhook, key=None) == []


def test_the_workspaces_events_go_to_their_function() -> None:
    answer, requests = answers(202)
    (delivery,) = deliver([run_event()], answer)
    assert requests[0].url.params["functionName"] == "run_events"
    assert delivery["function"] == "run_events"


def test_an_app_without_the_function_for_run_events_is_asked_once_per_event_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(404, text="cannot find function: 'run_events'")

    with caplog.at_level("INFO", logger="emulator.event_grid"):
        deliveries = deliver([run_event("RunCompleted"), run_event("RunStatusChanged")], answer)
    assert [d["state"] for d in deliveries] == ["dropped", "dropped"]
    assert len(requests) == 2
    told = [record for record in caplog.records if record.name == "emulator.event_grid"]
    assert len(told) == 1


def test_a_subscription_can_only_ask_for_what_its_source_raises() -> None:
    with pytest.raises(ValueError, match="the workspace raises no"):
        EventSubscription(destination=QueueDestination(queue="work"))
    with pytest.raises(ValueError, match="contosolake raises no"):
        EventSubscription(
            account="contosolake",
            destination=QueueDestination(queue="work"),
            included_event_types=("Microsoft.MachineLearningServices.RunCompleted",),
        )
