"""AMQP 1.0 values to bytes and back.

Python's own types stand for null, boolean, long, double, string, binary, uuid, list and map; the
types below for the rest, so that a decoded value is encoded as the same AMQP type again.
http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html
"""

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: lists within lists; more is an attack, not a message
MOST_NESTED = 32
#: elements of an array whose elements take no bytes
_MOST_EMPTY_ELEMENTS = 65_536


class MalformedError(ValueError):
    """Bytes that are not AMQP, or a value that has no AMQP form."""


class UByte(int):
    pass


class UShort(int):
    pass


class UInt(int):
    pass


class ULong(int):
    pass


class Byte(int):
    pass


class Short(int):
    pass


class Int(int):
    pass


class Timestamp(int):
    """Milliseconds since 1970, UTC."""


class Float(float):
    """Four bytes; Python's float is a double."""


class Symbol(str):
    """ASCII text out of a fixed vocabulary."""

    __slots__ = ()


@dataclass(frozen=True)
class Opaque:
    """A decimal or char: its bits are kept and never looked at."""

    code: int
    data: bytes


@dataclass(frozen=True)
class Described:
    """A value and the descriptor that says what it means."""

    descriptor: Any
    value: Any


@dataclass(frozen=True)
class Array:
    """Elements of one type."""

    items: tuple[Any, ...] = ()


#: constructor of each type of fixed width, and its struct
_FIXED: dict[type, tuple[int, struct.Struct]] = {
    UByte: (0x50, struct.Struct(">B")),
    Byte: (0x51, struct.Struct(">b")),
    UShort: (0x60, struct.Struct(">H")),
    Short: (0x61, struct.Struct(">h")),
    UInt: (0x70, struct.Struct(">I")),
    Int: (0x71, struct.Struct(">i")),
    Float: (0x72, struct.Struct(">f")),
    ULong: (0x80, struct.Struct(">Q")),
    int: (0x81, struct.Struct(">q")),
    float: (0x82, struct.Struct(">d")),
    Timestamp: (0x83, struct.Struct(">q")),
}
#: constructors of shorter forms: what they mean
_SHORT: dict[int, tuple[type, struct.Struct]] = {
    0x52: (UInt, struct.Struct(">B")),
    0x53: (ULong, struct.Struct(">B")),
    0x54: (Int, struct.Struct(">b")),
    0x55: (int, struct.Struct(">b")),
}
_NUMBERS = {code: (kind, form) for kind, (code, form) in _FIXED.items()} | _SHORT
_CONSTANTS: dict[int, Any] = {
    0x40: None,
    0x41: True,
    0x42: False,
    0x43: UInt(0),
    0x44: ULong(0),
}
_OPAQUE = {0x73: 4, 0x74: 4, 0x84: 8, 0x94: 16}
_BYTE, _LONG = struct.Struct(">B"), struct.Struct(">I")


def _symbol(data: bytes) -> Symbol:
    return Symbol(data.decode("ascii"))


#: constructors of variable width: width of the size, and what the bytes mean
_VARIABLE: dict[int, tuple[struct.Struct, Callable[[bytes], Any]]] = {
    0xA0: (_BYTE, bytes),
    0xA1: (_BYTE, bytes.decode),
    0xA3: (_BYTE, _symbol),
    0xB0: (_LONG, bytes),
    0xB1: (_LONG, bytes.decode),
    0xB3: (_LONG, _symbol),
}
_LISTS = {0xC0: _BYTE, 0xD0: _LONG}
_MAPS = {0xC1: _BYTE, 0xD1: _LONG}
_ARRAYS = {0xE0: _BYTE, 0xF0: _LONG}


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """The value that starts at `at`, and where it ends; MalformedError when there is none."""
    try:
        return _decode(data, at, 0)
    except (struct.error, IndexError, UnicodeDecodeError, TypeError) as error:
        raise MalformedError(f"not an AMQP value: {error}") from error


def _decode(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if data[at] == 0:
        if depth > MOST_NESTED:
            raise MalformedError("values are nested too deeply")
        descriptor, at = _decode(data, at + 1, depth + 1)
        value, at = _decode(data, at, depth + 1)
        return Described(descriptor, value), at
    return _decode_as(data[at], data, at + 1, depth)


def _decode_as(code: int, data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """The value of the constructor `code` whose bytes start at `at`."""
    if code in _VARIABLE:
        width, read = _VARIABLE[code]
        start = at + width.size
        end = start + width.unpack_from(data, at)[0]
        return read(_slice(data, start, end)), end
    if code in _NUMBERS:
        kind, form = _NUMBERS[code]
        return kind(form.unpack_from(data, at)[0]), at + form.size
    if code in _CONSTANTS:
        return _CONSTANTS[code], at
    if code == 0x45:
        return [], at
    if code == 0x56:
        return _boolean(data[at]), at + 1
    if code == 0x98:
        return uuid.UUID(bytes=_slice(data, at, at + 16)), at + 16
    if code in _OPAQUE:
        end = at + _OPAQUE[code]
        return Opaque(code, _slice(data, at, end)), end
    if depth >= MOST_NESTED:
        raise MalformedError("values are nested too deeply")
    for forms, read_items in _COMPOUND:
        if code in forms:
            return _compound(forms[code], read_items, data, at, depth + 1)
    raise MalformedError(f"no AMQP type has the constructor 0x{code:02x}")


type _ReadItems = Callable[[bytes, int, int, int], tuple[Any, int]]


def _compound(
    width: struct.Struct, read_items: _ReadItems, data: bytes, at: int, depth: int
) -> tuple[Any, int]:
    size: int = width.unpack_from(data, at)[0]
    count: int = width.unpack_from(data, at + width.size)[0]
    end = at + width.size + size
    if end > len(data):
        raise MalformedError("a value is longer than its bytes")
    if not count and read_items is _read_array:
        # the official SDK leaves out the constructor of an empty array
        return Array(), end
    value, stopped = read_items(data, at + 2 * width.size, count, depth)
    if stopped != end:
        raise MalformedError("the size of a list, map or array is wrong")
    return value, end


def _read_list(data: bytes, at: int, count: int, depth: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _decode(data, at, depth)
        items.append(item)
    return items, at


def _read_map(data: bytes, at: int, count: int, depth: int) -> tuple[dict[Any, Any], int]:
    if count % 2:
        raise MalformedError("a map has a key without a value")
    items, at = _read_list(data, at, count, depth)
    return dict(zip(items[::2], items[1::2], strict=True)), at


def _read_array(data: bytes, at: int, count: int, depth: int) -> tuple[Array, int]:
    descriptors: list[Any] = []
    while data[at] == 0:
        if len(descriptors) + depth > MOST_NESTED:
            raise MalformedError("values are nested too deeply")
        descriptor, at = _decode(data, at + 1, depth)
        descriptors.append(descriptor)
    code = data[at]
    at += 1
    if count > max(len(data) - at, _MOST_EMPTY_ELEMENTS):
        raise MalformedError("an array has more elements than bytes")
    items = []
    for _ in range(count):
        item, at = _decode_as(code, data, at, depth)
        for descriptor in reversed(descriptors):
            item = Described(descriptor, item)
        items.append(item)
    return Array(tuple(items)), at


_COMPOUND: tuple[tuple[dict[int, struct.Struct], _ReadItems], ...] = (
    (_LISTS, _read_list),
    (_MAPS, _read_map),
    (_ARRAYS, _read_array),
)


def _slice(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise MalformedError("a value is longer than its bytes")
    return bytes(data[start:end])


def _boolean(byte: int) -> bool:
    if byte > 1:
        raise MalformedError(f"{byte} is no boolean")
    return bool(byte)


def encode(value: Any) -> bytes:
    """The value's bytes; MalformedError when it has no AMQP form."""
    try:
        code, data = _parts(value, wide=False)
    except UnicodeEncodeError as error:
        raise MalformedError(str(error)) from error
    return code + data


def _parts(value: Any, *, wide: bool) -> tuple[bytes, bytes]:
    """Constructor and content apart; `wide`: the constructor that fits every value of the type."""
    kind = type(value)
    if value is None:
        return b"\x40", b""
    if kind is bool:
        return b"\x56", b"\x01" if value else b"\x00"
    if kind in _FIXED:
        code, form = _FIXED[kind]
        try:
            return bytes((code,)), form.pack(value)
        except (struct.error, OverflowError) as error:
            raise MalformedError(f"{value!r} is no {kind.__name__}") from error
    if kind in _SIZED:
        code, as_bytes = _SIZED[kind]
        return _sized(code, as_bytes(value), wide)
    if kind is uuid.UUID:
        return b"\x98", value.bytes
    if kind is Opaque:
        return bytes((value.code,)), value.data
    if kind is list:
        return _counted(0xD0, len(value), b"".join(map(encode, value)))
    if kind is dict:
        pairs = (encode(item) for pair in value.items() for item in pair)
        return _counted(0xD1, 2 * len(value), b"".join(pairs))
    if kind is Array:
        return _array(value)
    if kind is Described:
        inside, data = _parts(value.value, wide=wide)
        return b"\x00" + _descriptor(value.descriptor) + inside, data
    raise MalformedError(f"{kind.__name__} has no AMQP form")


_SIZED: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    bytes: (0xA0, bytes),
    str: (0xA1, str.encode),
    Symbol: (0xA3, lambda symbol: symbol.encode("ascii")),
}


def _descriptor(descriptor: Any) -> bytes:
    if type(descriptor) is ULong and descriptor < 256:
        # the official SDK reads the descriptors of frames and sections in this form only
        return bytes((0x53, descriptor))
    return encode(descriptor)


def _sized(code: int, data: bytes, wide: bool) -> tuple[bytes, bytes]:
    if len(data) < 256 and not wide:
        return bytes((code,)), _BYTE.pack(len(data)) + data
    return bytes((code + 0x10,)), _LONG.pack(len(data)) + data


def _counted(code: int, count: int, data: bytes) -> tuple[bytes, bytes]:
    return bytes((code,)), _LONG.pack(len(data) + 4) + _LONG.pack(count) + data


def _array(array: Array) -> tuple[bytes, bytes]:
    parts = [_parts(item, wide=True) for item in array.items]
    constructors = {constructor for constructor, _ in parts}
    if len(constructors) > 1:
        raise MalformedError("the elements of an array are of different types")
    constructor = constructors.pop() if constructors else b"\x40"
    return _counted(0xF0, len(parts), constructor + b"".join(data for _, data in parts))
