"""What a client can address: queues, topics, subscriptions and their dead-letter queues."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from emulator.service_bus.codec import encode
from emulator.service_bus.entities import Namespace, Queue, Subscription, Topic
from emulator.service_bus.errors import NOT_ALLOWED, NOT_FOUND, AmqpError
from emulator.service_bus.messages import Message
from emulator.service_bus.queues import Duplicates, MessageQueue, Stored

DEAD_LETTERS = "$DeadLetterQueue"
MANAGEMENT = "$management"


class Consumer(Protocol):
    """Somebody who wants messages of a queue."""

    #: messages are removed as they are handed over
    deletes: bool

    @property
    def ready(self) -> bool: ...
    def deliver(self, stored: Stored) -> None: ...


class Node:
    """An address: somewhere to send to, to receive from, or both."""

    def __init__(
        self,
        path: str,
        *,
        queue: MessageQueue | None = None,
        accept: Callable[[Message], int] | None = None,
        advance: Callable[[], object],
        scheduled: MessageQueue,
    ) -> None:
        self.path = path
        #: does what has become due
        self.advance = advance
        #: where messages wait for their time
        self.scheduled = scheduled
        self._queue = queue
        self._accept = accept
        self._consumers: deque[Consumer] = deque()

    @property
    def queue(self) -> MessageQueue:
        """Where messages are received from; AmqpError for a topic."""
        if self._queue is None:
            raise AmqpError(NOT_ALLOWED, f"{self.path} is a topic: receive from its subscriptions")
        return self._queue

    @property
    def receivable(self) -> bool:
        return self._queue is not None

    def check_sendable(self) -> None:
        """AmqpError for what only receives."""
        if self._accept is None:
            raise AmqpError(NOT_ALLOWED, f"messages cannot be sent to {self.path}")

    def send(self, message: Message) -> int:
        """Take in a message; its sequence number, 0 for one that was sent before."""
        self.check_sendable()
        assert self._accept is not None
        return self._accept(message)

    def join(self, consumer: Consumer) -> None:
        self._consumers.append(consumer)

    def leave(self, consumer: Consumer) -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    def dispatch(self) -> None:
        """Hand messages to whoever is ready, one each in turn, while there are both."""
        while self._queue is not None and (consumer := self._next_ready()) is not None:
            queue = self._queue
            stored = queue.take_next() if consumer.deletes else queue.lock_next()
            if stored is None:
                return
            consumer.deliver(stored)

    def _next_ready(self) -> Consumer | None:
        for _ in range(len(self._consumers)):
            self._consumers.rotate(-1)
            if self._consumers[-1].ready:
                return self._consumers[-1]
        return None


class Nodes:
    """Every address of a namespace; names are compared without regard to case."""

    def __init__(self, namespace: Namespace, now: Callable[[], float]) -> None:
        self._now = now
        self._nodes: dict[str, Node] = {}
        for queue in namespace.queues:
            self._add_receivable(queue.name, queue)
        for topic in namespace.topics:
            self._add_topic(topic)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def find(self, address: str) -> Node:
        """The node of an address or path; AmqpError when there is none."""
        try:
            return self._nodes[path_of(address).casefold()]
        except KeyError:
            raise AmqpError(
                NOT_FOUND, f"The messaging entity '{address}' could not be found."
            ) from None

    def advance(self) -> None:
        """Do what has become due everywhere."""
        for node in self:
            node.advance()
        self.dispatch()

    def dispatch(self) -> None:
        for node in self:
            node.dispatch()

    def _add_receivable(self, path: str, options: Queue | Subscription) -> MessageQueue:
        dead = MessageQueue(options, self._now)
        queue = MessageQueue(options, self._now, dead)
        accept = None
        if isinstance(options, Queue):
            accept = self._once(options.duplicate_detection_seconds, queue.add)
        self._add(Node(path, queue=queue, accept=accept, advance=queue.advance, scheduled=queue))
        path = f"{path}/{DEAD_LETTERS}"
        self._add(Node(path, queue=dead, advance=dead.advance, scheduled=dead))
        return queue

    def _add_topic(self, topic: Topic) -> None:
        copies = [
            self._add_receivable(f"{topic.name}/Subscriptions/{subscription.name}", subscription)
            for subscription in topic.subscriptions
        ]
        incoming = MessageQueue(Queue(name=topic.name), self._now)

        def fan_out() -> None:
            while (stored := incoming.take_next()) is not None:
                for copy in copies:
                    copy.add(stored.message)

        def accept(message: Message) -> int:
            number = incoming.add(message)
            fan_out()
            return number

        once = self._once(topic.duplicate_detection_seconds, accept)
        self._add(Node(topic.name, accept=once, advance=fan_out, scheduled=incoming))

    def _once(
        self, seconds: float | None, accept: Callable[[Message], int]
    ) -> Callable[[Message], int]:
        duplicates = Duplicates(seconds, self._now)

        def accept_once(message: Message) -> int:
            key = None if message.message_id is None else encode(message.message_id)
            return accept(message) if duplicates.is_new(key) else 0

        return accept_once

    def _add(self, node: Node) -> None:
        key = node.path.casefold()
        if key in self._nodes:
            raise ValueError(f"two entities are named {node.path}")
        self._nodes[key] = node


def path_of(address: str) -> str:
    """`queue` of `amqps://host:port/queue` or `/queue`."""
    _, scheme, rest = address.rpartition("://")
    if scheme:
        _, _, rest = rest.partition("/")
    return rest.strip("/")
