"""A session: the links of one channel, their windows and their unsettled deliveries."""

import uuid
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from emulator.service_bus.attachments import Attachments, Client
from emulator.service_bus.codec import Described
from emulator.service_bus.deliveries import error_value, settle, stored_bytes
from emulator.service_bus.errors import (
    INVALID_FIELD,
    NOT_ALLOWED,
    RESOURCE_LIMIT,
    UNATTACHED_HANDLE,
    AmqpError,
    ConnectionFault,
)
from emulator.service_bus.links import MAX_MESSAGE_SIZE, IncomingLink, Link
from emulator.service_bus.nodes import Node
from emulator.service_bus.performatives import (
    RECEIVER,
    SENDER,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Performative,
    Transfer,
)
from emulator.service_bus.queues import MessageQueue, Stored

#: frames that a client may send before it hears of more
INCOMING_WINDOW = 5000
HANDLE_MAX = 255
_UINT = 2**32
#: bytes of a transfer frame beside its payload, at most
_TRANSFER_HEAD = 64


class Wire(Client, Protocol):
    """What a session needs of its connection."""

    #: largest frame that the client takes, bytes
    remote_max_frame: int

    @property
    def writable(self) -> bool: ...
    def send(self, channel: int, performative: Performative, payload: bytes = b"") -> None: ...


@dataclass(frozen=True)
class _Unsettled:
    queue: MessageQueue
    lock_token: uuid.UUID


class Session:
    """Answers one client's session; MalformedError and ConnectionFault end the connection."""

    def __init__(self, wire: Wire, channel: int, begin: Begin) -> None:
        self._wire = wire
        self._channel = channel
        self._links: dict[int, Link] = {}
        self._attachments = Attachments(self, wire)
        self._unsettled: dict[int, _Unsettled] = {}
        self._next_incoming_id = begin.next_outgoing_id
        self._next_outgoing_id = 0
        self._next_delivery_id = 0
        self._window = begin.incoming_window
        #: transfers that wait for the client's window
        self._waiting: deque[tuple[Transfer, bytes]] = deque()
        wire.send(
            channel,
            Begin(
                remote_channel=channel,
                next_outgoing_id=0,
                incoming_window=INCOMING_WINDOW,
                outgoing_window=INCOMING_WINDOW,
                handle_max=HANDLE_MAX,
            ),
        )

    def handle(self, performative: Performative, payload: bytes) -> None:
        """One frame of the client."""
        match performative:
            case Transfer():
                self._transfer(performative, payload)
            case Disposition():
                self._disposition(performative)
            case Flow():
                self._flow(performative)
            case Attach():
                self._attach(performative)
            case Detach():
                self._detach(performative)
            case _:
                raise ConnectionFault(NOT_ALLOWED, f"{type(performative).__name__} in a session")

    def close(self) -> None:
        """Forget the links; what is locked stays locked until its time is over."""
        for link in self._links.values():
            link.close()
        self._links.clear()

    @property
    def writable(self) -> bool:
        return self._window > 0 and not self._waiting and self._wire.writable

    def send_credit(self, handle: int, delivery_count: int, credit: int, *, drain: bool) -> None:
        self._wire.send(
            self._channel,
            self._state(handle=handle, delivery_count=delivery_count, credit=credit, drain=drain),
        )

    def send_outcome(self, delivery_id: int, state: Described) -> None:
        self._wire.send(
            self._channel,
            Disposition(role=RECEIVER, first=delivery_id, settled=True, state=state),
        )

    def send_delivery(self, handle: int, node: Node, stored: Stored, *, settled: bool) -> None:
        if stored.lock_token is not None:
            unsettled = _Unsettled(node.queue, stored.lock_token)
            self._unsettled[self._next_delivery_id] = unsettled
        tag = stored.lock_token or uuid.uuid4()
        self._send_transfer(handle, tag.bytes_le, stored_bytes(stored), settled=settled)

    def send_payload(self, handle: int, tag: bytes, payload: bytes) -> None:
        self._send_transfer(handle, tag, payload, settled=True)

    def _send_transfer(self, handle: int, tag: bytes, payload: bytes, *, settled: bool) -> None:
        size = self._wire.remote_max_frame - _TRANSFER_HEAD
        for start in range(0, len(payload), size):
            more = start + size < len(payload)
            if start == 0:
                transfer = Transfer(
                    handle=handle,
                    delivery_id=self._next_delivery_id,
                    delivery_tag=tag,
                    message_format=0,
                    settled=settled,
                    more=more,
                )
            else:
                transfer = Transfer(handle=handle, more=more)
            self._waiting.append((transfer, payload[start : start + size]))
        self._next_delivery_id = (self._next_delivery_id + 1) % _UINT
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self._window > 0:
            self._window -= 1
            self._next_outgoing_id = (self._next_outgoing_id + 1) % _UINT
            self._wire.send(self._channel, *self._waiting.popleft())

    def _state(
        self,
        *,
        handle: int | None = None,
        delivery_count: int | None = None,
        credit: int | None = None,
        drain: bool = False,
    ) -> Flow:
        return Flow(
            next_incoming_id=self._next_incoming_id,
            incoming_window=INCOMING_WINDOW,
            next_outgoing_id=self._next_outgoing_id,
            outgoing_window=INCOMING_WINDOW,
            handle=handle,
            delivery_count=delivery_count,
            link_credit=credit,
            drain=drain,
        )

    def _flow(self, flow: Flow) -> None:
        in_flight = (self._next_outgoing_id - (flow.next_incoming_id or 0)) % _UINT
        self._window = flow.incoming_window - in_flight
        self._send_waiting()
        if flow.handle is not None:
            self._link(flow.handle).flow(flow)
        else:
            if flow.echo:
                self._wire.send(self._channel, self._state())
            self._wire.nodes.dispatch()

    def _transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._next_incoming_id = (self._next_incoming_id + 1) % _UINT
        self._link(transfer.handle).transfer(transfer, payload)

    def _disposition(self, disposition: Disposition) -> None:
        if disposition.role == SENDER:
            return
        last = disposition.first if disposition.last is None else disposition.last
        if last < disposition.first:
            raise ConnectionFault(INVALID_FIELD, "a disposition ends before it begins")
        # the client chooses the range: walk what there is, not what it says
        settled = [number for number in self._unsettled if disposition.first <= number <= last]
        for delivery_id in settled:
            held = self._unsettled.pop(delivery_id)
            state = settle(held.queue, held.lock_token, disposition.state)
            if not disposition.settled:
                self._wire.send(
                    self._channel,
                    Disposition(role=SENDER, first=delivery_id, settled=True, state=state),
                )
        if settled:
            self._wire.nodes.dispatch()

    def _link(self, handle: int) -> Link:
        try:
            return self._links[handle]
        except KeyError:
            raise ConnectionFault(UNATTACHED_HANDLE, f"no link has the handle {handle}") from None

    def _attach(self, attach: Attach) -> None:
        if attach.handle in self._links or attach.handle > HANDLE_MAX:
            raise ConnectionFault(RESOURCE_LIMIT, f"the handle {attach.handle} cannot be used")
        try:
            link = self._attachments.open(attach)
        except AmqpError as error:
            self._refuse(attach, error)
            return
        self._links[attach.handle] = link
        sends = attach.role == SENDER
        self._wire.send(
            self._channel,
            Attach(
                name=attach.name,
                handle=attach.handle,
                role=not attach.role,
                send_settle_mode=attach.send_settle_mode,
                receive_settle_mode=attach.receive_settle_mode,
                source=attach.source,
                target=attach.target,
                initial_delivery_count=None if sends else 0,
                max_message_size=MAX_MESSAGE_SIZE,
            ),
        )
        if isinstance(link, IncomingLink):
            link.grant()

    def _refuse(self, attach: Attach, error: AmqpError) -> None:
        """Attach and detach at once, as the specification wants it, with the error."""
        self._wire.send(
            self._channel,
            Attach(
                name=attach.name,
                handle=attach.handle,
                role=not attach.role,
                source=None if attach.role == RECEIVER else attach.source,
                target=None if attach.role == SENDER else attach.target,
                initial_delivery_count=0 if attach.role == RECEIVER else None,
            ),
        )
        detach = Detach(handle=attach.handle, closed=True, error=error_value(error))
        self._wire.send(self._channel, detach)

    def _detach(self, detach: Detach) -> None:
        link = self._links.pop(detach.handle, None)
        if link is None:
            # the client's answer to a link that was refused
            return
        link.close()
        self._attachments.forget(link)
        self._wire.send(self._channel, Detach(handle=detach.handle, closed=detach.closed))
