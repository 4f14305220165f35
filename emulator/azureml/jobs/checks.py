"""Whether what a job gives fits what its component and its nodes declare."""

from collections.abc import Mapping
from typing import Any

from emulator.azureml.errors import UserError
from emulator.azureml.graphs.bindings import Data, NodeOutput, ParentInput, Text
from emulator.azureml.graphs.nodes import Node
from emulator.azureml.graphs.specs import Component, InputSpec
from emulator.azureml.jobs.errors import MissingInput, UnknownInput, UnknownOutput


def check_given(
    job: str,
    given: Mapping[str, Text | Data],
    specs: Mapping[str, InputSpec],
    outputs: Mapping[str, Any],
    output_types: Mapping[str, str],
) -> None:
    """Check a job's inputs and outputs against those of its pipeline component."""
    for key in outputs:
        if key not in output_types:
            raise UnknownOutput(key, job, list(output_types))
    for key, value in given.items():
        if key not in specs:
            raise UnknownInput(key, job, list(specs))
        _check_kind(value, specs[key], f"input '{key}' of {job}")
    for key, spec in specs.items():
        if spec.is_required and key not in given:
            raise MissingInput(key, job)


def check_values(
    job: str, node: Node, component: Component, inputs: Mapping[str, Text | Data]
) -> None:
    """Check what a node is given, once the job's inputs are known."""
    for key, binding in node.inputs.items():
        if not component.is_known:
            continue
        spec = component.inputs.get(key) or InputSpec(type="string", optional=True)
        where = f"input '{key}' of node '{node.name}'"
        if isinstance(binding, NodeOutput):
            if spec.is_literal:
                raise UserError(f"The {where} is a {spec.type}, but bound to data.")
        elif isinstance(binding, ParentInput):
            value = inputs.get(binding.name)
            if value is None and spec.is_required:
                raise MissingInput(binding.name, job)
            if value is not None:
                _check_kind(value, spec, where)
        elif isinstance(binding, Text):
            for name in binding.parent_inputs:
                if not isinstance(inputs.get(name), Text):
                    raise MissingInput(name, job)
            filled = binding.filled(lambda name: _text(inputs[name]))
            _check_kind(Text(filled), spec, where)
        else:
            _check_kind(binding, spec, where)


def _check_kind(value: Text | Data, spec: InputSpec, where: str) -> None:
    if isinstance(value, Text) != spec.is_literal:
        found = "a literal" if isinstance(value, Text) else "data"
        raise UserError(
            f"The {where} is of type {spec.type}, but is given {found}.",
            inner=("BadArgument", "InvalidInputType"),
        )
    if isinstance(value, Text):
        spec.check(value.text, where)


def _text(value: Text | Data) -> str:
    assert isinstance(value, Text)
    return value.text
