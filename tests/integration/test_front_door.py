"""The front door: Azure's host names lead to the emulator, and nothing else leaves the machine."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import certifi
import pytest
import requests
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient, BlobServiceClient

from emulator.front_door import Refused, Routes
from emulator.stack import LocalAzure
from emulator.topology import Addresses, Topology
from tests.integration.waiting import eventually

pytestmark = pytest.mark.usefixtures("local_azure")


def landing_blob(name: str) -> BlobClient:
    service = BlobServiceClient(
        "https://contosolake.blob.core.windows.net", credential=DefaultAzureCredential()
    )
    return service.get_blob_client("landing", name)


@pytest.mark.parametrize("host", ["example.com", "login.live.com", "pypi.org"])
def test_other_hosts_are_refused_by_name(host: str) -> None:
    with pytest.raises(requests.exceptions.ProxyError) as refusal:
        requests.get(f"https://{host}/", timeout=5)
    assert "403 Forbidden" in str(refusal.value)
    assert f"{host} is not part of the local Azure" in str(refusal.value)


def test_a_storage_account_that_does_not_exist_is_named() -> None:
    with pytest.raises(requests.exceptions.ProxyError) as refusal:
        requests.get("https://nobodys.blob.core.windows.net/", timeout=5)
    assert "no storage account 'nobodys'" in str(refusal.value)
    assert "contosolake" in str(refusal.value)


def test_plain_http_does_not_leave_the_machine() -> None:
    answer = requests.get("http://example.com/page", timeout=5)
    assert answer.status_code == 403
    assert "http://example.com/page" in answer.text


def test_whoever_was_asked_for_is_told_also_in_vain(local_azure: LocalAzure) -> None:
    hosts = f"{local_azure.control_url}/hosts"
    requests.delete(hosts, timeout=5).raise_for_status()
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://nobody.example/", timeout=5)
    requests.get("http://169.254.169.254/metadata", timeout=5)
    assert not landing_blob("nothing").exists()

    assert requests.get(hosts, timeout=5).json() == [
        "169.254.169.254",
        "contosolake.blob.core.windows.net",
        "nobody.example",
    ]


def test_hosts_are_served_on_the_https_port_only() -> None:
    routes = Routes(
        Topology(),
        Addresses(front_door=1, azure=2, control=3, storage=4, functions=(5,), service_bus=6),
    )
    assert routes.port("management.azure.com", 443) == 2
    assert routes.port("ContosoLake.blob.core.windows.net", 443) == 4
    with pytest.raises(Refused, match="port 443 only, not 22"):
        routes.port("management.azure.com", 22)


def test_certificates_of_other_authorities_are_not_accepted() -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get("https://management.azure.com/", verify=certifi.where(), timeout=5)


def test_a_function_app_that_is_not_running_answers_503() -> None:
    answer = requests.get("https://signalbox-local.azurewebsites.net/api/x", timeout=5)
    assert answer.status_code == 503


def test_large_bodies_arrive_whole_in_both_directions() -> None:
    content = os.urandom(12 * 1024 * 1024)
    blob = landing_blob("large.bin")
    blob.upload_blob(content, overwrite=True)
    assert blob.download_blob().readall() == content


def test_parallel_clients_do_not_mix() -> None:
    def round_trip(number: int) -> bool:
        content = f"{number}".encode() * 1000
        blob = landing_blob(f"parallel/{number}")
        blob.upload_blob(content, overwrite=True)
        return blob.download_blob().readall() == content

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(round_trip, range(48)))


def test_small_requests_do_not_wait_for_delayed_acknowledgements() -> None:
    """A delayed acknowledgement costs every small PUT 40 ms, so the quickest one shows it."""
    blob = landing_blob("small")

    def seconds() -> float:
        begun = time.perf_counter()
        blob.upload_blob(b"x" * 300, overwrite=True)
        return time.perf_counter() - begun

    # On a busy machine, some wait for other reasons.
    eventually(lambda: seconds() < 0.035)


def test_connections_are_cut_on_demand(local_azure: LocalAzure) -> None:
    blob = landing_blob("cut.txt")
    blob.upload_blob(b"before", overwrite=True)
    host = "contosolake.blob.core.windows.net"
    answer = requests.post(f"{local_azure.control_url}/cuts", params={"host": host}, timeout=5)
    assert answer.json()["cut"] >= 1
    # a client that opens another connection goes on
    assert blob.download_blob().readall() == b"before"
