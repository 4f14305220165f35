import re
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import envelopes, events
from shared.errors import EventInvalid
from shared.events import BlobPlace, Event
from tests.unit import scene

SUBJECT = "/blobServices/default/containers/landing/blobs/sales/a.csv"
URL = "https://contosolake.blob.core.windows.net/landing/sales/a.csv"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
#: As Event Grid sends it.
DATA: dict[str, Any] = {
    "api": "PutBlockList",
    "clientRequestId": "6d79dbfb-0e37-4fc4-981f-442c9ca65760",
    "requestId": "831e1650-001e-001b-66ab-eeb76e000000",
    "eTag": "0x8D4BCC2E4835CD0",
    "contentType": "text/csv",
    "contentLength": 524288,
    "blobType": "BlockBlob",
    "url": URL,
    "sequencer": "00000000000004420000000000028963",
    "storageDiagnostics": {"batchId": "b68529f3-68cd-4744-baa4-3c0498ec19f0"},
}


def blob_created(**changes: Any) -> Event | None:
    given: dict[str, Any] = {
        "id": "831e1650",
        "topic": "/subscriptions/s/storageAccounts/contosolake",
        "eventType": events.BLOB_CREATED,
        "subject": SUBJECT,
        "eventTime": "2026-03-01T12:00:00Z",
        **changes,
    }
    given.setdefault("data", DATA)
    found = envelopes.parse(given, now=NOW)
    assert len(found) <= 1
    return found[0] if found else None


def made(**changes: Any) -> Event:
    event = blob_created(**changes)
    assert event is not None
    return event


def test_an_upload_is_an_event() -> None:
    event = made()

    assert event.id == "831e1650"
    assert event.source == "/subscriptions/s/storageAccounts/contosolake"
    assert event.type == "Microsoft.Storage.BlobCreated"
    assert event.subject == SUBJECT
    assert event.data == DATA
    assert event.blob == BlobPlace(account="contosolake", container="landing", path="sales/a.csv")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://contosolake.dfs.core.windows.net/landing/sales/a.csv", "sales/a.csv"),
        ("https://contosolake.blob.core.windows.net/landing/a%20%25%23%3F.csv", "a %#?.csv"),
        ("https://contosolake.blob.core.windows.net/landing/d%C3%A9j%C3%A0", "déjà"),
        ("https://contosolake.blob.core.windows.net/landing/a+b", "a+b"),
        ("https://contosolake.blob.core.windows.net/landing/sales//a", "sales//a"),
    ],
)
def test_a_blob_is_known_by_its_decoded_path(url: str, path: str) -> None:
    event = made(
        subject=f"/blobServices/default/containers/landing/blobs/{path}",
        data={**DATA, "url": url},
    )

    assert event.blob == BlobPlace(account="contosolake", container="landing", path=path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": None}, "no data.eTag"),
        ({"data": [1]}, "no data.eTag"),
        ({"data": {**DATA, "eTag": ""}}, "no data.eTag"),
        ({"data": {**DATA, "eTag": 5}}, "no data.eTag"),
        ({"eventTime": "noon"}, "unusable attributes: time"),
        ({"topic": ""}, "unusable attributes: source"),
        ({"id": "x" * 2049}, "unusable attributes: id"),
        ({"topic": None, "subject": 5}, "unusable attributes: source, subject"),
        ({"subject": "/blobServices/default/containers/landing"}, "names no blob"),
        ({"subject": "/blobServices/default/containers/landing/blobs/"}, "names no blob"),
        ({"subject": SUBJECT + "x"}, "one blob in its subject, another in its url"),
        ({"data": {**DATA, "url": URL.replace("landing", "other")}}, "another in its url"),
        ({"data": {**DATA, "url": URL.replace("https", "http")}}, "not a plain blob address"),
        ({"data": {**DATA, "url": URL + "?sig=x"}}, "not a plain blob address"),
        ({"data": {**DATA, "url": "https://evil.example/landing/sales/a.csv"}}, "not a plain"),
        ({"data": {key: DATA[key] for key in DATA if key != "url"}}, "not a plain"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(EventInvalid) as caught:
        blob_created(**changes)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://contosolake.blob.evil.example/landing/sales/a.csv",
        "https://user:word@contosolake.blob.core.windows.net/landing/sales/a.csv",
        "https://contosolake.blob.core.windows.net:8443/landing/sales/a.csv",
        "https://contosolake.blob.core.windows.net/landing/sales/a.csv#fragment",
    ],
)
def test_a_job_reads_from_the_account_that_was_matched(url: str) -> None:
    with pytest.raises(EventInvalid):
        blob_created(data={**DATA, "url": url})


@pytest.mark.parametrize(
    "host",
    [
        "contosolake.blob.core.windows.net",
        "contosolake.dfs.core.windows.net",
        "contosolake.z12.blob.storage.azure.net",
        "contosolake.blob.core.chinacloudapi.cn",
        "contosolake.blob.core.usgovcloudapi.net",
    ],
)
def test_azure_s_own_hosts_are_taken(host: str) -> None:
    event = made(data={**DATA, "url": f"https://{host}/landing/sales/a.csv"})

    assert event.blob is not None
    assert event.blob.account == "contosolake"


def test_a_job_reads_the_path_that_was_matched() -> None:
    with pytest.raises(EventInvalid):
        blob_created(
            subject="/blobServices/default/containers/landing/blobs/sales/a%2Fb.csv",
            data={**DATA, "url": URL.replace("a.csv", "a%2Fb.csv")},
        )


def test_two_deliveries_of_one_write_have_one_key() -> None:
    assert made().dedupe_key() == made(id="another", eventTime="2026-03-02T00:00:00Z").dedupe_key()


@pytest.mark.parametrize(
    "other",
    [
        made(data={**DATA, "eTag": "0x2"}),
        scene.event("sales/b.csv", etag=DATA["eTag"]),
        made(data={**DATA, "url": URL.replace("contosolake", "otherlake")}),
    ],
)
def test_another_write_has_another_key(other: Event) -> None:
    assert other.dedupe_key() != made().dedupe_key()


def test_what_is_no_blob_event_is_known_by_source_and_id() -> None:
    def other(**changes: str) -> Event:
        given = {"id": "1", "source": "/orders", "type": "order.placed", **changes}
        return Event.model_validate({**given, "time": datetime(2026, 3, 1, tzinfo=UTC), "data": {}})

    assert other().blob is None
    assert other().dedupe_key() == other(type="order.changed").dedupe_key()
    keys = {other().dedupe_key(), other(id="2").dedupe_key(), other(source="/x").dedupe_key()}
    assert len(keys) == 3
    # Joining parts must not make two different pairs look alike.
    assert other(source="a", id="bc").dedupe_key() != other(source="ab", id="c").dedupe_key()


def test_attributes_that_are_not_known_survive() -> None:
    stored = made().model_dump_json().replace('"id"', '"traceparent":"00-1","id"')

    assert '"traceparent":"00-1"' in Event.model_validate_json(stored).model_dump_json()


def cloud_event(**changes: Any) -> Event:
    given = {"id": "1", "source": "/orders", "type": "order.placed", "time": NOW, **changes}
    return Event.model_validate(given)


def test_an_event_s_title_is_what_a_person_knows_it_by() -> None:
    assert made().title == "landing/sales/a.csv"
    assert cloud_event(subject="order 7").title == "order 7"
    assert cloud_event().title == "1"


def test_a_title_is_one_line_and_never_looks_like_two() -> None:
    title = cloud_event(subject="a\nERROR root: all is lost\r\x1b[31m\u2028" + "x" * 500).title

    assert title.isprintable()
    assert title.startswith(r"a\nERROR root: all is lost\r\x1b[31m\u2028x")
    assert len(title) == 300


def test_an_event_is_found_by_what_a_person_has_at_hand() -> None:
    upload = made()
    assert upload.about == events.about(events.blob_subject("landing", "sales/a.csv"))
    assert made(id="another", data={**DATA, "eTag": "0x2"}).about == upload.about
    assert cloud_event(subject="7").about == events.about("1")
    assert cloud_event(messageid="m").about == events.about("m")
    assert re.fullmatch("[0-9a-f]{12}", upload.about)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("id", "1"),
        ("source", "/orders"),
        ("type", "order.placed"),
        ("subject", ""),
        ("via", ""),
        ("time", "2026-03-02T00:00:00+00:00"),
        ("tenant", "north"),
        ("sequence", "7"),
        ("test", "true"),
        ("final", "false"),
        ("rate", None),
        ("properties", None),
        ("data", None),
        ("missing", None),
        ("title", None),
        ("message_id", None),
        ("dedupe_key", None),
    ],
)
def test_attributes_are_text_for_filters(name: str, expected: str | None) -> None:
    event = cloud_event(
        tenant="north", sequence=7, test=True, final=False, rate=0.5, properties={"a": "b"}
    )

    assert event.attribute(name) == expected


def test_the_end_of_a_run_is_told_apart_by_its_run_alone_and_by_nobody_else() -> None:
    end = cloud_event(id="on-upload.k1.1.completed", source="/signalbox/test", via="run/churn")
    again = end.model_copy(update={"via": "run/other", "source": "/signalbox/else"})
    forged = end.model_copy(update={"via": "queue/inbox"})

    assert end.dedupe_key() == again.dedupe_key()
    assert forged.dedupe_key() != end.dedupe_key()
    assert forged.dedupe_key(by_message_id=True) != end.dedupe_key()


@pytest.mark.parametrize("path", ["a/../b", "../b", "a/./b", "a/..", "a/%2e%2e/b", "a/%2E/b"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(EventInvalid, match=r"leads elsewhere.*Rename the blob"):
        blob_created(
            subject=f"/blobServices/default/containers/landing/blobs/{path}",
            data={**DATA, "url": f"https://contosolake.blob.core.windows.net/landing/{path}"},
        )


def test_an_etag_is_the_same_in_quotes_and_without() -> None:
    assert (
        made(data={**DATA, "eTag": '"0x9"'}).dedupe_key()
        == made(data={**DATA, "eTag": "0x9"}).dedupe_key()
    )
    with pytest.raises(EventInvalid, match="eTag"):
        made(data={**DATA, "eTag": '""'})


def test_what_an_event_keeps_of_itself_is_no_part_of_it() -> None:
    asked, never = made(), made()
    assert asked.blob is asked.blob
    assert asked.content is asked.content
    assert asked.content == never.model_dump(mode="json")

    assert asked == never
    assert asked.model_dump() == never.model_dump()
    assert asked.model_dump_json() == never.model_dump_json()
    assert repr(asked) == repr(never)
    assert asked.model_extra == never.model_extra


@pytest.mark.parametrize("deep", [True, False])
def test_a_changed_copy_looks_at_itself_anew(deep: bool) -> None:
    asked = made()
    assert asked.blob is not None
    assert asked.content["subject"] == SUBJECT
    moved = {"subject": SUBJECT + "x", "data": {**DATA, "url": URL + "x"}}
    copied = asked.model_copy(update=moved, deep=deep)

    assert copied.blob == BlobPlace(account="contosolake", container="landing", path="sales/a.csvx")
    assert copied.content["subject"] == SUBJECT + "x"
    assert asked.model_copy(update={"type": "other"}).blob is None
