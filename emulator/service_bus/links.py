"""The broker's ends of links: what takes messages in, and what gives them out."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from emulator.service_bus.codec import Described
from emulator.service_bus.deliveries import rejected
from emulator.service_bus.errors import (
    INVALID_FIELD,
    MESSAGE_TOO_LARGE,
    RESOURCE_LIMIT,
    AmqpError,
    ConnectionFault,
)
from emulator.service_bus.nodes import Node
from emulator.service_bus.performatives import Attach, Flow, Transfer
from emulator.service_bus.queues import Stored

#: bytes of a message or batch; the limit of Azure's standard tier
MAX_MESSAGE_SIZE = 256 * 1024
#: deliveries that a client may send before it hears of more
CREDIT = 1000
#: settle mode of a sender that does not wait to hear what became of a message
SETTLED = 1
_UINT = 2**32


class Channel(Protocol):
    """What a link needs of its session."""

    @property
    def writable(self) -> bool: ...
    def send_credit(
        self, handle: int, delivery_count: int, credit: int, *, drain: bool
    ) -> None: ...
    def send_outcome(self, delivery_id: int, state: Described) -> None: ...
    def send_delivery(self, handle: int, node: Node, stored: Stored, *, settled: bool) -> None: ...
    def send_payload(self, handle: int, tag: bytes, payload: bytes) -> None: ...


class IncomingLink:
    """Takes in what a client sends. `accept` gets message format and bytes of a delivery."""

    def __init__(
        self, channel: Channel, attach: Attach, accept: Callable[[int, bytes], Described]
    ) -> None:
        self._channel = channel
        self._accept = accept
        self.handle = attach.handle
        self._delivery_count = attach.initial_delivery_count or 0
        self._credit = CREDIT
        self._first: Transfer | None = None
        self._payload = bytearray()
        self._size = 0

    def grant(self) -> None:
        """Tell the client how much it may send."""
        self._channel.send_credit(self.handle, self._delivery_count, self._credit, drain=False)

    def flow(self, flow: Flow) -> None:
        """A client that sends has nothing to tell but that it wants to know its credit."""
        if flow.echo:
            self.grant()

    def close(self) -> None:
        pass

    def transfer(self, transfer: Transfer, payload: bytes) -> None:
        """A part of a delivery; with its last part it is accepted or rejected."""
        first = self._first or transfer
        if first.delivery_id is None:
            raise ConnectionFault(INVALID_FIELD, "a delivery begins without a delivery id")
        if self._credit <= 0:
            raise ConnectionFault(RESOURCE_LIMIT, "the link sends without credit")
        self._first = first
        self._size += len(payload)
        if self._size <= MAX_MESSAGE_SIZE:
            self._payload += payload
        if transfer.more and not transfer.aborted:
            return
        data, size = bytes(self._payload), self._size
        self._first, self._payload, self._size = None, bytearray(), 0
        self._delivery_count = (self._delivery_count + 1) % _UINT
        self._credit -= 1
        if not transfer.aborted:
            state = self._outcome(first, data, size)
            if not (first.settled or transfer.settled):
                self._channel.send_outcome(first.delivery_id, state)
        if self._credit <= CREDIT // 2:
            self._credit = CREDIT
            self.grant()

    def _outcome(self, first: Transfer, data: bytes, size: int) -> Described:
        if size > MAX_MESSAGE_SIZE:
            description = (
                f"The received message (delivery-id:{first.delivery_id}, size:{size} bytes) exceeds"
                f" the limit ({MAX_MESSAGE_SIZE} bytes) currently allowed on the link."
            )
            return rejected(AmqpError(MESSAGE_TOO_LARGE, description))
        return self._accept(first.message_format, data)


class _OutgoingLink:
    """Gives out as much as a client has given credit for."""

    def __init__(self, channel: Channel, attach: Attach) -> None:
        self._channel = channel
        self.handle = attach.handle
        self._delivery_count = 0
        self._credit = 0

    @property
    def ready(self) -> bool:
        return self._credit > 0 and self._channel.writable

    def transfer(self, _: Transfer, __: bytes) -> None:
        raise ConnectionFault(INVALID_FIELD, "a client sends on a link on which it receives")

    def flow(self, flow: Flow) -> None:
        """The client's credit; with `drain` what is left of it is used up at once."""
        if flow.link_credit is not None:
            seen = flow.delivery_count or 0
            behind = (self._delivery_count - seen) % _UINT
            self._credit = max(0, flow.link_credit - behind)
        self._give()
        if flow.drain:
            self._delivery_count = (self._delivery_count + self._credit) % _UINT
            self._credit = 0
        if flow.drain or flow.echo:
            self._channel.send_credit(
                self.handle, self._delivery_count, self._credit, drain=flow.drain
            )

    def _give(self) -> None:
        raise NotImplementedError

    def _use_credit(self) -> None:
        self._credit -= 1
        self._delivery_count = (self._delivery_count + 1) % _UINT


class ReceiverLink(_OutgoingLink):
    """Gives out the messages of a queue: locked, or for good."""

    def __init__(self, channel: Channel, attach: Attach, node: Node) -> None:
        super().__init__(channel, attach)
        self._node = node
        self.deletes = attach.send_settle_mode == SETTLED
        node.join(self)

    def deliver(self, stored: Stored) -> None:
        self._use_credit()
        self._channel.send_delivery(self.handle, self._node, stored, settled=self.deletes)

    def close(self) -> None:
        self._node.leave(self)

    def _give(self) -> None:
        self._node.dispatch()


class ResponseLink(_OutgoingLink):
    """Gives out the answers to requests."""

    def __init__(self, channel: Channel, attach: Attach) -> None:
        super().__init__(channel, attach)
        self._waiting: deque[bytes] = deque()
        self._sent = 0

    def answer(self, payload: bytes) -> None:
        self._waiting.append(payload)
        self._give()

    def close(self) -> None:
        self._waiting.clear()

    def _give(self) -> None:
        while self._waiting and self._credit > 0:
            self._use_credit()
            self._sent += 1
            tag = self._sent.to_bytes(8)
            self._channel.send_payload(self.handle, tag, self._waiting.popleft())


type Link = IncomingLink | ReceiverLink | ResponseLink
