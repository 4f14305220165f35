"""What the workspace tells Event Grid about models.

Schema: https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning
"""

import uuid
from collections.abc import Callable
from typing import Any

from emulator.azureml.assets.models import AssetVersion
from emulator.azureml.resources import timestamp
from emulator.azureml.workspace import PROVIDER, Workspace

REGISTERED = f"{PROVIDER}.ModelRegistered"


class ModelEvents:
    """Raises an event for each new version of a model."""

    def __init__(self, workspace: Workspace, publish: Callable[[dict[str, Any]], None]) -> None:
        self._workspace = workspace
        self._publish = publish

    def __call__(self, model: AssetVersion) -> None:
        version = model.version
        self._publish(
            {
                "topic": self._workspace.arm_id,
                "subject": f"models/{model.name}:{version}",
                "eventType": REGISTERED,
                "id": str(uuid.uuid4()),
                "eventTime": timestamp(model.created),
                "data": {
                    "ModelName": model.name,
                    # a number in the documentation's examples, where every version is one
                    "ModelVersion": int(version) if version.isdigit() else version,
                    "ModelTags": dict(model.properties["tags"]),
                    "ModelProperties": dict(model.properties["properties"]),
                },
                "dataVersion": "",
                "metadataVersion": "1",
            }
        )
