"""Frames: a length, a type, a channel and a body; and the headers before the first of them."""

import struct
from dataclasses import dataclass

from emulator.service_bus.codec import MalformedError

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP, SASL = 0, 1
#: the largest frame that is accepted, bytes
MAX_FRAME_SIZE = 65_536
HEAD = struct.Struct(">IBBH")


@dataclass(frozen=True)
class Frame:
    """`kind` is AMQP or SASL; an empty body is a heartbeat."""

    kind: int
    channel: int
    body: bytes


def frame(kind: int, channel: int, body: bytes) -> bytes:
    return HEAD.pack(HEAD.size + len(body), 2, kind, channel) + body


class FrameReader:
    """Bytes as they come in; headers and frames as they are complete."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        self._data += data

    def header(self) -> bytes | None:
        """The next protocol header, or None while it is not there."""
        if len(self._data) < len(AMQP_HEADER):
            return None
        return self._take(len(AMQP_HEADER))

    def frame(self) -> Frame | None:
        """The next frame, or None while it is not there; MalformedError for what can be none."""
        if len(self._data) < HEAD.size:
            return None
        size, offset, kind, channel = HEAD.unpack_from(self._data)
        if not HEAD.size <= size <= MAX_FRAME_SIZE:
            raise MalformedError(f"a frame of {size} bytes")
        if not 2 <= offset <= size // 4:
            raise MalformedError(f"a frame of {size} bytes whose body starts after {4 * offset}")
        if kind not in (AMQP, SASL):
            raise MalformedError(f"a frame of type {kind}")
        if len(self._data) < size:
            return None
        return Frame(kind, channel, self._take(size)[4 * offset :])

    def _take(self, count: int) -> bytes:
        taken = bytes(self._data[:count])
        del self._data[:count]
        return taken
