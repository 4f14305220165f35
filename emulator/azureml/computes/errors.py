"""What asking for a compute can be answered with."""

from emulator.azureml.errors import NotFound, UserError
from emulator.azureml.workspace import PROVIDER, Workspace


class ComputeNotFound(NotFound):
    """A compute target that the workspace does not have."""

    def __init__(self, name: str, workspace: Workspace) -> None:
        super().__init__(
            f"The Resource '{PROVIDER}/workspaces/{workspace.name}/computes/{name}' under resource "
            f"group '{workspace.resource_group}' was not found. For more details please go to "
            "https://aka.ms/ARMResourceNotFoundFix",
            code="ResourceNotFound",
        )


class UnknownComputeTarget(UserError):
    """A job that wants to run where nothing is."""

    def __init__(self, name: str, where: str, workspace: Workspace) -> None:
        super().__init__(
            f"Unknown compute target '{name}' in {where}. The workspace has: "
            f"{', '.join(workspace.clusters)}; 'serverless' is always there.",
            inner=("NotFound", "ComputeNotFound"),
        )
