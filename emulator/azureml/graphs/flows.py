"""Flows of Prompt flow as components: a flow that is registered becomes a parallel component.

Source: https://microsoft.github.io/promptflow/cloud/azureai/use-flow-in-azure-ml-pipeline.html;
the ports are those that azure-ai-ml expects of it (`entities/_component/flow.py`).
"""

from collections.abc import Mapping
from typing import Any

FLOW = "promptflow_parallel"
#: The field with the address of the flow's own file, in the code that was uploaded.
FLOW_FILE = "flow_definition_uri"
_INPUTS = {
    "data": {"type": "uri_folder"},
    "flow_outputs": {"type": "uri_folder", "optional": True},
}
_OUTPUTS = {"flow_outputs": {"type": "uri_folder"}, "debug_info": {"type": "uri_folder"}}


def as_parallel(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the service keeps of a flow."""
    return {**spec, "type": "parallel", "inputs": _INPUTS, "outputs": _OUTPUTS}


def is_flow(spec: Mapping[str, Any]) -> bool:
    """Whether a component was registered from a flow.

    It takes text under any other name as well: column mappings and connections, whose names are
    in the flow's own file.
    """
    return bool(spec.get(FLOW_FILE))
