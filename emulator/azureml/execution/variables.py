"""The environment variables a step sees."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from emulator.azureml.runhistory.models import Run
from emulator.azureml.workspace import Machine, Workspace

#: What a step keeps of the variables of this process.
_KEPT = ("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL")


def step_variables(
    run: Run,
    root: str,
    *,
    workspace: Workspace,
    machine: Machine,
    python: Path,
    inputs: Mapping[str, str | None],
    outputs: Mapping[str, Path],
    own: Mapping[str, str],
) -> dict[str, str]:
    """Variables for one step; `python` is its environment's folder, `own` its node's variables."""
    plain = machine.plain_variables
    kept = {name: plain[name] for name in _KEPT if name in plain}
    return {
        **kept,
        "PATH": os.pathsep.join([str(python / "bin"), *_programs(plain.get("PATH", os.defpath))]),
        "VIRTUAL_ENV": str(python),
        "PYTHONUNBUFFERED": "1",
        # a step holds one core: thread pools as wide as the computer, in several steps at once,
        # wait for each other for most of their time
        "OMP_NUM_THREADS": "1",
        **machine.step_variables,
        "AZUREML_RUN_ID": run.name,
        "AZUREML_ROOT_RUN_ID": root,
        "AZUREML_EXPERIMENT_ID": run.experiment,
        "AZUREML_ARM_SUBSCRIPTION": workspace.subscription,
        "AZUREML_ARM_RESOURCEGROUP": workspace.resource_group,
        "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
        "AZUREML_ARM_PROJECT_NAME": run.experiment,
        "AZUREML_WORKSPACE_ID": workspace.workspace_id,
        "MLFLOW_TRACKING_URI": (machine.folder / "mlruns").as_uri(),
        "MLFLOW_EXPERIMENT_NAME": run.experiment,
        **{f"AZURE_ML_INPUT_{name}": value for name, value in inputs.items() if value is not None},
        **{f"AZURE_ML_OUTPUT_{name}": str(path) for name, path in outputs.items()},
        **own,
    }


def _programs(path: str) -> list[str]:
    """The folders of PATH without this interpreter's own, whose packages are no step's business."""
    own = Path(sys.prefix, "bin")
    return [folder for folder in path.split(os.pathsep) if Path(folder) != own]
