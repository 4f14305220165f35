"""State in a real storage account: every operation, and the answers that are not errors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient

from emulator.stack import LocalAzure
from shared.blob_state import AzureBlobState, Blob, Unchanged
from shared.errors import StorageUnavailable


@pytest.fixture(scope="module")
def account_url(local_azure: LocalAzure) -> str:
    return local_azure.topology.account("signalboxstate").url


@pytest.fixture(scope="module")
def state(account_url: str) -> AzureBlobState:
    return AzureBlobState(account_url, "signalbox-state", DefaultAzureCredential())


@pytest.fixture
def name() -> str:
    """A blob that is not there."""
    return f"test/{uuid4()}.json"


def _tags(account_url: str, name: str) -> dict[str, str]:
    blob = BlobClient(account_url, "signalbox-state", name, credential=DefaultAzureCredential())
    return dict(blob.get_blob_tags())


def _is_now(at: datetime) -> bool:
    # storage tells its time in whole seconds
    return abs(datetime.now(UTC) - at) < timedelta(seconds=5)


def test_what_is_created_is_read_with_its_etag_and_storage_s_time(
    state: AzureBlobState, name: str
) -> None:
    written = state.create(name, b'{"a": "\xc3\xa4"}')
    assert written
    blob = state.get(name)
    assert blob
    assert blob.data == b'{"a": "\xc3\xa4"}'
    assert blob.etag == written.etag
    assert _is_now(written.at)
    assert _is_now(blob.at)


def test_an_empty_blob_is_read(state: AzureBlobState, name: str) -> None:
    state.put(name)
    blob = state.get(name)
    assert blob
    assert blob.data == b""
    assert _is_now(blob.at)


def test_many_are_deleted_with_few_requests(state: AzureBlobState, name: str) -> None:
    # more than one request deletes; names as the ledger has them, and odd ones
    names = [f"{name}/{number:03}" for number in range(300)] + [f"{name}/ä b%2F?c"]
    for one in (*names[:3], *names[-2:], f"{name}/kept"):
        state.put(one)
    state.delete_all(names)
    state.delete_all(names)
    state.delete_all([])

    assert [blob.name for blob in state.list(name)] == [f"{name}/kept"]


def test_a_blob_of_megabytes_is_read_whole(state: AzureBlobState, name: str) -> None:
    # past the size that the SDK downloads in one request
    data = bytes(range(256)) * (140 * 1024)
    written = state.create(name, data)
    blob = state.get(name)
    assert written
    assert blob
    assert blob.data == data
    assert blob.etag == written.etag


def test_what_is_not_there_is_none(state: AzureBlobState, name: str) -> None:
    assert state.get(name) is None
    assert state.get_if_changed(name, '"0x1"') is None
    assert state.swap(name, b"x", etag='"0x1"') is None
    assert state.set_metadata(name, {"a": "1"}) is False
    assert state.delete(name) is False
    assert state.delete(name, etag='"0x1"') is False
    # none of them brought it into being
    assert state.get(name) is None
    assert list(state.list(name)) == []


def test_a_second_create_leaves_the_first(state: AzureBlobState, name: str) -> None:
    first = state.create(name, b"first")
    assert state.create(name, b"second") is None
    assert first
    assert state.get(name) == Blob(data=b"first", etag=first.etag, at=_read_at(state, name))


def _read_at(state: AzureBlobState, name: str) -> datetime:
    blob = state.get(name)
    assert blob
    return blob.at


def test_unchanged_costs_no_content(state: AzureBlobState, name: str) -> None:
    written = state.create(name, b"1")
    assert written
    same = state.get_if_changed(name, written.etag)
    assert isinstance(same, Unchanged)
    assert _is_now(same.at)

    swapped = state.swap(name, b"2", etag=written.etag)
    assert swapped
    changed = state.get_if_changed(name, written.etag)
    assert isinstance(changed, Blob)
    assert (changed.data, changed.etag) == (b"2", swapped.etag)

    state.delete(name)
    assert state.get_if_changed(name, swapped.etag) is None


def test_a_swap_needs_the_present_etag(state: AzureBlobState, name: str) -> None:
    first = state.create(name, b"1")
    assert first
    second = state.swap(name, b"2", etag=first.etag)
    assert second
    assert second.etag != first.etag
    assert _is_now(second.at)
    assert state.swap(name, b"3", etag=first.etag) is None
    blob = state.get(name)
    assert blob
    assert blob.data == b"2"


def test_writing_the_same_again_gives_another_etag(state: AzureBlobState, name: str) -> None:
    # two takeovers in one second write the same bytes; only one may win
    first = state.create(name, b"same")
    assert first
    assert state.swap(name, b"same", etag=first.etag)
    assert state.swap(name, b"same", etag=first.etag) is None


def test_put_replaces_content_and_metadata(state: AzureBlobState, name: str) -> None:
    first = state.put(name, b"1", metadata={"next_check": "soon", "slot": "a"})
    second = state.put(name, b"2", metadata={"next_check": "later"})
    assert second.etag != first.etag
    (listed,) = state.list(name)
    assert dict(listed.metadata) == {"next_check": "later"}
    assert listed.etag == second.etag
    assert _is_now(listed.last_modified)


def test_metadata_is_set_without_touching_content(state: AzureBlobState, name: str) -> None:
    state.put(name, b"content")
    assert state.set_metadata(name, {"next_check": "2026-03-01T12:00:00+00:00"}) is True
    (listed,) = state.list(name)
    assert dict(listed.metadata) == {"next_check": "2026-03-01T12:00:00+00:00"}
    blob = state.get(name)
    assert blob
    assert (blob.data, blob.etag) == (b"content", listed.etag)


def test_a_deletion_may_insist_on_an_etag(state: AzureBlobState, name: str) -> None:
    first = state.put(name, b"1")
    second = state.put(name, b"2")
    assert state.delete(name, etag=first.etag) is False
    assert state.get(name)
    assert state.delete(name, etag=second.etag) is True
    assert state.get(name) is None


def test_a_listing_is_in_order_and_of_the_prefix_alone(state: AzureBlobState) -> None:
    prefix = f"list-{uuid4()}/"
    for number in (3, 1, 2):
        state.put(f"{prefix}b/{number}", metadata={"number": str(number)})
    state.put(f"{prefix}a")
    state.put(f"{prefix[:-1]}x/b/0")
    listed = list(state.list(prefix))
    assert [blob.name for blob in listed] == [
        f"{prefix}a",
        f"{prefix}b/1",
        f"{prefix}b/2",
        f"{prefix}b/3",
    ]
    assert [dict(blob.metadata) for blob in listed[1:]] == [
        {"number": "1"},
        {"number": "2"},
        {"number": "3"},
    ]
    # an ETag of a listing is one that a condition takes
    assert state.delete(listed[0].name, etag=listed[0].etag) is True


def test_index_tags_are_written_with_the_content(
    state: AzureBlobState, account_url: str, name: str
) -> None:
    created = state.create(name, b"1", tags={"state": "final"})
    assert created
    assert _tags(account_url, name) == {"state": "final"}

    other = name + ".swapped"
    first = state.create(other, b"1")
    assert first
    assert _tags(account_url, other) == {}
    assert state.swap(other, b"2", etag=first.etag, tags={"state": "final"})
    assert _tags(account_url, other) == {"state": "final"}


def test_one_of_many_creators_wins(state: AzureBlobState, name: str) -> None:
    barrier = Barrier(16)

    def create(number: int) -> bool:
        barrier.wait()
        return state.create(name, b"%d" % number) is not None

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(create, range(16)))
    assert won.count(True) == 1
    blob = state.get(name)
    assert blob
    assert blob.data == b"%d" % won.index(True)


def test_one_of_many_swappers_wins(state: AzureBlobState, name: str) -> None:
    barrier = Barrier(16)
    first = state.create(name, b"first")
    assert first

    def swap(number: int) -> bool:
        barrier.wait()
        return state.swap(name, b"%d" % number, etag=first.etag) is not None

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(swap, range(16)))
    assert won.count(True) == 1
    blob = state.get(name)
    assert blob
    assert blob.data == b"%d" % won.index(True)


_OPERATIONS: dict[str, Callable[[AzureBlobState], object]] = {
    "get": lambda state: state.get("a"),
    "get_if_changed": lambda state: state.get_if_changed("a", '"0x1"'),
    "create": lambda state: state.create("a", b"x"),
    "swap": lambda state: state.swap("a", b"x", etag='"0x1"'),
    "put": lambda state: state.put("a"),
    "set_metadata": lambda state: state.set_metadata("a", {}),
    "delete": lambda state: state.delete("a"),
    "delete at an etag": lambda state: state.delete("a", etag='"0x1"'),
    "list": lambda state: list(state.list("a")),
}


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_a_container_that_is_missing_is_no_absent_blob(account_url: str, operation: str) -> None:
    elsewhere = AzureBlobState(account_url, "no-such-container", DefaultAzureCredential())
    with pytest.raises(StorageUnavailable, match="Blob storage answered 404 for 'a'"):
        _OPERATIONS[operation](elsewhere)
