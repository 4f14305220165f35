"""Which datastores cover which storage, as a setting says it."""

import pytest

from shared.datastores import parse, rewritten


def test_each_place_has_its_datastore() -> None:
    assert parse("contosolake/landing=lake, contosolake/raw=raw_files,") == {
        "contosolake/landing": "lake",
        "contosolake/raw": "raw_files",
    }
    assert parse("") == {}


@pytest.mark.parametrize(
    "item",
    ["lake", "contosolake=lake", "contosolake/landing=", "a b/c=d", "contosolake/landing=a-b"],
)
def test_what_is_no_place_with_a_datastore_is_told_without_repeating_it(item: str) -> None:
    with pytest.raises(ValueError, match="item 2 is not account/container=datastore") as caught:
        parse(f"contosolake/raw=raw,{item}")
    assert item not in str(caught.value).replace("contosolake/landing=lake", "")


def test_a_place_has_one_datastore() -> None:
    with pytest.raises(ValueError, match=r"item 2 names .* second time"):
        parse("contosolake/raw=a,contosolake/raw=b")


@pytest.mark.parametrize(
    "address",
    [
        "https://contosolake.blob.core.windows.evil.example/landing/a",
        "http://contosolake.blob.core.windows.net/landing/a",
        "https://contosolake.table.core.windows.net/landing/a",
        "https://user@contosolake.blob.core.windows.net/landing/a",
        "landing/a",
    ],
)
def test_what_is_no_address_of_storage_stays_as_it_is(address: str) -> None:
    assert rewritten(address, {"contosolake/landing": "lake"}) == address
