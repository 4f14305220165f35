"""Faults of blob storage on demand, as the official client meets them."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ServiceResponseError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient

from emulator.stack import LocalAzure
from tests.integration.workspace import storage_http

_HOST = "contosolake.blob.core.windows.net"


class Faults:
    """Faults for requests to one blob."""

    def __init__(self, azure: LocalAzure, blob: BlobClient) -> None:
        self._azure = azure
        self._blob = blob

    def arm(self, **fault: Any) -> None:
        place = {"host": _HOST, "path_contains": f"/landing/{self._blob.blob_name}"}
        assert self._ask("POST", json={**place, **fault}).status_code == 201

    def refusal(self, **fault: Any) -> str:
        answer = self._ask("POST", json=fault)
        assert answer.status_code == 400
        return str(answer.json()["problem"])

    def met(self) -> list[int]:
        return [fault["met"] for fault in self._ask("GET").json()]

    def disarm(self) -> None:
        self._ask("DELETE")

    def _ask(self, method: str, **options: Any) -> Any:
        with storage_http(self._azure) as http:
            return http.request(method, f"https://{_HOST}/.faults", **options)


@pytest.fixture
def blob(local_azure: LocalAzure) -> Iterator[BlobClient]:
    """One that nobody else uses; its client asks once."""
    url = local_azure.topology.account("contosolake").url
    name = f"faults/{uuid4()}"
    with BlobClient(
        url, "landing", name, credential=DefaultAzureCredential(), retry_total=0
    ) as found:
        yield found


@pytest.fixture
def faults(local_azure: LocalAzure, blob: BlobClient) -> Iterator[Faults]:
    found = Faults(local_azure, blob)
    yield found
    found.disarm()


def test_a_status_is_answered_and_nothing_is_done(blob: BlobClient, faults: Faults) -> None:
    faults.arm(method="PUT", times=2, action={"status": 503, "code": "ServerBusy"})
    for _ in range(2):
        with pytest.raises(HttpResponseError) as busy:
            blob.upload_blob(b"1")
        assert (busy.value.status_code, busy.value.error_code) == (503, "ServerBusy")  # type: ignore[attr-defined]
    assert not blob.exists()
    blob.upload_blob(b"1")
    assert faults.met() == [2]


def test_a_request_or_only_its_answer_is_lost(blob: BlobClient, faults: Faults) -> None:
    faults.arm(method="PUT", action={"drop": True})
    with pytest.raises(ServiceResponseError):
        blob.upload_blob(b"1")
    assert not blob.exists()
    faults.arm(method="PUT", action={"apply_then_drop": True})
    with pytest.raises(ServiceResponseError):
        blob.upload_blob(b"1")
    assert blob.download_blob().readall() == b"1"


def test_only_what_is_conditional_meets_a_conflict(blob: BlobClient, faults: Faults) -> None:
    faults.arm(if_match=True, action={"status": 412, "code": "ConditionNotMet"})
    etag = blob.upload_blob(b"1")["etag"]
    swap = {"overwrite": True, "etag": etag, "match_condition": MatchConditions.IfNotModified}
    with pytest.raises(ResourceModifiedError):
        blob.upload_blob(b"2", **swap)
    blob.upload_blob(b"2", **swap)
    assert blob.download_blob().readall() == b"2"


def test_a_late_request_is_done(blob: BlobClient, faults: Faults) -> None:
    faults.arm(action={"delay_seconds": 0.1})
    blob.upload_blob(b"1")
    assert blob.download_blob().readall() == b"1"


def test_a_fault_that_makes_no_sense_is_refused(faults: Faults) -> None:
    drop = {"drop": True}
    assert "needs a host" in faults.refusal(action=drop)
    assert "no verb" in faults.refusal(host="h", path_contains="p", action=drop, verb="PUT")
    assert "times" in faults.refusal(host="h", path_contains="p", action=drop, times=0)
    for action in ({}, {"explode": True}, {"status": 503}, {"drop": True, "delay_seconds": 1}):
        assert "one of status" in faults.refusal(host="h", path_contains="p", action=action)
