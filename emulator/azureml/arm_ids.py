"""Reading the ids by which AzureML resources name each other."""

import re
from dataclasses import dataclass

from emulator.azureml.workspace import Workspace

_VERSIONED = re.compile(
    r"(?:azureml:)?(?P<workspace>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/"
    r"Microsoft\.MachineLearningServices/workspaces/[^/]+)/(?P<kind>\w+)/(?P<name>[^/]+)"
    r"/(?P<how>versions|labels)/(?P<version>[^/]+)",
    re.IGNORECASE,
)
_SHORT = re.compile(r"azureml:(?P<name>[\w.-]+)(?P<how>[:@])(?P<version>[\w.-]+)")


@dataclass(frozen=True)
class AssetId:
    """One version of an asset in this workspace; `version` may be the name of a label."""

    kind: str
    name: str
    version: str
    is_label: bool = False

    def __str__(self) -> str:
        return f"{self.name}{'@' if self.is_label else ':'}{self.version}"


def asset_id(text: str, workspace: Workspace, *, kind: str) -> AssetId | None:
    """`text` as an asset of this workspace, or None when it names something else.

    Understands `[azureml:]/subscriptions/…/{kind}/{name}/versions/{version}`, labels, and the
    short `azureml:name:version` and `azureml:name@label` (as an asset of the given kind).
    """
    if match := _VERSIONED.fullmatch(text):
        if match["workspace"].lower() != workspace.arm_id.lower() or match["kind"] != kind:
            return None
        return AssetId(kind, match["name"], match["version"], match["how"] == "labels")
    if match := _SHORT.fullmatch(text):
        return AssetId(kind, match["name"], match["version"], match["how"] == "@")
    return None


def last_segment(text: str) -> str:
    """The name at the end of an ARM id, or the text itself when it is a bare name."""
    return text.removeprefix("azureml:").rstrip("/").rsplit("/", 1)[-1]
