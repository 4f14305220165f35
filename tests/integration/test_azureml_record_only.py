"""A workspace that checks and keeps every submission and runs none, through the official SDK."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.ai.ml import Input, MLClient, Output, load_component, load_job
from azure.ai.ml.entities import Data, Environment, PipelineComponent, PipelineJob
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from emulator.topology import Topology, Workspace
from tests.integration.conftest import exported
from tests.integration.workspace import finished, refusal, unique

_TRAIN = """
type: command
name: train
version: 1
inputs: {lr: {type: number, default: 0.1}, data: {type: uri_folder}}
outputs: {model: {type: mlflow_model}}
code: ./src
command: python main.py ${{inputs.lr}} ${{inputs.data}} ${{outputs.model}}
environment: azureml:plain:1
distribution: {type: pytorch, process_count_per_instance: 2}
resources: {instance_count: 2}
is_deterministic: false
"""
_SCORE = """
type: parallel
name: score
version: 1
inputs: {rows: {type: mltable}, num: {type: integer, default: 3}}
outputs: {out: {type: uri_folder}}
input_data: ${{inputs.rows}}
mini_batch_size: "2"
retry_settings: {max_retries: 2, timeout: 60}
task:
  type: run_function
  code: ./src
  entry_script: main.py
  environment: azureml:plain:1
  append_row_to: ${{outputs.out}}
"""
_SPARK = """
type: spark
name: sparkle
version: 1
code: ./src
entry: {file: main.py}
inputs: {rows: {type: uri_file, mode: direct}}
outputs: {out: {type: uri_folder, mode: direct}}
conf: {spark.driver.cores: 1, spark.driver.memory: 2g, spark.executor.cores: 2,
  spark.executor.memory: 2g, spark.executor.instances: 2}
args: --rows ${{inputs.rows}} --out ${{outputs.out}}
"""
_NESTED = """
type: pipeline
name: nested
version: 1
inputs: {data: {type: uri_folder}, where: {type: string, default: cpu-cluster}}
outputs: {best: {type: mlflow_model}}
jobs:
  inner:
    type: command
    component: ./train.yml
    compute: ${{parent.inputs.where}}
    inputs: {data: "${{parent.inputs.data}}", lr: 0.5}
    outputs: {model: "${{parent.outputs.best}}"}
"""
_PLAIN = """
type: pipeline
experiment_name: tests
settings: {default_compute: serverless}
jobs:
  only:
    type: command
    command: "true"
    environment: azureml:plain:1
"""
_EVERYTHING = """
type: pipeline
display_name: everything
experiment_name: tests
settings: {default_compute: azureml:cpu-cluster, continue_on_step_failure: true}
inputs:
  data: {type: uri_folder, path: "azureml://datastores/workspaceblobstore/paths/a/"}
  table: {type: mltable, path: "azureml:rows@latest", mode: eval_mount}
  file: {type: uri_file, path: "https://contosolake.blob.core.windows.net/landing/x.csv"}
outputs: {best: {type: mlflow_model, mode: upload}, scores: {type: uri_folder}}
jobs:
  command_node:
    type: command
    component: ./train.yml
    inputs: {data: "${{parent.inputs.data}}"}
    outputs: {model: {type: mlflow_model, name: kept, version: "3"}}
    resources: {instance_count: 2, instance_type: Standard_D2, shm_size: 4g}
    identity: {type: user_identity}
    queue_settings: {job_tier: spot}
    services: {lab: {type: jupyter_lab}}
    distribution: {type: mpi, process_count_per_instance: 1}
    limits: {timeout: 100}
    environment_variables: {A: "1"}
  parallel_node:
    type: parallel
    component: ./score.yml
    inputs: {rows: "${{parent.inputs.table}}"}
    outputs: {out: "${{parent.outputs.scores}}"}
    mini_batch_size: "4"
  sweep_node:
    type: sweep
    trial: ./train.yml
    inputs: {data: "${{parent.inputs.data}}"}
    outputs: {model: "${{parent.outputs.best}}"}
    sampling_algorithm: random
    search_space: {lr: {type: uniform, min_value: 0.1, max_value: 0.9}}
    objective: {goal: minimize, primary_metric: loss}
    limits: {max_total_trials: 4, max_concurrent_trials: 2, timeout: 7200}
    early_termination: {type: bandit, slack_factor: 0.1, delay_evaluation: 2}
  spark_node:
    type: spark
    component: ./spark.yml
    inputs: {rows: {type: uri_file, path: "${{parent.inputs.file}}", mode: direct}}
    resources: {instance_type: standard_e4s_v3, runtime_version: "3.3"}
    identity: {type: managed}
  nested_node:
    type: pipeline
    component: ./nested.yml
    inputs: {data: "${{parent.inputs.data}}"}
  automl_node:
    type: automl
    task: classification
    primary_metric: accuracy
    target_column_name: y
    training_data: ${{parent.inputs.table}}
    training: {enable_stack_ensemble: false}
    limits: {max_trials: 1}
    outputs: {best_model: {type: mlflow_model}}
  after_automl:
    type: command
    command: ls ${{inputs.model}}
    environment: azureml://registries/azureml/environments/sklearn/labels/latest
    inputs: {model: {type: mlflow_model, path: "${{parent.jobs.automl_node.outputs.best_model}}"}}
  of_a_registry:
    type: command
    component: azureml://registries/azureml/components/train_it/versions/0.0.1
    inputs: {anything: 1}
"""


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    topology = Topology(workspace=Workspace(executes=False))
    with LocalAzure(topology=topology) as azure, exported(azure):
        yield azure


@pytest.fixture(scope="module")
def client(azure: LocalAzure) -> MLClient:
    topology = azure.topology
    client = MLClient(
        DefaultAzureCredential(),
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        enable_telemetry=False,
        show_progress=False,
        retry_total=0,
    )
    client.environments.create_or_update(Environment(name="plain", version="1", image="python"))
    path = "azureml://datastores/workspaceblobstore/paths/rows/"
    client.data.create_or_update(Data(name="rows", version="1", path=path, type="mltable"))
    return client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a pipeline with a node of every type."""
    folder = tmp_path_factory.mktemp("everything")
    (folder / "src").mkdir()
    (folder / "src" / "main.py").write_text("print(1)\n")
    texts = {"train": _TRAIN, "score": _SCORE, "spark": _SPARK, "nested": _NESTED}
    for name, text in (texts | {"job": _EVERYTHING}).items():
        (folder / f"{name}.yml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def everything(client: MLClient, folder: Path) -> Any:
    return client.jobs.create_or_update(load_job(folder / "job.yml"))


def _graph(azure: LocalAzure, name: str) -> Any:
    answer = httpx.get(f"{azure.control_url}/graphs/{name}")
    answer.raise_for_status()
    return answer.json()


def test_a_node_of_every_type_is_kept(client: MLClient, everything: Any) -> None:
    found = client.jobs.get(everything.name)
    assert found.status == "Queued"
    assert {name: node.type for name, node in found.jobs.items()} == {
        "command_node": "command",
        "parallel_node": "parallel",
        "sweep_node": "sweep",
        "spark_node": "spark",
        "nested_node": "pipeline",
        "automl_node": "automl",
        "after_automl": "command",
        "of_a_registry": "command",
    }


def test_the_graph_shows_contents_and_values(azure: LocalAzure, everything: Any) -> None:
    graph = _graph(azure, everything.name)
    nodes = graph["nodes"]
    assert set(nodes) > {"nested_node", "nested_node/inner", "spark_node"}
    assert graph["bindings"] == {"best": "sweep_node.model", "scores": "parallel_node.out"}
    assert graph["settings"]["default_compute"] == "cpu-cluster"
    command = nodes["command_node"]
    assert command["component"]["environment"]["image"] == "python"
    assert command["component"]["code"]["hash"]
    assert command["inputs"]["data"]["uri"].endswith("/paths/a/")
    kept = {"name": "kept", "version": "3"}
    assert command["outputs"]["model"].items() >= kept.items()
    assert command["settings"]["queue_settings"] == {"job_tier": "Spot"}
    assert nodes["nested_node/inner"]["compute"] == "cpu-cluster"
    assert nodes["nested_node/inner"]["inputs"] == {"data": command["inputs"]["data"], "lr": "0.5"}
    assert nodes["after_automl"]["inputs"] == {"model": {"from": "automl_node.best_model"}}
    assert nodes["sweep_node"]["settings"]["search_space"]["lr"]["type"] == "uniform"
    assert nodes["parallel_node"]["inputs"]["rows"]["uri"].endswith("/data/rows/versions/1")


def test_inline_and_by_reference_are_the_same_graph(
    azure: LocalAzure, client: MLClient, folder: Path
) -> None:
    inline: Any = load_job(folder / "job.yml")
    for name in ("automl_node", "after_automl", "of_a_registry"):
        del inline.jobs[name]
    job = client.jobs.create_or_update(inline)
    component = client.components.create_or_update(
        PipelineComponent(
            name=unique("everything"),
            version="1",
            inputs={
                "data": Input(type="uri_folder"),
                "table": Input(type="mltable"),
                "file": Input(type="uri_file"),
            },
            outputs={"best": Output(type="mlflow_model"), "scores": Output(type="uri_folder")},
            jobs=inline.jobs,
        )
    )
    values = {name: value._data for name, value in inline.inputs.items()}
    reference = PipelineJob(
        component=component.id,
        name=unique("job"),
        experiment_name="tests",
        inputs=values,
        outputs={"best": Output(type="mlflow_model", mode="upload")},
        settings=inline.settings,
    )
    made = client.jobs.create_or_update(reference)
    first, second = _graph(azure, str(job.name)), _graph(azure, str(made.name))
    assert first["nodes"] == second["nodes"]
    assert first["bindings"] == second["bindings"]


def test_checks_are_made_all_the_same(client: MLClient, folder: Path) -> None:
    job: Any = load_job(folder / "job.yml")
    job.settings.default_compute = "nowhere"
    error = refusal(lambda: client.jobs.create_or_update(job))
    assert error.status_code == 400
    assert "nowhere" in error.message


def test_nothing_is_run_and_a_recorded_job_can_be_canceled(
    client: MLClient, everything: Any
) -> None:
    assert list(client.jobs.list(parent_job_name=everything.name)) == []
    client.jobs.begin_cancel(everything.name).result(timeout=10)
    assert client.jobs.get(everything.name).status == "Canceled"


@pytest.mark.parametrize("kind", ["train", "score", "spark", "nested"])
def test_components_of_every_type_come_back(client: MLClient, folder: Path, kind: str) -> None:
    component = load_component(folder / f"{kind}.yml")
    component.name = unique(kind)
    made = client.components.create_or_update(component)
    found = client.components.get(made.name, "1")
    assert found.type == component.type
    assert list(found.inputs) == list(component.inputs)


@pytest.mark.parametrize("status", ["Completed", "Failed", "Canceled"])
def test_jobs_end_as_the_control_was_told(azure: LocalAzure, client: MLClient, status: str) -> None:
    ending = {"name": f"told-{status}.*", "status": status}
    httpx.post(f"{azure.control_url}/endings", json=ending, trust_env=False).raise_for_status()
    job = load_job(io.StringIO(_PLAIN), params_override=[{"name": unique(f"told-{status}")}])
    name = str(client.jobs.create_or_update(job).name)
    assert finished(client, name).status == status
    assert list(client.jobs.list(parent_job_name=name)) == []
    # what was not told of stays as it is
    job.name = unique("untold")
    assert client.jobs.create_or_update(job).status == "Queued"


def test_an_ending_that_cannot_be_understood_is_refused(azure: LocalAzure) -> None:
    answer = httpx.post(f"{azure.control_url}/endings", json={"name": "("}, trust_env=False)
    assert answer.status_code == 400
    assert "no regular expression" in answer.text
