"""`computes/<name>.yml`: AzureML CLI v2 compute YAML as it is, checked without asking Azure."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.documents import Document
from shared.errors import Problem

CLUSTER, INSTANCE = "amlcompute", "computeinstance"
#: Types that others attach: used, never created or changed.
ATTACHED = frozenset({"kubernetes", "virtualmachine", "synapsespark"})
SERVERLESS = "serverless"

_RULES = {
    CLUSTER: (re.compile(r"[A-Za-z][A-Za-z0-9-]{1,31}"), "2 to 32"),
    INSTANCE: (re.compile(r"[A-Za-z][A-Za-z0-9-]{2,23}"), "3 to 24"),
}

_COMMON = {"$schema", "name", "type", "description", "tags", "location", "resource_id"}
_MANAGED = {"size", "identity", "network_settings", "ssh_settings", "ssh_public_access_enabled"}
_MANAGED |= {"enable_node_public_ip"}
#: Source: AzureML CLI v2 schemas of compute cluster and compute instance.
_KEYS: Mapping[str, frozenset[str]] = {
    CLUSTER: frozenset(
        _COMMON
        | _MANAGED
        | {"tier", "min_instances", "max_instances", "idle_time_before_scale_down"}
    ),
    INSTANCE: frozenset(
        _COMMON
        | _MANAGED
        | {"idle_time_before_shutdown", "idle_time_before_shutdown_minutes", "schedules"}
        | {"setup_scripts", "create_on_behalf_of", "custom_applications", "enable_sso"}
        | {"enable_root_access", "release_quota_on_stop", "enable_os_patching"}
    ),
}

_WHOLE = (
    "min_instances",
    "max_instances",
    "idle_time_before_scale_down",
    "idle_time_before_shutdown_minutes",
)
_TIERS = {"dedicated": "dedicated", "lowpriority": "low_priority"}


@dataclass(frozen=True)
class ComputeDefinition:
    """One compute as its YAML has it."""

    name: str
    #: `amlcompute`, `computeinstance`, or one of ATTACHED.
    type: str
    #: The document, with the tier as AzureML spells it.
    content: dict[str, Any]

    @classmethod
    def kept(cls, content: Mapping[str, Any]) -> "ComputeDefinition":
        """The definition behind a content that was checked before."""
        return cls(str(content["name"]), str(content["type"]).lower(), dict(content))


def tier(text: str) -> str | None:
    """A tier in AzureML's spelling, from any: LowPriority, low-priority, low_priority."""
    return _TIERS.get(re.sub(r"[^a-z]", "", text.lower()))


@dataclass(frozen=True)
class Read:
    """What a document says."""

    #: None where there is nothing to be made: of serverless compute.
    definition: ComputeDefinition | None = None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def read(document: Document) -> Read:
    """The definition of a document, with everything that is wrong with it."""
    content = dict(document.content)
    name = content.setdefault("name", document.path.stem)
    kind = str(content.get("type") or "").lower()
    if kind == SERVERLESS:
        return Read(warnings=tuple(_serverless(document, str(name))))
    problems = [document.problem(place, why) for place, why in _wrong(document, name, kind)]
    if isinstance(given := content.get("tier"), str):
        content["tier"] = tier(given) or given
    definition = ComputeDefinition(name=str(name), type=kind, content=content)
    return Read(definition=definition, problems=tuple(problems))


def _serverless(document: Document, name: str) -> Iterator[Problem]:
    """Serverless compute is always there: nothing is made of what a document says of it."""
    settings = sorted(document.content.keys() - {"$schema", "name", "type", "description", "tags"})
    for key in settings:
        yield document.problem(
            (key,),
            f"{key} is ignored: serverless compute has no settings; a step says what it needs in "
            "`resources` (instance_type, instance_count)",
        )
    if name.lower() != SERVERLESS:
        yield document.problem(
            ("name",),
            f"the name {name!r} is ignored: AzureML knows serverless compute as `serverless` only; "
            "write that in pipelines",
        )


def _wrong(document: Document, name: Any, kind: str) -> list[tuple[tuple[str, ...], str]]:
    content, found = document.content, list[tuple[tuple[str, ...], str]]()
    if name != document.path.stem:
        why = f"name is {name!r}; it must equal the file name, {document.path.stem!r}"
        found.append((("name",), why))
    if str(name).lower() == SERVERLESS:
        why = "`serverless` is AzureML's own name for its serverless compute: choose another"
        return [(("name",), why)]
    if kind not in (CLUSTER, INSTANCE, *ATTACHED):
        known = ", ".join([CLUSTER, INSTANCE, *sorted(ATTACHED)])
        return [*found, (("type",), f"type is {content.get('type')!r}; AzureML has {known}")]
    if kind in ATTACHED:
        return found
    rule, length = _RULES[kind]
    if not rule.fullmatch(str(name)):
        why = f"a name of type {kind} has {length} letters, digits and '-', a letter first"
        found.append((("name",), why))
    if not isinstance(content.get("size"), str):
        found.append((("size",), "size is missing, as in `size: Standard_DS3_v2`"))
    for key in content.keys() - _KEYS[kind]:
        near = difflib.get_close_matches(key, _KEYS[kind], 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        found.append(((key,), f"{key} is no setting of type {kind}{hint}"))
    ssh = content.get("ssh_settings")
    if isinstance(ssh, dict) and ssh.get("admin_password") is not None:
        why = (
            "admin_password is a secret, which everybody who sees the definition could read; give "
            "ssh_key_value, the public key of whoever signs in, and take the password out"
        )
        found.append((("ssh_settings", "admin_password"), why))
    for key in _WHOLE:
        value = content.get(key)
        if value is not None and (type(value) is not int or value < 0):
            found.append(((key,), f"{key} is {value!r}; it must be a whole number, 0 or more"))
    least, most = content.get("min_instances"), content.get("max_instances")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        found.append((("min_instances",), f"min_instances {least} is above max_instances {most}"))
    given = content.get("tier")
    if given is not None and tier(str(given)) is None:
        found.append((("tier",), f"tier is {given!r}; it is dedicated or low_priority"))
    return found
