"""Versioned assets: what was registered under a name and version, and which one is the latest."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from emulator.azureml.assets.errors import AssetNotFound, VersionConflict
from emulator.azureml.resources import now, system_data
from emulator.azureml.workspace import PROVIDER, Workspace

#: The property of each kind whose content a version keeps for ever.
FIXED: Mapping[str, tuple[str, ...]] = {
    "codes": ("codeUri",),
    "components": ("componentSpec",),
    "environments": ("image", "condaFile", "build", "inferenceConfig", "osType"),
    "data": ("dataUri", "dataType"),
    "models": ("modelUri", "modelType"),
}
#: Where a flow was uploaded to is another place each time, for the same flow.
_DESCRIPTIVE = frozenset(
    {"description", "display_name", "flow_definition_uri", "tags", "properties"}
)
#: Names that stand for the newest version where a version is expected.
LATEST = frozenset({"azureml_default", "default", "latest"})


@dataclass
class AssetVersion:
    """One registered version; only what describes it can change."""

    kind: str
    name: str
    version: str
    properties: dict[str, Any]
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)

    def resource(self, workspace: Workspace) -> dict[str, Any]:
        """The version as an ARM resource."""
        path = f"{workspace.child(self.kind, self.name)}/versions/{self.version}"
        return {
            "id": path,
            "name": self.version,
            "type": f"{PROVIDER}/workspaces/{self.kind}/versions",
            "properties": self.properties,
            "systemData": system_data(self.created, self.modified),
        }


class AssetStore:
    """All assets of the workspace, in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions: dict[tuple[str, str], dict[str, AssetVersion]] = {}
        self._containers: dict[tuple[str, str], Mapping[str, Any]] = {}

    def put(
        self, kind: str, name: str, version: str, properties: Mapping[str, Any]
    ) -> tuple[AssetVersion, bool]:
        """Create the version, or update what may change; the flag says whether it is new.

        Raises VersionConflict when the version exists with other content.
        """
        with self._lock:
            versions = self._versions.setdefault((kind, name), {})
            existing = versions.get(version)
            if existing is None:
                created = AssetVersion(kind, name, version, _described(properties, {}))
                versions[version] = created
                return created, True
            for key in FIXED[kind]:
                if _content(properties.get(key)) != _content(existing.properties.get(key)):
                    raise VersionConflict(kind, name, version, key)
            existing.properties = _described(properties, existing.properties)
            existing.modified = now()
            return existing, False

    def get(self, kind: str, name: str, version: str) -> AssetVersion:
        """One version, or the newest for a label. Raises AssetNotFound."""
        if version in LATEST:
            newest = self.versions(kind, name)
            if newest:
                return newest[0]
        with self._lock:
            found = self._versions.get((kind, name), {}).get(version)
        if found is None:
            raise AssetNotFound(kind, name, version)
        return found

    def versions(self, kind: str, name: str) -> list[AssetVersion]:
        """The versions of one name, newest first; none for an unknown name."""
        with self._lock:
            found = list(self._versions.get((kind, name), {}).values())
        return found[::-1]

    def by_hash(self, kind: str, content_hash: str) -> list[AssetVersion]:
        """Versions with that content, under whatever name, newest first."""
        with self._lock:
            everything = [
                asset
                for (found, _), versions in self._versions.items()
                if found == kind
                for asset in versions.values()
            ]
        return [a for a in everything[::-1] if content_hash in a.properties["properties"].values()]

    def describe(self, kind: str, name: str, properties: Mapping[str, Any]) -> None:
        """Set what describes a name with all its versions, `isArchived` among it."""
        with self._lock:
            if (kind, name) not in self._versions:
                raise AssetNotFound(kind, name)
            self._containers[kind, name] = _described(
                properties, self._containers.get((kind, name), {})
            )

    def description(self, kind: str, name: str) -> Mapping[str, Any]:
        """What `describe` has set."""
        with self._lock:
            return self._containers.get((kind, name), {})

    def names(self, kind: str) -> list[str]:
        with self._lock:
            return sorted(name for found, name in self._versions if found == kind)


def next_version(versions: list[AssetVersion]) -> str:
    """The number an unversioned registration gets."""
    numbers = [int(version.version) for version in versions if version.version.isdigit()]
    return str(max(numbers, default=0) + 1)


def _content(value: Any) -> Any:
    """What stays for ever: a component's spec also repeats what describes it."""
    if isinstance(value, Mapping):
        if "flow_definition_uri" in value:
            value = {k: v for k, v in value.items() if k != "code"}
        return {k: v for k, v in value.items() if k not in _DESCRIPTIVE and v not in (None, {})}
    return value


def _described(properties: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Properties with tags and properties merged into those there were, never taken away."""
    merged = {**before, **properties}
    for key in ("tags", "properties"):
        merged[key] = {**(before.get(key) or {}), **(properties.get(key) or {})}
    merged.setdefault("isArchived", False)
    merged["isAnonymous"] = bool(merged.get("isAnonymous"))
    return merged
