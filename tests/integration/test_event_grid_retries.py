"""How Event Grid deals with each answer of a webhook, with the pauses of Azure left out."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import httpx
import pytest

from emulator.event_grid import MOST_ATTEMPTS, EventGrid
from emulator.topology import EventSubscription, Topology

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


def deliver(
    events: Iterable[dict[str, Any]], answer: Answer, *, topology: Topology | None = None
) -> list[dict[str, Any]]:
    """Publish the events to a webhook that answers so; the deliveries once all are over."""

    async def run() -> list[dict[str, Any]]:
        grid = EventGrid(
            topology or Topology(),
            functions_url="http://functions.test",
            key="system-key",
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
        function="csv_files",
        subject_begins_with="/blobServices/default/containers/landing/",
        subject_ends_with=".csv",
    )
    topology = Topology(event_subscriptions=(subscription,))
    answer, _ = answers(200)
    events = [event("a.csv"), event("a.txt"), event("b.csv", account="signalboxstate")]
    delivered = deliver(events, answer, topology=topology)
    assert [d["event"]["id"] for d in delivered] == ["a.csv"]
