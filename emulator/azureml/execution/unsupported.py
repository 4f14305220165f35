"""What Azure runs and this computer does not; a step that needs it fails by the feature's name."""

from collections.abc import Mapping
from typing import Any

from emulator.azureml.execution.plan import Step
from emulator.azureml.graphs.flows import is_flow
from emulator.azureml.graphs.nodes import NODE_TYPES

_EXECUTED = frozenset({"command", "parallel", "pipeline", "sweep"})


def missing_feature(step: Step) -> str | None:
    """The sentence to fail with, or None for a step that can be run."""
    node = step.node
    what = None
    if not step.component.is_known:
        what = f"Components of registries ('{step.component.name}')"
    elif is_flow(step.component.spec):
        what = "Prompt flow nodes"
    elif node.type not in _EXECUTED:
        what = f"{NODE_TYPES[node.type]} nodes"
    elif node.type != "parallel" and _either(step, "distribution"):
        what = "Distributed jobs"
    elif node.type in ("command", "sweep") and _instances(step) != 1:
        what = f"Several instances ({_instances(step)} are asked for)"
    if what is None:
        return None
    return f"{what} are not executed by the local AzureML workspace (node '{node.name}')."


def _instances(step: Step) -> int:
    resources: Mapping[str, Any] = _either(step, "resources") or {}
    count = str(resources.get("instance_count") or resources.get("instanceCount") or 1)
    return int(count) if count.isdigit() else 1


def _either(step: Step, key: str) -> Any:
    """What the node says, else its component."""
    return step.node.body.get(key) or step.component.spec.get(key)
