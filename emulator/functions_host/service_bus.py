"""Service Bus functions: receives with the official client, calls the function, settles.

A function that returns completes its messages, one that raises abandons them: the broker counts
the deliveries and dead-letters in the end.
https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus-trigger
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from emulator.functions_host.bindings import Function
from emulator.functions_host.host_settings import ServiceBusSettings
from emulator.functions_host.service_bus_messages import (
    UnreadableBody,
    many,
    metadata_of_many,
    metadata_of_one,
    one,
)
from emulator.functions_host.service_bus_sources import Source
from emulator.functions_host.worker import Outcome, Worker

log = logging.getLogger("Host.Triggers.ServiceBus")

#: seconds a receiver waits for a message before it looks whether it should stop
_LOOK_EVERY = 1.0
#: seconds before a broker that did not answer is tried again, the last for ever
_BACK_OFF = (0.2, 0.5, 1.0, 2.0)
#: what the client makes of a lost connection; a receiver that was closed raises ValueError
_BROKEN = (AzureError, OSError, ValueError)


class Pump:
    """Calls one function with the messages of one queue or subscription."""

    def __init__(
        self,
        worker: Worker,
        function: Function,
        *,
        settings: ServiceBusSettings,
        environment: Mapping[str, str],
    ) -> None:
        """HostError when the binding asks for what this host does not implement."""
        self._worker = worker
        self._function = function
        self._settings = settings
        self._source = Source.of(function, environment)
        # a batch is one call, and the next one waits for it
        calls = 1 if self._source.many else settings.max_concurrent_calls
        self._free = asyncio.Semaphore(calls)
        self._calls: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        #: the kind of error that keeps it from receiving, "" while nothing does
        self._outage = ""
        #: attempts to receive since the last that did
        self._failures = 0
        #: set once it receives for the first time
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Receive until `stop`, over any number of broken connections."""
        while not self._stop.is_set():
            try:
                async with self._receiver() as receiver:
                    self._tell_of_listening()
                    await self._receive(receiver)
                    # what still runs settles by this receiver
                    await self._until_idle()
            except _BROKEN as error:
                self._tell_of_outage(error)
            except Exception:
                # a defect in what a message went through must not end the listening
                log.exception("%s lost its receiver", self._function.name)
            if not self._stop.is_set():
                pause = _BACK_OFF[min(self._failures, len(_BACK_OFF) - 1)]
                self._failures += 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause)

    def _tell_of_listening(self) -> None:
        if self._outage or not self.listening.is_set():
            log.info("%s listens to %s", self._function.name, self._source)
        self._outage = ""
        self.listening.set()

    def _tell_of_outage(self, error: Exception) -> None:
        """One line for an outage, whose text may differ by a tracking id each time."""
        if (name := type(error).__name__) != self._outage:
            self._outage = name
            log.warning(
                "%s cannot receive from %s, and keeps trying: %s: %s",
                self._function.name,
                self._source,
                name,
                error,
            )

    def stop(self) -> None:
        """Receive nothing more. Calls that run are finished, and `run` ends after them."""
        self._stop.set()

    @contextlib.asynccontextmanager
    async def _receiver(self) -> AsyncIterator[ServiceBusReceiver]:
        source = self._source
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if source.dead_letters else None
        prefetch = self._settings.prefetch_count
        # a broken connection is ours to notice and to tell of
        client = ServiceBusClient.from_connection_string(source.connection, retry_total=0)
        async with client:
            if source.subscription is None:
                receiver = client.get_queue_receiver(
                    source.entity, sub_queue=sub_queue, prefetch_count=prefetch
                )
            else:
                receiver = client.get_subscription_receiver(
                    source.entity, source.subscription, sub_queue=sub_queue, prefetch_count=prefetch
                )
            async with receiver:
                yield receiver

    async def _receive(self, receiver: ServiceBusReceiver) -> None:
        most = self._settings.max_message_batch_size if self._source.many else 1
        while not self._stop.is_set():
            await self._free.acquire()
            messages: Sequence[ServiceBusReceivedMessage] = ()
            try:
                if not self._stop.is_set():
                    messages = await receiver.receive_messages(most, max_wait_time=_LOOK_EVERY)
                    self._failures = 0
            finally:
                if not messages:
                    self._free.release()
            if not messages:
                continue
            call = asyncio.create_task(self._handle(receiver, messages))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _until_idle(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls)

    async def _handle(
        self, receiver: ServiceBusReceiver, messages: Sequence[ServiceBusReceivedMessage]
    ) -> None:
        try:
            async with self._locks_renewed(receiver, messages):
                outcome = await self._call(messages)
            for message in messages:
                await self._settle(receiver, message, outcome)
        except Exception:
            log.exception("%s: a message could not be handed over", self._function.name)
        finally:
            self._free.release()

    async def _call(self, messages: Sequence[ServiceBusReceivedMessage]) -> Outcome:
        source, first = self._source, messages[0]
        try:
            if source.many:
                data, metadata = many(messages, binary=source.binary), metadata_of_many(messages)
            else:
                data, metadata = one(first, binary=source.binary), metadata_of_one(first)
        except UnreadableBody as error:
            log.error("%s is not called: %s", self._function.name, error)
            return Outcome(succeeded=False, error=str(error))
        return await self._worker.invoke(
            self._function,
            data,
            metadata=metadata,
            reason=f"New ServiceBus message detected on '{source}', {first.message_id}",
        )

    async def _settle(
        self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, outcome: Outcome
    ) -> None:
        try:
            if outcome.succeeded:
                await receiver.complete_message(message)
            else:
                await receiver.abandon_message(message)
        except _BROKEN as error:
            log.warning(
                "%s: message %s could not be %s and will be delivered again: %s",
                self._function.name,
                message.message_id,
                "completed" if outcome.succeeded else "abandoned",
                error,
            )

    @contextlib.asynccontextmanager
    async def _locks_renewed(
        self, receiver: ServiceBusReceiver, messages: Sequence[ServiceBusReceivedMessage]
    ) -> AsyncIterator[None]:
        """Keep the lock meanwhile; as in Azure that of a single message only."""
        if self._source.many:
            yield
            return
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew(receiver, messages[0], over))
        try:
            yield
        finally:
            # not cancelled: a request that is on its way must be answered first
            over.set()
            await renewing

    async def _renew(
        self, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, over: asyncio.Event
    ) -> None:
        """Renew the lock whenever half of it has passed, until the call is over or too long."""
        began = datetime.now(UTC)
        while message.locked_until_utc is not None:
            left = message.locked_until_utc - datetime.now(UTC)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), max(left / 2, timedelta()).total_seconds())
            if over.is_set() or datetime.now(UTC) - began > self._settings.max_auto_lock_renewal:
                return
            try:
                await receiver.renew_message_lock(message)
            except _BROKEN as error:
                log.warning(
                    "%s: the lock of message %s could not be renewed: %s",
                    self._function.name,
                    message.message_id,
                    error,
                )
                return
