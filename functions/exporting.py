"""Where traces, metrics and the log go: Application Insights, when its address is set.

`PYTHON_ENABLE_OPENTELEMETRY` has the worker tell the host not to take the log for itself, so that
no line is there twice. Source: azure_functions_runtime, `WORKER_OPEN_TELEMETRY_ENABLED`.
"""

import logging
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

#: Azure's own setting.
ADDRESS = "APPLICATIONINSIGHTS_CONNECTION_STRING"

#: What the exporter reads from the environment; app settings of these names count more.
_DEFAULTS = {
    # The worker's own choice. By default it would look for a virtual machine around it.
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "azure_functions",
    # Statistics for whoever makes the exporter, and switches that they turn from afar.
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}

#: Whose lines are told, and whose never: that sending failed would be sent, fail, be told, …
_OURS, _SENDERS = ("shared.", "functions."), ("azure.monitor.", "opentelemetry.")

#: None of these is told: six spans of each event would be of requests to storage alone.
_LIBRARIES = (
    "azure_sdk",
    "django",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "psycopg2",
    "requests",
    "urllib",
    "urllib3",
)


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
        # Only who exports pays for importing it.
        from azure.monitor.opentelemetry import configure_azure_monitor
        from opentelemetry.instrumentation.logging.handler import LoggingHandler

        configure_azure_monitor(
            connection_string=environment[ADDRESS],
            # Whole traces: by default five a second, and what is more is left out.
            sampling_ratio=1.0,
            # A request each second, whether anybody looks or not; the host has its own.
            enable_live_metrics=False,
            enable_performance_counters=False,
            # An instance may be gone for good before it could send what it put aside.
            disable_offline_storage=True,
            instrumentation_options={name: {"enabled": False} for name in _LIBRARIES},
        )
        for handler in logging.getLogger().handlers:
            if isinstance(handler, LoggingHandler):
                handler.addFilter(_is_told)
    except Exception:
        log.exception("Nothing is sent to Application Insights; see the app setting %s", ADDRESS)
        return False
    return True


def _is_told(record: logging.LogRecord) -> bool:
    """Whether a line is ours, without secrets and payloads; of others only what went wrong."""
    if record.name.startswith(_SENDERS):
        return False
    return record.levelno >= logging.WARNING or record.name.startswith(_OURS)
