"""What really leaves the app for Application Insights: worker, SDK and Microsoft's exporter."""

import json
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from emulator.stack import LocalAzure
from shared import telemetry
from tests.e2e.running_signalbox import APP, DEFINITIONS, Json, RunningSignalbox, subject_of
from tests.integration.conftest import exported
from tests.integration.waiting import eventually
from tests.loopback import loopback

_TRACE = "0af7651916cd43dd8448eb211c80319c"
_SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
_SPANS = (
    telemetry.EVENT_SPAN,
    telemetry.SUBMIT_SPAN,
    telemetry.RUN_SPAN,
    telemetry.TICK_SPAN,
)
_INSIGHTS = "00000000-0000-0000-0000-000000000001"


class Insights(ThreadingHTTPServer):
    """Takes telemetry as Application Insights does: POST /v2.1/track, a list of items."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Track)
        self.items: list[Json] = []

    @property
    def connection_string(self) -> str:
        address = f"http://127.0.0.1:{self.server_port}"
        return (
            f"InstrumentationKey={_INSIGHTS};IngestionEndpoint={address}/;LiveEndpoint={address}/"
        )

    def of(self, kind: str, **properties: str) -> list[Json]:
        """Items of a table that have these in their customDimensions."""
        return [
            item
            for item in list(self.items)
            if item["data"]["baseType"] == kind
            and properties.items() <= item["data"]["baseData"]["properties"].items()
        ]


class _Track(BaseHTTPRequestHandler):
    server: Insights

    def do_POST(self) -> None:
        items = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.items += items
        taken = {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}
        answer = json.dumps(taken).encode()
        self.send_response(200 if self.path == "/v2.1/track" else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def insights() -> Iterator[Insights]:
    with Insights() as insights:
        threading.Thread(target=insights.serve_forever, daemon=True).start()
        yield insights
        insights.shutdown()


@pytest.fixture(scope="module")
def signalbox(insights: Insights) -> Iterator[RunningSignalbox]:
    """The app with the settings that Azure gives it, but for how to sign in there."""
    settings = {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": insights.connection_string,
        "PYTHON_ENABLE_OPENTELEMETRY": "true",
        # Milliseconds; what is measured is sent each minute otherwise.
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "200",
    }
    with LocalAzure(APP, settings=settings) as azure, exported(azure):
        signalbox = RunningSignalbox(azure)
        assert signalbox.publish(DEFINITIONS).returncode == 0
        yield signalbox


def _data(path: str) -> Json:
    url = f"https://contosolake.blob.core.windows.net/landing/{path}"
    return {"api": "PutBlob", "eTag": uuid.uuid4().hex, "url": url, "note": f"sig={_SECRET}"}


def _operation(item: Json) -> str:
    return str(item["tags"]["ai.operation.id"])


def _cloud_event(signalbox: RunningSignalbox, path: str) -> Json:
    return {
        "specversion": "1.0",
        "id": uuid.uuid4().hex,
        "source": signalbox.azure.topology.account_id("contosolake"),
        "type": "Microsoft.Storage.BlobCreated",
        "subject": subject_of(path),
        "time": datetime.now(UTC).isoformat(),
        "data": _data(path),
    }


def _post(signalbox: RunningSignalbox, event: Json, **headers: str) -> None:
    key = {"x-functions-key": signalbox.functions.master_key}
    address = f"{signalbox.functions.url}/api/events?code={_SECRET}"
    answer = loopback.post(address, json=event, headers={**key, **headers}, timeout=60)
    assert answer.status_code == 202, answer.text


def test_a_trace_leads_from_the_event_to_its_job(
    signalbox: RunningSignalbox, insights: Insights
) -> None:
    path = "letters/aix/traced.txt"
    said = f"00-{_TRACE}-b7ad6b7169203331-01"
    _post(signalbox, {**_cloud_event(signalbox, path), "traceparent": said})

    [job] = signalbox.jobs(path)
    [record] = signalbox.records(path)
    tag = job.tags[telemetry.TRACE_TAG]
    assert tag == record["traceparent"]
    assert tag.split("-")[1] == _TRACE
    run = job.tags["signalbox_run"]
    [asked] = eventually(
        lambda: insights.of(
            "RemoteDependencyData", **{"signalbox.run": run, "signalbox.attempt": "1"}
        )
    )
    assert asked["data"]["baseData"]["name"] == telemetry.SUBMIT_SPAN
    assert asked["data"]["baseData"]["properties"]["signalbox.job"] == job.name
    # The tag names the span under which AzureML was asked.
    assert asked["tags"]["ai.operation.parentId"] == tag.split("-")[2]
    assert _operation(asked) == _TRACE

    # What alerts and the runbook ask for: the field is in customDimensions, and once only.
    logged = eventually(lambda: insights.of("MessageData", action="run_submitted", run=run))
    assert [_operation(line) for line in logged] == [_TRACE]
    assert logged[0]["data"]["baseData"]["message"] == f"Run {run} is AzureML job {job.name}"


def test_without_a_sender_s_trace_it_is_that_of_the_function_s_call(
    signalbox: RunningSignalbox, insights: Insights
) -> None:
    path = "letters/bonn/traced.txt"
    event = {
        "id": uuid.uuid4().hex,
        "topic": signalbox.azure.topology.account_id("contosolake"),
        "subject": subject_of(path),
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": datetime.now(UTC).isoformat(),
        "data": _data(path),
        "dataVersion": "",
    }
    assert signalbox.post([event]).status_code == 202

    [job] = signalbox.jobs(path)
    found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0[13]", job.tags[telemetry.TRACE_TAG])
    assert found

    def taken() -> list[Json]:
        spans = insights.of("RemoteDependencyData", **{"signalbox.source": "blob"})
        return [span for span in spans if span["data"]["baseData"]["id"] == found[2]]

    [span] = eventually(taken)
    assert _operation(span) == found[1] != _TRACE
    # It is part of something: the call that the host has told the worker of.
    assert span["tags"]["ai.operation.parentId"]


def test_a_message_s_and_a_request_s_trace_go_on(signalbox: RunningSignalbox) -> None:
    traces = {"letters/caen/sent.txt": "1" * 32, "letters/dole/asked.txt": "2" * 32}
    sent, asked = [f"00-{trace}-b7ad6b7169203331-01" for trace in traces.values()]
    message, request = [_cloud_event(signalbox, path) for path in traces]
    connection = signalbox.azure.environment["ServiceBusConnection"]
    with (
        ServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender("signalbox-events") as sender,
    ):
        # As Microsoft's SDKs write it, where a sender has tracing turned on.
        said: Any = {"Diagnostic-Id": sent}
        sender.send_messages(ServiceBusMessage(json.dumps(message), application_properties=said))
    _post(signalbox, request, traceparent=asked)

    for path, trace in traces.items():
        [job] = eventually(partial(signalbox.jobs, path))
        assert job.tags[telemetry.TRACE_TAG].split("-")[1] == trace


def test_what_is_measured_arrives_and_is_told_once(
    signalbox: RunningSignalbox, insights: Insights
) -> None:
    def counted(metric: telemetry.Metric, **attributes: str) -> float:
        items = insights.of("MetricData", **attributes)
        found = [item["data"]["baseData"]["metrics"][0] for item in items]
        mine = [one for one in found if one["name"] == metric.name]
        return float(sum(one.get("count") or one["value"] for one in mine))

    def ticks() -> int:
        return signalbox.log().count("Executed 'Functions.timer' (Succeeded)")

    # Each is told since it was last told, so whoever counts, as the alert does, finds no old ones.
    for _ in range(2):
        signalbox.tick()
        eventually(lambda: counted(telemetry.TICK_DURATION, outcome="ok") == ticks())
    assert counted(telemetry.EVENTS, source="blob") == 3
    assert counted(telemetry.EVENTS, source="queue") == 1
    decided = {"trigger": "letter-came", "decision": "submitting", "reason": ""}
    assert counted(telemetry.DECISIONS, source="queue", **decided) == 1
    assert counted(telemetry.SUBMIT_DURATION, outcome="ok") == 4
    assert counted(telemetry.SUBMIT_LATENCY, trigger="letter-came") == 4


def test_no_secret_and_no_payload_leaves(signalbox: RunningSignalbox, insights: Insights) -> None:
    sent = json.dumps(insights.items)

    assert len(insights.of("RemoteDependencyData")) >= 4
    for text in (_SECRET, "PutBlob", signalbox.functions.master_key, "letters/aix/traced.txt?"):
        assert text not in sent
    # FastAPI and the SDKs have spans as well, with addresses and so with keys in their queries.
    spans = {item["data"]["baseData"]["name"] for item in insights.of("RemoteDependencyData")}
    assert spans <= {*_SPANS}
    assert insights.of("RequestData") == []
    # Of what was sent, spans and metrics have nothing at all.
    measured = [*insights.of("RemoteDependencyData"), *insights.of("MetricData")]
    assert "letters/" not in json.dumps(measured)
    assert "https://" not in json.dumps([item["data"] for item in measured])


def test_each_line_is_sent_by_the_app_and_none_of_the_exporter_s_own(
    signalbox: RunningSignalbox, insights: Insights
) -> None:
    loggers = {
        item["data"]["baseData"]["properties"].get("logger_name", "")
        for item in insights.of("MessageData")
    }

    assert {"shared.submission", "shared.dispatcher"} <= loggers
    # In one process with the app are here the host, in Azure the worker: both would say much.
    assert {name for name in loggers if not name.startswith(("shared.", "functions."))} == set()
    assert "Executing 'Functions.http_api'" in signalbox.log()
    assert "Traceback" not in signalbox.log()
