"""From what arrives to events, and what is refused on the way."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared import envelopes
from shared.envelopes import MAX_EVENTS, MAX_SIZE
from shared.errors import EventInvalid
from shared.events import BLOB_CREATED, MESSAGE, Event
from tests.unit import scene

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: Only what CloudEvents asks for.
CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/orders",
    "type": "order.placed",
}
#: As Event Grid sends it.
GRID: dict[str, Any] = {
    "id": "g-1",
    "topic": "/subscriptions/s/topics/orders",
    "subject": "orders/7",
    "eventType": "order.placed",
    "eventTime": "2026-03-01T10:00:00Z",
    "data": {"amount": 7},
    "dataVersion": "1",
    "metadataVersion": "1",
}
UPLOAD: dict[str, Any] = {
    **GRID,
    "eventType": BLOB_CREATED,
    "subject": "/blobServices/default/containers/landing/blobs/sales/a.csv",
    "data": {
        "api": "PutBlockList",
        "eTag": "0x8D4BCC2E4835CD0",
        "url": "https://contosolake.blob.core.windows.net/landing/sales/a.csv",
    },
}
SECRET = "AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0"


def parsed(content: Any, **how: Any) -> Event:
    [event] = envelopes.parse(content, now=NOW, **how)
    return event


def refused(content: Any) -> str:
    with pytest.raises(EventInvalid) as caught:
        envelopes.parse(content, now=NOW)
    return str(caught.value)


def received(body: Any, **how: Any) -> list[Event]:
    """The events in a message of the queue `inbox`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return envelopes.message(
        raw, **{"via": "queue/inbox", "sequence_number": 7, "enqueued": NOW, **how}
    )


def one(body: Any, **how: Any) -> Event:
    [event] = received(body, **how)
    return event


# CloudEvents and Event Grid's schema.


def test_a_cloud_event_needs_four_attributes_and_the_rest_has_defaults() -> None:
    event = parsed(CLOUD)

    assert (event.id, event.source, event.type) == ("A-1", "/orders", "order.placed")
    assert (event.subject, event.time, event.data, event.via) == ("", NOW, None, "")


def test_event_grid_s_names_are_cloud_events_names() -> None:
    event = parsed(GRID)

    assert (event.id, event.type, event.subject) == ("g-1", "order.placed", "orders/7")
    assert event.source == "/subscriptions/s/topics/orders"
    assert event.time == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert event.data == {"amount": 7}
    # Nothing of the envelope itself comes along.
    assert not event.model_extra


@pytest.mark.parametrize("data", [None, 0, False, "", [], {}, 1.5, "text", {"a": [1, None]}])
def test_data_is_any_json_value(data: Any) -> None:
    event = parsed({**CLOUD, "data": data})

    assert event.data == data
    assert type(event.data) is type(data)


def test_a_list_holds_events_of_both_schemas() -> None:
    events = envelopes.parse([CLOUD, GRID], now=NOW)

    assert [event.id for event in events] == ["A-1", "g-1"]


def test_a_list_is_taken_as_a_whole_or_not_at_all() -> None:
    assert "'id'" not in refused([CLOUD, {**CLOUD, "id": None}])
    assert "unusable attributes: id" in refused([CLOUD, {**CLOUD, "id": None}])


def test_a_list_has_a_length() -> None:
    assert len(envelopes.parse([CLOUD] * MAX_EVENTS, now=NOW)) == MAX_EVENTS
    assert f"this one {MAX_EVENTS + 1}" in refused([CLOUD] * (MAX_EVENTS + 1))
    assert "this one 0" in refused([])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (5, "not a int"),
        ("text", "not a str"),
        (None, "not a NoneType"),
        ([[CLOUD]], "not a list"),
        ({}, "neither 'specversion' (CloudEvents 1.0) nor 'eventType' (Event Grid)"),
        ({**CLOUD, "specversion": "0.3"}, "CloudEvents '0.3' is not known here"),
        ({**CLOUD, "specversion": 1.0}, "send 1.0"),
        ({**CLOUD, "specversion": None}, "send 1.0"),
    ],
)
def test_what_is_no_event_is_told_what_one_is(content: Any, said: str) -> None:
    assert said in refused(content)


@pytest.mark.parametrize("name", ["id", "source", "type"])
@pytest.mark.parametrize("value", [None, "", 5, [], "x" * 2049])
def test_a_required_attribute_is_text_of_some_length(name: str, value: Any) -> None:
    assert f"unusable attributes: {name}." in refused({**CLOUD, name: value})


@pytest.mark.parametrize("subject", [5, ["x"], "x" * 2049])
def test_a_subject_is_text(subject: Any) -> None:
    assert "unusable attributes: subject." in refused({**CLOUD, "subject": subject})


def test_what_is_missing_is_told_all_at_once() -> None:
    assert "unusable attributes: id, source, type." in refused({"specversion": "1.0"})


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00.1234567Z", datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc_and_others_keep_theirs(time: str, expected: datetime) -> None:
    for event in (parsed({**CLOUD, "time": time}), parsed({**GRID, "eventTime": time})):
        assert event.time == expected
        assert event.time.tzinfo is not None


def test_event_grid_says_when_and_a_cloud_event_may() -> None:
    assert parsed({**CLOUD, "time": None}).time == NOW
    for time in (None, ""):
        assert "unusable attributes: time." in refused({**GRID, "eventTime": time})


@pytest.mark.parametrize("time", ["noon", "", [], {}, True, 10**30, "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_refused(time: Any) -> None:
    assert "unusable attributes: time." in refused({**CLOUD, "time": time})


def test_the_ends_of_time_can_be_kept_and_told() -> None:
    here = scene.Scene()
    here.publish(scene.trigger(path="sales/{file}.parquet"))
    for time in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        here.dispatcher.handle(parsed({**UPLOAD, "eventTime": time}))

    assert len(here.decisions()) == 2


# Extension attributes.


def test_extension_attributes_are_kept_with_their_types() -> None:
    event = parsed({**CLOUD, "tenant": "north", "sequence": 7, "test": True, "traceparent": "00-1"})

    assert event.model_extra == {
        "tenant": "north",
        "sequence": 7,
        "test": True,
        "traceparent": "00-1",
    }


@pytest.mark.parametrize(
    "name", ["Tenant", "ten_ant", "ten-ant", "x" * 21, "", "é", "model_config", "__class__", "a b"]
)
def test_a_name_that_no_extension_attribute_may_have_is_left_out(name: str) -> None:
    assert not parsed({**CLOUD, name: "x"}).model_extra


@pytest.mark.parametrize("value", [None, [], {}, [1], {"a": 1}])
def test_an_extension_attribute_is_one_value(value: Any) -> None:
    assert not parsed({**CLOUD, "tenant": value}).model_extra


def test_there_are_only_so_many_extension_attributes() -> None:
    assert parsed({**CLOUD, **{f"x{number}": "" for number in range(40)}}).model_extra
    assert "more than 40" in refused({**CLOUD, **{f"x{number}": "" for number in range(41)}})


#: Names of Event's own properties and methods that a sender may use as well.
OURS = ["blob", "title", "about", "attribute", "copy", "json", "dict", "construct", "validate"]


@pytest.mark.parametrize("name", OURS)
def test_an_extension_attribute_never_stands_in_for_our_own(name: str) -> None:
    plain, named = parsed(CLOUD), parsed({**CLOUD, name: "forged"})

    assert named.model_extra == {name: "forged"}
    assert named.attribute(name) == "forged"
    assert (named.title, named.about, named.blob) == (plain.title, plain.about, plain.blob)
    assert named.dedupe_key() == plain.dedupe_key()
    assert named.model_copy() == named
    assert Event.model_validate_json(named.model_dump_json()) == named


def test_the_way_an_event_came_is_never_what_its_sender_says() -> None:
    said = {"via": "run/churn-training"}

    assert parsed({**CLOUD, **said}).via == ""
    assert parsed({**CLOUD, **said}, via="queue/inbox").via == "queue/inbox"
    assert parsed({**GRID, **said}).via == ""
    assert (
        envelopes.binary({f"ce-{k}": v for k, v in {**CLOUD, **said}.items()}, 1, now=NOW).via == ""
    )
    assert one({**CLOUD, **said}).via == "queue/inbox"
    properties = {f"cloudEvents:{name}": value for name, value in {**CLOUD, **said}.items()}
    assert one({}, properties=properties).via == "queue/inbox"
    assert one(said, properties=said).via == "queue/inbox"


def test_a_name_stands_once_so_that_nobody_reads_another_value() -> None:
    for raw in (
        b'{"specversion":"1.0","id":"1","id":"2","source":"/x","type":"t"}',
        b'{"specversion":"1.0","id":"1","source":"/x","type":"t","data":[{"a":1,"a":1}]}',
    ):
        with pytest.raises(EventInvalid, match="one name twice"):
            envelopes.decode(raw)


# data_base64.


def base64_of(raw: bytes) -> dict[str, Any]:
    return {**CLOUD, "data_base64": base64.b64encode(raw).decode()}


def test_data_in_base64_is_json_again() -> None:
    event = parsed(base64_of(b'{"amount": 7}'))

    assert event.data == {"amount": 7}
    assert not event.model_extra


@pytest.mark.parametrize("value", ["!!", "abc", "ä", 5, None, [], "eyJhIjogMX0\n="])
def test_what_is_no_base64_is_refused(value: Any) -> None:
    said = refused({**CLOUD, "data_base64": value})

    assert "base64" in said or "not JSON" in said


def test_base64_hides_nothing_from_the_checks_of_plain_json() -> None:
    assert "not UTF-8" in refused(base64_of(b"\xff"))
    assert "NaN is not JSON" in refused(base64_of(b"NaN"))
    assert "nested" in refused(base64_of(b"[" * 200 + b"]" * 200))
    assert "nested too deeply" in refused(base64_of(b"[" * 100_000))


# Uploads: only what is finished, and only what names one blob.


@pytest.mark.parametrize("api", ["PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"])
def test_finished_writes_are_taken(api: str) -> None:
    assert parsed({**UPLOAD, "data": {**UPLOAD["data"], "api": api}}).blob is not None


@pytest.mark.parametrize("api", ["CreateFile", "FlushFile", "PutBlock", "", None, [], {}, 5])
def test_a_write_that_is_not_finished_is_nothing_yet(api: Any) -> None:
    assert envelopes.parse({**UPLOAD, "data": {**UPLOAD["data"], "api": api}}, now=NOW) == []


def test_an_unfinished_write_leaves_the_others_of_a_list() -> None:
    unfinished = {**UPLOAD, "data": {**UPLOAD["data"], "api": "CreateFile"}}

    assert [e.id for e in envelopes.parse([unfinished, CLOUD], now=NOW)] == ["A-1"]


def test_an_upload_is_the_same_in_every_envelope() -> None:
    grid = parsed(UPLOAD)
    cloud = {
        **CLOUD,
        "id": UPLOAD["id"],
        "source": UPLOAD["topic"],
        "type": BLOB_CREATED,
        "subject": UPLOAD["subject"],
        "time": UPLOAD["eventTime"],
        "data": UPLOAD["data"],
    }

    assert parsed(cloud) == grid
    assert one(UPLOAD).dedupe_key() == one([cloud]).dedupe_key() == grid.dedupe_key()
    # However the message is told apart from others, the blob is the same.
    assert one(UPLOAD, message_id="m-1").dedupe_key(by_message_id=True) == grid.dedupe_key()


@pytest.mark.parametrize("data", [None, [1], "x", {"api": "PutBlob"}, {"eTag": ""}, {"eTag": 5}])
def test_an_upload_without_an_etag_is_refused(data: Any) -> None:
    assert "no data.eTag, which tells one upload from the next" in refused({**UPLOAD, "data": data})


def test_an_upload_that_names_no_blob_is_refused() -> None:
    assert "names no blob" in refused({**UPLOAD, "subject": "orders/7"})
    assert "leads elsewhere" in refused({**UPLOAD, "subject": UPLOAD["subject"] + "/../b"})


# Sizes, depth and text that nothing can write down again.


def test_a_body_has_a_size() -> None:
    fits = b'"' + b"x" * (MAX_SIZE - 2) + b'"'

    assert len(envelopes.decode(fits)) == MAX_SIZE - 2
    with pytest.raises(EventInvalid, match="larger than 1048576 bytes; send a reference"):
        envelopes.decode(fits + b" ")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "it is not UTF-8"),
        (b"{'a': 1}", "not JSON"),
        (b"NaN", "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"-Infinity", "-Infinity is not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"1" * 5000, "too large to be kept"),
        (b"[1] x", "at line 1, column 5"),
        (b"{} {}", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(EventInvalid) as caught:
        envelopes.decode(body)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def nested(depth: int) -> Any:
    value: Any = 1
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


def test_data_is_nested_so_deep_and_no_deeper() -> None:
    assert parsed({**CLOUD, "data": nested(49)}).data == nested(49)
    assert one(nested(49)).data == nested(49)
    assert "nested more than 50 deep" in refused({**CLOUD, "data": nested(50)})
    with pytest.raises(EventInvalid, match="nested more than 50 deep"):
        one(nested(50))


@pytest.mark.parametrize(
    "changed",
    [
        {"data": "\ud800"},
        {"data": {"\ud800": 1}},
        {"data": [["\udfff"]]},
        {"id": "\ud800"},
        {"source": "a\ud800"},
        {"subject": "\ud800"},
        {"tenant": "\ud800"},
    ],
)
def test_half_a_character_is_refused(changed: dict[str, Any]) -> None:
    said = refused({**CLOUD, **changed})

    assert "not Unicode" in said or "unusable attributes" in said
    said.encode()


@pytest.mark.parametrize("raw", [r'"\ud800"', r'{"\udfff": 1}', r'[["a", "\ude00\ud83d"]]'])
def test_half_a_character_is_refused_where_it_is_read(raw: str) -> None:
    with pytest.raises(EventInvalid, match="surrogate pair, which is not Unicode"):
        envelopes.decode(raw.encode())
    assert envelopes.decode(rb'"\ud83d\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", '[1, {"a": 2e308}]', "1" * 310, "-" + "9" * 4000, "1" * 5000]
)
def test_a_number_beyond_all_numbers_is_refused_and_not_kept_as_another(number: str) -> None:
    raw = json.dumps({**CLOUD, "data": "here"}).replace('"here"', number).encode()

    with pytest.raises(EventInvalid, match="too large to be kept"):
        envelopes.decode(raw)


@pytest.mark.parametrize(
    "data", [float("inf"), float("-inf"), float("nan"), {"a": [10**310]}, [-(10**5000)]]
)
def test_what_came_another_way_than_as_text_keeps_the_same_rules(data: Any) -> None:
    assert "too large to be kept" in refused({**CLOUD, "data": data})
    assert "too large to be kept" in refused({**GRID, "data": data})


def test_a_large_number_is_no_extension_attribute_either() -> None:
    assert "too large to be kept" in refused({**CLOUD, "tenant": 10**400})


def test_a_byte_order_mark_is_not_taken_for_text() -> None:
    assert envelopes.decode(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    with pytest.raises(EventInvalid, match="not UTF-8"):
        envelopes.decode('{"a": 1}'.encode("utf-16"))


@pytest.mark.parametrize("data", [10**300, 2**63, -(2**70), 5e-324, 1.7976931348623157e308])
def test_numbers_are_kept_to_the_last_digit(data: float) -> None:
    event = parsed({**CLOUD, "data": data})

    assert Event.model_validate_json(event.model_dump_json()).data == data


# Binary mode of HTTP.


HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "A-1",
    "ce-source": "/orders",
    "ce-type": "order.placed",
}


def test_a_binary_event_has_its_attributes_in_headers() -> None:
    headers = {**HEADERS, "Content-Type": "application/json", "CE-Subject": "7", "ce-tenant": "x"}
    event = envelopes.binary(headers, {"amount": 7}, via="http/x", now=NOW)

    assert event == parsed(
        {**CLOUD, "subject": "7", "tenant": "x", "data": {"amount": 7}}, via="http/x"
    )


def test_other_text_is_percent_encoded_in_headers() -> None:
    event = envelopes.binary({**HEADERS, "ce-subject": "Euro%20%E2%82%AC%20%25"}, None, now=NOW)

    assert event.subject == "Euro € %"


def test_headers_never_stand_in_for_the_body() -> None:
    forged = {"ce-data": "forged", "ce-data_base64": base64.b64encode(b'"forged"').decode()}

    assert envelopes.binary({**HEADERS, **forged}, {"a": 1}, now=NOW).data == {"a": 1}


@pytest.mark.parametrize("missing", sorted(HEADERS))
def test_a_binary_event_without_an_attribute_is_refused(missing: str) -> None:
    headers = {name: value for name, value in HEADERS.items() if name != missing}
    with pytest.raises(EventInvalid):
        envelopes.binary(headers, None, now=NOW)


def test_a_binary_upload_that_is_not_finished_is_refused() -> None:
    headers = {**HEADERS, "ce-type": BLOB_CREATED, "ce-subject": UPLOAD["subject"]}
    with pytest.raises(EventInvalid, match="not finished"):
        envelopes.binary(headers, {**UPLOAD["data"], "api": "CreateFile"}, now=NOW)


# Messages.


def test_a_message_that_holds_no_event_is_one_itself() -> None:
    event = one({"amount": 7}, message_id="order-7", subject="orders", properties={"tenant": "x"})

    assert event.type == MESSAGE
    assert event.id == "7@2026-03-01T12:00:00+00:00"
    assert event.source == "servicebus:queue/inbox"
    assert (event.subject, event.time, event.via) == ("orders", NOW, "queue/inbox")
    assert event.data == {"amount": 7}
    assert event.message_id == "order-7"
    assert event.model_extra == {"messageid": "order-7", "properties": {"tenant": "x"}}


@pytest.mark.parametrize(
    "body", [None, 0, "", [], {}, [1, CLOUD], {"eventType": "x"}, "specversion"]
)
def test_any_other_json_is_a_message_s_data(body: Any) -> None:
    event = one(body)

    assert (event.type, event.data, event.message_id) == (MESSAGE, body, None)


@pytest.mark.parametrize("body", [b"", b"\xff", b"plain text", b"{}}", b"NaN", b"<xml/>"])
def test_a_message_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(EventInvalid):
        received(body)


def test_a_message_in_another_place_of_the_queue_is_another_message() -> None:
    later = NOW + timedelta(seconds=1)
    keys = {
        one({}).dedupe_key(),
        one({}, sequence_number=8).dedupe_key(),
        one({}, enqueued=later).dedupe_key(),
        one({}, via="queue/other").dedupe_key(),
        one({}, via="topic/inbox/all").dedupe_key(),
    }

    assert len(keys) == 5
    assert one({}).dedupe_key() == one({"other": "body"}, message_id="x").dedupe_key()


def test_a_message_s_own_id_tells_it_apart_only_where_that_is_asked_for() -> None:
    first, again = one({}, message_id="m"), one({}, message_id="m", sequence_number=8)

    assert first.dedupe_key() != again.dedupe_key()
    assert first.dedupe_key(by_message_id=True) == again.dedupe_key(by_message_id=True)
    assert one({}).dedupe_key(by_message_id=True) == one({}).dedupe_key()
    elsewhere = one({}, message_id="m", via="queue/other")
    assert elsewhere.dedupe_key(by_message_id=True) != first.dedupe_key(by_message_id=True)


def test_the_events_of_one_message_are_told_apart_whatever_its_id() -> None:
    events = received([CLOUD, {**CLOUD, "id": "A-2"}], message_id="m")

    assert [event.message_id for event in events] == ["m", "m"]
    assert len({event.dedupe_key(by_message_id=True) for event in events}) == 2
    # And an event that is sent again in another message is the same event.
    again = one(CLOUD, message_id="n", sequence_number=8)
    assert again.dedupe_key(by_message_id=True) == events[0].dedupe_key(by_message_id=True)


def test_a_message_may_hold_one_event_or_many_of_either_schema() -> None:
    assert [event.id for event in received([GRID, CLOUD])] == ["g-1", "A-1"]
    assert one(CLOUD, message_id="m").model_extra == {"messageid": "m"}
    assert one(CLOUD).time == NOW


def test_what_says_it_is_an_event_and_is_none_is_refused() -> None:
    with pytest.raises(EventInvalid, match="unusable attributes: id, source, type"):
        received([{"specversion": "1.0"}])


@pytest.mark.parametrize("prefix", ["cloudEvents:", "cloudEvents_"])
@pytest.mark.parametrize("raw", [False, True])
def test_a_binary_message_has_its_attributes_in_properties(prefix: str, raw: bool) -> None:
    attributes = {**CLOUD, "subject": "7", "time": "2026-03-01T10:00:00Z", "tenant": "x"}
    named: dict[Any, Any] = {f"{prefix}{name}": value for name, value in attributes.items()}
    if raw:
        named = {name.encode(): value.encode() for name, value in named.items()}
    event = one({"amount": 7}, properties={**named, "other": "y"}, message_id="m")

    assert event == parsed(
        {**attributes, "data": {"amount": 7}, "messageid": "m"}, via="queue/inbox"
    )


def test_properties_never_stand_in_for_the_body() -> None:
    named = {f"cloudEvents:{name}": value for name, value in CLOUD.items()}
    forged = {
        "cloudEvents:data": "forged",
        "cloudEvents:data_base64": base64.b64encode(b'"forged"').decode(),
    }

    assert one({"a": 1}, properties={**named, **forged}).data == {"a": 1}


def test_properties_that_json_has_not_are_left_out() -> None:
    odd = {b"raw": b"\xff", "nan": float("nan"), "inf": float("inf"), "none": None, "list": [1]}
    event = one({}, properties={**odd, 5: 7, "time": NOW, "big": 2**63, "f": 0.5})

    assert event.model_extra == {"properties": {"raw": "�", "5": 7, "big": 2**63, "f": 0.5}}
    assert Event.model_validate_json(event.model_dump_json()) == event


def test_a_request_is_an_event_of_the_way_it_came() -> None:
    event = envelopes.request(
        {"a": 1}, id="k", source="/http/key", type="t", via="http/on-call", subject="s", now=NOW
    )

    assert (event.id, event.source, event.type, event.subject) == ("k", "/http/key", "t", "s")
    assert (event.via, event.time, event.data) == ("http/on-call", NOW, {"a": 1})
    with pytest.raises(EventInvalid, match="unusable attributes: id"):
        envelopes.request({}, id="x" * 2049, source="/http/key", type="t", via="", now=NOW)


# What an error shows.


@pytest.mark.parametrize(
    "content",
    [
        SECRET,
        [[SECRET]],
        {**CLOUD, "specversion": SECRET},
        {**CLOUD, "specversion": "x" * 150 + SECRET},
        {**CLOUD, "id": SECRET, "type": 5},
        {**CLOUD, "id": SECRET, "data": "\ud800"},
        {**CLOUD, "id": SECRET, "data": nested(200)},
        {**UPLOAD, "id": SECRET, "data": {}},
        {**UPLOAD, "id": SECRET, "subject": "x"},
        {**UPLOAD, "subject": f"{UPLOAD['subject']}/../{SECRET}"},
        {**UPLOAD, "subject": f"{UPLOAD['subject']}/{SECRET}"},
        {**UPLOAD, "data": {**UPLOAD["data"], "url": f"https://x?{SECRET}"}},
        {**CLOUD, "time": SECRET},
        {**CLOUD, "data_base64": SECRET},
        {"specversion": "1.0", SECRET: 1},
    ],
)
def test_an_error_shows_no_secret(content: Any) -> None:
    assert "c2VjcmV0" not in refused(content)


@pytest.mark.parametrize(
    "content",
    [
        "x" * 100_000,
        ["x" * 100_000],
        {**CLOUD, "specversion": "x" * 100_000},
        {**CLOUD, "id": "x" * 100_000},
        {**UPLOAD, "id": "x" * 2048, "subject": "y" * 2048},
        {**UPLOAD, "subject": UPLOAD["subject"] + "/../" + "\n" * 1900},
        {"eventType": "x", **{f"x{number}": 1 for number in range(1000)}},
    ],
)
def test_an_error_is_short(content: Any) -> None:
    assert len(refused(content)) <= 500


# Whatever comes: events that can be kept, or a short word why not.


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["1.0", BLOB_CREATED, SECRET, "\ud800", "2026-03-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
blob_datas = st.fixed_dictionaries(
    {},
    optional={
        "api": st.sampled_from(["PutBlob", "CopyBlob", "CreateFile"]) | anything,
        "eTag": st.text() | anything,
        "url": st.just(UPLOAD["data"]["url"])
        | st.from_regex(r"https://[\w\[:.%@/]{0,20}")
        | st.sampled_from(["https://[::1", "https://a\u2100b/landing/x"])
        | anything,
        "more": anything,
    },
)
subjects = st.from_regex(r"/blobServices/default/containers/[^/]*/blobs/.*") | anything
clouds = st.fixed_dictionaries(
    {"specversion": st.just("1.0") | anything},
    optional={
        "id": st.text() | anything,
        "source": st.text() | anything,
        "type": st.just(BLOB_CREATED) | st.text() | anything,
        "subject": subjects,
        "time": st.datetimes().map(str) | anything,
        "data": blob_datas | anything,
        "data_base64": st.binary().map(lambda raw: base64.b64encode(raw).decode()) | anything,
        "via": anything,
        "blob": anything,
        "messageid": anything,
    },
)
grids = st.fixed_dictionaries(
    {"eventType": st.just(BLOB_CREATED) | anything},
    optional={
        "id": st.text() | anything,
        "topic": st.text() | anything,
        "subject": subjects,
        "eventTime": st.datetimes(timezones=st.none() | st.timezones()).map(str) | anything,
        "data": blob_datas | anything,
    },
)
contents = clouds | grids | anything | st.lists(clouds | grids | anything, max_size=3)


def kept(events: list[Event]) -> None:
    for event in events:
        read = Event.model_validate_json(event.model_dump_json())
        assert read == event
        assert read.dedupe_key() == event.dedupe_key()
        assert read.about == event.about
        assert event.title.isprintable()
        assert event.time.tzinfo is not None
        assert (event.blob is not None) == (event.type == BLOB_CREATED)


def taken_or_refused(take: Any) -> None:
    try:
        events = take()
    except EventInvalid as error:
        assert len(str(error)) <= 500
        assert "c2VjcmV0" not in str(error)
        str(error).encode()
        return
    kept(events)


@given(contents)
@example([1e400])
@example({**UPLOAD, "subject": "/blobServices/default/containers/a/blobs/\n"})
def test_any_json_is_events_or_refused(content: Any) -> None:
    def take() -> list[Event]:
        events = envelopes.parse(content, via="topic/a/b", now=NOW)
        assert all(event.via == "topic/a/b" for event in events)
        return events

    taken_or_refused(take)


properties = st.dictionaries(
    st.sampled_from([f"cloudEvents:{name}" for name in CLOUD] + ["cloudEvents_time", "x"])
    | st.text()
    | st.binary(),
    st.text() | st.binary() | st.integers() | st.floats() | st.none() | st.datetimes(),
    max_size=6,
)


@given(
    st.binary() | contents.map(lambda content: json.dumps(content).encode()),
    properties,
    st.none() | st.text(st.characters(codec="utf-8")),
    st.none() | st.text(st.characters(codec="utf-8")),
)
def test_any_message_is_events_or_refused(
    body: bytes, named: dict[Any, Any], message_id: str | None, subject: str | None
) -> None:
    taken_or_refused(
        lambda: received(body, properties=named, message_id=message_id, subject=subject)
    )


@given(
    st.dictionaries(st.sampled_from([*HEADERS, "ce-time", "ce-subject", "x"]), st.text()), contents
)
def test_any_headers_are_an_event_or_refused(headers: dict[str, str], content: Any) -> None:
    taken_or_refused(lambda: [envelopes.binary({**HEADERS, **headers}, content, now=NOW)])


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        json.dumps(envelopes.decode(body))
    except EventInvalid as error:
        assert len(str(error)) < 300
