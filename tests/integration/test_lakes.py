"""Users' containers in a real storage account, and the events that their uploads raise."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, ContainerClient

from shared import envelopes
from shared.errors import NotFound, StorageUnavailable
from shared.lakes import AzureLakes
from tests.integration.basic_app import BasicApp
from tests.integration.waiting import eventually

ACCOUNT, CONTAINER = "contosolake", "landing"

NAMES = ["plain/a.csv", "odd/ä b+c.csv", "odd/100%.csv", "odd/a%2Fb.csv", "odd/c#d?e=f&g.csv"]


class OfSomebodyElse:
    """Signs in to another service, so that storage refuses its token."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        return DefaultAzureCredential().get_token("https://ml.azure.com/.default")


@pytest.fixture
def landing(basic_app: BasicApp) -> Iterator[ContainerClient]:
    url = basic_app.azure.topology.account(ACCOUNT).url
    with BlobServiceClient(url, credential=DefaultAzureCredential()) as service:
        yield service.get_container_client(CONTAINER)


@pytest.fixture
def lakes(landing: ContainerClient) -> AzureLakes:
    assert landing.exists()
    return AzureLakes(DefaultAzureCredential())


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_is_found_as_its_event_tells_it(
    basic_app: BasicApp, landing: ContainerClient, lakes: AzureLakes, name: str
) -> None:
    written = landing.upload_blob(name, b"a,b\n1,2\n", overwrite=True)
    found = lakes.find(ACCOUNT, CONTAINER, name)

    assert found is not None
    assert found.path == name
    assert found.size == 8
    assert found.etag == str(written.get_blob_properties().etag).strip('"')
    assert abs(datetime.now(UTC) - found.last_modified) < timedelta(seconds=60)

    (call,) = eventually(lambda: basic_app.uploads(name))
    real = {
        "id": call["id"],
        "topic": call["topic"],
        "eventType": call["type"],
        "eventTime": found.last_modified.isoformat(),
        "subject": call["subject"],
        "data": call["data"],
    }
    [event] = envelopes.parse(real, now=datetime.now(UTC))
    made = found.event()
    assert made.blob == event.blob
    assert made.dedupe_key() == event.dedupe_key()
    assert made.about == event.about
    for told in ("contentLength", "contentType", "blobType", "eTag", "url"):
        assert made.data[told] == event.data[told]


def test_new_content_is_another_upload(landing: ContainerClient, lakes: AzureLakes) -> None:
    found = []
    for content in (b"1", b"2"):
        landing.upload_blob("twice.csv", content, overwrite=True)
        found.append(lakes.find(ACCOUNT, CONTAINER, "twice.csv"))

    assert len({upload.event().dedupe_key() for upload in found if upload}) == 2


def test_what_is_not_there_is_none(lakes: AzureLakes) -> None:
    assert lakes.find(ACCOUNT, CONTAINER, "nothing/here.csv") is None
    assert lakes.find(ACCOUNT, CONTAINER, "") is None
    assert lakes.list(ACCOUNT, CONTAINER, "nothing/", 10) == []


def test_a_container_that_is_not_there_is_told(lakes: AzureLakes) -> None:
    for ask in (
        lambda: lakes.find(ACCOUNT, "elsewhere", "a"),
        lambda: lakes.list(ACCOUNT, "elsewhere", "a", 10),
    ):
        with pytest.raises(NotFound, match="contosolake has no container 'elsewhere'"):
            ask()


def test_blobs_are_listed_by_name_up_to_a_limit(
    landing: ContainerClient, lakes: AzureLakes
) -> None:
    for name in ("listed/b.csv", "listed/c/d.csv", "listed/a.csv", "listedx/z.csv"):
        landing.upload_blob(name, b"12345", overwrite=True)
    # How a Data Lake shows its folders.
    landing.upload_blob("listed/c", b"", metadata={"hdi_isfolder": "true"}, overwrite=True)
    found = lakes.list(ACCOUNT, CONTAINER, "listed/", 10)

    assert [upload.path for upload in found] == ["listed/a.csv", "listed/b.csv", "listed/c/d.csv"]
    assert [upload.path for upload in lakes.list(ACCOUNT, CONTAINER, "listed/", 2)] == [
        "listed/a.csv",
        "listed/b.csv",
    ]
    # A listing tells the same of a blob as a look at it.
    assert found == [lakes.find(ACCOUNT, CONTAINER, upload.path) for upload in found]
    assert lakes.find(ACCOUNT, CONTAINER, "listed/c") is None


def test_names_come_out_of_a_listing_as_they_went_in(
    landing: ContainerClient, lakes: AzureLakes
) -> None:
    for name in NAMES:
        landing.upload_blob(name, b"x", overwrite=True)

    assert sorted(n for n in NAMES if n.startswith("odd/")) == sorted(
        upload.path for upload in lakes.list(ACCOUNT, CONTAINER, "odd/", 100)
    )


@pytest.mark.usefixtures("landing")
def test_who_may_not_read_is_told_of_the_role() -> None:
    stranger = AzureLakes(OfSomebodyElse())
    for ask in (
        lambda: stranger.find(ACCOUNT, CONTAINER, "a"),
        lambda: stranger.list(ACCOUNT, CONTAINER, "a", 10),
    ):
        with pytest.raises(StorageUnavailable, match="role Storage Blob Data Reader"):
            ask()


def test_what_jobs_are_to_read_is_written_once(landing: ContainerClient, lakes: AzureLakes) -> None:
    name = "kept/ä 1.jsonl"
    lakes.keep(ACCOUNT, CONTAINER, name, b"{}\n")
    first = landing.get_blob_client(name).get_blob_properties()
    lakes.keep(ACCOUNT, CONTAINER, name, b"other")
    again = landing.get_blob_client(name).get_blob_properties()

    assert landing.download_blob(name).readall() == b"{}\n"
    # Whoever is reading it is not interrupted.
    assert again.etag == first.etag
    assert first.content_settings.content_type == "application/x-ndjson"


@pytest.mark.usefixtures("landing")
def test_who_may_not_write_is_told_of_the_role(lakes: AzureLakes) -> None:
    with pytest.raises(StorageUnavailable, match="role Storage Blob Data Contributor"):
        AzureLakes(OfSomebodyElse()).keep(ACCOUNT, CONTAINER, "a", b"")
    with pytest.raises(NotFound, match="contosolake has no container 'elsewhere'"):
        lakes.keep(ACCOUNT, "elsewhere", "a", b"")


def test_an_account_that_is_not_there_is_told(lakes: AzureLakes) -> None:
    with pytest.raises(StorageUnavailable, match="nosuchlake/landing"):
        lakes.find("nosuchlake", CONTAINER, "a")


def test_a_listing_is_told_page_by_page_and_goes_on_from_its_marker(
    landing: ContainerClient,
) -> None:
    names = [f"paged/{name}.csv" for name in ("a", "b ä", "c#%41", "d", "e")]
    for name in names:
        landing.upload_blob(name, b"1", overwrite=True)
    found, marker, pages = list[str](), None, 0
    while pages == 0 or marker is not None:
        # Another process goes on.
        page = AzureLakes(DefaultAzureCredential(), page=2).page(
            ACCOUNT, CONTAINER, "paged/", marker
        )
        assert len(page.uploads) <= 2
        assert abs(datetime.now(UTC) - page.at) < timedelta(seconds=60)
        assert all(upload.created is not None for upload in page.uploads)
        found += [upload.path for upload in page.uploads]
        marker, pages = page.marker, pages + 1

    assert found == names
    assert pages == 3
