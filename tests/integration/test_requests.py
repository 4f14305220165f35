"""What an event costs: the requests of the stock SDK and those of Signalbox, for one pipeline."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, load_job
from azure.ai.ml.entities import PipelineJob
from azure.identity import DefaultAzureCredential
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from emulator.stack import LocalAzure
from tests.e2e.running_signalbox import APP, Json, RunningSignalbox, subject_of
from tests.integration.conftest import exported
from tests.integration.counting import arm_requests, clear_arm_requests, storage_requests
from tests.integration.waiting import eventually
from tests.loopback import loopback

_EXAMPLE = APP / "examples" / "tumour-screening"
_PIPELINE = _EXAMPLE / "pipelines" / "tumour-screening.yml"
#: Nothing is uploaded here: the jobs end at once, and what it takes to submit them is counted.
_LANDING = "https://contosolake.blob.core.windows.net/landing"


@pytest.fixture(scope="module")
def signalbox() -> Iterator[RunningSignalbox]:
    """The example is published, and the app has handled an event before."""
    # What AzureML tells of its jobs and what the timer does come when they like, and the longer
    # they take, the more likely is it that they would be counted with the rest.
    alone = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("run_events", "timer")}
    with LocalAzure(APP, settings=alone) as azure, exported(azure):
        signalbox = RunningSignalbox(azure)
        published = signalbox.publish(_EXAMPLE)
        assert published.returncode == 0, published.stderr
        assert signalbox.post([_event(signalbox, "biopsies/harbour/first.csv")]).status_code == 202
        yield signalbox


def _event(signalbox: RunningSignalbox, path: str) -> Json:
    """An upload as Event Grid tells it."""
    return {
        "id": str(uuid.uuid4()),
        "topic": signalbox.azure.topology.account_id("contosolake"),
        "subject": subject_of(path),
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": {"api": "PutBlob", "eTag": "0x1", "url": f"{_LANDING}/{path}"},
        "dataVersion": "",
        "metadataVersion": "1",
    }


def _storage_log(signalbox: RunningSignalbox) -> list[Json]:
    """Requests to the state account so far, in order."""
    return storage_requests(signalbox.azure.logs / "azurite.log", signalbox.state)


def _cost(signalbox: RunningSignalbox, event: Json) -> tuple[list[Json], list[Json]]:
    """Requests to AzureML and to storage that one event costs."""
    before = len(_storage_log(signalbox))
    clear_arm_requests(signalbox.azure.control_url)
    assert signalbox.post([event]).status_code == 202
    return arm_requests(signalbox.azure.control_url), _storage_log(signalbox)[before:]


def _stock(signalbox: RunningSignalbox, ml: MLClient) -> list[Json]:
    """Requests of what one writes without Signalbox: load the YAML, submit it."""
    clear_arm_requests(signalbox.azure.control_url)
    job = load_job(_PIPELINE)
    assert isinstance(job, PipelineJob)
    inputs: Any = job.inputs
    inputs.training_data = Input(type="uri_file", path=f"{_LANDING}/biopsies/harbour/new.csv")
    inputs.site = "harbour"
    job.name = f"stock-{uuid.uuid4().hex[:8]}"
    ml.jobs.create_or_update(job)
    return arm_requests(signalbox.azure.control_url)


def test_an_event_costs_one_request_to_azureml_and_six_to_storage(
    signalbox: RunningSignalbox, counted: Callable[[str], None]
) -> None:
    topology = signalbox.azure.topology
    ml = MLClient(
        DefaultAzureCredential(),
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        enable_telemetry=False,
        show_progress=False,
    )
    first, later = _stock(signalbox, ml), _stock(signalbox, ml)
    arm, storage = _cost(signalbox, _event(signalbox, "biopsies/harbour/new.csv"))

    assert [(request["method"], request["status"]) for request in arm] == [("PUT", 201)]
    assert "/jobs/retrain-on-upload-" in arm[0]["path"]
    assert [
        (request["method"], request["path"].split("/")[2], request["comp"], request["status"])
        for request in storage
    ] == [
        ("GET", "index.json", None, 304),
        ("PUT", "open", None, 201),
        # Its place: a trigger that says nothing has limits.
        ("GET", "slots", None, 206),
        ("PUT", "slots", None, 201),
        ("PUT", "ledger", None, 201),
        ("PUT", "ledger", None, 201),
    ]
    # the stock way registers every step again; else there would be nothing to save
    steps = 5
    assert len(later) > steps

    rows = {
        "stock SDK, first event": first,
        "stock SDK, later events": later,
        "Signalbox, every event": arm,
    }
    counted(f"Requests to AzureML for one run of {_PIPELINE.stem} ({steps} steps):")
    for name, requests in rows.items():
        kilobytes = sum(request["bytes"] for request in requests) / 1000
        milliseconds = sum(request["ms"] for request in requests)
        counted(
            f"  {name:<26}{len(requests):>4} {kilobytes:>7.1f} kB sent"
            f" {milliseconds:>7.0f} ms served"
        )
    counted(f"  and to the state container: {len(storage)}")


def test_an_event_that_is_for_nobody_costs_one_conditional_read(
    signalbox: RunningSignalbox,
) -> None:
    arm, storage = _cost(signalbox, _event(signalbox, "attic/box.csv"))
    assert arm == []
    assert [(request["method"], request["status"]) for request in storage] == [("GET", 304)]


#: Where an event would have the app go: elsewhere, to the machine's own identity, to a file, to
#: somebody else's account, and to what looks like the right one.
_ELSEWHERE = (
    "https://evil.example/landing/biopsies/harbour/x.csv",
    "http://169.254.169.254/metadata/identity/oauth2/token?resource=https://storage.azure.com",
    "file:///etc/hostname",
    "https://attacker.blob.core.windows.net/landing/biopsies/harbour/x.csv",
    "https://contosolake.blob.core.windows.net@evil.example/landing/biopsies/harbour/x.csv",
    "https://contosolake.blob.core.windows.net.evil.example/landing/biopsies/harbour/x.csv",
)


def _send(azure: LocalAzure, bodies: list[str]) -> None:
    """Messages, until the app has taken all of them."""
    connection = azure.environment["ServiceBusConnection"]
    with (
        ServiceBusClient.from_connection_string(connection) as bus,
        bus.get_queue_sender("signalbox-events") as sender,
    ):
        for body in bodies:
            url: str = json.loads(body)["url"]
            sender.send_messages(
                ServiceBusMessage(body, application_properties={"cloudEvents:dataref": url})
            )

    def taken() -> bool:
        queue = loopback.get(f"{azure.control_url}/service_bus").json()["signalbox-events"]
        return bool(queue["messages"] == [] and queue["locked"] == 0)

    eventually(taken)


def test_no_address_in_an_event_is_asked_for(signalbox: RunningSignalbox) -> None:
    """By any way in, also as what handshakes and specifications would have one fetch."""
    azure = signalbox.azure
    hosts, topology = f"{azure.control_url}/hosts", azure.topology
    loopback.delete(hosts).raise_for_status()
    clear_arm_requests(azure.control_url)
    headers = {"x-functions-key": signalbox.functions.master_key}
    api = f"{signalbox.functions.url}/api"
    for url in _ELSEWHERE:
        upload = _event(signalbox, "biopsies/harbour/x.csv")
        upload["data"] |= {"url": url, "eTag": uuid.uuid4().hex}
        assert signalbox.post([upload]).status_code == 202
        cloud = {
            **{"specversion": "1.0", "id": uuid.uuid4().hex, "source": url, "type": "shop.order"},
            **{"dataschema": url, "dataref": url, "schemaurl": url, "data": {"url": url}},
        }
        asked = loopback.post(f"{api}/events", json=cloud, headers=headers)
        assert asked.status_code in (202, 422), asked.text
        greeting = {"webhook-request-origin": "evil.example", "webhook-request-callback": url}
        assert loopback.options(f"{api}/events", headers=headers | greeting).status_code == 200
        validation = {
            **upload,
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "data": {"validationCode": "code", "validationUrl": url},
        }
        answer = loopback.post(f"{api}/events", json=[validation], headers=headers)
        assert answer.json() == {"validationResponse": "code"}
    _send(azure, [json.dumps({"url": url, "callback": url}) for url in _ELSEWHERE])

    configured = {
        *("management.azure.com", "login.microsoftonline.com"),
        *(topology.workspace.api_host, signalbox.state.primary_hostname),
    }
    assert set(loopback.get(hosts).json()) <= configured
    # Nor is a job started that would.
    assert [one for one in arm_requests(azure.control_url) if one["method"] != "GET"] == []
