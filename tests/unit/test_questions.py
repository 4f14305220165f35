from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RequestInvalid
from shared.events import BlobPlace
from shared.lakes import Upload
from shared.questions import blob_place, identity, moment

PLACE = BlobPlace(account="contosolake", container="landing", path="sales/a b.csv")
HOST = "https://contosolake.blob.core.windows.net"


@pytest.mark.parametrize(
    "text",
    [
        "contosolake/landing/sales/a b.csv",
        "  contosolake/landing/sales/a b.csv\n",
        f"{HOST}/landing/sales/a%20b.csv",
        f"{HOST}/landing/sales/a b.csv",
        f"{HOST}/landing/sales/a%20b.csv?sv=2024-01-01&sig=abcdefghijklmnopqrstuvwx%3D",
        "https://contosolake.dfs.core.windows.net/landing/sales/a%20b.csv",
        "https://contosolake.z12.blob.storage.azure.net/landing/sales/a%20b.csv",
    ],
)
def test_a_blob_is_named_by_its_address_or_its_place(text: str) -> None:
    assert blob_place(text) == PLACE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "/",
        "landing/sales.csv",
        "contosolake/landing",
        "contosolake/landing/",
        HOST,
        f"{HOST}/landing",
        f"{HOST}/landing/",
        f"{HOST}/landing/a/../b",
        f"{HOST}/landing/a/%2e%2e/b",
        f"{HOST}/../landing/a",
        "contosolake/landing/./b",
        "contosolake/../b/c",
        "http://contosolake.blob.core.windows.net/landing/a",
        "ftp://contosolake.blob.core.windows.net/landing/a",
        "https://evil.com/landing/a",
        "https://contosolake.blob.core.windows.net.evil.com/landing/a",
        "https://user:password@contosolake.blob.core.windows.net/landing/a",
        "https://contosolake.blob.core.windows.net:8443/landing/a",
        "https://[::1/landing/a",
        "EVIL.com#/landing/a",
        "a/b/c",
        "contosolake/landing/" + "x" * 1025,
        "x" * 1_000_000,
        "contosolake/landing/\ud800",
    ],
)
def test_what_names_no_blob_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        blob_place(text)
    assert list(refused.value.problems) == ["blob"]
    assert len(refused.value.problems["blob"]) < 200


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
        lambda path: not {".", ".."} & set(path.split("/")) and path == path.strip()
    )
)
def test_the_address_of_any_upload_is_understood(path: str) -> None:
    upload = Upload(
        account="contosolake",
        container="landing",
        path=path,
        etag="1",
        size=1,
        last_modified=datetime(2026, 3, 1, tzinfo=UTC),
    )

    assert blob_place(upload.url).path == path
    if "://" not in path:
        assert blob_place(f"contosolake/landing/{path}").path == path


@given(st.text(max_size=200))
def test_any_text_is_a_blob_or_refused(text: str) -> None:
    try:
        place = blob_place(text)
    except RequestInvalid:
        return
    assert not {".", ".."} & set(place.path.split("/"))


@pytest.mark.parametrize("text", ["", "  ", "x" * 2_049, "\ud800"])
def test_what_names_no_message_is_refused(text: str) -> None:
    with pytest.raises(RequestInvalid):
        identity(text)


def test_a_message_is_named_by_any_text() -> None:
    assert identity(" a/../b?c ") == "a/../b?c"


def test_a_time_without_a_zone_is_utc() -> None:
    assert moment(None) is None
    assert moment(datetime(2026, 3, 1)) == datetime(2026, 3, 1, tzinfo=UTC)
    for year in (1, 1969, 2201, 9999):
        with pytest.raises(RequestInvalid):
            moment(datetime(year, 6, 1, tzinfo=UTC))
