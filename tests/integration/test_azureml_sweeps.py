"""Sweep and parallel nodes in their small local way, and the types that fail by name."""

from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient, load_job

from emulator.azureml.execution.sampling import samples
from tests.integration.workspace import children, details, finished, output, unique

_TRIAL = """
type: command
name: trial
version: 1
inputs: {rate: {type: number}, kind: {type: string}, base: {type: integer, default: 1}}
outputs: {model: {type: uri_folder}}
command: >-
  echo "${{inputs.rate}} ${{inputs.kind}} ${{inputs.base}}" > ${{outputs.model}}/text;
  folder="${MLFLOW_TRACKING_URI#file://}/0/$AZUREML_RUN_ID/metrics"; mkdir -p "$folder";
  echo "1 ${{inputs.rate}} 0" > "$folder/METRIC"
environment: azureml:plain:1
"""
_SWEEP = """
type: pipeline
experiment_name: tests
settings: {default_compute: azureml:serverless}
outputs: {best: {type: uri_folder, name: BEST,
    path: "azureml://datastores/workspaceblobstore/paths/BEST"}}
jobs:
  tune:
    type: sweep
    trial: ./trial.yml
    outputs: {model: "${{parent.outputs.best}}"}
    sampling_algorithm: grid
    search_space: {rate: {type: choice, values: [3, 1, 2]}, kind: {type: choice, values: [a]}}
    objective: {goal: GOAL, primary_metric: loss}
    limits: {max_total_trials: 3, max_concurrent_trials: 2}
"""
_SCORE = """
type: pipeline
experiment_name: tests
settings: {default_compute: azureml:serverless}
outputs: {scores: {type: uri_file}}
jobs:
  score:
    type: parallel
    inputs: {rows: {type: uri_folder, path: ./rows}}
    outputs: {out: "${{parent.outputs.scores}}"}
    input_data: ${{inputs.rows}}
    mini_batch_size: "2"
    retry_settings: {max_retries: 1, timeout: 60}
    task:
      type: run_function
      code: ./src
      entry_script: score.py
      program_arguments: --factor 10
      environment: azureml:plain:1
      append_row_to: ${{outputs.out}}
"""
_ENTRY = """
import sys
from pathlib import Path

factor, failed = 0, []

def init():
    global factor
    factor = int(sys.argv[sys.argv.index("--factor") + 1])

def run(batch):
    if not failed:
        failed.append(True)
        raise RuntimeError("once")
    return [f"{len(batch)}:{int(Path(path).read_text()) * factor}" for path in batch]
"""


def _run(ml: MLClient, file: Path) -> Any:
    job: Any = load_job(file)
    job.name = unique("job")
    return finished(ml, ml.jobs.create_or_update(job).name)


@pytest.mark.parametrize(("goal", "best"), [("minimize", "1 a 1\n"), ("maximize", "3 a 1\n")])
def test_sweep_gives_the_outputs_of_its_best_trial(
    ml: MLClient, tmp_path: Path, goal: str, best: str
) -> None:
    (tmp_path / "trial.yml").write_text(_TRIAL.replace("METRIC", "loss"))
    kept = unique("best")
    (tmp_path / "job.yml").write_text(_SWEEP.replace("GOAL", goal).replace("BEST", kept))
    job = _run(ml, tmp_path / "job.yml")
    assert job.status == "Completed"
    assert f"/paths/{kept}/" in job.outputs["best"].path
    assert [data.version for data in ml.data.list(kept)] == ["1"]
    assert output(ml, job.name, "best", tmp_path / "got") == {"text": best}
    sweep = children(ml, job.name)["tune"]
    trials = children(ml, sweep.name)
    assert len(trials) == 3
    assert sweep.properties["best_child_run_id"] in {trial.name for trial in trials.values()}


def test_sweep_without_its_metric_fails(ml: MLClient, tmp_path: Path) -> None:
    (tmp_path / "trial.yml").write_text(_TRIAL.replace("METRIC", "other"))
    (tmp_path / "job.yml").write_text(_SWEEP.replace("GOAL", "minimize").replace("BEST", "none"))
    job = _run(ml, tmp_path / "job.yml")
    assert job.status == "Failed"
    sweep = children(ml, job.name)["tune"]
    assert "primary metric 'loss'" in details(ml, sweep.name).error.error.message


def test_parallel_runs_mini_batches_and_tries_them_again(ml: MLClient, tmp_path: Path) -> None:
    for folder in ("rows", "src"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        (tmp_path / "rows" / f"{number}.txt").write_text(str(number))
    (tmp_path / "src" / "score.py").write_text(_ENTRY)
    (tmp_path / "job.yml").write_text(_SCORE)
    job = _run(ml, tmp_path / "job.yml")
    assert job.status == "Completed"
    [text] = output(ml, job.name, "scores", tmp_path / "got").values()
    assert text == "2:0\n2:10\n1:20\n"


def test_automl_and_spark_fail_by_name(ml: MLClient, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "job.yml").write_text(
        """
type: pipeline
experiment_name: tests
settings: {default_compute: azureml:serverless, continue_on_step_failure: true}
inputs: {rows: {type: mltable, path: "azureml://datastores/workspaceblobstore/paths/rows/"}}
jobs:
  learn: {type: automl, task: classification, primary_metric: accuracy, target_column_name: y,
    training_data: "${{parent.inputs.rows}}", limits: {max_trials: 1},
    outputs: {best_model: {type: mlflow_model}}}
  sparkle: {type: spark, code: ., entry: {file: main.py},
    resources: {instance_type: standard_e4s_v3, runtime_version: "3.3"},
    conf: {spark.driver.cores: 1, spark.driver.memory: 2g, spark.executor.cores: 2,
      spark.executor.memory: 2g, spark.executor.instances: 2}}
"""
    )
    job = _run(ml, tmp_path / "job.yml")
    assert job.status == "Failed"
    said = {
        name: details(ml, step.name).error.error.message
        for name, step in children(ml, job.name).items()
    }
    assert said["learn"].startswith("AutoML nodes are not executed by the local AzureML")
    assert said["sparkle"].startswith("Spark nodes are not executed by the local AzureML")


def test_samples_are_the_same_for_the_same_seed_and_in_their_bounds() -> None:
    space = {
        "a": {"type": "uniform", "min_value": 1, "max_value": 2},
        "b": {"type": "choice", "values": ["x", "y"]},
        "c": {"type": "randint", "upper": 3},
        "d": {"type": "quniform", "min_value": 0, "max_value": 10, "q": 5},
    }
    drawn = list(samples(space, "random", 20, "seed"))
    assert drawn == list(samples(space, "random", 20, "seed"))
    assert drawn != list(samples(space, "random", 20, "other"))
    assert all(1 <= float(found["a"]) <= 2 for found in drawn)
    assert {found["b"] for found in drawn} == {"x", "y"}
    assert {found["c"] for found in drawn} <= {"0", "1", "2"}
    assert {float(found["d"]) for found in drawn} <= {0, 5, 10}
