"""Event Grid: delivers events of storage accounts and of the workspace to who subscribed to them.

An event goes to a function by its webhook, or into a Service Bus queue as the body of a message.
At least once, in no order. As in Azure, 400 and 413 dead-letter an event at once, and every other
answer but 2xx is tried again. The pauses are local, so that a person need not wait for Azure's
(10 s, 30 s, 1 min, 5 min, …): 1, 2, 5, 10 and then every 30 seconds, 30 attempts in all.
https://learn.microsoft.com/azure/event-grid/delivery-and-retry
"""

import asyncio
import itertools
import json
import logging
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.functions_host.webhooks import EVENT_GRID, UNKNOWN_FUNCTION
from emulator.instances import Instances
from emulator.queue_sender import QueueSender
from emulator.topology import EventSubscription, FunctionDestination, QueueDestination, Topology

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 30
#: seconds a function has to answer
ANSWER_TIMEOUT = 30.0
_GIVE_UP = {400, 413}
#: To functions at once. The client looks at each of its connections for each request that waits
#: for one, so the others wait outside it.
MOST_REQUESTS = 32
_REMEMBERED = 10_000


@dataclass(kw_only=True)
class Delivery:
    """One event on its way to one subscription."""

    event: dict[str, Any]
    subscription: EventSubscription
    state: Literal["pending", "delivered", "dead_letter", "dropped"] = "pending"
    attempts: int = 0
    #: the last answer's status, or why there was none
    answers: list[str] = field(default_factory=list)
    #: stays the same over all attempts, so that a queue can tell a repetition
    message_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def headers(self) -> dict[str, str]:
        """What Event Grid says about an attempt, as HTTP headers or message properties."""
        return {
            "aeg-event-type": "Notification",
            "aeg-subscription-name": self.subscription.destination.name.upper(),
            "aeg-delivery-count": str(self.attempts),
            "aeg-data-version": self.event["dataVersion"],
            "aeg-metadata-version": self.event["metadataVersion"],
        }

    def describe(self) -> dict[str, Any]:
        return {
            "event": self.event,
            **self.subscription.destination.model_dump(),
            "state": self.state,
            "attempts": self.attempts,
            "answers": self.answers,
        }


class EventGrid:
    """Delivers what is published; each delivery is a task of its own, so none waits for the pauses
    of another.

    Without the `key` of a function app nothing goes to functions.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        instances: Instances,
        key: str | None,
        queues: QueueSender,
        back_off: Sequence[float] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._subscriptions = [
            subscription
            for subscription in topology.event_subscriptions
            if key or isinstance(subscription.destination, QueueDestination)
        ]
        self._topology = topology
        self._queues = queues
        #: functions that the app was found not to have, told once
        self._absent: set[str] = set()
        self._back_off = tuple(back_off or topology.event_pauses)
        self._instances = instances
        self._key = key
        self._http = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            timeout=httpx.Timeout(ANSWER_TIMEOUT, pool=None),
            limits=httpx.Limits(
                max_connections=MOST_REQUESTS, max_keepalive_connections=MOST_REQUESTS
            ),
        )
        self._turn = asyncio.Semaphore(MOST_REQUESTS)
        self._deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()

    def publish(self, event: dict[str, Any]) -> None:
        """Start delivering an event to every subscription whose filter it passes.

        Nothing is delivered any more once this is closed.
        """
        if self._http.is_closed:
            return
        for subscription in self._subscriptions:
            if self._passes(event, subscription):
                delivery = Delivery(event=event, subscription=subscription)
                self._deliveries.append(delivery)
                self._start(delivery)

    def subscribes(self, account: str) -> bool:
        """Whether anybody wants events of the storage account."""
        return any(s.account == account for s in self._subscriptions)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._http.aclose()

    def deliveries(self) -> list[dict[str, Any]]:
        """The latest deliveries, oldest first."""
        return [delivery.describe() for delivery in self._deliveries]

    def routes(self) -> list[Route]:
        """Control of the emulator: see what was delivered, and deliver an event once more."""
        return [
            Route("/deliveries", self._list, methods=["GET"]),
            Route("/deliveries/{event_id}", self._redeliver, methods=["POST"]),
        ]

    def _passes(self, event: dict[str, Any], subscription: EventSubscription) -> bool:
        return (
            event["topic"] == self._topology.topic_of(subscription)
            and event["eventType"] in subscription.included_event_types
            and event["subject"].startswith(subscription.subject_begins_with)
            and event["subject"].endswith(subscription.subject_ends_with)
        )

    def _start(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery: Delivery) -> None:
        for pause in self._pauses():
            status, answer = await self._attempt(delivery)
            delivery.attempts += 1
            delivery.answers.append(answer)
            if 200 <= status < 300:
                delivery.state = "delivered"
                return
            if self._is_unwanted(delivery, status, answer):
                delivery.state = "dropped"
                return
            if status in _GIVE_UP:
                break
            log.warning("event %s was not accepted: %s", delivery.event["id"], answer)
            if pause is not None:
                await asyncio.sleep(pause)
        delivery.state = "dead_letter"
        log.error("event %s is dead-lettered: %s", delivery.event["id"], delivery.answers[-1])

    def _is_unwanted(self, delivery: Delivery, status: int, answer: str) -> bool:
        """Whether the app has no such function and need not have it."""
        name = delivery.subscription.destination.name
        if not (delivery.subscription.optional and status == 404 and UNKNOWN_FUNCTION in answer):
            self._absent.discard(name)
            return False
        if name not in self._absent:
            self._absent.add(name)
            log.info("the app has no function %s: events for it are dropped", name)
        return True

    async def _attempt(self, delivery: Delivery) -> tuple[int, str]:
        """Status (0 without an answer) and the answer in words."""
        match delivery.subscription.destination:
            case FunctionDestination(function=function):
                return await self._call(function, delivery)
            case QueueDestination(queue=queue):
                return await self._put(queue, delivery)

    async def _call(self, function: str, delivery: Delivery) -> tuple[int, str]:
        try:
            async with self._turn:
                answer = await self._instances.send(
                    lambda url: self._http.post(
                        f"{url}{EVENT_GRID}",
                        params={"functionName": function, "code": self._key or ""},
                        json=[delivery.event],
                        headers=delivery.headers,
                    )
                )
        except httpx.HTTPError as error:
            return 0, f"{type(error).__name__} {error}".strip()
        return answer.status_code, f"{answer.status_code} {answer.text[:500]}".strip()

    async def _put(self, queue: str, delivery: Delivery) -> tuple[int, str]:
        """Send the event as a message's body, as
        https://learn.microsoft.com/azure/event-grid/handler-service-bus describes it."""
        properties: dict[str | bytes, Any] = {"aeg-output-event-id": delivery.event["id"]}
        properties.update(delivery.headers.items())
        message = ServiceBusMessage(
            json.dumps(delivery.event),
            content_type="application/json",
            message_id=delivery.message_id,
            application_properties=properties,
        )
        try:
            await self._queues.send(queue, message)
        except (ServiceBusError, OSError) as error:
            return 0, f"{type(error).__name__} {error}".strip()
        return 200, "200 in the queue"

    async def _list(self, request: Request) -> Response:
        """All of them, or with `?state=` those in that state."""
        state = request.query_params.get("state")
        found = self.deliveries()
        return JSONResponse([one for one in found if state in (None, one["state"])])

    async def _redeliver(self, request: Request) -> Response:
        event_id = request.path_params["event_id"]
        for delivery in list(self._deliveries):
            if delivery.event["id"] == event_id:
                self.publish(delivery.event)
                return JSONResponse({"id": event_id}, status_code=202)
        return JSONResponse({"message": f"no event {event_id!r} was published"}, status_code=404)

    def _pauses(self) -> Iterator[float | None]:
        """The pause after each attempt, in seconds; None after the last."""
        pauses = itertools.chain(self._back_off, itertools.repeat(self._back_off[-1]))
        yield from itertools.islice(pauses, MOST_ATTEMPTS - 1)
        yield None
