"""From what arrives to events, and what is refused on the way."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import envelopes
from shared.envelopes import MAX_EVENTS
from shared.errors import EventInvalid
from shared.events import BLOB_CREATED, Event
from tests.unit import scene
from tests.unit.arriving import CLOUD, GRID, NOW, UPLOAD, one, parsed, refused

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
