"""Steps that need not run again, because the same step has run before with the same inputs.

What makes two steps the same: the component's content (its code and environment among it), the
values and addresses of the inputs, where the outputs go, and the settings of the run. The content
of data is not looked at, only its address.
"""

import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Any

from emulator.azureml.assets.registration import Registrar
from emulator.azureml.execution.inputs import DataInput
from emulator.azureml.execution.plan import Plan, Step
from emulator.azureml.runhistory.models import Run

_DESCRIPTIVE = frozenset({"name", "version", "display_name", "description", "tags", "_source"})
_SETTINGS = ("resources", "distribution", "limits", "identity")


class Reuse:
    """What has run, by its fingerprint."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}

    def find(self, fingerprint: str) -> Run | None:
        """An earlier run that completed."""
        with self._lock:
            return self._runs.get(fingerprint)

    def keep(self, fingerprint: str, run: Run) -> None:
        with self._lock:
            self._runs[fingerprint] = run


def may_be_reused(step: Step, plan: Plan) -> bool:
    """Whether neither the component nor the job has switched reuse off."""
    deterministic = str(step.component.spec.get("is_deterministic", True)).lower() != "false"
    return plan.kind == "pipeline" and deterministic and not plan.force_rerun


def fingerprint(
    step: Step,
    plan: Plan,
    inputs: Mapping[str, str | DataInput | None],
    variables: Mapping[str, str],
    registrar: Registrar,
) -> str:
    """The same for two steps of which one stands for the other."""
    spec = {k: v for k, v in step.component.spec.items() if k not in _DESCRIPTIVE}
    if environment := spec.get("environment"):
        properties = registrar.environment(str(environment), f"step '{step.name}'")
        spec["environment"] = [properties.get(k) for k in ("image", "condaFile", "build")]
    document: dict[str, Any] = {
        "component": spec,
        "inputs": {
            name: value.location.url if isinstance(value, DataInput) else value
            for name, value in inputs.items()
        },
        "outputs": {
            name: target.uri or plan.output_uris.get(target.parent_output or "")
            for name, target in step.node.outputs.items()
        },
        "datastore": plan.default_datastore,
        "compute": step.compute,
        "variables": dict(variables),
        "settings": {key: step.node.body.get(key) for key in _SETTINGS},
    }
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def mark_reused(run: Run, earlier: Run) -> None:
    """Give a run the outputs and logs of the one that it stands for, and say so."""
    run.outputs = dict(earlier.outputs)
    run.inputs = dict(earlier.inputs)
    run.logs = dict(earlier.logs)
    run.describe(
        {
            "properties": {
                "azureml.isreused": "true",
                "azureml.reusedrunid": earlier.name,
                "azureml.reusedpipelinerunid": str(earlier.parent),
            }
        }
    )
