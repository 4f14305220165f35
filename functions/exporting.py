"""Where traces, metrics and the log go: Application Insights, when its address is set.

`PYTHON_ENABLE_OPENTELEMETRY` has the worker tell the host not to take the log for itself, so that
no line is there twice. Source: azure_functions_runtime, `WORKER_OPEN_TELEMETRY_ENABLED`.
"""

import logging
from collections.abc import MutableMapping

from shared import telemetry

log = logging.getLogger(__name__)

#: Azure's own setting.
ADDRESS = "APPLICATIONINSIGHTS_CONNECTION_STRING"

#: What SDK and exporter read from the environment; app settings of these names count more.
_DEFAULTS = {
    # Whole traces, also where a sender keeps none of its own.
    "OTEL_TRACES_SAMPLER": "always_on",
    # The worker's own choice.
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "azure_functions",
    # What the process is, once more with each batch.
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",
    # Statistics for whoever makes the exporter, and switches that they turn from afar.
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}

#: Whose lines are told, and whose never: that sending failed would be sent, fail, be told, …
_OURS, _SENDERS = ("shared.", "functions."), ("azure.monitor.", "opentelemetry.")


def begin(environment: MutableMapping[str, str]) -> bool:
    """Export from now on, if there is where to; whether it does.

    How to sign in there is APPLICATIONINSIGHTS_AUTHENTICATION_STRING, which the exporter reads.
    What does not work keeps no event from being taken in.
    """
    if not environment.get(ADDRESS):
        return False
    for name, value in _DEFAULTS.items():
        environment.setdefault(name, value)
    # The exporter's own requests would be logged, exported, logged, …
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        _export(environment[ADDRESS])
    except Exception:
        log.exception("Nothing is sent to Application Insights; see the app setting %s", ADDRESS)
        return False
    return True


def _export(address: str) -> None:
    """Nothing is set up for everybody: frameworks and SDKs would tell of each request, with its
    address and so with the key in its query. Raises ValueError for an address that is none."""
    # Only who exports pays for importing it.
    from azure.monitor.opentelemetry.exporter import (
        AzureMonitorLogExporter,
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # An instance may be gone for good before it could send what it put aside.
    where = {"connection_string": address, "disable_offline_storage": True}
    resource = Resource.create()
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(AzureMonitorTraceExporter(**where)))
    reader = PeriodicExportingMetricReader(AzureMonitorMetricExporter(**where))
    meters = MeterProvider([reader], resource=resource)
    lines = LoggerProvider(resource=resource)
    lines.add_log_record_processor(BatchLogRecordProcessor(AzureMonitorLogExporter(**where)))
    handler = LoggingHandler(logger_provider=lines)
    handler.addFilter(_is_told)
    logging.getLogger().addHandler(handler)
    telemetry.use(tracers, meters)


def _is_told(record: logging.LogRecord) -> bool:
    """Whether a line is ours, without secrets and payloads; of others only what went wrong."""
    if record.name.startswith(_SENDERS):
        return False
    return record.levelno >= logging.WARNING or record.name.startswith(_OURS)
