"""What is too large, too deep or no text: a short word why not, whatever comes."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared import envelopes
from shared.envelopes import MAX_SIZE
from shared.errors import EventInvalid
from shared.events import BLOB_CREATED, Event
from tests.unit.arriving import (
    CLOUD,
    GRID,
    HEADERS,
    NOW,
    UPLOAD,
    nested,
    one,
    parsed,
    properties,
    received,
    refused,
)

SECRET = "AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0"


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


def test_data_is_nested_so_deep_and_no_deeper() -> None:
    assert parsed({**CLOUD, "data": nested(49)}).data == nested(49)
    assert one(nested(49)).data == nested(49)
    assert "nested more than 50 deep" in refused({**CLOUD, "data": nested(50)})
    with pytest.raises(EventInvalid, match="nested more than 50 deep"):
        one(nested(50))


def test_what_was_read_already_is_measured_as_it_came() -> None:
    content = {**CLOUD, "data": [1] * (MAX_SIZE * 3 // 8)}
    body = json.dumps(content, separators=(",", ":")).encode()

    assert len(body) < MAX_SIZE
    assert envelopes.bounded(envelopes.decode(body)) == content


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
