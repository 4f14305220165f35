"""Event Grid: subscriptions of storage accounts and the delivery of events to functions.

At least once, in no order. As in Azure, 400 and 413 dead-letter an event at once, and every other
answer but 2xx is tried again. The pauses are local, so that a person need not wait for Azure's
(10 s, 30 s, 1 min, 5 min, …): 1, 2, 5, 10 and then every 30 seconds, 30 attempts in all.
https://learn.microsoft.com/azure/event-grid/delivery-and-retry
"""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.functions_host.webhooks import EVENT_GRID
from emulator.topology import EventSubscription, Topology

log = logging.getLogger(__name__)

BACK_OFF = (1.0, 2.0, 5.0, 10.0, 30.0)
MOST_ATTEMPTS = 30
#: seconds a function has to answer
ANSWER_TIMEOUT = 30.0
_GIVE_UP = {400, 413}
_MOST_REQUESTS = 200
_REMEMBERED = 10_000


@dataclass(kw_only=True)
class Delivery:
    """One event on its way to one subscription."""

    event: dict[str, Any]
    subscription: EventSubscription
    state: Literal["pending", "delivered", "dead_letter"] = "pending"
    attempts: int = 0
    #: the last answer's status, or why there was none
    answers: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "function": self.subscription.function,
            "state": self.state,
            "attempts": self.attempts,
            "answers": self.answers,
        }


class EventGrid:
    """Delivers what is published; each delivery is a task of its own, so none waits for another."""

    def __init__(
        self,
        topology: Topology,
        *,
        functions_url: str,
        key: str,
        back_off: Sequence[float] = BACK_OFF,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._topology = topology
        self._back_off = back_off
        self._endpoint = functions_url + EVENT_GRID
        self._key = key
        self._http = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            timeout=httpx.Timeout(ANSWER_TIMEOUT, pool=None),
            limits=httpx.Limits(max_connections=_MOST_REQUESTS),
        )
        self._deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()

    def publish(self, event: dict[str, Any]) -> None:
        """Start delivering an event to every subscription whose filter it passes."""
        for subscription in self._topology.event_subscriptions:
            if self._passes(event, subscription):
                delivery = Delivery(event=event, subscription=subscription)
                self._deliveries.append(delivery)
                self._start(delivery)

    def subscribes(self, account: str) -> bool:
        """Whether anybody wants events of the storage account."""
        return any(s.account == account for s in self._topology.event_subscriptions)

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
            event["topic"] == self._topology.account_id(subscription.account)
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
            if status in _GIVE_UP:
                break
            log.warning("event %s was not accepted: %s", delivery.event["id"], answer)
            if pause is not None:
                await asyncio.sleep(pause)
        delivery.state = "dead_letter"
        log.error("event %s is dead-lettered: %s", delivery.event["id"], delivery.answers[-1])

    async def _attempt(self, delivery: Delivery) -> tuple[int, str]:
        """Status (0 without an answer) and the answer in words."""
        try:
            answer = await self._http.post(
                self._endpoint,
                params={"functionName": delivery.subscription.function, "code": self._key},
                json=[delivery.event],
                headers={
                    "aeg-event-type": "Notification",
                    "aeg-subscription-name": delivery.subscription.function.upper(),
                    "aeg-delivery-count": str(delivery.attempts),
                    "aeg-data-version": delivery.event["dataVersion"],
                    "aeg-metadata-version": delivery.event["metadataVersion"],
                },
            )
        except httpx.HTTPError as error:
            return 0, f"{type(error).__name__} {error}".strip()
        return answer.status_code, f"{answer.status_code} {answer.text[:500]}".strip()

    async def _list(self, _: Request) -> Response:
        return JSONResponse(self.deliveries())

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
