"""The clusters of the workspace, as ARM shows them."""

from typing import Any

from emulator.azureml.arm_ids import last_segment
from emulator.azureml.workspace import PROVIDER, Workspace

SERVERLESS = "serverless"


def exists(compute: str, workspace: Workspace) -> bool:
    """Whether a job may run on `compute`, an ARM id or a bare name; serverless needs nothing."""
    name = last_segment(compute)
    return name.lower() == SERVERLESS or name in workspace.clusters


def resource(name: str, workspace: Workspace) -> dict[str, Any]:
    return {
        "id": workspace.child("computes", name),
        "name": name,
        "type": f"{PROVIDER}/workspaces/computes",
        "location": workspace.region,
        "tags": {},
        "properties": {
            "computeType": "AmlCompute",
            "computeLocation": workspace.region,
            "description": "Steps run as processes of this computer.",
            "provisioningState": "Succeeded",
            "isAttachedCompute": False,
            "disableLocalAuth": True,
            "properties": {
                "vmSize": "STANDARD_D2S_V3",
                "vmPriority": "Dedicated",
                "osType": "Linux",
                "scaleSettings": {
                    "minNodeCount": 0,
                    "maxNodeCount": 4,
                    "nodeIdleTimeBeforeScaleDown": "PT2M",
                },
                "remoteLoginPortPublicAccess": "Disabled",
                "allocationState": "Steady",
                "enableNodePublicIp": True,
            },
        },
    }
