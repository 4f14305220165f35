"""Blob storage through azure-storage-blob and DefaultAzureCredential, as production uses it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.identity import DefaultAzureCredential
from azure.storage.blob import (
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerClient,
    generate_blob_sas,
)

from emulator.stack import LocalAzure
from emulator.topology import StorageAccount, Topology

pytestmark = pytest.mark.usefixtures("local_azure")


@pytest.fixture
def state() -> Iterator[ContainerClient]:
    """The container that Signalbox keeps its state in."""
    with BlobServiceClient(
        "https://signalboxstate.blob.core.windows.net", credential=DefaultAzureCredential()
    ) as service:
        yield service.get_container_client("signalbox-state")


@pytest.mark.parametrize("account", Topology().storage_accounts, ids=lambda a: a.name)
def test_the_containers_of_the_topology_exist(account: StorageAccount) -> None:
    with BlobServiceClient(account.url, credential=DefaultAzureCredential()) as service:
        # Others may have uploaded code meanwhile, which gets containers of its own.
        assert {c.name for c in service.list_containers()} >= set(account.containers)


def test_what_is_put_is_got_with_its_etag(state: ContainerClient) -> None:
    blob = state.get_blob_client(f"put/ä b+c/{uuid4()}")
    etag = blob.upload_blob(b'{"schema": 1}', metadata={"state": "queued"})["etag"]
    download = blob.download_blob()
    assert download.readall() == b'{"schema": 1}'
    assert download.properties.etag == etag
    assert download.properties.metadata == {"state": "queued"}
    assert [b.name for b in state.list_blobs(name_starts_with=blob.blob_name)] == [blob.blob_name]
    blob.delete_blob()
    with pytest.raises(ResourceNotFoundError):
        blob.get_blob_properties()


@pytest.mark.parametrize("page", [1, 2, 5000])
def test_a_listing_has_what_begins_with_its_prefix_in_order(
    state: ContainerClient, page: int
) -> None:
    folder = f"listing {uuid4()}"
    names = ["1", "1/10", "1/2", "1/a", "1.5/x", "10/x", "2/x", "a(b)+[c].$/x", "a/\uffee", "ä/x"]
    for name in names:
        state.upload_blob(f"{folder}/{name}", b"")
    for prefix in ("", "1", "1/", "1/1", "1.", "a(b)+[c]", "a/", "ä/", "A", "3/"):
        found = state.list_blob_names(name_starts_with=f"{folder}/{prefix}", results_per_page=page)
        wanted = sorted(f"{folder}/{name}" for name in names if name.startswith(prefix))
        assert list(found) == wanted, prefix
    for blob in state.list_blob_names(name_starts_with=folder):
        state.delete_blob(blob)
    assert not [*state.list_blob_names(name_starts_with=f"{folder}/")]


def test_an_unchanged_blob_is_not_sent_again(state: ContainerClient) -> None:
    blob = state.get_blob_client(f"conditional/{uuid4()}")
    etag = blob.upload_blob(b"1")["etag"]
    with pytest.raises(HttpResponseError) as unchanged:
        blob.download_blob(etag=etag, match_condition=MatchConditions.IfModified)
    assert unchanged.value.status_code == 304
    blob.upload_blob(b"2", overwrite=True)
    fresh = blob.download_blob(etag=etag, match_condition=MatchConditions.IfModified)
    assert fresh.readall() == b"2"


def wins(attempt: BlobClient, number: int, etag: str | None) -> bool:
    """Whether this write won: created the blob (no etag), or swapped it from `etag`."""
    try:
        if etag is None:
            attempt.upload_blob(b"%d" % number)
        else:
            attempt.upload_blob(
                b"%d" % number,
                overwrite=True,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
            )
    except (ResourceExistsError, ResourceModifiedError):
        return False
    return True


@pytest.mark.parametrize("create", [True, False], ids=["If-None-Match", "If-Match"])
def test_of_sixteen_racing_writers_one_wins(state: ContainerClient, create: bool) -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in range(10):
            blob = state.get_blob_client(f"race/{uuid4()}")
            etag = None if create else blob.upload_blob(b"first")["etag"]
            results = list(pool.map(lambda n, b=blob, e=etag: wins(b, n, e), range(16)))
            assert sum(results) == 1
            assert blob.download_blob().readall() == b"%d" % results.index(True)


def test_index_tags_are_kept_and_can_be_set_with_the_write(state: ContainerClient) -> None:
    blob = state.get_blob_client(f"tags/{uuid4()}")
    blob.upload_blob(b"x", tags={"final": "yes"})
    assert blob.get_blob_tags() == {"final": "yes"}
    blob.set_blob_tags({"final": "expired"})
    assert blob.get_blob_tags() == {"final": "expired"}


def test_accounts_do_not_share_containers() -> None:
    blob = BlobClient(
        "https://contosolake.blob.core.windows.net",
        "signalbox-state",
        "x",
        credential=DefaultAzureCredential(),
    )
    with pytest.raises(ResourceNotFoundError, match="container"):
        blob.upload_blob(b"x")


def test_an_account_key_signs_addresses(local_azure: LocalAzure) -> None:
    account = local_azure.topology.account("mllocalstore")
    token = generate_blob_sas(
        account.name,
        "azureml",
        "signed.txt",
        account_key=account.key,
        permission=BlobSasPermissions(create=True, write=True, read=True),
        expiry=datetime.now(UTC) + timedelta(minutes=5),
    )
    with BlobClient.from_blob_url(f"{account.url}/azureml/signed.txt?{token}") as blob:
        blob.upload_blob(b"signed", overwrite=True)
        assert blob.download_blob().readall() == b"signed"


def test_nobody_gets_in_without_a_credential() -> None:
    blob = BlobClient("https://contosolake.blob.core.windows.net", "landing", "x")
    with pytest.raises(HttpResponseError) as refusal:
        blob.download_blob()
    assert refusal.value.status_code == 403
