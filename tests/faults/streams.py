"""What comes in: uploads, messages and calls, each repeated until it was taken."""

import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx
from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

from tests.e2e.running_signalbox import Json
from tests.faults.world import World
from tests.integration.workspace import storage_http

_SHOPS = ("aix", "bath", "chur")

#: Seconds for which a client repeats what had no good answer.
_PATIENCE = 300.0


class Streams:
    """One thread for each way in. `sent` counts events by the trigger that they are for."""

    def __init__(self, world: World, seed: int, *, per_second: float) -> None:
        self._world = world
        self._per_second = per_second
        self._stop = threading.Event()
        self._may_send = threading.Event()
        self._may_send.set()
        self.sent: Counter[str] = Counter()
        #: What went wrong in a thread; there should be nothing.
        self.errors: list[str] = []
        ways: dict[str, Callable[[Random, ExitStack], Callable[[int], None]]] = {
            "unbounded": self._uploads,
            "again": self._uploads_again,
            "together": self._uploads_together,
            "two-a-shop": self._messages,
            "news": self._news,
            "skipping": self._calls,
        }
        self._ways = [(trigger, way, Random(f"{seed} {trigger}")) for trigger, way in ways.items()]
        self._pool = ThreadPoolExecutor(len(ways))
        self._under_way: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._under_way = [self._pool.submit(self._send, *way) for way in self._ways]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._pool.shutdown()
        self.errors = [repr(error) for way in self._under_way if (error := way.exception())]

    def keep_within(self, most: int) -> int:
        """Send nothing while more than that is to be done: a slow machine gets fewer events.

        To be done is what is open or waits for its batch, and what nobody has taken yet: while
        hosts are away, only that grows. Returns how much it is.
        """
        to_do = len(self._world.names("open/", "inbox/")) + self._world.on_its_way().total()
        if to_do > most:
            self._may_send.clear()
        else:
            self._may_send.set()
        return to_do

    def _send(
        self,
        trigger: str,
        way: Callable[[Random, ExitStack], Callable[[int], None]],
        random: Random,
    ) -> None:
        with ExitStack() as stack:
            send = way(random, stack)
            while not self._stop.wait(random.expovariate(self._per_second)):
                if self._may_send.is_set():
                    send(self.sent[trigger])
                    self.sent[trigger] += 1

    def _uploads(self, _: Random, __: ExitStack) -> Callable[[int], None]:
        return lambda number: self._upload(f"unbounded/{number}.txt")

    def _uploads_again(self, _: Random, __: ExitStack) -> Callable[[int], None]:
        return lambda number: self._upload(f"again/{number}.txt")

    def _uploads_together(self, random: Random, _: ExitStack) -> Callable[[int], None]:
        def send(number: int) -> None:
            # some say that the group is complete; several stand for as many events
            name = "_SUCCESS" if random.random() < 0.08 else f"{number}.txt"
            self._upload(f"together/{random.choice(_SHOPS)}/{name}")

        return send

    def _upload(self, path: str) -> None:
        # Another storage account than the one whose connections are cut.
        self._world.upload(path)

    def _messages(self, random: Random, stack: ExitStack) -> Callable[[int], None]:
        client = self._client(stack)
        sender = stack.enter_context(client.get_queue_sender("signalbox-events"))

        def send(number: int) -> None:
            shop = random.choice(_SHOPS)
            self._put(sender, {"shop": shop}, id=f"m-{number}", subject=shop)

        return send

    def _news(self, _: Random, stack: ExitStack) -> Callable[[int], None]:
        client = self._client(stack)
        sender = stack.enter_context(client.get_topic_sender("company-news"))
        return lambda number: self._put(sender, {"headline": f"News {number}"}, id=f"n-{number}")

    def _client(self, stack: ExitStack) -> ServiceBusClient:
        connection = self._world.azure.environment["ServiceBusConnection"]
        return stack.enter_context(ServiceBusClient.from_connection_string(connection))

    def _put(self, sender: Any, body: Json, *, id: str, subject: str | None = None) -> None:
        message = json.dumps(body)

        def put() -> bool:
            try:
                sender.send_messages(ServiceBusMessage(message, message_id=id, subject=subject))
            except (ServiceBusError, AzureError, OSError, ValueError):
                # It may be there all the same: the second is the same event, by its id.
                return False
            return True

        self._until_taken(put)

    def _calls(self, _: Random, stack: ExitStack) -> Callable[[int], None]:
        azure = self._world.azure
        http = stack.enter_context(storage_http(azure))
        url = f"https://{azure.topology.function_app_host}/api/triggers/skipping/events"
        key = self._world.functions.keys.host

        def send(number: int) -> None:
            headers = {"x-functions-key": key, "Idempotency-Key": str(uuid.uuid4())}
            self._until_taken(lambda: call(headers, number))

        def call(headers: dict[str, str], number: int) -> bool:
            try:
                answer = http.post(url, json={"text": str(number)}, headers=headers, timeout=60)
            except httpx.TransportError:
                return False
            if answer.status_code < 500:
                assert answer.status_code == 202, answer.text
                return True
            return False

        return send

    def _until_taken(self, attempt: Callable[[], bool]) -> None:
        """A client repeats what had no good answer, also after the storm is over."""
        pause, deadline = threading.Event(), time.monotonic() + _PATIENCE
        while not attempt():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody took it for {_PATIENCE:g} s")
            pause.wait(0.5)
