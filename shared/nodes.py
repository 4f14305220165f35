"""A pipeline's jobs as the AzureML SDK reads them, written out as YAML content again.

The SDK's own way of writing is not exact: it loses the names of component files, writes true as 1
and marks addresses as assets. What is written here reads back as what was read.
"""

import io
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from shared.documents import Document

if TYPE_CHECKING:
    from azure.ai.ml.entities import PipelineComponent

#: An asset by name, or an address that AzureML has.
_ASSET = re.compile(r"azureml:(//|[^/:@]+(:[^/:]+|@[^/:]+)$)")

#: Of a pipelineJob. Source: AzureML CLI v2 pipelineJob schema.
PIPELINE_KEYS = frozenset(
    {"$schema", "type", "name", "display_name", "experiment_name", "description", "tags"}
    | {"properties", "settings", "component", "jobs", "inputs", "outputs", "compute", "identity"}
    | {"services"}
)

#: Types of nodes that the SDK takes only from who asks for private features.
PRIVATE = frozenset({"import", "if_else", "do_while", "parallel_for"})
#: How to ask for them. Source: `is_private_preview_enabled` of azure-ai-ml.
PRIVATE_FEATURES = "AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED"

#: The type of a component that is a flow of Prompt flow, in a file of its own kind.
FLOW = "promptflow_parallel"


@dataclass(frozen=True)
class Node:
    """One job of a pipeline."""

    #: As YAML, without its component.
    content: dict[str, Any]
    #: Spelled out, or a reference, or None for a job that has none (AutoML).
    component: dict[str, Any] | str | None = None
    #: The jobs of a component that is a pipeline itself.
    jobs: "dict[str, Node]" = field(default_factory=dict)
    #: The file that the component is written in, when it has its own.
    file: Path | None = None
    #: The folder that local paths in the component are relative to.
    base: Path = Path()

    @property
    def type(self) -> str:
        return str(self.content.get("type", "command"))

    @property
    def key(self) -> str:
        """Where a job of this type has its component."""
        return "trial" if self.type == "sweep" else "component"

    @property
    def spelled(self) -> dict[str, Any]:
        """The component if it is spelled out, otherwise {}."""
        return self.component if isinstance(self.component, dict) else {}

    @property
    def knows_ports(self) -> bool:
        """Whether the component says what it takes and writes; a flow does not."""
        return bool(self.spelled) and self.spelled.get("type") != FLOW

    def ports(self, kind: str) -> dict[str, Any]:
        """The "inputs" or "outputs" that its component declares; {} if unknown."""
        return mapping(self.spelled.get(kind))

    def walk(self) -> "Iterator[Node]":
        """Itself and every job within."""
        yield self
        for node in self.jobs.values():
            yield from node.walk()


@dataclass(frozen=True)
class Job:
    """A pipeline job: its nodes, and the component that it is a job of."""

    nodes: dict[str, Node]
    #: Of a job whose `component` is a file: that component as a node; a reference as it is.
    component: Node | None = None


def load(document: Document) -> Job:
    """The jobs of a pipelineJob document, as the SDK reads them; it raises many kinds of errors."""
    from azure.ai.ml import load_job
    from azure.ai.ml.entities import PipelineComponent, PipelineJob

    # The SDK takes unknown keys with a warning, and then cannot write down what it took.
    known = {key: value for key, value in document.content.items() if key in PIPELINE_KEYS}
    if document.rewritten or known.keys() != document.content.keys():
        text = io.StringIO(yaml.safe_dump(known, sort_keys=False))
        job = load_job(text, relative_origin=str(document.path))
    else:
        job = load_job(document.path)
    assert isinstance(job, PipelineJob)
    reference = document.content.get("component")
    if isinstance(job.component, str):
        return Job(nodes={}, component=Node(content={"type": "pipeline"}, component=job.component))
    assert isinstance(job.component, PipelineComponent)
    written = _written(job.component)
    if reference is None:
        jobs = _nodes(job.component, written["jobs"], document)
        return Job(nodes={name: jobs[name] for name in document.content["jobs"]})
    root = _node({"type": "pipeline", "component": written}, job, document)
    return Job(nodes=root.jobs, component=root)


def _written(component: "PipelineComponent") -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "component.yml")
        component.dump(file)
        content: dict[str, Any] = yaml.safe_load(file.read_text())
        return content


def _nodes(
    component: "PipelineComponent", jobs: Mapping[str, Any], document: Document
) -> dict[str, Node]:
    return {name: _node(jobs[name], node, document) for name, node in component.jobs.items()}


def _node(content: dict[str, Any], node: Any, document: Document) -> Node:
    content = dict(content)
    if content.get("type") == "automl":
        # Nothing of it is anybody else's, and the SDK does not read what it writes.
        return Node(content=dict(mapping(document.content.get("jobs")).get(node.name, content)))
    for key in ("display_name", "tags", "data_copy_mode"):
        # The SDK takes them of a node, sends them, and leaves them out here.
        if (said := getattr(node, key, None)) and key not in content:
            content[key] = said
    content["inputs"] = _values(mapping(content.get("inputs")), node)
    if not content["inputs"]:
        del content["inputs"]
    key = "trial" if content.get("type") == "sweep" else "component"
    component = content.pop(key, None)
    if not isinstance(component, dict):
        return Node(content=content, component=component)
    if content.get("type") == "parallel":
        # The component has it, and the SDK leaves a node's own with the path on this disk.
        content.pop("task", None)
    entity = node.component if key == "component" else node.trial
    base = Path(getattr(entity, "_base_path", None) or document.path.parent)
    source = getattr(entity, "_source_path", None)
    file = Path(source).resolve() if source else None
    jobs: dict[str, Node] = {}
    if component.get("type") == "pipeline":
        jobs = _nodes(entity, component.pop("jobs"), document)
    return Node(
        content=content,
        component=component,
        jobs=jobs,
        file=file if file and file != document.path.resolve() else None,
        base=base,
    )


def _values(inputs: Mapping[str, Any], node: Any) -> dict[str, Any]:
    """What a node's inputs are given, exactly."""
    given = node._build_inputs() if hasattr(node, "_build_inputs") else {}
    return {name: _value(value, given.get(name)) for name, value in inputs.items()}


def _value(value: Any, given: Any) -> Any:
    if isinstance(given, bool):
        return given
    path = value.get("path") if isinstance(value, dict) else None
    if isinstance(path, str) and path.startswith("azureml:") and not _ASSET.match(path):
        return {**value, "path": path.removeprefix("azureml:")}
    return value


def private_features() -> bool:
    """Whether the SDK takes what is private."""
    from azure.ai.ml._utils.utils import is_private_preview_enabled

    return bool(is_private_preview_enabled())  # type: ignore[no-untyped-call]


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, otherwise an empty one: YAML allows `inputs:` alone."""
    return value if isinstance(value, dict) else {}
