"""The HTTP API as clients meet it: behind the functions host, with its keys, at its address."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from emulator.stack import LocalAzure
from shared.index import Snapshot
from tests.integration.conftest import exported
from tests.integration.waiting import eventually
from tests.loopback import loopback
from tests.unit.scene import indexed, pipeline, trigger

APP = Path(__file__).resolve().parents[2]
RUNS = "/pipelines/churn-training/runs"
DATA = {"inputs": {"data": "azureml:a:1"}}


class Client:
    """Sends requests to one functions host."""

    def __init__(self, azure: LocalAzure, http: httpx.Client) -> None:
        assert azure.functions
        self.azure = azure
        self.functions = azure.functions
        # A client of one's own for each request would take longer than the request.
        self._http = http

    def request(
        self, method: str, path: str, *, key: str | None = "", **options: Any
    ) -> httpx.Response:
        """One request; `path` is below /api. `key` None sends none, "" sends a good one."""
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["x-functions-key"] = key or self.functions.keys.host
        return self._http.request(method, path, headers=headers, **options)

    def publish(self) -> None:
        """An index as publishing would leave it; what it names is never run here."""
        snapshot = Snapshot(
            triggers=indexed(trigger()),
            pipelines={"churn-training": pipeline().model_dump(mode="json", by_alias=True)},
        )
        state = self.azure.topology.account("signalboxstate").url
        content = snapshot.model_dump_json(by_alias=True)
        with ContainerClient(state, "signalbox-state", DefaultAzureCredential()) as container:
            container.upload_blob("index.json", content, overwrite=True)


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[Client]:
    """The app with these settings in a local Azure of its own."""
    with LocalAzure(APP, settings=settings) as azure, exported(azure):
        assert azure.functions
        address = f"{azure.functions.url}/api"
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as http:
            yield Client(azure, http)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running({}) as found:
        found.publish()
        yield found


def problem(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def test_the_first_call_pays_for_the_web_framework_and_no_other(
    client: Client, counted: Any
) -> None:
    def milliseconds(path: str) -> int:
        before = time.monotonic()
        assert client.request("GET", path).status_code == 200
        return round((time.monotonic() - before) * 1000)

    first = milliseconds("/triggers")
    later = sorted(milliseconds("/triggers") for _ in range(20))[10]
    counted(f"HTTP: the first call took {first} ms, one like it {later} ms")
    assert later < first


def test_the_host_asks_for_a_key(client: Client) -> None:
    for method, path in (("GET", "/health"), ("POST", RUNS), ("OPTIONS", "/events")):
        assert client.request(method, path, key=None).status_code == 401
        assert client.request(method, path, key="wrong").status_code == 401
    code = client.functions.keys.host
    assert client.request("GET", f"/triggers?code={code}", key=None).status_code == 200


def test_without_platform_authentication_a_forged_principal_changes_nothing(
    client: Client,
) -> None:
    forged = {"x-ms-client-principal-id": "admin", "x-ms-client-principal": "e30="}

    assert client.request("GET", "/triggers", key=None, headers=forged).status_code == 401
    run = client.request("POST", RUNS, json=DATA, headers=forged).json()
    assert run["event"]["source"] == "/http/key"


def test_a_run_that_is_asked_for_becomes_a_record_and_is_answered_the_same_again(
    client: Client,
) -> None:
    headers = {"idempotency-key": "march"}

    first, second = (client.request("POST", RUNS, json=DATA, headers=headers) for _ in range(2))

    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert first.headers["location"] == f"/api/runs/{first.json()['id']}"
    assert client.request("GET", f"/runs/{first.json()['id']}").json()["event"]["id"] == "march"
    other = {"inputs": {"data": "azureml:b:1"}}
    problem(client.request("POST", RUNS, json=other, headers=headers), 422)


def test_a_header_that_comes_twice_is_found_though_the_host_joins_it(client: Client) -> None:
    url = f"{client.functions.url}/api{RUNS}"
    headers = [
        ("x-functions-key", client.functions.keys.host),
        ("idempotency-key", "a"),
        ("idempotency-key", "a"),
    ]

    answer = loopback.post(url, json=DATA, headers=headers, timeout=60)

    problem(answer, 400)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_wrong_method_is_a_problem(client: Client, method: str) -> None:
    answer = client.request(method, "/events")

    problem(answer, 405)
    assert answer.headers["allow"] == "OPTIONS, POST"


@pytest.mark.parametrize("path", ["/nowhere", "/", "/runs/a/b/c", "/pipelines/a%2Fb", "/a%00b"])
def test_an_unknown_path_is_a_problem(client: Client, path: str) -> None:
    problem(client.request("GET", path), 404)


def test_a_path_that_is_no_text_is_a_problem(client: Client) -> None:
    problem(client.request("GET", "/runs/%ff%fe"), 400)


def test_a_body_over_a_megabyte_is_a_problem(client: Client) -> None:
    problem(client.request("POST", RUNS, content=b" " * 1_048_577), 413)


def test_names_come_back_as_json_and_nothing_else(client: Client) -> None:
    script = {"specversion": "1.0", "id": "<script>", "source": "<b>", "type": "<i>"}

    answer = client.request("POST", "/events", json=script)

    assert (answer.status_code, answer.json()) == (202, {"decisions": []})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_a_webhook_is_validated(client: Client) -> None:
    headers = {"webhook-request-origin": "eventgrid.azure.net"}

    answer = client.request("OPTIONS", "/events", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"


def test_health_asks_storage_service_bus_azureml_and_the_timer(client: Client) -> None:
    headers = {"x-functions-key": client.functions.master_key}
    address = f"{client.functions.url}/admin/functions/timer"
    loopback.post(address, headers=headers, json={"input": ""}).raise_for_status()
    # The timer runs behind its answer, and an answer about health holds for ten seconds.
    until = time.monotonic() + 60
    answer = client.request("GET", "/health")
    while answer.status_code == 503 and time.monotonic() < until:
        assert "not ended yet" in answer.json()["checks"]["timer"]["detail"], answer.text
        time.sleep(0.5)
        answer = client.request("GET", "/health")

    assert answer.status_code == 200, answer.text
    checks = answer.json()["checks"]
    assert {check["status"] for check in checks.values()} == {"ok"}
    assert "'signalbox-events', subscription 'signalbox'" in checks["messaging"]["detail"]
    assert "topic 'signalbox-outcomes'" in checks["messaging"]["detail"]


def test_many_calls_at_once_are_answered_while_a_slow_one_waits(client: Client) -> None:
    control = f"{client.azure.control_url}/faults"
    # What asks AzureML waits until that is disarmed.
    slow = {"method": "GET", "path_contains": "/jobs/", "action": {"delay_seconds": 50}}
    loopback.post(control, json=slow).raise_for_status()
    with ThreadPoolExecutor(9) as pool:

        def slow_call() -> Future[httpx.Response] | None:
            """None when the answer was one of the last ten seconds, which asks nobody."""
            call = pool.submit(client.request, "GET", "/health")
            eventually(lambda: call.done() or loopback.get(control).json()[0]["met"])
            return None if call.done() else call

        try:
            waiting = eventually(slow_call)
            assert waiting is not None
            answers = list(pool.map(lambda _: client.request("GET", "/triggers"), range(40)))
            assert {answer.status_code for answer in answers} == {200}
            assert not waiting.done()
        finally:
            loopback.delete(control).raise_for_status()
        assert waiting.result().json()["checks"]["workspace"]["status"] == "ok"


def test_nothing_of_a_request_is_in_the_log(client: Client) -> None:
    secret = "AccountKey=abcdefgh0123456789"
    client.request("POST", RUNS, json={"inputs": {"data": f"https://x/?{secret}"}, secret: 1})
    client.request("POST", RUNS, json={"inputs": {"data": f"https://x/?{secret}"}})
    client.request("POST", "/events", json={"specversion": "1.0", "id": secret})

    log = client.functions.log.read_text(errors="replace")
    assert "abcdefgh" not in log
    assert client.functions.keys.host not in log
    assert "Traceback" not in log


@pytest.fixture(scope="module")
def behind_platform_authentication() -> Iterator[Client]:
    settings = {"SIGNALBOX_PLATFORM_AUTHENTICATION": "true", "WEBSITE_AUTH_ENABLED": "True"}
    with running(settings) as found:
        yield found


def test_platform_authentication_takes_the_place_of_the_key(
    behind_platform_authentication: Client,
) -> None:
    client = behind_platform_authentication
    named = {"x-ms-client-principal-id": "0d5e-41"}

    problem(client.request("GET", "/triggers", key=None), 401)
    problem(client.request("GET", "/triggers"), 401)
    assert client.request("GET", "/triggers", key=None, headers=named).status_code == 200
