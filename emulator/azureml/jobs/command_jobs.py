"""Command jobs: a job that is one step, told by its own body instead of a component."""

from collections.abc import Mapping
from typing import Any

from emulator.azureml.errors import NotImplementedHere, UserError
from emulator.azureml.graphs.bindings import Data, Text
from emulator.azureml.graphs.nodes import Node, OutputTarget
from emulator.azureml.graphs.specs import Component, InputSpec, literal_text

_FIELDS = frozenset(
    {
        "jobType",
        "command",
        "codeId",
        "environmentId",
        "computeId",
        "environmentVariables",
        "inputs",
        "outputs",
        "limits",
        "resources",
        "displayName",
        "description",
        "tags",
        "properties",
        "experimentName",
        "isArchived",
        "services",
        "status",
        "parameters",
        "identity",
        "queueSettings",
        "notificationSetting",
    }
)


def as_step(name: str, body: Mapping[str, Any], *, lenient: bool = False) -> tuple[Node, Component]:
    """The job as a node and the component it would have. Raises UserError, naming the part.

    `lenient` takes fields that cannot be carried out, for a job that is only recorded.
    """
    for field, value in body.items():
        if not lenient and field not in _FIELDS and value not in (None, {}, []):
            raise NotImplementedHere(f"The field '{field}' of command jobs", plural=False)
    for field in ("command", "environmentId"):
        if not body.get(field):
            raise UserError(f"The command job '{name}' has no {field}.")
    inputs = {key: _binding(key, value) for key, value in (body.get("inputs") or {}).items()}
    outputs = body.get("outputs") or {}
    node = Node(
        name=name,
        type="command",
        display_name=body.get("displayName") or name,
        component_id="",
        compute=body.get("computeId"),
        inputs=inputs,
        outputs={
            key: OutputTarget(
                uri=(value or {}).get("uri"),
                asset_name=(value or {}).get("assetName"),
                asset_version=(value or {}).get("assetVersion"),
            )
            for key, value in outputs.items()
        },
        timeout=(body.get("limits") or {}).get("timeout"),
        environment_variables={
            key: literal_text(value)
            for key, value in (body.get("environmentVariables") or {}).items()
        },
        body=body,
    )
    component = Component(
        name=name,
        version="",
        type="command",
        display_name=None,
        inputs={
            key: InputSpec(type="string" if isinstance(value, Text) else value.type)
            for key, value in inputs.items()
        },
        outputs={
            key: str((value or {}).get("jobOutputType", "uri_folder"))
            for key, value in outputs.items()
        },
        spec={
            "command": body["command"],
            "code": body.get("codeId"),
            "environment": body["environmentId"],
        },
    )
    return node, component


def _binding(key: str, value: Mapping[str, Any]) -> Text | Data:
    kind = str(value.get("jobInputType", "literal"))
    if kind == "literal":
        return Text(literal_text(value.get("value", "")))
    if not value.get("uri"):
        raise UserError(f"The input '{key}' has no uri.", inner=("BadArgument", "MissingInput"))
    return Data(str(value["uri"]), kind, value.get("mode"))
