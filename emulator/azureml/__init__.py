"""An Azure Machine Learning workspace on this computer, for the official SDK.

It speaks ARM and run history as azure-ai-ml uses them, runs the command steps of pipeline jobs for
real, and refuses by name what it does not have.
"""

from emulator.azureml.application import create_app
from emulator.azureml.control import WorkspaceControl
from emulator.azureml.workspace import Machine, Workspace

__all__ = ["Machine", "Workspace", "WorkspaceControl", "create_app"]
