"""What traces and metrics cost: an event with an SDK beside one without, and the import of each.

Storage is in memory and nothing is sent, so this is the processor time of the app alone.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from statistics import median
from unittest.mock import patch

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from shared import telemetry
from tests.benchmarks.timing import Figure, compared, figure
from tests.unit.scene import Scene, event, trigger

EVENTS = 100

_ADDRESS = (
    "InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint=http://127.0.0.1:9"
)
#: Milliseconds of the processor; what would be done at the end of the process is not waited for.
_IMPORT = """
import os, time
import azure.functions
began = time.process_time()
import {module}
print((time.process_time() - began) * 1000, flush=True)
os._exit(0)
"""


class _Nowhere(SpanExporter):
    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS


def figures() -> Iterator[Figure]:
    logging.getLogger("shared").setLevel(logging.WARNING)
    here, numbers = Scene(), count()
    here.publish(trigger())

    def take() -> None:
        for number in (next(numbers) for _ in range(EVENTS)):
            here.dispatcher.handle(event(f"sales/north/{number}.csv"))

    def traced() -> None:
        with _sdk():
            take()

    take()
    traced()
    yield compared(
        f"{EVENTS} events with an SDK for traces and metrics, beside none: ms", traced, take
    )
    with_insights, without, api = [], [], []
    for _ in range(5):
        with_insights.append(_importing("function_app", address=_ADDRESS))
        without.append(_importing("function_app"))
        api.append(_importing("opentelemetry.trace, opentelemetry.metrics"))
    app = median(without)
    yield figure(
        "CPU of importing the app with Application Insights: ms", median(with_insights), app
    )
    yield figure("CPU of importing OpenTelemetry's API, beside the app: ms", median(api), app)


@contextmanager
def _sdk() -> Iterator[None]:
    tracers, meters = TracerProvider(), MeterProvider()
    tracers.add_span_processor(BatchSpanProcessor(_Nowhere()))
    made = telemetry.instruments(meters.get_meter("benchmark"))
    with (
        patch.object(telemetry, "_tracer", tracers.get_tracer("benchmark")),
        patch.object(telemetry, "_instruments", made),
    ):
        yield
    tracers.shutdown()
    meters.shutdown()


def _importing(module: str, *, address: str = "") -> float:
    """Milliseconds of the processor, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(module=module)],
        env={**os.environ, "APPLICATIONINSIGHTS_CONNECTION_STRING": address},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
