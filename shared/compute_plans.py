"""What is to be done about a compute, and what differs from its definition. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from shared.compute_definitions import ATTACHED, INSTANCE, ComputeDefinition, tier
from shared.inputs import redacted

#: What says which compute it is, or what kind.
_NAMES = frozenset({"$schema", "name", "type"})
#: What Azure does not read back, or in a form of its own.
_NOT_COMPARED = frozenset(
    {"setup_scripts", "schedules", "custom_applications", "create_on_behalf_of", "resource_id"}
)
#: AzureML keeps a cluster's region; an instance is where its workspace is. Of who signs in to a
#: cluster it shows the name; of an instance it chooses that name.
_NOT_COMPARED_OF_INSTANCES = frozenset({"location", "ssh_settings"})
_INSTANCE_READY = frozenset({"Running", "JobRunning"})
_INSTANCE_FAILED = frozenset({"CreateFailed", "SetupFailed", "UserSetupFailed", "Unusable"})


class Action(StrEnum):
    """What is to be done about a compute."""

    CREATE = "create"
    START = "start"
    KEEP = "keep"


class State(StrEnum):
    """Where a compute is."""

    READY = "ready"
    #: On its way: creating, starting, stopping, deleting.
    CHANGING = "changing"
    STOPPED = "stopped"
    MISSING = "missing"
    FAILED = "failed"
    #: Azure could not be asked yet.
    UNKNOWN = "unknown"

    @property
    def usable(self) -> bool:
        return self is State.READY


@dataclass(frozen=True, kw_only=True)
class Target:
    """A compute as Azure shows it."""

    type: str
    #: `provisioningState`: Succeeded, Creating, Updating, Deleting, Failed …
    provisioning: str
    #: Of an instance: Running, Stopped, Starting …
    state: str | None = None
    #: Why provisioning failed.
    problem: str | None = None
    #: Its settings under the names they have in YAML.
    settings: Mapping[str, Any]


class Drift(BaseModel):
    """A setting that is another than its definition says."""

    model_config = ConfigDict(frozen=True)

    setting: str
    wanted: Any
    actual: Any

    def __str__(self) -> str:
        actual = "not set" if self.actual is None else _in_text(self.actual)
        return f"{self.setting} is {actual}, the definition says {_in_text(self.wanted)}"


def _in_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a look at a compute leads to."""

    action: Action
    state: State
    problem: str | None = None
    drift: tuple[Drift, ...] = ()


def plan(wanted: ComputeDefinition, actual: Target | None) -> Plan:
    """What is to be done, and what differs. An existing compute is never changed."""
    if actual is None:
        if wanted.type in ATTACHED:
            why = (
                f"The workspace has no compute {wanted.name!r}. Signalbox does not attach "
                f"computes of type {wanted.type}; attach it with `az ml compute attach`."
            )
            return Plan(action=Action.KEEP, state=State.MISSING, problem=why)
        return Plan(action=Action.CREATE, state=State.MISSING)
    drift = tuple(_drift(wanted, actual))
    state = _state(actual)
    action = Action.KEEP
    same = actual.type.lower() == wanted.type
    if same and wanted.type not in ATTACHED:
        if state is State.STOPPED:
            action = Action.START
        elif state is State.FAILED:
            action = Action.CREATE
    problem = None
    if state is State.FAILED:
        said = actual.problem or actual.state or actual.provisioning
        problem = in_words(f"Azure could not make compute {wanted.name!r} ready: {said}")
    elif state is State.STOPPED and actual.problem:
        problem = in_words(f"Azure could not start compute {wanted.name!r}: {actual.problem}")
    return Plan(action=action, state=state, problem=problem, drift=drift)


def in_words(text: str) -> str:
    """What Azure says of a compute that cannot be had, with the remedy."""
    text = redacted(text.strip())
    if re.search(r"quota", text, re.IGNORECASE):
        return (
            f"{text.rstrip('.')}. Ask for more quota for this VM family in the region, or choose "
            "another size, a smaller cluster or low priority."
        )
    if re.search(r"allocationfail|no\s?capacity|skunotavailable", text, re.IGNORECASE):
        return (
            f"{text.rstrip('.')}. The region has no machine of this size to spare now: wait, or "
            "choose another size or region."
        )
    return text


def uncompared(wanted: ComputeDefinition) -> list[str]:
    """The settings of a definition that nobody compares with the compute's."""
    unread = _unread(wanted)
    if wanted.type != INSTANCE and "ssh_settings" in wanted.content:
        return sorted({*wanted.content} & unread | {"ssh_settings (all but admin_username)"})
    return sorted({*wanted.content} & unread)


def _unread(wanted: ComputeDefinition) -> frozenset[str]:
    return _NOT_COMPARED | (_NOT_COMPARED_OF_INSTANCES if wanted.type == INSTANCE else frozenset())


def _state(actual: Target) -> State:
    if actual.provisioning in ("Failed", "Canceled"):
        return State.FAILED
    if actual.provisioning not in ("Succeeded", "Updating"):
        return State.CHANGING
    if actual.type.lower() != INSTANCE:
        return State.READY
    if actual.state in _INSTANCE_READY:
        return State.READY
    if actual.state == "Stopped":
        return State.STOPPED
    return State.FAILED if actual.state in _INSTANCE_FAILED else State.CHANGING


def _drift(wanted: ComputeDefinition, actual: Target) -> Iterable[Drift]:
    if actual.type.lower() != wanted.type:
        yield Drift(setting="type", wanted=wanted.type, actual=actual.type)
        return
    there = dict(actual.settings)
    for setting, value in wanted.content.items():
        if setting in _NAMES | _unread(wanted) or value is None:
            continue
        if setting == "ssh_settings":
            yield from _ssh_drift(value, there.get(setting))
            continue
        key, mine = _comparable(setting, value)
        theirs = next(
            (v for k, given in there.items() for n, v in [_comparable(k, given)] if n == key), None
        )
        if mine != theirs:
            yield Drift(setting=setting, wanted=value, actual=there.get(setting, theirs))


def _ssh_drift(wanted: Any, actual: Any) -> Iterable[Drift]:
    """The name only: passwords and keys are never read back, nor shown."""
    mine, theirs = (
        each.get("admin_username") if isinstance(each, dict) else None for each in (wanted, actual)
    )
    if mine is not None and mine != theirs:
        yield Drift(setting="ssh_settings.admin_username", wanted=mine, actual=theirs)


def _comparable(setting: str, value: Any) -> tuple[str, Any]:
    """A setting in the one spelling in which it can be compared."""
    text = str(value)
    match setting:
        case "tier":
            return setting, tier(text) or text
        case "size":
            return setting, text.lower()
        case "location":
            return setting, re.sub(r"\s", "", text.lower())
        case "idle_time_before_shutdown_minutes":
            return "idle", value
        case "idle_time_before_shutdown":
            return "idle", _minutes(text)
        case "tags" if isinstance(value, dict):
            return setting, {str(k): str(v) for k, v in value.items()}
        case "network_settings" if isinstance(value, dict):
            return setting, _network(value)
        case "identity" if isinstance(value, dict):
            return setting, _identity(value)
    return setting, value


def _minutes(duration: str) -> float | str:
    """An ISO 8601 duration of days, hours, minutes and seconds; any other as it is."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration.upper())
    if not found:
        return duration
    days, hours, minutes, seconds = (int(each or 0) for each in found.groups())
    return (days * 24 + hours) * 60 + minutes + seconds / 60


def _network(settings: Mapping[str, Any]) -> tuple[str, str]:
    """Virtual network and subnet by name: Azure answers with the id of the subnet, which has both.

    Definitions may name them, or give the id.
    """
    subnet, network = str(settings.get("subnet") or ""), str(settings.get("vnet_name") or "")
    if found := re.search(r"/virtualNetworks/([^/]+)/subnets/", subnet, re.IGNORECASE):
        network = network or found[1]
    return network.rpartition("/")[2].lower(), subnet.rpartition("/")[2].lower()


def _identity(settings: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The kind in one spelling, and which identities the user assigned."""
    kind = re.sub(r"[^a-z]", "", str(settings.get("type") or "").lower())
    assigned = settings.get("user_assigned_identities") or []
    ids = {str(each.get("resource_id")).lower() for each in assigned if isinstance(each, dict)}
    return kind, tuple(sorted(ids))
