"""host.json: what this host takes from it, and refusals of what it does not implement."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from emulator.functions_host.bindings import HostError

_DEFAULT_TIMEOUT = "00:30:00"


@dataclass(frozen=True, kw_only=True)
class ServiceBusSettings:
    """`extensions.serviceBus`, with the defaults of Azure's extension."""

    #: messages fetched ahead of being asked for
    prefetch_count: int = 0
    #: calls of one function that run at once
    max_concurrent_calls: int = 16
    #: how long a message's lock is renewed while its function runs
    max_auto_lock_renewal: timedelta = timedelta(minutes=5)
    #: messages that one call of a function of cardinality "many" is given
    max_message_batch_size: int = 1000


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """What this host follows of host.json."""

    #: how long a function may run; None is without limit
    function_timeout: timedelta | None
    #: what the paths of HTTP functions begin with
    route_prefix: str
    service_bus: ServiceBusSettings

    @classmethod
    def read(cls, app: Path) -> "HostSettings":
        """Raises HostError for an app without a host.json, and for one that cannot be followed."""
        file = app / "host.json"
        if not file.exists():
            raise HostError(f"{app} is no function app: it has no host.json")
        settings = json.loads(file.read_text())
        if not isinstance(settings, dict) or settings.get("version") != "2.0":
            raise HostError(f'{file}: "version" must be "2.0"')
        extensions = settings.get("extensions", {})
        http = _known(extensions, "http", ("routePrefix",))
        return cls(
            function_timeout=_timeout(str(settings.get("functionTimeout", _DEFAULT_TIMEOUT))),
            route_prefix=str(http.get("routePrefix", "api")),
            service_bus=_service_bus(extensions),
        )


def _service_bus(extensions: Mapping[str, Any]) -> ServiceBusSettings:
    given = _known(
        extensions,
        "serviceBus",
        (
            "prefetchCount",
            "maxConcurrentCalls",
            "maxAutoLockRenewalDuration",
            "autoCompleteMessages",
            "maxMessageBatchSize",
        ),
    )
    if given.get("autoCompleteMessages", True) is not True:
        raise HostError(
            "host.json: extensions.serviceBus.autoCompleteMessages: false is not implemented by "
            "the local functions host (Python functions have no way to settle a message)"
        )
    defaults = ServiceBusSettings()
    renewal = given.get("maxAutoLockRenewalDuration")
    return ServiceBusSettings(
        prefetch_count=_count(given, "prefetchCount", 0, defaults.prefetch_count),
        max_concurrent_calls=_count(given, "maxConcurrentCalls", 1, defaults.max_concurrent_calls),
        max_auto_lock_renewal=defaults.max_auto_lock_renewal
        if renewal is None
        else _duration(renewal, "extensions.serviceBus.maxAutoLockRenewalDuration"),
        max_message_batch_size=_count(
            given, "maxMessageBatchSize", 1, defaults.max_message_batch_size
        ),
    )


def _known(extensions: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    """The extension's settings, all of which this host must know."""
    given = extensions.get(name, {})
    if not isinstance(given, dict):
        raise HostError(f"host.json: extensions.{name} is not an object")
    for key in given:
        if key not in keys:
            raise HostError(
                f"host.json: extensions.{name}.{key} is not implemented by the local functions "
                f"host, only: {', '.join(keys)}"
            )
    return given


def _count(given: Mapping[str, Any], key: str, least: int, default: int) -> int:
    value = given.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise HostError(
            f"host.json: extensions.serviceBus.{key} must be a whole number from {least}, "
            f"not {value!r}"
        )
    return value


def _timeout(text: str) -> timedelta | None:
    """functionTimeout; None is without limit. Azure's default is half an hour."""
    return None if text == "-1" else _duration(text, "functionTimeout", " or -1")


def _duration(text: Any, key: str, otherwise: str = "") -> timedelta:
    try:
        hours, minutes, seconds = (int(part) for part in str(text).split(":"))
    except ValueError:
        raise HostError(f"host.json: {key} {text!r} is not hh:mm:ss{otherwise}") from None
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
