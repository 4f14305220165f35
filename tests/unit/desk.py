"""Where folders are published from: definitions, a registry and storage, all in memory."""

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.changes import Change, Did, Prune
from shared.compute import Computes
from shared.errors import (
    DefinitionsInvalid,
)
from shared.index import Index, Snapshot
from shared.progress import Progress
from shared.published import Published
from shared.publishing import Publishing
from shared.registrations import CompiledAsset
from tests.fakes import MemoryBlobs, MemoryTargets

DEFINITIONS = Path(__file__).parent / "definitions"


class MemoryRegistry:
    """Remembers the component versions that it was given."""

    def __init__(self, workspace: str = "ml") -> None:
        self.workspace = workspace
        #: Data and models that were uploaded.
        self.assets: set[tuple[str, str]] = set()
        #: The names that were registered lately, in order.
        self.lately: list[str] = []
        self.versions: set[tuple[str, str]] = set()
        self.refused: dict[str, BaseException] = {}
        #: What was registered last under a name.
        self.documents: dict[str, dict[str, Any]] = {}
        self.labels = {("environment", "plain", "latest"): "3"}
        #: The labels that were asked for.
        self.looks: list[str] = []
        self._lock = threading.Lock()

    def component_id(self, name: str, version: str) -> str:
        return f"/{self.workspace}/components/{name}/versions/{version}"

    def registered(self, name: str, version: str) -> bool:
        return (name, version) in self.versions

    def has_asset(self, asset: CompiledAsset) -> bool:
        return (asset.name, asset.version) in self.assets

    def upload(self, asset: CompiledAsset) -> None:
        with self._lock:
            self.lately.append(asset.name)
            self.assets.add((asset.name, asset.version))

    def labelled(self, kind: str, name: str, label: str) -> str | None:
        self.looks.append(f"{kind} {name}@{label}")
        return self.labels.get((kind, name, label))

    def register(self, document: dict[str, Any]) -> None:
        if error := self.refused.get(document["name"]):
            raise error
        with self._lock:
            self.lately.append(document["name"])
            self.documents[document["name"]] = document
            self.versions.add((document["name"], document["version"]))


class Desk:
    """Whoever publishes: a folder, a state container and a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(shutil.copytree(DEFINITIONS, folder))
        for file in (self.folder / "pipelines").iterdir():
            if file.stem not in ("churn-training", "heartbeat"):
                file.unlink()
        self.blobs = MemoryBlobs()
        self.registry = MemoryRegistry()
        self.listens: tuple[str, ...] = ("queue/signalbox-events", "topic/company-news/signalbox")
        self.said: list[str] = []
        self.targets = MemoryTargets()
        self.computes = Computes(self.blobs, self.targets)
        self.progress = Progress(self.said.append)

    def publish(self) -> dict[str, Did]:
        """What became of each definition, by name."""
        self.registry.lately.clear()
        self.said.clear()
        changes = self.changes()
        did = {change.name: change.did for change in changes}
        assert len(did) == len(changes), "one account of each definition"
        return did

    def changes(self, prune: Prune = Prune.NO, owner: str = "") -> list[Change]:
        plan = self.publishing.plan(self.folder, prune=prune, owner=owner)
        self.progress = Progress(self.said.append)
        return self.publishing.apply(plan, self.progress)

    @property
    def publishing(self) -> Publishing:
        return Publishing(
            Published(self.blobs),
            Index(self.blobs),
            self.registry,
            listens=self.listens,
            computes=self.computes,
        )

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new))

    @property
    def snapshot(self) -> Snapshot:
        return Index(self.blobs).read().snapshot

    def problems(self) -> list[str]:
        """What stands in the way; nothing may have been registered or stored."""
        before = dict(self.blobs.stored)
        with pytest.raises(DefinitionsInvalid) as caught:
            self.changes()
        assert self.registry.lately == []
        assert {**self.blobs.stored, "index.json": 0} == {**before, "index.json": 0}
        return [str(problem) for problem in caught.value.problems]


def changes_of(told: Sequence[Change]) -> dict[str, tuple[Did, str | None, str]]:
    return {change.name: (change.did, change.before, change.version) for change in told}
