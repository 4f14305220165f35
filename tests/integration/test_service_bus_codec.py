"""AMQP values, frames and messages as bytes and back, and what is no AMQP."""

from typing import Any

import pytest
from azure.servicebus._pyamqp._decode import decode_payload
from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._pyamqp.message import Message as SdkMessage
from azure.servicebus._pyamqp.message import Properties
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.service_bus.codec import (
    Array,
    Byte,
    Described,
    Float,
    Int,
    MalformedError,
    Opaque,
    Short,
    Symbol,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    decode,
    encode,
)
from emulator.service_bus.frames import AMQP, HEAD, MAX_FRAME_SIZE, FrameReader, frame
from emulator.service_bus.messages import Message, read_messages
from emulator.service_bus.performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Performative,
    Transfer,
    read_performative,
)


def whole(kind: type[int], bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(low, high).map(kind)


#: the computers that run this have other things to do as well
patient = settings(deadline=None)
ONE_TYPE = [
    st.booleans(),
    whole(UByte, 8, signed=False),
    whole(UShort, 16, signed=False),
    whole(UInt, 32, signed=False),
    whole(ULong, 64, signed=False),
    whole(Byte, 8, signed=True),
    whole(Short, 16, signed=True),
    whole(Int, 32, signed=True),
    whole(int, 64, signed=True),
    whole(Timestamp, 64, signed=True),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False, width=32).map(Float),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(max_codepoint=127)).map(Symbol),
    st.binary(max_size=300),
    st.uuids(),
    st.binary(min_size=16, max_size=16).map(lambda data: Opaque(0x94, data)),
]
ATOMS = st.one_of(st.none(), *ONE_TYPE)
KEYS = st.one_of(*ONE_TYPE)
VALUES = st.recursive(
    st.one_of(
        ATOMS, *(st.lists(one, max_size=4).map(lambda v: Array(tuple(v))) for one in ONE_TYPE)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(KEYS, inner, max_size=5),
        st.builds(Described, st.one_of(ATOMS), inner),
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    match one:
        case list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict():
            return same([*one.items()], [*other.items()])
        case tuple():
            return same([*one], [*other])
        case Array():
            return same(one.items, other.items)
        case Described():
            return same(one.descriptor, other.descriptor) and same(one.value, other.value)
    return bool(one == other)


@patient
@given(VALUES)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    data = encode(value)
    back, end = decode(data)
    assert same(back, value)
    assert end == len(data)


@patient
@given(VALUES, st.binary(max_size=5))
def test_a_value_ends_where_it_ends(value: Any, rest: bytes) -> None:
    data = encode(value)
    assert decode(data + rest)[1] == len(data)


@patient
@given(VALUES)
def test_no_part_of_a_value_is_taken_for_the_whole(value: Any) -> None:
    data = encode(value)
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            decode(data[:length])


@patient
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    try:
        value, end = decode(data)
    except MalformedError:
        return
    assert 0 < end <= len(data)
    again, _ = decode(encode(value))
    # NaN is not equal to itself
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"\x01", "unknown constructor"),
        (b"\x56\x02", "a boolean of 2"),
        (b"\xa1\x05ab", "a string longer than its bytes"),
        (b"\xa1\x02\xff\xfe", "text that is not UTF-8"),
        (b"\xa3\x02\xc3\xa9", "a symbol that is not ASCII"),
        (b"\xc1\x02\x01\x40", "a map of one item"),
        (b"\xc1\x05\x02\x45\x40\x00\x00", "a map whose size is wrong"),
        (b"\xc0\x04\x01\x40\x40\x40", "a list that ends before its size says"),
        (b"\xc1\x03\x02\x45\x40", "a map with a list as its key"),
        (b"\xd0\xff\xff\xff\xff\xff\xff\xff\xff", "a list of four billion items"),
        (b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40", "an array of four billion nulls"),
        (b"\x00" * 1000 + b"\x40", "descriptors of descriptors"),
        (b"\xc0\x02\x01" * 100, "lists in lists"),
    ],
)
def test_malformed_bytes_are_refused(data: bytes, why: str) -> None:
    with pytest.raises(MalformedError):
        decode(data)
    assert why


@pytest.mark.parametrize(
    "value", [object(), (1,), UByte(256), UInt(-1), 2**63, Array((UInt(1), "a")), Symbol("é")]
)
def test_what_has_no_amqp_form_is_refused(value: Any) -> None:
    with pytest.raises(MalformedError):
        encode(value)


PERFORMATIVES: list[Performative] = [
    Open(container_id="c", hostname="h", idle_timeout=4000, properties={Symbol("a"): 1}),
    Begin(remote_channel=1, next_outgoing_id=0, incoming_window=5, outgoing_window=6),
    Attach(name="n", handle=3, role=True, initial_delivery_count=0, max_message_size=2**40),
    Flow(incoming_window=1, next_outgoing_id=2, outgoing_window=3, handle=0, drain=True),
    Transfer(handle=1, delivery_id=0, delivery_tag=b"t", settled=False, more=True),
    Disposition(role=False, first=7, settled=True, state=Described(ULong(0x24), [])),
    Detach(handle=4, closed=True, error=Described(ULong(0x1D), [Symbol("x"), "why", None])),
    End(),
    Close(error=Described(ULong(0x1D), [Symbol("x"), "why", None])),
]


@pytest.mark.parametrize("performative", PERFORMATIVES, ids=lambda p: type(p).__name__)
def test_a_performative_comes_back_as_it_was(performative: Performative) -> None:
    body = performative.encode()
    assert read_performative(body + b"payload") == (performative, len(body))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Described(ULong(0x11), [None, UInt(1)]), "Begin has no incoming_window"),
        (Described(ULong(0x11), [None, "1", UInt(1), UInt(1)]), "next_outgoing_id is a str"),
        (Described(ULong(0x17), [None, None]), "End has at most 1 fields"),
        (Described(ULong(0x99), []), "is no performative"),
        (Described("amqp:open:list", []), "is no performative"),
        (Described(ULong(0x10), {}), "holds no performative"),
        (["c"], "holds no performative"),
    ],
)
def test_a_wrong_performative_is_refused_with_the_reason(value: Any, why: str) -> None:
    with pytest.raises(MalformedError, match=why):
        read_performative(encode(value))


@patient
@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 40))
def test_frames_are_found_however_their_bytes_arrive(bodies: list[bytes], step: int) -> None:
    reader = FrameReader()
    data = b"".join(frame(AMQP, number, body) for number, body in enumerate(bodies))
    found = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while (one := reader.frame()) is not None:
            found.append(one)
    assert [(f.channel, f.body) for f in found] == list(enumerate(bodies))


@pytest.mark.parametrize(
    "head",
    [
        HEAD.pack(7, 2, AMQP, 0),
        HEAD.pack(MAX_FRAME_SIZE + 1, 2, AMQP, 0),
        HEAD.pack(100, 1, AMQP, 0),
        HEAD.pack(8, 3, AMQP, 0),
        HEAD.pack(8, 2, 9, 0),
    ],
)
def test_a_frame_that_cannot_be_is_refused_by_its_head(head: bytes) -> None:
    reader = FrameReader()
    reader.feed(head)
    with pytest.raises(MalformedError):
        reader.frame()


def test_the_sdk_reads_the_messages_that_the_broker_writes() -> None:
    sent = encode_payload(
        bytearray(),
        SdkMessage(
            properties=Properties(message_id="m", subject="s", correlation_id="c"),
            application_properties={"a": 1, "b": "two"},
            data=[b"body"],
        ),
    )
    message = Message.read(bytes(sent))
    written = message.encode(delivery_count=3, ttl=2.5, annotations={Symbol("x-opt-a"): 7})
    back: Any = decode_payload(memoryview(written))
    assert back.header.delivery_count == 3
    assert back.header.ttl == 2500
    assert back.message_annotations == {b"x-opt-a": 7}
    assert back.properties.message_id == b"m"
    assert back.properties.subject == b"s"
    assert back.application_properties == {b"a": 1, b"b": b"two"}
    assert back.data == [b"body"]


@patient
@given(
    header=st.lists(VALUES, max_size=5),
    annotations=st.dictionaries(KEYS, VALUES, max_size=4),
    properties=st.lists(VALUES, max_size=13),
    application_properties=st.dictionaries(KEYS, VALUES, max_size=4),
    body=VALUES,
)
def test_whatever_a_message_holds_can_be_given_out_again(
    header: list[Any],
    annotations: dict[Any, Any],
    properties: list[Any],
    application_properties: dict[Any, Any],
    body: Any,
) -> None:
    sections = [header, annotations, properties, application_properties, body]
    codes = [0x70, 0x72, 0x73, 0x74, 0x77]
    data = b"".join(
        encode(Described(ULong(code), section))
        for code, section in zip(codes, sections, strict=True)
    )
    message = Message.read(data)
    written = message.encode(delivery_count=1, ttl=message.ttl, annotations={})
    again = Message.read(written)
    assert same(again.annotations, annotations)
    assert same(again.properties, tuple(properties))
    assert same(again.application_properties, application_properties)
    assert same(again.body, (body,))
    assert isinstance(message.text(), str)
    assert message.scheduled_for is None or isinstance(message.scheduled_for, float)


@patient
@given(st.binary(max_size=300), st.sampled_from([0, 0x80013700]))
def test_any_payload_is_messages_or_malformed(data: bytes, message_format: int) -> None:
    try:
        messages = read_messages(message_format, data)
    except MalformedError:
        return
    for message in messages:
        message.text()
        assert message.encode(delivery_count=0, ttl=message.ttl, annotations={})
