"""Events in headers, and messages: those that hold an event, and those that are one."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from shared import envelopes
from shared.errors import EventInvalid
from shared.events import BLOB_CREATED, MESSAGE, Event
from tests.unit.arriving import CLOUD, GRID, HEADERS, NOW, UPLOAD, one, parsed, received


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
