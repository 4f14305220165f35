"""From a pipelineJob YAML to what AzureML is told once: step components and one pipeline component.

Pure: the same files give the same result, versions included, on every machine. Nothing here talks
to Azure.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from shared import graphs
from shared.definitions import PipelineDefinition
from shared.graphs import REMOTE, Graph, mapping
from shared.inputs import DataInput, PipelineInput

#: Left behind by running code, never part of it.
_LEFTOVERS = frozenset({"__pycache__", ".ipynb_checkpoints", ".DS_Store", ".git"})

#: Hexadecimal digits of a version: 64 bits tell versions of one component apart.
_VERSION_LENGTH = 16


@dataclass(frozen=True)
class CompiledComponent:
    """One component version: YAML content as the SDK loads it; local paths are absolute."""

    name: str
    version: str
    document: dict[str, Any]


@dataclass(frozen=True)
class CompiledPipeline:
    """What publish registers, and what a component cannot carry and each job must."""

    name: str
    steps: tuple[CompiledComponent, ...]
    component: CompiledComponent
    inputs: dict[str, PipelineInput]
    outputs: dict[str, DataInput]
    settings: dict[str, Any] = field(default_factory=dict)
    experiment_name: str | None = None
    display_name: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return self.component.version


def compile(definition: PipelineDefinition) -> CompiledPipeline:
    """Compile one pipeline.

    Raises DefinitionsInvalid with everything that is wrong with it.
    """
    graph = graphs.load(definition.document)
    steps, references = _steps(definition, graph)
    source = definition.document.content
    pipeline = CompiledPipeline(
        name=definition.name,
        steps=steps,
        component=_component(definition, graph, references),
        inputs={name: _input(graph, name) for name in graph.declared("inputs")},
        outputs={name: _output(graph, name) for name in graph.declared("outputs")},
        settings=_settings(mapping(source.get("settings"))),
        experiment_name=source.get("experiment_name"),
        display_name=source.get("display_name"),
        description=source.get("description"),
        tags={name: str(value) for name, value in mapping(source.get("tags")).items()},
    )
    return _versioned(pipeline)


def _steps(
    definition: PipelineDefinition, graph: Graph
) -> tuple[tuple[CompiledComponent, ...], dict[str, str]]:
    """The components to register, each once, and every node's reference to its own."""
    steps: dict[str, CompiledComponent] = {}
    references: dict[str, str] = {}
    for node, content in graph.nodes.items():
        if isinstance(content["component"], str):
            references[node] = content["component"]
            continue
        step = _step(definition, node, content["component"])
        steps.setdefault(step.version, step)
        references[node] = f"azureml:{steps[step.version].name}:{step.version}"
    return tuple(steps.values()), references


def _step(
    definition: PipelineDefinition, node: str, component: dict[str, Any]
) -> CompiledComponent:
    content = {name: value for name, value in component.items() if name not in ("name", "version")}
    environment = content.get("environment")
    if isinstance(environment, dict):
        # The SDK names an inline environment by itself, from its content.
        content["environment"] = {
            name: value for name, value in environment.items() if name not in ("name", "version")
        }
    name = _declared_name(definition, node) or f"{definition.component_name}_{node}"
    # AzureML's names begin with a letter.
    name = re.sub(r"[^a-z0-9_]", "_", name.lower())
    content = {"name": name if name[:1].isalpha() else f"c_{name}", **content}
    version = _digest(_with_code(content))
    document = {**content, "version": version}
    return CompiledComponent(name=content["name"], version=version, document=document)


def _declared_name(definition: PipelineDefinition, node: str) -> str | None:
    """The name in the component's own file; the SDK forgets it when it loads a job."""
    reference = definition.document.content["jobs"][node].get("component")
    if not isinstance(reference, str):
        return None
    file = definition.document.path.parent / reference.removeprefix("file:")
    found = yaml.safe_load(file.read_text()).get("name")
    return found if isinstance(found, str) else None


def _component(
    definition: PipelineDefinition, graph: Graph, references: dict[str, str]
) -> CompiledComponent:
    """The pipeline component; its version comes when everything is known."""
    source = definition.document.content
    inputs = {name: _input(graph, name) for name in graph.declared("inputs")}
    document = {
        "type": "pipeline",
        "name": definition.component_name,
        "display_name": source.get("display_name") or definition.name,
        **({"description": source["description"]} if source.get("description") else {}),
        "inputs": {
            name: {
                "type": value.type,
                **({} if value.default is None else {"default": value.default}),
            }
            for name, value in inputs.items()
        },
        "outputs": {
            name: {"type": _output(graph, name).type} for name in graph.declared("outputs")
        },
        "jobs": {
            node: {**content, "component": references[node]}
            for node, content in graph.nodes.items()
        },
    }
    return CompiledComponent(name=definition.component_name, version="", document=document)


def _input(graph: Graph, name: str) -> PipelineInput:
    value = graph.declared("inputs")[name]
    if isinstance(value, dict):
        kind = str(value.get("type", "uri_folder"))
        return PipelineInput(type=kind, path=value.get("path"), mode=value.get("mode"))
    return PipelineInput(type=_literal_type(graph, name, value), default=value)


def _literal_type(graph: Graph, name: str, value: Any) -> str:
    """The type the steps expect; where they do not say or disagree, the type of the value."""
    expected = {str(graph.port(user).get("type")) for user in graph.users_of_input(name)}
    if len(expected) == 1 and expected != {"None"}:
        return expected.pop()
    match value:
        case bool():
            return "boolean"
        case int():
            return "number" if "number" in expected else "integer"
        case float():
            return "number"
        case _:
            return "string"


def _output(graph: Graph, name: str) -> DataInput:
    given = mapping(graph.declared("outputs")[name])
    made = [graph.port(maker) for maker in graph.makers_of_output(name)]
    expected = next((port["type"] for port in made if "type" in port), "uri_folder")
    return DataInput(
        type=given.get("type") or expected, path=given.get("path"), mode=given.get("mode")
    )


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a job object takes them: without the prefix that YAML references have."""
    return {
        name: value.removeprefix("azureml:") if isinstance(value, str) else value
        for name, value in settings.items()
    }


def _versioned(pipeline: CompiledPipeline) -> CompiledPipeline:
    """The pipeline under the version that its whole content has, job settings included."""
    everything = {name: value for name, value in asdict(pipeline).items() if name != "steps"}
    for ports in ("inputs", "outputs"):
        everything[ports] = {name: port.model_dump() for name, port in everything[ports].items()}
    version = _digest(everything)
    component = pipeline.component
    document = {**component.document, "version": version}
    return replace(pipeline, component=replace(component, version=version, document=document))


def _with_code(component: dict[str, Any]) -> dict[str, Any]:
    """A component with its local folders replaced by what is in them."""
    found = dict(component)
    code = component.get("code")
    if isinstance(code, str) and not REMOTE.match(code):
        found["code"] = _files_digest(Path(code))
    environment = mapping(component.get("environment"))
    folder = mapping(environment.get("build")).get("path")
    if isinstance(folder, str) and not REMOTE.match(folder):
        build = {**environment["build"], "path": _files_digest(Path(folder))}
        found["environment"] = {**environment, "build": build}
    return found


def _files_digest(path: Path) -> str:
    """Names and contents of all files below a path; no times, no owners."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        if file.is_file() and not _LEFTOVERS & set(file.relative_to(path).parts):
            name = file.relative_to(path).as_posix()
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(json.dumps([name, content]).encode())
    return total.hexdigest()


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_VERSION_LENGTH]
