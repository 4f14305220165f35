"""Sends messages into queues of the namespace with the official client, as Event Grid does."""

import asyncio
import logging
from types import TracebackType
from typing import Self

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import ServiceBusError

#: seconds for one message, the first of a queue with its connection
_TIMEOUT = 10.0


class QueueSender:
    """One open link for each queue: a new one costs half a second."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._client: ServiceBusClient | None = None
        self._senders: dict[str, ServiceBusSender] = {}
        # the client's links may not be used by two tasks at once
        self._turn = asyncio.Lock()
        # each attempt of ours is one of Event Grid's, which has its own pauses
        logging.getLogger("azure.servicebus").setLevel(logging.ERROR)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def send(self, queue: str, message: ServiceBusMessage) -> None:
        """Put one message into the queue. Raises ServiceBusError or OSError when it cannot be."""
        async with self._turn:
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await self._sender(queue).send_messages(message)
            except (ServiceBusError, OSError):
                await self._forget()
                raise

    async def close(self) -> None:
        async with self._turn:
            await self._forget()

    def _sender(self, queue: str) -> ServiceBusSender:
        if self._client is None:
            self._client = ServiceBusClient.from_connection_string(self._connection, retry_total=0)
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]

    async def _forget(self) -> None:
        """A link that failed once is not trusted again."""
        client, self._client = self._client, None
        self._senders.clear()
        if client:
            await client.close()
