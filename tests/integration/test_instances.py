"""A function app on several hosts: who is called, and what happens while one of them is down."""

from collections.abc import Iterator

import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from emulator.stack import FunctionsHost
from tests.integration.basic_app import FOLDER, BasicApp, running_app
from tests.integration.conftest import exported
from tests.integration.waiting import eventually
from tests.integration.workspace import storage_http


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicApp]:
    """Two instances of the small test app, whose timer fires each second."""
    folder = tmp_path_factory.mktemp("instances")
    each_second = {"TIMER_SCHEDULE": "* * * * * *"}
    with (
        running_app(FOLDER, folder, instances=2, settings=each_second) as app,
        exported(app.azure),
    ):
        yield app


def calls(host: FunctionsHost, function: str) -> int:
    """Calls of a function by one host, since it was first started."""
    return host.log.read_text().count(f"Executed 'Functions.{function}'")


def upload(app: BasicApp, name: str) -> None:
    url = app.azure.topology.account("contosolake").url
    with ContainerClient(url, "landing", DefaultAzureCredential()) as landing:
        landing.upload_blob(name, b"1")
    eventually(lambda: app.uploads(name))


def greet(app: BasicApp) -> int:
    """Status of a call under the app's own name, through the front door."""
    url = f"https://{app.azure.topology.function_app_host}/api/people/ann"
    with storage_http(app.azure) as http:
        return http.get(url, headers={"x-functions-key": app.functions.keys.host}).status_code


def test_instances_are_called_in_turns(app: BasicApp) -> None:
    for number in range(4):
        upload(app, f"turns/{number}")
        assert greet(app) == 201
    for host in app.azure.hosts:
        assert calls(host, "blob_uploads") == 2
        assert calls(host, "greet") == 2


def test_one_instance_calls_the_timer_and_another_when_it_dies(app: BasicApp) -> None:
    hosts = app.azure.hosts

    def ticking() -> list[FunctionsHost]:
        before = [calls(host, "clock") for host in hosts]
        eventually(lambda: sum(calls(host, "clock") for host in hosts) >= sum(before) + 2)
        return [h for h, n in zip(hosts, before, strict=True) if calls(h, "clock") > n]

    [first] = ticking()
    first.kill()
    [second] = ticking()
    assert second is not first
    first.start()
    assert ticking() == [second]


def test_an_instance_that_is_down_is_passed_over(app: BasicApp) -> None:
    down, up = app.azure.hosts
    before = calls(up, "blob_uploads")
    down.kill()
    for number in range(3):
        upload(app, f"passed/{number}")
        assert greet(app) == 201
    assert calls(up, "blob_uploads") == before + 3
    assert [d["attempts"] for n in range(3) for d in app.deliveries(f"passed/{n}")] == [1, 1, 1]
    up.kill()
    # At once: whoever asks waits for five seconds and not longer.
    assert greet(app) == 503
