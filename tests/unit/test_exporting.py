"""What is set up for Application Insights, and when; each in a process of its own."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from functions import exporting

ROOT = Path(__file__).parents[2]
#: Nobody listens there.
ADDRESS = (
    "InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint=http://127.0.0.1:9"
)

_ASK = """
import json, os, sys
import function_app
from opentelemetry import metrics, trace
from shared import telemetry
print(json.dumps({
    "recording": telemetry._tracer.start_span("test").is_recording(),
    "for_everybody": trace.get_tracer("another").start_span("test").is_recording(),
    "meters": type(metrics.get_meter_provider()).__name__,
    "loaded": sorted(sys.modules),
    "switches": {n: v for n, v in os.environ.items() if n.startswith(("OTEL_", "APPLICATIONI"))},
}), flush=True)
os._exit(0)
"""


def started(**settings: str) -> tuple[dict[str, Any], str]:
    """What the app is like once it is imported with these settings, and what it has printed."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


def sdk(found: dict[str, Any]) -> list[str]:
    return [
        one for one in found["loaded"] if one.startswith(("opentelemetry.sdk", "azure.monitor"))
    ]


def test_without_an_address_no_sdk_is_loaded() -> None:
    found, _ = started(**{exporting.ADDRESS: ""})

    assert sdk(found) == []
    assert not found["recording"]


def test_with_an_address_spans_are_recorded_and_nobody_else_is_told() -> None:
    found, said = started(**{exporting.ADDRESS: ADDRESS})

    assert found["recording"]
    assert "azure.monitor.opentelemetry.exporter" in found["loaded"]
    # FastAPI and the SDK for AzureML would tell of each request, with the key in its address.
    assert not found["for_everybody"]
    assert found["meters"] == "_ProxyMeterProvider"
    # That SDK comes with the first job as ever.
    assert "azure.ai.ml" not in found["loaded"]
    assert found["switches"]["APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL"] == "true"
    assert found["switches"]["APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED"] == "true"
    assert found["switches"]["OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"] == "azure_functions"
    assert "Traceback" not in said


def test_an_app_setting_counts_more_than_the_default() -> None:
    found, _ = started(
        **{exporting.ADDRESS: ADDRESS, "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "otel"}
    )

    assert found["switches"]["OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"] == "otel"


def test_an_address_that_is_none_keeps_no_event_from_being_taken_in() -> None:
    found, said = started(**{exporting.ADDRESS: "whatever"})

    assert not found["recording"]
    assert (
        f"Nothing is sent to Application Insights; see the app setting {exporting.ADDRESS}" in said
    )


@pytest.mark.parametrize(
    ("name", "level", "told"),
    [
        ("shared.submission", logging.INFO, True),
        ("functions.service_bus", logging.INFO, True),
        # Whoever else speaks in the worker's process may say what it was sent.
        ("httpx", logging.INFO, False),
        ("azure_functions_worker", logging.INFO, False),
        ("azure.core", logging.WARNING, True),
        ("azure.monitor.opentelemetry.exporter.export._base", logging.WARNING, False),
        ("opentelemetry.sdk.trace.export", logging.ERROR, False),
    ],
)
def test_whose_lines_are_told(name: str, level: int, told: bool) -> None:
    record = logging.LogRecord(name, level, __file__, 1, "said", None, None)

    assert exporting._is_told(record) is told
