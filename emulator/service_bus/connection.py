"""One client's connection: headers, SASL, open, sessions, close.

Whatever a client sends that is not AMQP, or not now, ends its connection with a line in the log.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import StrEnum

from emulator.service_bus.codec import Array, Described, MalformedError, Symbol
from emulator.service_bus.deliveries import error_value
from emulator.service_bus.errors import (
    CONNECTION_FORCED,
    DECODE_ERROR,
    FRAMING_ERROR,
    ILLEGAL_STATE,
    RESOURCE_LIMIT,
    AmqpError,
    ConnectionFault,
)
from emulator.service_bus.faults import Faults
from emulator.service_bus.frames import (
    AMQP,
    AMQP_HEADER,
    MAX_FRAME_SIZE,
    SASL,
    SASL_HEADER,
    Frame,
    FrameReader,
    frame,
)
from emulator.service_bus.nodes import Nodes
from emulator.service_bus.performatives import (
    Begin,
    Close,
    End,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    read_performative,
)
from emulator.service_bus.sessions import Session

log = logging.getLogger(__name__)

CHANNEL_MAX = 255
ANONYMOUS = Symbol("ANONYMOUS")
_SMALLEST_MAX_FRAME = 512
#: bytes that are written at once
_ENOUGH = 262_144


class State(StrEnum):
    SASL_HEADER = "waits for the SASL header"
    SASL_INIT = "waits for the mechanism"
    AMQP_HEADER = "waits for the AMQP header"
    OPENING = "waits for open"
    OPEN = "open"
    CLOSED = "closed"


#: protocol header that each state waits for, and the state after it
_HEADERS = {
    State.SASL_HEADER: (SASL_HEADER, State.SASL_INIT),
    State.AMQP_HEADER: (AMQP_HEADER, State.OPENING),
}
#: type of the frames of each state
_FRAME_KINDS = {State.SASL_INIT: SASL, State.OPENING: AMQP, State.OPEN: AMQP}
#: performatives that begin or end something, and the state after them
_TRANSITIONS: dict[tuple[State, type[Performative]], State] = {
    (State.SASL_INIT, SaslInit): State.AMQP_HEADER,
    (State.OPENING, Open): State.OPEN,
    (State.OPEN, Begin): State.OPEN,
    (State.OPEN, End): State.OPEN,
    (State.OPEN, Close): State.CLOSED,
}


class Connection(asyncio.Protocol):
    """Serves one client. `on_end` is called once, when it is gone."""

    def __init__(
        self,
        nodes: Nodes,
        faults: Faults,
        *,
        idle_seconds: float,
        on_end: Callable[["Connection"], None],
    ) -> None:
        self.nodes = nodes
        self.faults = faults
        self.authorized: set[str] = set()
        self.remote_max_frame = _SMALLEST_MAX_FRAME
        self._paused = False
        self._idle_seconds = idle_seconds
        self._on_end = on_end
        self._state = State.SASL_HEADER
        self._reader = FrameReader()
        self._sessions: dict[int, Session] = {}
        #: channels without a session any more: the official SDK detaches links after the end
        self._ended: set[int] = set()
        self._loop = asyncio.get_running_loop()
        self._heard = self._told = self._loop.time()
        self._heartbeat_seconds: float | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._transport: asyncio.Transport | None = None
        self._peer = "nobody"
        self._handlers: dict[type[Performative], Callable[[int, Performative], None]] = {
            SaslInit: self._on_sasl_init,
            Open: self._on_open,
            Begin: self._on_begin,
            End: self._on_end_session,
            Close: self._on_close,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        host, port, *_ = transport.get_extra_info("peername")
        self._peer = f"{host}:{port}"

    def connection_lost(self, _: Exception | None) -> None:
        self._state = State.CLOSED
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._on_end(self)

    @property
    def writable(self) -> bool:
        """Whether the client takes what it is sent; it is told of no new messages otherwise."""
        return not self._paused and self._out_size < _ENOUGH

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.nodes.dispatch()

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._reader.feed(data)
        try:
            self._read()
        except MalformedError as error:
            self._fail(AmqpError(DECODE_ERROR, str(error)))
        except ConnectionFault as error:
            self._fail(error)
        except Exception:
            log.exception("connection of %s: a mistake of the broker", self._peer)
            self.cut()

    def tick(self) -> None:
        """Send a heartbeat when the client wants one; give it up when it has gone silent."""
        now = self._loop.time()
        if self._state is State.CLOSED:
            if now - self._heard > self._idle_seconds:
                # it does not read what it was told at the end
                self.cut()
            return
        if now - self._heard > self._idle_seconds:
            milliseconds = int(self._idle_seconds * 1000)
            description = (
                f"The connection was inactive for more than the allowed {milliseconds} milliseconds"
            )
            self._fail(AmqpError(CONNECTION_FORCED, description))
        elif self._heartbeat_seconds and now - self._told >= self._heartbeat_seconds:
            self._write(frame(AMQP, 0, b""))

    def send(self, channel: int, performative: Performative, payload: bytes = b"") -> None:
        self._write(frame(AMQP, channel, performative.encode() + payload))

    def close(self) -> None:
        """End it as a broker does that goes away."""
        self._end(AmqpError(CONNECTION_FORCED, "the local Service Bus has ended"))

    def cut(self) -> None:
        """End it without a word, as a network does."""
        self._state = State.CLOSED
        if self._transport:
            self._transport.abort()

    def _read(self) -> None:
        while self._state is not State.CLOSED:
            if self._state in _HEADERS:
                header = self._reader.header()
                if header is None:
                    return
                self._on_header(header)
            else:
                found = self._reader.frame()
                if found is None:
                    return
                self._on_frame(found)

    def _on_header(self, header: bytes) -> None:
        expected, next_state = _HEADERS[self._state]
        self._write(expected)
        if header != expected:
            log.warning("connection of %s: the header %r is not %r", self._peer, header, expected)
            self._hang_up()
            return
        self._state = next_state
        if next_state is State.SASL_INIT:
            mechanisms = SaslMechanisms(mechanisms=Array((ANONYMOUS,)))
            self._write(frame(SASL, 0, mechanisms.encode()))

    def _on_frame(self, found: Frame) -> None:
        if found.kind != _FRAME_KINDS[self._state]:
            raise ConnectionFault(
                FRAMING_ERROR, f"a frame of type {found.kind} while {self._state}"
            )
        if not found.body:
            return
        performative, end = read_performative(found.body)
        next_state = _TRANSITIONS.get((self._state, type(performative)))
        if next_state is not None:
            self._state = next_state
            self._handlers[type(performative)](found.channel, performative)
        elif self._state is State.OPEN:
            if found.channel not in self._ended:
                self._session(found.channel).handle(performative, found.body[end:])
        else:
            name = type(performative).__name__
            raise ConnectionFault(ILLEGAL_STATE, f"{name} while the broker {self._state}")

    def _session(self, channel: int) -> Session:
        try:
            return self._sessions[channel]
        except KeyError:
            raise ConnectionFault(ILLEGAL_STATE, f"no session on channel {channel}") from None

    def _on_sasl_init(self, _: int, performative: Performative) -> None:
        assert isinstance(performative, SaslInit)
        known = performative.mechanism == ANONYMOUS
        self._write(frame(SASL, 0, SaslOutcome(outcome=0 if known else 1).encode()))
        if not known:
            log.warning("connection of %s: no mechanism %s", self._peer, performative.mechanism)
            self._hang_up()

    def _on_open(self, _: int, performative: Performative) -> None:
        assert isinstance(performative, Open)
        self.send(
            0,
            Open(
                container_id="local-service-bus",
                max_frame_size=MAX_FRAME_SIZE,
                channel_max=CHANNEL_MAX,
                idle_timeout=int(self._idle_seconds * 1000),
            ),
        )
        if performative.max_frame_size < _SMALLEST_MAX_FRAME:
            raise ConnectionFault(FRAMING_ERROR, "max-frame-size is less than 512")
        self.remote_max_frame = min(performative.max_frame_size, MAX_FRAME_SIZE)
        if performative.idle_timeout:
            self._heartbeat_seconds = performative.idle_timeout / 2000

    def _on_begin(self, channel: int, performative: Performative) -> None:
        assert isinstance(performative, Begin)
        if channel in self._sessions or channel > CHANNEL_MAX:
            raise ConnectionFault(RESOURCE_LIMIT, f"channel {channel} cannot be used")
        self._ended.discard(channel)
        self._sessions[channel] = Session(self, channel, performative)

    def _on_end_session(self, channel: int, _: Performative) -> None:
        self._session(channel).close()
        del self._sessions[channel]
        self._ended.add(channel)
        self.send(channel, End())

    def _on_close(self, _: int, __: Performative) -> None:
        self.send(0, Close())
        self._hang_up()

    def _fail(self, error: AmqpError) -> None:
        log.warning("connection of %s: %s", self._peer, error)
        self._end(error)

    def _end(self, error: AmqpError) -> None:
        if self._state is State.OPEN:
            value: Described = error_value(error)
            self.send(0, Close(error=value))
        self._hang_up()

    def _hang_up(self) -> None:
        """Close when everything is written."""
        self._flush()
        self._state = State.CLOSED
        if self._transport:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._out_size += len(data)

    def _flush(self) -> None:
        """Everything of one turn of the loop in one write."""
        if self._out and self._transport and not self._transport.is_closing():
            self._told = self._loop.time()
            self._transport.write(b"".join(self._out))
        self._out.clear()
        was_full, self._out_size = self._out_size >= _ENOUGH, 0
        if was_full and self.writable:
            self.nodes.dispatch()
