"""What each function of the app is bound to, with its settings resolved."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.functions_host.protos import RpcFunctionMetadata, RpcRetryOptions

TRIGGERS = ("httpTrigger", "eventGridTrigger", "timerTrigger", "serviceBusTrigger")
_SETTING = re.compile(r"%([^%]+)%")


class HostError(Exception):
    """The app cannot be served; the message names the function and what to do."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function of the app."""

    name: str
    #: the worker's id for it
    id: str
    #: one of TRIGGERS
    kind: str
    #: name of the parameter that gets the trigger's data
    parameter: str
    #: the trigger's binding as the app declares it, %SETTINGS% replaced
    trigger: dict[str, Any] = field(hash=False)
    retry: RpcRetryOptions | None


def read_function(metadata: RpcFunctionMetadata, settings: Mapping[str, str]) -> Function:
    """The function behind the worker's metadata.

    Raises HostError for a binding this host does not implement and for a setting that is not set.
    """
    bindings = [
        {key: _resolve(value, key, metadata.name, settings) for key, value in raw.items()}
        for raw in map(json.loads, metadata.raw_bindings)
    ]
    trigger: dict[str, Any] | None = None
    for binding in bindings:
        kind = binding["type"]
        if kind in TRIGGERS:
            trigger = binding
        elif kind != "http":
            raise HostError(
                f"{metadata.name}: {kind} is not implemented by the local functions host, "
                f"only: {', '.join(TRIGGERS)} and the http output"
            )
    if trigger is None:
        raise HostError(f"{metadata.name}: a function needs a trigger")
    return Function(
        name=metadata.name,
        id=metadata.function_id,
        kind=trigger["type"],
        parameter=trigger["name"],
        trigger=trigger,
        retry=metadata.retry_options,
    )


def is_disabled(name: str, settings: Mapping[str, str]) -> bool:
    """Whether the setting AzureWebJobs.<name>.Disabled turns the function off."""
    value = settings.get(f"AzureWebJobs.{name}.Disabled", "")
    return value.lower() in ("true", "1")


def _resolve(value: Any, key: str, function: str, settings: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        setting = match[1]
        if setting not in settings:
            raise HostError(
                f"{function}: '%{setting}%' in the binding's {key} does not resolve to a value; "
                f"add {setting} to the app settings (local.settings.json, Values)"
            )
        return settings[setting]

    return _SETTING.sub(replace, value)
