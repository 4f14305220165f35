"""What asking for a compute can be answered with."""

from collections.abc import Sequence

from emulator.azureml.errors import NotFound, ServiceError, UserError
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

    def __init__(self, name: str, where: str, known: Sequence[str]) -> None:
        super().__init__(
            f"Unknown compute target '{name}' in {where}. The workspace has: "
            f"{', '.join(known) or 'none'}; 'serverless' is always there.",
            inner=("NotFound", "ComputeNotFound"),
        )


class BadCompute(UserError):
    """A compute that cannot be made, or a change that cannot be."""

    def __init__(self, message: str, code: str = "InvalidCompute") -> None:
        super().__init__(message, inner=("BadArgument", code))


class ComputeBusy(ServiceError):
    """An operation that does not go with the state the compute is in."""

    def __init__(self, name: str, operation: str, state: str) -> None:
        super().__init__(
            409,
            "Conflict",
            f"The operation {operation} cannot be performed on compute '{name}' while it is in "
            f"state {state}.",
            inner=("Conflict", "ComputeOperationConflict"),
        )
