"""The nodes of a pipeline, as pipeline jobs and pipeline components carry them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.azureml.errors import NotImplementedHere, UserError
from emulator.azureml.graphs.bindings import Binding, Data, read_binding, read_parent_output
from emulator.azureml.graphs.specs import literal_text

_NAMES = {
    "automl": "AutoML",
    "sweep": "Sweep",
    "parallel": "Parallel",
    "spark": "Spark",
    "import": "Import",
    "pipeline": "Pipeline",
    "data_transfer": "Data transfer",
    "if_else": "If-else",
    "do_while": "Do-while",
    "parallel_for": "Parallel-for",
    "finetuning": "Fine-tuning",
}
#: Fields that are carried out, or that say nothing about the execution.
_KNOWN = frozenset(
    {
        "_source",
        "type",
        "name",
        "display_name",
        "description",
        "comment",
        "tags",
        "properties",
        "componentId",
        "computeId",
        "inputs",
        "outputs",
        "limits",
        "resources",
        "environment_variables",
    }
)


@dataclass(frozen=True)
class OutputTarget:
    """Where a node's output goes: a pipeline output, an address, or the default place."""

    parent_output: str | None = None
    uri: str | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One command node."""

    name: str
    display_name: str
    component_id: str
    compute: str | None
    inputs: Mapping[str, Binding]
    outputs: Mapping[str, OutputTarget]
    #: ISO 8601 duration, as it came.
    timeout: str | None
    environment_variables: Mapping[str, str]


def read_nodes(jobs: Mapping[str, Any]) -> dict[str, Node]:
    """The nodes by name. Raises UserError or NotImplementedHere, naming node and field."""
    if not jobs:
        raise UserError("The pipeline has no jobs.", inner=("BadArgument", "EmptyPipeline"))
    return {name: _read_node(name, body) for name, body in jobs.items()}


def _read_node(name: str, body: Mapping[str, Any]) -> Node:
    kind = str(body.get("type", "command"))
    if kind != "command":
        raise NotImplementedHere(f"{_NAMES.get(kind, repr(kind))} nodes (node '{name}')")
    component_id = body.get("componentId")
    if not isinstance(component_id, str):
        raise UserError(f"The node '{name}' has no componentId.")
    for field, value in body.items():
        if field not in _KNOWN and value not in (None, {}, [], ""):
            raise NotImplementedHere(f"The field '{field}' of command node '{name}'", plural=False)
    _check_resources(name, body.get("resources") or {})
    return Node(
        name=name,
        display_name=body.get("display_name") or name,
        component_id=component_id,
        compute=body.get("computeId"),
        inputs={
            key: _read_input(value, f"The input '{key}' of node '{name}'")
            for key, value in (body.get("inputs") or {}).items()
        },
        outputs={
            key: _read_output(value, f"The output '{key}' of node '{name}'")
            for key, value in (body.get("outputs") or {}).items()
        },
        timeout=(body.get("limits") or {}).get("timeout"),
        environment_variables={
            key: literal_text(value)
            for key, value in (body.get("environment_variables") or {}).items()
        },
    )


def _read_input(value: Any, where: str) -> Binding:
    if not isinstance(value, Mapping):
        return read_binding(literal_text(value), where)
    if "uri" in value:
        return Data(str(value["uri"]), str(value.get("job_input_type", "uri_folder")))
    if "value" in value:
        return read_binding(literal_text(value["value"]), where)
    raise UserError(f"{where} has neither a value nor a uri.")


def _read_output(value: Any, where: str) -> OutputTarget:
    if isinstance(value, str):
        return OutputTarget(parent_output=read_parent_output(value, where))
    if value.get("value") is not None:
        return OutputTarget(parent_output=read_parent_output(str(value["value"]), where))
    if value.get("asset_name") or value.get("name"):
        raise NotImplementedHere(f"{where} registered as a named asset", plural=False)
    return OutputTarget(uri=value.get("uri"))


def _check_resources(name: str, resources: Mapping[str, Any]) -> None:
    count = resources.get("instance_count") or resources.get("instanceCount") or 1
    if int(count) != 1:
        raise NotImplementedHere(f"Several instances (node '{name}' asks for {count})")
