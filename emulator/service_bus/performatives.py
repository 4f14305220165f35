"""The frame bodies of AMQP 1.0 and their fields, in wire order.

http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-transport-v1.0-os.html
"""

from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Self

from emulator.service_bus.codec import (
    Array,
    Described,
    MalformedError,
    Symbol,
    UByte,
    UInt,
    ULong,
    UShort,
    decode,
    encode,
)

ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27
SOURCE, TARGET, COORDINATOR = 0x28, 0x29, 0x30
ERROR = 0x1D
#: `role` of a link's end
SENDER, RECEIVER = False, True


#: types that a field may have; the first is the one that is sent
SYMBOLS = {"kinds": (Array, Symbol)}
MAP = {"kinds": (dict,)}
BOOLEAN = {"kinds": (bool,)}
DESCRIBED = {"kinds": (Described,)}
STRING = {"kinds": (str,)}
BINARY = {"kinds": (bytes,)}
UINT = {"kinds": (UInt,)}
ULONG = {"kinds": (ULong,)}
UBYTE = {"kinds": (UByte,)}
USHORT = {"kinds": (UShort,)}
SYMBOL = {"kinds": (Symbol,)}


@dataclass(frozen=True, kw_only=True)
class Performative:
    """A frame's body; null means that a field has its default."""

    code: ClassVar[int]

    def encode(self) -> bytes:
        own = fields(self)
        values = [_typed(getattr(self, f.name), f.metadata["kinds"][0]) for f in own]
        while values and values[-1] is None:
            values.pop()
        return encode(Described(ULong(self.code), values))

    @classmethod
    def of(cls, values: list[Any]) -> Self:
        """The performative of decoded fields; MalformedError names a field that is wrong."""
        own = fields(cls)
        if len(values) > len(own):
            raise MalformedError(f"{cls.__name__} has at most {len(own)} fields")
        given = {}
        for one, value in zip(own, values, strict=False):
            if value is None:
                continue
            if type(value) not in one.metadata["kinds"]:
                raise MalformedError(
                    f"{cls.__name__}: {one.name} is a {type(value).__name__}: {value!r}"
                )
            given[one.name] = value
        for one in own:
            if one.default is MISSING and one.name not in given:
                raise MalformedError(f"{cls.__name__} has no {one.name}")
        return cls(**given)


def _typed(value: Any, kind: type) -> Any:
    return value if value is None or type(value) is kind else kind(value)


@dataclass(frozen=True, kw_only=True)
class Open(Performative):
    code = 0x10
    container_id: str = field(metadata=STRING)
    hostname: str | None = field(default=None, metadata=STRING)
    max_frame_size: int = field(default=4294967295, metadata=UINT)
    channel_max: int = field(default=65535, metadata=USHORT)
    #: milliseconds
    idle_timeout: int | None = field(default=None, metadata=UINT)
    outgoing_locales: Any = field(default=None, metadata=SYMBOLS)
    incoming_locales: Any = field(default=None, metadata=SYMBOLS)
    offered_capabilities: Any = field(default=None, metadata=SYMBOLS)
    desired_capabilities: Any = field(default=None, metadata=SYMBOLS)
    properties: dict[Any, Any] | None = field(default=None, metadata=MAP)


@dataclass(frozen=True, kw_only=True)
class Begin(Performative):
    code = 0x11
    remote_channel: int | None = field(default=None, metadata=USHORT)
    next_outgoing_id: int = field(metadata=UINT)
    incoming_window: int = field(metadata=UINT)
    outgoing_window: int = field(metadata=UINT)
    handle_max: int = field(default=4294967295, metadata=UINT)
    offered_capabilities: Any = field(default=None, metadata=SYMBOLS)
    desired_capabilities: Any = field(default=None, metadata=SYMBOLS)
    properties: dict[Any, Any] | None = field(default=None, metadata=MAP)


@dataclass(frozen=True, kw_only=True)
class Attach(Performative):
    code = 0x12
    name: str = field(metadata=STRING)
    handle: int = field(metadata=UINT)
    role: bool = field(metadata=BOOLEAN)
    send_settle_mode: int = field(default=2, metadata=UBYTE)
    receive_settle_mode: int = field(default=0, metadata=UBYTE)
    source: Described | None = field(default=None, metadata=DESCRIBED)
    target: Described | None = field(default=None, metadata=DESCRIBED)
    unsettled: dict[Any, Any] | None = field(default=None, metadata=MAP)
    incomplete_unsettled: bool = field(default=False, metadata=BOOLEAN)
    initial_delivery_count: int | None = field(default=None, metadata=UINT)
    max_message_size: int | None = field(default=None, metadata=ULONG)
    offered_capabilities: Any = field(default=None, metadata=SYMBOLS)
    desired_capabilities: Any = field(default=None, metadata=SYMBOLS)
    properties: dict[Any, Any] | None = field(default=None, metadata=MAP)


@dataclass(frozen=True, kw_only=True)
class Flow(Performative):
    code = 0x13
    next_incoming_id: int | None = field(default=None, metadata=UINT)
    incoming_window: int = field(metadata=UINT)
    next_outgoing_id: int = field(metadata=UINT)
    outgoing_window: int = field(metadata=UINT)
    handle: int | None = field(default=None, metadata=UINT)
    delivery_count: int | None = field(default=None, metadata=UINT)
    link_credit: int | None = field(default=None, metadata=UINT)
    available: int | None = field(default=None, metadata=UINT)
    drain: bool = field(default=False, metadata=BOOLEAN)
    echo: bool = field(default=False, metadata=BOOLEAN)
    properties: dict[Any, Any] | None = field(default=None, metadata=MAP)


@dataclass(frozen=True, kw_only=True)
class Transfer(Performative):
    code = 0x14
    handle: int = field(metadata=UINT)
    delivery_id: int | None = field(default=None, metadata=UINT)
    delivery_tag: bytes | None = field(default=None, metadata=BINARY)
    message_format: int = field(default=0, metadata=UINT)
    settled: bool | None = field(default=None, metadata=BOOLEAN)
    more: bool = field(default=False, metadata=BOOLEAN)
    receive_settle_mode: int | None = field(default=None, metadata=UBYTE)
    state: Described | None = field(default=None, metadata=DESCRIBED)
    resume: bool = field(default=False, metadata=BOOLEAN)
    aborted: bool = field(default=False, metadata=BOOLEAN)
    batchable: bool = field(default=False, metadata=BOOLEAN)


@dataclass(frozen=True, kw_only=True)
class Disposition(Performative):
    code = 0x15
    role: bool = field(metadata=BOOLEAN)
    first: int = field(metadata=UINT)
    last: int | None = field(default=None, metadata=UINT)
    settled: bool = field(default=False, metadata=BOOLEAN)
    state: Described | None = field(default=None, metadata=DESCRIBED)
    batchable: bool = field(default=False, metadata=BOOLEAN)


@dataclass(frozen=True, kw_only=True)
class Detach(Performative):
    code = 0x16
    handle: int = field(metadata=UINT)
    closed: bool = field(default=False, metadata=BOOLEAN)
    error: Described | None = field(default=None, metadata=DESCRIBED)


@dataclass(frozen=True, kw_only=True)
class End(Performative):
    code = 0x17
    error: Described | None = field(default=None, metadata=DESCRIBED)


@dataclass(frozen=True, kw_only=True)
class Close(Performative):
    code = 0x18
    error: Described | None = field(default=None, metadata=DESCRIBED)


@dataclass(frozen=True, kw_only=True)
class SaslMechanisms(Performative):
    code = 0x40
    mechanisms: Any = field(default=None, metadata=SYMBOLS)


@dataclass(frozen=True, kw_only=True)
class SaslInit(Performative):
    code = 0x41
    mechanism: str = field(metadata=SYMBOL)
    initial_response: bytes | None = field(default=None, metadata=BINARY)
    hostname: str | None = field(default=None, metadata=STRING)


@dataclass(frozen=True, kw_only=True)
class SaslOutcome(Performative):
    code = 0x44
    outcome: int = field(metadata=UBYTE)
    additional_data: bytes | None = field(default=None, metadata=BINARY)


_KINDS: dict[int, type[Performative]] = {
    kind.code: kind
    for kind in (
        *(Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close),
        *(SaslMechanisms, SaslInit, SaslOutcome),
    )
}


def read_performative(body: bytes) -> tuple[Performative, int]:
    """A frame's performative and where its payload starts; MalformedError when it is none."""
    value, end = decode(body)
    if not isinstance(value, Described) or not isinstance(value.value, list):
        raise MalformedError("a frame holds no performative")
    code = value.descriptor
    if type(code) is not ULong or code not in _KINDS:
        raise MalformedError(f"{code!r} is no performative")
    return _KINDS[code].of(value.value), end


def composite(value: Any, code: int) -> list[Any] | None:
    """The fields of a described list with this descriptor, or None."""
    if isinstance(value, Described) and value.descriptor == code and isinstance(value.value, list):
        return value.value
    return None
