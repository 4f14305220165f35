"""The nodes of a pipeline, as pipeline jobs and pipeline components carry them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.azureml.errors import NotImplementedHere, UserError
from emulator.azureml.graphs.bindings import (
    EXPRESSION,
    Binding,
    Data,
    read_binding,
    read_parent_output,
)
from emulator.azureml.graphs.specs import Component, InputSpec, literal_text

#: Every type that a node can have; the value is how it is called in a refusal.
NODE_TYPES: Mapping[str, str] = {
    "command": "Command",
    "sweep": "Sweep",
    "parallel": "Parallel",
    "pipeline": "Pipeline",
    "spark": "Spark",
    "automl": "AutoML",
    "import": "Import",
    "data_transfer": "Data transfer",
    "finetuning": "Fine-tuning",
}
_CONTROL_FLOW = {"if_else": "If-else", "do_while": "Do-while", "parallel_for": "Parallel-for"}
#: Types whose nodes say themselves what they do.
_WITHOUT_COMPONENT = frozenset({"automl", "finetuning"})
#: What says nothing about the inputs of such a node.
_NO_INPUTS = frozenset({"inputs", "outputs", "computeId"})


@dataclass(frozen=True, kw_only=True)
class OutputTarget:
    """Where a node's output goes: a pipeline output, an address, or the default place."""

    parent_output: str | None = None
    uri: str | None = None
    mode: str | None = None
    #: The asset that it is to be registered as.
    asset_name: str | None = None
    asset_version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node, whatever its type."""

    name: str
    type: str
    display_name: str
    #: Of a sweep, that of its trial; empty for a node that is its own component.
    component_id: str
    compute: str | None
    inputs: Mapping[str, Binding]
    outputs: Mapping[str, OutputTarget]
    #: ISO 8601 duration, as it came.
    timeout: str | None
    environment_variables: Mapping[str, str]
    #: The node as it came.
    body: Mapping[str, Any]

    @property
    def search_space(self) -> Mapping[str, Any]:
        """The inputs that a sweep gives to its trials."""
        return self.body.get("search_space") or {} if self.type == "sweep" else {}


def read_nodes(jobs: Mapping[str, Any]) -> dict[str, Node]:
    """The nodes by name. Raises UserError or NotImplementedHere, naming node and field."""
    if not jobs:
        raise UserError("The pipeline has no jobs.", inner=("BadArgument", "EmptyPipeline"))
    return {name: _read_node(name, body) for name, body in jobs.items()}


def own_component(node: Node) -> Component:
    """The component of a node that has none: it takes what it names and makes what it declares."""
    return Component(
        name=node.name,
        version="",
        type=node.type,
        display_name=None,
        inputs={key: InputSpec(type="mltable") for key in node.inputs},
        outputs={
            key: str((value or {}).get("job_output_type", "mlflow_model"))
            if isinstance(value, Mapping)
            else "mlflow_model"
            for key, value in (node.body.get("outputs") or {}).items()
        },
        spec={"type": node.type},
    )


def _read_node(name: str, body: Mapping[str, Any]) -> Node:
    kind = str(body.get("type", "command"))
    if kind not in NODE_TYPES:
        raise NotImplementedHere(f"{_CONTROL_FLOW.get(kind, repr(kind))} nodes (node '{name}')")
    component_id = _component_id(name, kind, body)
    given = body.get("inputs") or {}
    if kind in _WITHOUT_COMPONENT:
        given = dict(_expressions(body))
    return Node(
        name=name,
        type=kind,
        display_name=body.get("display_name") or name,
        component_id=component_id,
        compute=body.get("computeId") or None,
        inputs={
            key: _read_input(value, f"The input '{key}' of node '{name}'")
            for key, value in given.items()
            if value is not None
        },
        outputs={
            key: _read_output(value, f"The output '{key}' of node '{name}'")
            for key, value in (body.get("outputs") or {}).items()
            if value is not None
        },
        timeout=(body.get("limits") or {}).get("timeout") if kind == "command" else None,
        environment_variables={
            key: literal_text(value)
            for key, value in (body.get("environment_variables") or {}).items()
        },
        body=body,
    )


def _component_id(name: str, kind: str, body: Mapping[str, Any]) -> str:
    """The component of a node, or of the trial of a sweep."""
    found = body.get("componentId")
    if kind == "sweep":
        trial = body.get("trial") or found
        found = trial.get("componentId") if isinstance(trial, Mapping) else trial
    if isinstance(found, str) and found:
        return found
    if kind in _WITHOUT_COMPONENT:
        return ""
    raise UserError(f"The node '{name}' has no {'trial' if kind == 'sweep' else 'componentId'}.")


def _expressions(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of a node, at any depth, that are bound to something."""
    for key, value in body.items():
        if key in _NO_INPUTS:
            continue
        if isinstance(value, str) and EXPRESSION.fullmatch(value):
            yield key, value
        elif isinstance(value, Mapping):
            for inner, text in _expressions(value):
                yield f"{key}.{inner}", text


def _read_input(value: Any, where: str) -> Binding:
    if not isinstance(value, Mapping):
        return read_binding(literal_text(value), where)
    if "uri" in value:
        return Data(
            str(value["uri"]), str(value.get("job_input_type", "uri_folder")), value.get("mode")
        )
    if "value" in value:
        return read_binding(literal_text(value["value"]), where)
    raise UserError(f"{where} has neither a value nor a uri.")


def _read_output(value: Any, where: str) -> OutputTarget:
    if isinstance(value, str):
        return OutputTarget(parent_output=read_parent_output(value, where))
    bound = value.get("value")
    name, version = value.get("asset_name") or value.get("name"), value.get("asset_version")
    return OutputTarget(
        parent_output=None if bound is None else read_parent_output(str(bound), where),
        uri=value.get("uri") or value.get("path"),
        mode=value.get("mode"),
        asset_name=name,
        asset_version=version or value.get("version"),
    )
