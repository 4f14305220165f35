"""What is registered before a pipeline itself, each under the version of its content."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shared import sources
from shared.nodes import FLOW, Node, mapping

#: Types of inputs that AzureML keeps as models; the others it keeps as data.
MODELS = frozenset({"custom_model", "mlflow_model", "triton_model"})


#: Gives a reference to an environment or a component (its kind, then itself) the version that its
#: label stands for.
Pin = Callable[[str, str], str]


def as_written(_kind: str, reference: str) -> str:
    return reference


@dataclass(frozen=True)
class CompiledComponent:
    """One component version: YAML content as the SDK loads it; local paths are absolute."""

    name: str
    version: str
    document: dict[str, Any]


@dataclass(frozen=True)
class CompiledAsset:
    """One version of local data, or of a local model, that is uploaded when published."""

    name: str
    version: str
    #: As an input's: uri_file, uri_folder, mltable, or a type of model.
    type: str
    #: Absolute.
    path: str

    @property
    def is_model(self) -> bool:
        return self.type in MODELS


@dataclass
class Registrations:
    """Collects what the jobs of one pipeline are made of, each once."""

    #: The pipeline's; what has no name of its own is named after it.
    name: str
    pin: Pin = as_written
    #: By version, a component after those it is made of.
    components: dict[str, CompiledComponent] = field(default_factory=dict)
    #: By name and version.
    assets: dict[tuple[str, str], CompiledAsset] = field(default_factory=dict)

    def job(self, name: str, node: Node) -> dict[str, Any]:
        """A job as YAML, referring to its component."""
        if node.component is None:
            return dict(node.content)
        reference = node.component
        if isinstance(reference, dict):
            step = self._component(f"{self.name}_{name}", name, node)
            self.components.setdefault(step.version, step)
            reference = f"azureml:{self.components[step.version].name}:{step.version}"
        else:
            reference = self.pin("component", reference)
        return {**node.content, node.key: reference}

    def asset(self, name: str, kind: str, path: Path) -> str:
        """Reference to local data."""
        place = path.resolve()
        version = sources.version_of([kind, place.name, sources.digest(place)])
        asset = CompiledAsset(
            name=_azureml_name(f"{self.name}_{name}"), version=version, type=kind, path=str(place)
        )
        self.assets[asset.name, version] = asset
        return f"azureml:{asset.name}:{version}"

    def _component(self, fallback: str, name: str, node: Node) -> CompiledComponent:
        assert isinstance(node.component, dict)
        content = {
            key: _whole(key, value, node.base, self.pin)
            for key, value in node.component.items()
            if key not in ("name", "version")
        }
        if node.jobs:
            content["jobs"] = {
                child: self.job(f"{name}_{child}", inner) for child, inner in node.jobs.items()
            }
        if content.get("type") == "import":
            # The SDK writes its source and output a second time, and cannot read both.
            content = {key: content[key] for key in content if key not in ("inputs", "outputs")}
        if content.get("type") == FLOW:
            # Only its own file says what it is.
            content = {"type": FLOW, "flow": str(node.file)}
        content = {"name": _azureml_name(_declared_name(node) or fallback), **content}
        version = sources.version_of(sources.with_files(content))
        document = {**content, "version": version}
        return CompiledComponent(name=content["name"], version=version, document=document)


def _whole(key: str, value: Any, base: Path, pin: Pin) -> Any:
    """A part of a component that means the same wherever and whenever it is read."""
    if key == "environment" and isinstance(value, str):
        return pin("environment", value)
    if key == "environment" and isinstance(value, dict):
        # The SDK names an inline environment by itself, from its content.
        return {name: part for name, part in value.items() if name not in ("name", "version")}
    if key == "task" and isinstance(value, dict):
        return {name: _whole(name, part, base, pin) for name, part in value.items()}
    if key == "additional_includes":
        return [str((base / item).resolve()) if isinstance(item, str) else item for item in value]
    return value


def _declared_name(node: Node) -> str | None:
    """The name in the component's own file; the SDK forgets it when it loads a job."""
    if node.file is None:
        return None
    found = mapping(yaml.safe_load(node.file.read_text())).get("name")
    return found if isinstance(found, str) else None


def _azureml_name(text: str) -> str:
    """AzureML's names begin with a letter."""
    name = re.sub(r"[^a-z0-9_]", "_", text.lower())
    return name if name[:1].isalpha() else f"c_{name}"
