"""Faults on demand, as a client meets them, and the log of requests."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.core.exceptions import ResourceNotFoundError, ServiceResponseError
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from tests.integration.workspace import clear_requests, eventually, refusal, requests, unique
from tests.loopback import loopback


class Control:
    """The control of the emulator."""

    def __init__(self, url: str) -> None:
        self._url = url

    def arm(self, **fault: Any) -> None:
        loopback.post(f"{self._url}/faults", json=fault).raise_for_status()

    def met(self) -> list[int]:
        return [fault["met"] for fault in loopback.get(f"{self._url}/faults").json()]

    def disarm(self) -> None:
        loopback.delete(f"{self._url}/faults").raise_for_status()


@pytest.fixture
def control(local_azure: LocalAzure) -> Iterator[Control]:
    found = Control(local_azure.control_url)
    clear_requests(local_azure)
    yield found
    found.disarm()


def _put(ml: MLClient, name: str) -> Any:
    return ml.environments.create_or_update(Environment(name=name, version="1", image="python"))


def _is_there(ml: MLClient, name: str) -> bool:
    try:
        ml.environments.get(name, "1")
    except ResourceNotFoundError:
        return False
    return True


def _ml(ml: MLClient, *, retry_total: int) -> MLClient:
    return MLClient(
        DefaultAzureCredential(),
        ml.subscription_id,
        ml.resource_group_name,
        ml.workspace_name,
        enable_telemetry=False,
        retry_total=retry_total,
    )


def test_a_status_is_answered_and_not_applied(ml: MLClient, control: Control) -> None:
    name = unique("env")
    control.arm(
        path_contains=f"/environments/{name}",
        method="PUT",
        times=2,
        action={
            "status": 503,
            "headers": {"Retry-After": "1"},
            "body": {"error": {"code": "Busy"}},
        },
    )
    for _ in range(2):
        error = refusal(lambda: _put(ml, name))
        assert (error.status_code, error.error.code) == (503, "Busy")
        assert error.response.headers["Retry-After"] == "1"
    assert control.met() == [2]
    assert not _is_there(ml, name)
    _put(ml, name)
    assert control.met() == [2]


def test_the_sdk_retries_a_throttled_request(
    ml: MLClient, local_azure: LocalAzure, control: Control
) -> None:
    name = unique("env")
    control.arm(path_contains=name, action={"status": 503, "headers": {"Retry-After": "1"}})
    started = time.monotonic()
    _put(_ml(ml, retry_total=3), name)
    assert time.monotonic() - started >= 1
    assert [r["status"] for r in requests(local_azure) if name in r["path"]] == [503, 201]


def test_a_delayed_request_is_applied(ml: MLClient, control: Control) -> None:
    name = unique("env")
    control.arm(path_contains=name, action={"delay_seconds": 0.5})
    started = time.monotonic()
    _put(ml, name)
    assert time.monotonic() - started >= 0.5


def test_a_delay_is_over_when_the_faults_are_disarmed(ml: MLClient, control: Control) -> None:
    name = unique("env")
    control.arm(path_contains=name, method="PUT", action={"delay_seconds": 60})
    with ThreadPoolExecutor() as pool:
        late = pool.submit(_put, ml, name)
        eventually(lambda: control.met() == [1] or None, seconds=20, what="the request")
        assert not _is_there(ml, name)
        control.disarm()
        late.result(30)
    assert _is_there(ml, name)


def test_an_answer_that_is_lost(ml: MLClient, control: Control) -> None:
    name = unique("env")
    control.arm(path_contains=name, action={"apply_then_drop": True})
    with pytest.raises(ServiceResponseError):
        _put(ml, name)
    assert _is_there(ml, name)


def test_a_request_that_is_lost(ml: MLClient, control: Control) -> None:
    name = unique("env")
    control.arm(path_contains=name, action={"drop": True})
    with pytest.raises(ServiceResponseError):
        _put(ml, name)
    assert not _is_there(ml, name)


def test_only_matching_requests_are_met(ml: MLClient, control: Control) -> None:
    name = unique("env")
    control.arm(path_contains=name, method="DELETE", action={"drop": True})
    control.arm(path_contains="/environments/other", action={"drop": True})
    _put(ml, name)
    assert control.met() == [0, 0]


_CLIENT = """
import sys
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.identity import DefaultAzureCredential
ml = MLClient(DefaultAzureCredential(), *sys.argv[1:4], enable_telemetry=False, retry_total=0)
ml.environments.create_or_update(Environment(name=sys.argv[4], version="1", image="python"))
"""


def test_a_client_killed_between_request_and_answer(
    ml: MLClient, local_azure: LocalAzure, control: Control
) -> None:
    name = unique("env")
    control.arm(path_contains=name, method="PUT", action={"hold": True})
    client = subprocess.Popen(
        [
            *(sys.executable, "-c", _CLIENT),
            *(ml.subscription_id, ml.resource_group_name, str(ml.workspace_name), name),
        ]
    )
    try:
        eventually(lambda: control.met() == [1] or None, seconds=30, what="the held request")
        [held] = [r for r in requests(local_azure) if name in r["path"]]
        assert (held["method"], held["status"], held["ms"]) == ("PUT", None, None)
        assert client.poll() is None
        client.send_signal(signal.SIGKILL)
    finally:
        client.kill()
        client.wait()

    def forgotten() -> dict[str, Any] | None:
        [record] = [r for r in requests(local_azure) if name in r["path"]]
        return record if record["ms"] is not None else None

    record = eventually(forgotten, seconds=10, what="the end of the held request")
    assert record["status"] is None
    assert not _is_there(ml, name)
    _put(ml, name)
    assert _is_there(ml, name)


def test_requests_are_written_down(ml: MLClient, local_azure: LocalAzure, control: Control) -> None:
    name = unique("env")
    _put(ml, name)
    [record] = requests(local_azure)
    assert record["method"] == "PUT"
    assert record["host"] == "management.azure.com"
    assert record["path"].endswith(f"/environments/{name}/versions/1")
    assert record["query"].startswith("api-version=")
    assert record["status"] == 201
    assert record["bytes"] > 50
    assert 0 <= record["ms"] < 10_000
    assert record["started"].startswith("20")
    clear_requests(local_azure)
    assert requests(local_azure) == []
    assert control.met() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"action": {"drop": True}},
        {"path_contains": "a", "action": {"explode": True}},
        {"path_contains": "a", "times": 0, "action": {"drop": True}},
        {"path_contains": "a", "action": {"status": 503, "drop": True}},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(
    local_azure: LocalAzure, control: Control, fault: dict[str, Any]
) -> None:
    answer = loopback.post(f"{local_azure.control_url}/faults", json=fault)
    assert answer.status_code == 400
    assert answer.json()["problems"]
    assert control.met() == []
