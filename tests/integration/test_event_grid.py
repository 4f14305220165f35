"""From a blob that is uploaded with the official SDK to the function that is called with it."""

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests.integration.basic_app import BasicApp
from tests.integration.waiting import eventually
from tests.loopback import loopback


@pytest.fixture
def landing(basic_app: BasicApp) -> ContainerClient:
    # small limits, so that a small blob goes up in blocks
    service = BlobServiceClient(
        basic_app.azure.topology.account("contosolake").url,
        credential=DefaultAzureCredential(),
        max_single_put_size=1000,
        max_block_size=400,
    )
    return service.get_container_client("landing")


def test_an_upload_calls_the_function_with_the_event_of_azure(
    basic_app: BasicApp, landing: ContainerClient
) -> None:
    name = "sales/ä b+c.csv"
    put = landing.get_blob_client(name).upload_blob(b"a,b\n1,2\n")
    (call,) = eventually(lambda: basic_app.uploads(name))
    assert call["topic"] == basic_app.azure.topology.account_id("contosolake")
    assert call["type"] == "Microsoft.Storage.BlobCreated"
    data = call["data"]
    assert data["api"] == "PutBlob"
    assert data["eTag"] == put["etag"].strip('"')
    assert data["requestId"] == put["request_id"]
    assert data["clientRequestId"] == put["client_request_id"]
    assert data["contentLength"] == 8
    assert data["contentType"] == "application/octet-stream"
    assert data["blobType"] == "BlockBlob"
    host = "https://contosolake.blob.core.windows.net"
    assert data["url"] == f"{host}/landing/sales/%C3%A4%20b%2Bc.csv"


def test_a_blob_in_blocks_is_one_event_with_the_whole_length(
    basic_app: BasicApp, landing: ContainerClient
) -> None:
    put = landing.get_blob_client("blocks.bin").upload_blob(b"x" * 2500)
    (call,) = eventually(lambda: basic_app.uploads("blocks.bin"))
    assert call["data"]["api"] == "PutBlockList"
    assert call["data"]["contentLength"] == 2500
    assert call["data"]["eTag"] == put["etag"].strip('"')


def test_a_copy_is_an_event(basic_app: BasicApp, landing: ContainerClient) -> None:
    source = landing.get_blob_client("source.txt")
    source.upload_blob(b"four")
    landing.get_blob_client("copy.txt").start_copy_from_url(source.url)
    (call,) = eventually(lambda: basic_app.uploads("copy.txt"))
    assert call["data"]["api"] == "CopyBlob"
    assert call["data"]["contentLength"] == 4


def test_each_write_of_a_blob_is_an_event_of_its_own(
    basic_app: BasicApp, landing: ContainerClient
) -> None:
    blob = landing.get_blob_client("twice.txt")
    etags = [blob.upload_blob(text, overwrite=True)["etag"] for text in (b"1", b"2", b"3")]
    eventually(lambda: len(basic_app.uploads("twice.txt")) == 3)
    calls = basic_app.uploads("twice.txt")
    assert len({call["id"] for call in calls}) == 3
    in_order = sorted(calls, key=lambda call: str(call["data"]["sequencer"]))
    assert [call["data"]["eTag"] for call in in_order] == [etag.strip('"') for etag in etags]


def test_only_new_content_is_an_event(basic_app: BasicApp, landing: ContainerClient) -> None:
    blob = landing.get_blob_client("quiet.txt")
    blob.upload_blob(b"1")
    blob.set_blob_metadata({"a": "b"})
    blob.set_blob_tags({"a": "b"})
    blob.acquire_lease(15).release()
    landing.get_blob_client("staged.txt").stage_block("0001", b"never committed")
    with pytest.raises(ResourceExistsError):
        blob.upload_blob(b"2")
    other = BlobServiceClient(
        basic_app.azure.topology.account("signalboxstate").url, credential=DefaultAzureCredential()
    )
    other.get_blob_client("signalbox-state", "quiet.txt").upload_blob(b"not subscribed")
    # events are raised in the order of the writes, so once this one is there all others were
    landing.get_blob_client("afterwards.txt").upload_blob(b"1")
    eventually(lambda: basic_app.uploads("afterwards.txt"))
    assert len(basic_app.deliveries("quiet.txt")) == 1
    assert basic_app.deliveries("staged.txt") == []


def test_a_failed_function_gets_its_event_again_and_holds_up_no_other(
    basic_app: BasicApp, landing: ContainerClient
) -> None:
    basic_app.failing_file.touch()
    landing.get_blob_client("unlucky.csv").upload_blob(b"1")
    eventually(lambda: basic_app.uploads("unlucky.csv"))
    landing.get_blob_client("lucky.csv").upload_blob(b"1")
    eventually(lambda: basic_app.uploads("lucky.csv"))
    assert all(call["failing"] for call in basic_app.uploads("unlucky.csv"))
    basic_app.failing_file.unlink()
    eventually(lambda: not basic_app.uploads("unlucky.csv")[-1]["failing"])
    assert len({call["id"] for call in basic_app.uploads("unlucky.csv")}) == 1
    (delivery,) = eventually(
        lambda: [d for d in basic_app.deliveries("unlucky.csv") if d["state"] == "delivered"]
    )
    assert delivery["answers"][0].startswith("500 RuntimeError: told to fail")
    assert delivery["answers"][-1] == "202"


def test_events_wait_for_a_host_that_is_down(basic_app: BasicApp, landing: ContainerClient) -> None:
    basic_app.functions.kill()
    assert not basic_app.functions.running
    landing.get_blob_client("patient.csv").upload_blob(b"1")
    eventually(lambda: any(d["attempts"] for d in basic_app.deliveries("patient.csv")))
    basic_app.functions.start()
    (call,) = eventually(lambda: basic_app.uploads("patient.csv"))
    assert call["data"]["contentLength"] == 1


def test_a_line_that_nobody_understands_ends_no_events(
    basic_app: BasicApp, landing: ContainerClient
) -> None:
    with (basic_app.azure.logs / "azurite.log").open("a") as access_log:
        access_log.write('{Azurite speaks\n{}\n{"host": null, "method": 1}\n')
    landing.get_blob_client("after-odd-lines.csv").upload_blob(b"1")
    eventually(lambda: basic_app.uploads("after-odd-lines.csv"))
    log = (basic_app.azure.logs / "services.log").read_text()
    assert r"no event could be made of b'{Azurite speaks'" in log
    basic_app.azure.check()


def test_an_event_can_be_delivered_once_more(basic_app: BasicApp, landing: ContainerClient) -> None:
    landing.get_blob_client("again.csv").upload_blob(b"1")
    (first,) = eventually(lambda: basic_app.uploads("again.csv"))
    control = basic_app.azure.control_url
    answer = loopback.post(f"{control}/deliveries/{first['id']}")
    assert answer.status_code == 202
    eventually(lambda: len(basic_app.uploads("again.csv")) == 2)
    first, second = basic_app.uploads("again.csv")
    assert second == first


def test_many_uploads_are_all_delivered(basic_app: BasicApp, landing: ContainerClient) -> None:
    for number in range(100):
        landing.get_blob_client(f"many/{number}").upload_blob(b"x")
    eventually(lambda: all(basic_app.uploads(f"many/{number}") for number in range(100)))
    assert sum(len(basic_app.uploads(f"many/{number}")) for number in range(100)) == 100
