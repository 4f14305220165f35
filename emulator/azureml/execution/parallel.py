"""Parallel nodes: a command that calls the entry script for one mini-batch after the other."""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.azureml.execution.failures import StepFailure
from emulator.azureml.execution.plan import Step

_PROGRAM = Path(__file__).with_name("mini_batches.py")
_DEFAULT_SIZE = "1"


def as_command(step: Step) -> Step:
    """The step as a command. Raises StepFailure for mini-batches that are not made here."""
    spec, body = step.component.spec, step.node.body
    task: Mapping[str, Any] = spec.get("task") or {}
    size = str(body.get("mini_batch_size") or spec.get("mini_batch_size") or _DEFAULT_SIZE)
    if not size.isdigit() or body.get("partition_keys") or spec.get("partition_keys"):
        raise StepFailure(
            "NotImplemented",
            "Mini-batches of tables are not executed by the local AzureML workspace, only those "
            f"of a number of files (node '{step.name}').",
        )
    retries = (body.get("retry_settings") or spec.get("retry_settings") or {}).get("max_retries")
    words = [
        "python",
        shlex.quote(str(_PROGRAM)),
        shlex.quote(str(task.get("entry_script"))),
        str(spec.get("input_data")),
        size,
        str(retries or 0),
        str(task.get("append_row_to") or "-"),
        str(task.get("program_arguments") or ""),
    ]
    command = {
        "command": " ".join(words),
        "code": task.get("code"),
        "environment": task.get("environment"),
        "is_deterministic": spec.get("is_deterministic", True),
        "environment_variables": spec.get("environment_variables"),
    }
    return dataclasses.replace(step, component=dataclasses.replace(step.component, spec=command))
