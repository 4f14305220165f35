"""Sweep nodes: a few trials one after the other; the best one's outputs are the node's."""

import dataclasses
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator.azureml.execution.failures import StepFailure
from emulator.azureml.execution.inputs import StepInputs
from emulator.azureml.execution.plan import Plan, Step
from emulator.azureml.execution.sampling import samples
from emulator.azureml.execution.steps import StepExecution, Workshop
from emulator.azureml.graphs.bindings import Text
from emulator.azureml.graphs.nodes import Node
from emulator.azureml.runhistory.models import Run, RunStore
from emulator.azureml.runhistory.states import Status

#: Trials that are run at most, whatever the sweep's limits allow.
MOST_TRIALS = 4


class SweepExecution:
    """Runs one sweep. Each trial logs the metric with MLflow, into a store of its own."""

    def __init__(
        self,
        step: Step,
        run: Run,
        *,
        runs: RunStore,
        workshop: Workshop,
        stop: threading.Event,
        execution: Callable[[Step, Run, Mapping[str, str]], StepExecution],
    ) -> None:
        self._step = step
        self._run = run
        self._runs = runs
        self._workshop = workshop
        self._stop = stop
        self._execution = execution

    def execute(self, inputs_of: Callable[[Step], StepInputs]) -> None:
        """Run to Completed or Canceled. Raises StepFailure when there is no best trial."""
        run = self._run
        run.move(Status.QUEUED)
        run.move(Status.PREPARING)
        run.move(Status.RUNNING)
        best, score = self._best(inputs_of)
        if best is None:
            run.move(Status.CANCELED)
            return
        run.describe({"properties": {"best_child_run_id": best.name, "score": str(score)}})
        run.move(Status.FINALIZING)
        self._execution(self._step, run, {}).adopt_outputs(best)
        run.move(Status.COMPLETED)

    def _best(self, inputs_of: Callable[[Step], StepInputs]) -> tuple[Run | None, float]:
        body = self._step.node.body
        objective: Mapping[str, Any] = body.get("objective") or {}
        metric = str(objective.get("primary_metric") or objective.get("primaryMetric"))
        sign = -1 if str(objective.get("goal")).lower() == "minimize" else 1
        algorithm = body.get("sampling_algorithm") or "random"
        if isinstance(algorithm, Mapping):
            algorithm = str(algorithm.get("type") or "random")
        limits = body.get("limits") or {}
        count = min(int(limits.get("max_total_trials") or MOST_TRIALS), MOST_TRIALS)
        scores: list[tuple[float, Run]] = []
        drawn = samples(self._step.node.search_space, str(algorithm).lower(), count, self._run.name)
        for number, parameters in enumerate(drawn):
            if self._stop.is_set():
                return None, 0
            trial = self._trial(number, parameters)
            step = _with_parameters(self._step, parameters)
            store = self._workshop.machine.folder / "runs" / f"{trial.name}-metrics"
            variables = {"MLFLOW_TRACKING_URI": store.as_uri()}
            self._execution(step, trial, variables).execute(inputs_of(step))
            if trial.status is Status.COMPLETED and (value := _metric(store, metric)) is not None:
                scores.append((value, trial))
        if self._stop.is_set():
            return None, 0
        if not scores:
            raise StepFailure(
                "UserError",
                f"No trial of the sweep '{self._step.name}' completed and logged the primary "
                f"metric '{metric}'.",
            )
        score, best = max(scores, key=lambda found: sign * found[0])
        return best, score

    def _trial(self, number: int, parameters: Mapping[str, str]) -> Run:
        run = self._run
        trial = Run(
            name=f"{run.name}_{number}",
            kind="command",
            experiment=run.experiment,
            display_name=f"{run.display_name}_{number}",
            parent=run.name,
            compute=run.compute,
            tags={"hyperparameters": ", ".join(f"{k}={v}" for k, v in parameters.items())},
            properties={"azureml.isreused": "false"},
        )
        self._runs.add(trial)
        return trial


def _with_parameters(step: Step, parameters: Mapping[str, str]) -> Step:
    """One trial; its outputs have a place of their own, whatever the sweep's are to be."""
    node: Node = step.node
    given = {**node.inputs, **{key: Text(value) for key, value in parameters.items()}}
    return dataclasses.replace(step, node=dataclasses.replace(node, inputs=given, outputs={}))


def _metric(store: Path, name: str) -> float | None:
    """The last value of a metric in a file store of MLflow: `time value step` on each line."""
    for file in store.glob(f"*/*/metrics/{name}"):
        lines = file.read_text().split("\n")
        values = [line.split(" ")[1] for line in lines if line.count(" ") >= 1]
        if values:
            return float(values[-1])
    return None


def sweep_plan(plan: Plan) -> Plan:
    """Trials are not reused one by one: which of them is best is told by their metrics."""
    return dataclasses.replace(plan, force_rerun=True)
