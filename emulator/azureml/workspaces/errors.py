"""What asking for the workspace or a datastore can be answered with."""

from emulator.azureml.errors import NotFound
from emulator.azureml.workspace import PROVIDER, Workspace


class WorkspaceNotFound(NotFound):
    """Another workspace, resource group or subscription than the local one."""

    def __init__(self, name: str, group: str, workspace: Workspace) -> None:
        super().__init__(
            f"The Resource '{PROVIDER}/workspaces/{name}' under resource group '{group}' was not "
            f"found. The local Azure has one workspace: {workspace.arm_id}",
            code="ResourceNotFound",
        )


class DatastoreNotFound(NotFound):
    """A datastore that the workspace does not have."""

    def __init__(self, name: str, workspace: Workspace) -> None:
        super().__init__(
            f"Could not find datastore '{name}' in the workspace. "
            f"It has: {', '.join(workspace.datastores)}."
        )
