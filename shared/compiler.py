"""From a pipelineJob YAML to what AzureML is told once: step components and one pipeline component.

Pure: the same files give the same result, versions included, on every machine. Nothing here talks
to Azure.
"""

import hashlib
import json
import logging
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shared.definitions import PipelineDefinition
from shared.documents import Document
from shared.errors import DefinitionsInvalid, Problem
from shared.workspace import DataInput, Literal

#: Types of inputs that are data, not values. Source: AzureML CLI v2 pipelineJob schema.
DATA_TYPES = frozenset(
    {"uri_file", "uri_folder", "mltable", "custom_model", "mlflow_model", "triton_model"}
)

_PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([\w-]+)\s*\}\}")
_PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.([\w-]+)\s*\}\}")
_STEP_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.([\w-]+)\.outputs\.([\w-]+)\s*\}\}")
_REMOTE = re.compile(r"(azureml:|https?://|wasbs://|abfss://|git\+)")

#: Left behind by running code, never part of it.
_LEFTOVERS = frozenset({"__pycache__", ".ipynb_checkpoints", ".DS_Store", ".git"})

#: Hexadecimal digits of a version: 64 bits tell versions of one component apart.
_VERSION_LENGTH = 16


@dataclass(frozen=True)
class CompiledInput:
    """One input of a pipeline."""

    type: str
    #: A literal's value when the trigger binds none.
    default: Literal | None = None
    #: Where a data input comes from when the trigger binds none.
    path: str | None = None
    mode: str | None = None

    @property
    def required(self) -> bool:
        return self.default is None and self.path is None


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
    inputs: dict[str, CompiledInput]
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

    Raises DefinitionsInvalid with every problem found.
    """
    document = definition.document
    _refuse(_unsupported(document))
    nodes = _load(document)
    _refuse(_dangling(document, nodes))
    steps: dict[str, CompiledComponent] = {}
    references: dict[str, str] = {}
    for node, content in nodes.items():
        if isinstance(content["component"], str):
            references[node] = content["component"]
            continue
        step = _step(definition, node, content["component"])
        steps[step.version] = steps.get(step.version, step)
        references[node] = f"azureml:{steps[step.version].name}:{step.version}"
    inputs = _inputs(document, nodes)
    outputs = _outputs(document, nodes)
    source = document.content
    carried: dict[str, Any] = {
        "settings": _settings(_mapping(source.get("settings"))),
        "experiment_name": source.get("experiment_name"),
        "display_name": source.get("display_name"),
        "description": source.get("description"),
        "tags": {name: str(value) for name, value in (source.get("tags") or {}).items()},
    }
    content = {
        "type": "pipeline",
        "name": definition.component_name,
        "display_name": source.get("display_name") or definition.name,
        "inputs": {name: _declared(value) for name, value in inputs.items()},
        "outputs": {name: {"type": value.type} for name, value in outputs.items()},
        "jobs": {
            node: {**content, "component": references[node]} for node, content in nodes.items()
        },
    }
    if source.get("description"):
        content["description"] = source["description"]
    everything = {
        "component": content,
        **carried,
        "inputs": {name: vars(value) for name, value in inputs.items()},
        "outputs": {name: value.model_dump() for name, value in outputs.items()},
    }
    version = _digest(everything)
    return CompiledPipeline(
        name=definition.name,
        steps=tuple(steps.values()),
        component=CompiledComponent(
            name=definition.component_name,
            version=version,
            document={**content, "version": version},
        ),
        inputs=inputs,
        outputs=outputs,
        **carried,
    )


def _unsupported(document: Document) -> list[Problem]:
    """What this version cannot carry, by name, rather than half done."""
    content = document.content
    problems = []
    if content.get("type", "pipeline") != "pipeline":
        problems.append(
            document.problem(("type",), f"type is {content['type']!r}; only 'pipeline' is taken")
        )
    if "component" in content:
        problems.append(document.problem(("component",), "a job of one component is not taken yet"))
    jobs = content.get("jobs")
    if not isinstance(jobs, dict) or not jobs:
        problems.append(document.problem(("jobs",), "a pipeline needs at least one job in 'jobs'"))
        jobs = {}
    for node, value in jobs.items():
        place = ("jobs", node)
        if not isinstance(value, dict):
            problems.append(document.problem(place, f"jobs.{node} is not a mapping"))
            continue
        if (kind := value.get("type", "command")) != "command":
            problems.append(
                document.problem((*place, "type"), f"{kind!r} jobs are not taken yet, only command")
            )
        if "compute" in value:
            problems.append(
                document.problem(
                    (*place, "compute"),
                    "a compute of its own is not taken yet; set settings.default_compute",
                )
            )
        for name, bound in _mapping(value.get("inputs")).items():
            if isinstance(bound, dict) and not _PARENT_INPUT.match(str(bound.get("path", "$"))):
                problems.append(
                    document.problem(
                        (*place, "inputs", name),
                        "a step's own data is not taken yet; make it an input of the pipeline "
                        f"and write ${{{{parent.inputs.{name}}}}}",
                    )
                )
    for name, value in _mapping(content.get("inputs")).items():
        path = value.get("path") if isinstance(value, dict) else None
        if path is not None and not _REMOTE.match(str(path)):
            problems.append(
                document.problem(
                    ("inputs", name, "path"),
                    f"{path!r} is a local file; upload it and give its azureml:// or https:// path",
                )
            )
    return problems


def _load(document: Document) -> dict[str, dict[str, Any]]:
    """The pipeline's nodes as the SDK understands them, every inline component spelled out."""
    logging.getLogger("azure.ai.ml._utils._experimental").setLevel(logging.ERROR)
    from azure.ai.ml import load_job
    from azure.ai.ml.entities import PipelineJob
    from azure.ai.ml.exceptions import MlException
    from marshmallow.exceptions import ValidationError

    try:
        job = load_job(document.path)
        assert isinstance(job, PipelineJob)
        with tempfile.TemporaryDirectory() as folder:
            dumped = Path(folder, "component.yml")
            job.component.dump(dumped)  # type: ignore[union-attr]
            nodes = yaml.safe_load(dumped.read_text())["jobs"]
    except (MlException, ValidationError) as error:
        raise DefinitionsInvalid(_sdk_problems(document, str(error))) from None
    order = list(document.content["jobs"])
    return {node: _short(nodes[node]) for node in sorted(nodes, key=order.index)}


def _short(node: dict[str, Any]) -> dict[str, Any]:
    """A node with its plain bindings as the text that people write."""
    ports = {
        kind: {
            name: value["path"]
            if isinstance(value, dict) and value.keys() == {"path"} and "${{" in value["path"]
            else value
            for name, value in node[kind].items()
        }
        for kind in ("inputs", "outputs")
        if isinstance(node.get(kind), dict)
    }
    return {**node, **ports}


def _sdk_problems(document: Document, text: str) -> list[Problem]:
    """The SDK's validation report, each finding at its line."""
    begin = text.find("{")
    try:
        report, _ = json.JSONDecoder().raw_decode(text[begin:]) if begin >= 0 else ({}, 0)
        findings = report.get("errors", [])
    except ValueError:
        findings = []
    problems = []
    for finding in findings:
        where = str(finding.get("path", "*"))
        place = tuple(where.split(".")) if where != "*" else ()
        message = str(finding.get("message", "")).strip()
        problems.append(document.problem(place, f"{where}: {message}" if place else message))
    return problems or [document.problem((), " ".join(text.split())[:500])]


def _dangling(document: Document, nodes: dict[str, dict[str, Any]]) -> list[Problem]:
    """References to inputs, outputs and steps that are not there."""
    inputs = _mapping(document.content.get("inputs"))
    outputs = _mapping(document.content.get("outputs"))
    problems = []

    def unknown(place: tuple[str, ...], what: str, there: list[str]) -> None:
        known = ", ".join(sorted(there)) or "none"
        problems.append(document.problem(place, f"there is no {what}; there are: {known}"))

    for node, content in nodes.items():
        for name, bound in _mapping(content.get("inputs")).items():
            place = ("jobs", node, "inputs", name)
            text = _bound_text(bound)
            if (found := _PARENT_INPUT.fullmatch(text)) and found[1] not in inputs:
                unknown(place, f"pipeline input {found[1]!r}", list(inputs))
            if found := _STEP_OUTPUT.fullmatch(text):
                if found[1] not in nodes:
                    unknown(place, f"job {found[1]!r}", list(nodes))
                elif found[2] not in (there := _step_ports(nodes[found[1]], "outputs")):
                    unknown(place, f"output {found[2]!r} of job {found[1]!r}", list(there))
        for name, bound in _mapping(content.get("outputs")).items():
            found = _PARENT_OUTPUT.fullmatch(_bound_text(bound))
            if found and found[1] not in outputs:
                place = ("jobs", node, "outputs", name)
                unknown(place, f"pipeline output {found[1]!r}", list(outputs))
    return problems


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
    content = {"name": re.sub(r"[^a-z0-9_]", "_", name.lower()), **content}
    version = _digest(_with_content(content))
    return CompiledComponent(
        name=content["name"], version=version, document={**content, "version": version}
    )


def _declared_name(definition: PipelineDefinition, node: str) -> str | None:
    """The name in the component's own file; the SDK forgets it when it loads a job."""
    reference = definition.document.content["jobs"][node].get("component")
    if not isinstance(reference, str):
        return None
    file = definition.document.path.parent / reference.removeprefix("file:")
    found = yaml.safe_load(file.read_text()).get("name")
    return found if isinstance(found, str) else None


def _inputs(document: Document, nodes: dict[str, dict[str, Any]]) -> dict[str, CompiledInput]:
    inputs = {}
    for name, value in _mapping(document.content.get("inputs")).items():
        if isinstance(value, dict):
            inputs[name] = CompiledInput(
                type=str(value.get("type", "uri_folder")),
                path=value.get("path"),
                mode=value.get("mode"),
            )
        else:
            inputs[name] = CompiledInput(type=_literal_type(name, value, nodes), default=value)
    return inputs


def _literal_type(name: str, value: Any, nodes: dict[str, dict[str, Any]]) -> str:
    """The type the steps expect; where they do not say, the type of the value."""
    expected = {
        _step_ports(content, "inputs")[port]["type"]
        for content in nodes.values()
        for port, bound in _mapping(content.get("inputs")).items()
        if (found := _PARENT_INPUT.fullmatch(_bound_text(bound)))
        and found[1] == name
        and port in _step_ports(content, "inputs")
    }
    if len(expected) == 1:
        return str(expected.pop())
    match value:
        case bool():
            return "boolean"
        case int():
            return "number" if expected == {"integer", "number"} else "integer"
        case float():
            return "number"
        case _:
            return "string"


def _outputs(document: Document, nodes: dict[str, dict[str, Any]]) -> dict[str, DataInput]:
    types = {
        found[1]: _step_ports(content, "outputs").get(port, {}).get("type", "uri_folder")
        for content in nodes.values()
        for port, bound in _mapping(content.get("outputs")).items()
        if (found := _PARENT_OUTPUT.fullmatch(_bound_text(bound)))
    }
    outputs = {}
    for name, value in _mapping(document.content.get("outputs")).items():
        given = _mapping(value)
        outputs[name] = DataInput(
            type=given.get("type") or types.get(name, "uri_folder"),
            path=given.get("path"),
            mode=given.get("mode"),
        )
    return outputs


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a job object takes them: without the prefix that YAML references have."""
    return {
        name: value.removeprefix("azureml:") if isinstance(value, str) else value
        for name, value in settings.items()
    }


def _declared(value: CompiledInput) -> dict[str, Any]:
    if value.default is None:
        return {"type": value.type}
    return {"type": value.type, "default": value.default}


def _step_ports(content: dict[str, Any], ports: str) -> dict[str, Any]:
    component = content["component"]
    return _mapping(component.get(ports)) if isinstance(component, dict) else {}


def _bound_text(bound: Any) -> str:
    return str(bound.get("path", "") if isinstance(bound, dict) else bound)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _with_content(component: dict[str, Any]) -> dict[str, Any]:
    """A component with its local code replaced by what the code says."""
    found = dict(component)
    if isinstance(code := found.get("code"), str) and not _REMOTE.match(code):
        found["code"] = _files_digest(Path(code))
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


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise DefinitionsInvalid(problems)
