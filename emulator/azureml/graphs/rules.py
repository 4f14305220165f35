"""The rules for pipeline components that AzureML documents and its SDK does not check.

"A pipeline component can't have runtime settings: you can't hard-code compute or data node. You
need to promote them as pipeline level inputs and assign values during runtime."
(https://learn.microsoft.com/azure/machine-learning/how-to-use-pipeline-component)
"""

from collections.abc import Mapping
from typing import Any

from emulator.azureml.errors import UserError
from emulator.azureml.graphs.bindings import Data, NodeOutput, ParentInput, read_binding
from emulator.azureml.graphs.nodes import Node
from emulator.azureml.graphs.specs import Component

_RUNTIME_SETTINGS = (
    "default_compute",
    "default_datastore",
    "settings",
    "continue_on_step_failure",
    "force_rerun",
)


def check_no_runtime_settings(
    name: str, spec: Mapping[str, Any], nodes: Mapping[str, Node]
) -> None:
    """Raise UserError when the pipeline component fixes what only a job may say."""
    for setting in _RUNTIME_SETTINGS:
        if spec.get(setting):
            raise _runtime_setting(name, f"'{setting}'")
    for node in nodes.values():
        if node.compute:
            binding = read_binding(node.compute, f"The compute of node '{node.name}'")
            if not isinstance(binding, ParentInput):
                raise _runtime_setting(name, f"the compute {node.compute!r} of node '{node.name}'")
        for key, value in node.inputs.items():
            if isinstance(value, Data):
                raise _runtime_setting(name, f"the data {value.uri!r} of '{node.name}.{key}'")


def check_graph(
    pipeline: str,
    nodes: Mapping[str, Node],
    components: Mapping[str, Component],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
) -> tuple[str, ...]:
    """Check that every binding leads somewhere; returns the nodes in an order that can run.

    `components` holds the component of each node, by the node's name.
    """
    for node in nodes.values():
        component = components[node.name]
        _check_names(node, component, pipeline)
        for key, binding in node.inputs.items():
            where = f"The input '{key}' of node '{node.name}'"
            if isinstance(binding, ParentInput) and binding.name not in inputs:
                raise _unbound(where, f"the input '{binding.name}' of {pipeline}", inputs)
            if isinstance(binding, NodeOutput):
                source = nodes.get(binding.node)
                if source is None:
                    raise _unbound(where, f"the node '{binding.node}'", nodes)
                producer = components[binding.node]
                declared = producer.outputs
                if producer.is_known and binding.name not in declared:
                    whose = f"the output '{binding.name}' of node '{binding.node}'"
                    raise _unbound(where, whose, declared)
        for key, target in node.outputs.items():
            if target.parent_output is not None and target.parent_output not in outputs:
                where = f"The output '{key}' of node '{node.name}'"
                raise _unbound(where, f"the output '{target.parent_output}' of {pipeline}", outputs)
    return _order(nodes)


def _check_names(node: Node, component: Component, pipeline: str) -> None:
    if not component.is_known:
        return
    given = set() if component.is_open else {*node.inputs, *node.search_space}
    for unknown in sorted(given - set(component.inputs)):
        raise UserError(
            f"The node '{node.name}' of {pipeline} gives the input '{unknown}', which component "
            f"'{component.name}' does not have. It has: {_names(component.inputs)}.",
            inner=("BadArgument", "UnknownInput"),
        )
    for unknown in sorted(set(node.outputs) - set(component.outputs)):
        raise UserError(
            f"The node '{node.name}' of {pipeline} names the output '{unknown}', which component "
            f"'{component.name}' does not have. It has: {_names(component.outputs)}.",
            inner=("BadArgument", "UnknownOutput"),
        )
    for key, spec in component.inputs.items():
        if key not in node.inputs and key not in node.search_space and spec.is_required:
            raise UserError(
                f"Required input '{key}' of node '{node.name}' in {pipeline} is not provided.",
                inner=("BadArgument", "MissingInput"),
            )


def _order(nodes: Mapping[str, Node]) -> tuple[str, ...]:
    done: list[str] = []
    waiting = {
        name: {b.node for b in node.inputs.values() if isinstance(b, NodeOutput)}
        for name, node in nodes.items()
    }
    while waiting:
        ready = [name for name, needs in waiting.items() if needs <= set(done)]
        if not ready:
            raise UserError(
                f"The nodes {', '.join(sorted(waiting))} wait for each other.",
                inner=("BadArgument", "CyclicPipeline"),
            )
        done += ready
        for name in ready:
            del waiting[name]
    return tuple(done)


def _names(things: Mapping[str, Any]) -> str:
    return ", ".join(sorted(things)) or "none"


def _runtime_setting(name: str, what: str) -> UserError:
    return UserError(
        f"The pipeline component '{name}' can't have runtime settings: you can't hard-code compute "
        f"or data node, and it sets {what}. Promote them as pipeline level inputs and assign "
        "values during runtime.",
        inner=("BadArgument", "RuntimeSettingsInPipelineComponent"),
    )


def _unbound(where: str, what: str, known: Mapping[str, Any]) -> UserError:
    return UserError(
        f"{where} is bound to {what}, which does not exist. There are: {_names(known)}.",
        inner=("BadArgument", "InvalidBinding"),
    )
