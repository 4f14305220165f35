"""A workspace that checks and keeps every submission and runs none, through the official SDK."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, Output, load_component, load_job
from azure.ai.ml.entities import Data, Environment, PipelineComponent, PipelineJob
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from emulator.topology import Topology, Workspace
from tests.integration.conftest import exported
from tests.integration.workspace import finished, refusal, unique
from tests.loopback import loopback

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
    distribution: {type: mpi, process_count_per_instance: 4}
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
    answer = loopback.get(f"{azure.control_url}/graphs/{name}")
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
    assert graph["compute"] == "cpu-cluster"
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


_TOLD = """
type: pipeline
display_name: told
experiment_name: tests
description: As it is.
tags: {team: blue}
identity: {type: user_identity}
settings: {default_compute: azureml:cpu-cluster, continue_on_step_failure: true}
inputs:
  data: {type: uri_folder, path: "azureml://datastores/workspaceblobstore/paths/a/"}
outputs: {best: {type: mlflow_model, mode: upload, name: kept, version: "1"}}
jobs:
  step:
    type: command
    component: ./train.yml
    display_name: Step
    comment: told
    inputs: {data: {type: uri_folder, path: "${{parent.inputs.data}}", mode: download}, lr: 0.5}
    outputs: {model: "${{parent.outputs.best}}"}
    environment_variables: {A: "", B: "1"}
    resources: {instance_count: 2, instance_type: Standard_D2}
    identity: {type: managed}
    queue_settings: {job_tier: spot}
    services: {lab: {type: jupyter_lab}}
    distribution: {type: mpi, process_count_per_instance: 4}
    limits: {timeout: 100}
  other:
    type: command
    component: azureml://registries/azureml/components/train_it/versions/1
    inputs: {model: "${{parent.jobs.step.outputs.model}}"}
    outputs: {out: {type: uri_folder, mode: upload}}
"""
#: What is changed in the job, or else in the component: from, to, and where the graph tells it.
_CHANGES = {
    "display name": ("name: told", "name: else", "job.displayName"),
    "description": ("As it is", "As it was", "job.description"),
    "tag": ("blue", "red", "job.tags.team"),
    "identity": (
        "user_identity}\nsettings", "managed}\nsettings", "job.identity.identityType",
    ),
    "default compute": ("azureml:cpu-cluster", "azureml:serverless", "compute"),
    "setting": ("failure: true", "failure: false", "settings.continue_on_step_failure"),
    "data": ("paths/a/", "paths/b/", "inputs.data.uri"),
    "output's name": ("name: kept", "name: lost", "outputs.best.assetName"),
    "output's mode": ("{type: mlflow_model, mode: upload", "{type: mlflow_model, mode: rw_mount",
        "outputs.best.mode"),
    "step's display name": ("Step", "Stop", "nodes.step.settings.display_name"),
    "comment": ("comment: told", "comment: else", "nodes.step.settings.comment"),
    "input's mode": ("mode: download", "mode: ro_mount", "nodes.step.ports.inputs.data.mode"),
    "literal": ("lr: 0.5", "lr: 0.6", "nodes.step.inputs.lr"),
    "binding": ("{model: \"${{parent.outputs.best}}\"}", "{}", "bindings.best"),
    "empty variable": ('A: "", ', "", "nodes.step.settings.environment_variables.A"),
    "resources": ("instance_count: 2, ", "instance_count: 3, ",
        "nodes.step.settings.resources.instance_count"),
    "step's identity": ("managed}\n    queue", "user_identity}\n    queue",
        "nodes.step.settings.identity.identity_type"),
    "tier": ("spot", "standard", "nodes.step.settings.queue_settings.job_tier"),
    "service": ("jupyter_lab", "vs_code", "nodes.step.settings.services.lab.job_service_type"),
    "distribution": ("per_instance: 4", "per_instance: 8",
        "nodes.step.settings.distribution.process_count_per_instance"),
    "limit": ("timeout: 100", "timeout: 200", "nodes.step.settings.limits.timeout"),
    "registry's version": ("versions/1", "versions/2", "nodes.other.component.address"),
    "own output's mode": ("uri_folder, mode: upload", "uri_folder, mode: rw_mount",
        "nodes.other.outputs.out.mode"),
    "command": ("python main.py", "python3 main.py", "nodes.step.component.command"),
    "environment": ("azureml:plain:1", "{image: other}",
        "nodes.step.component.environment.image"),
    "component's port": ("default: 0.1", "default: 0.2",
        "nodes.step.component.inputs.lr.default"),
    "determinism": ("is_deterministic: false", "is_deterministic: true",
        "nodes.step.component.is_deterministic"),
}  # fmt: skip


def _places(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where two graphs differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            yield from _places(one.get(key), other.get(key), f"{place}.{key}")
    elif one != other:
        yield place[1:]


def test_whatever_is_different_in_a_job_is_so_in_its_graph(
    azure: LocalAzure, client: MLClient, folder: Path
) -> None:
    def graph(job: str, component: str) -> Any:
        (folder / "told.yml").write_text(job.replace("train.yml", "told-train.yml"))
        (folder / "told-train.yml").write_text(component)
        loaded: Any = load_job(folder / "told.yml")
        loaded.name = unique("told")
        return _graph(azure, str(client.jobs.create_or_update(loaded).name))

    before, changed, train = graph(_TOLD, _TRAIN), _TOLD, _TRAIN
    for old, new, _ in _CHANGES.values():
        assert (changed + train).count(old) == 1, old
        changed, train = changed.replace(old, new), train.replace(old, new)
    found = set(_places(before, graph(changed, train)))

    assert list(_places(before, graph(_TOLD, _TRAIN))) == []
    assert {what: place for what, (_, _, place) in _CHANGES.items() if place not in found} == {}


_FLOW = """
$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json
inputs: {text: {type: string}}
outputs: {output: {type: string, reference: "${ask.output}"}}
nodes:
  - {name: ask, type: python, source: {type: code, path: ask.py}, inputs: {text: "${inputs.text}"}}
"""
_OF_A_FLOW = """
type: pipeline
settings: {default_compute: azureml:cpu-cluster}
inputs: {rows: {type: uri_file, path: "azureml://datastores/workspaceblobstore/paths/a.jsonl"}}
jobs:
  ask:
    type: parallel
    component: ./flow/flow.dag.yaml
    inputs:
      data: ${{parent.inputs.rows}}
      text: ${data.text}
      connections.ask.connection: mine
"""


def test_a_flow_becomes_a_parallel_component(
    azure: LocalAzure, client: MLClient, tmp_path: Path
) -> None:
    (tmp_path / "flow/.promptflow").mkdir(parents=True)
    for name, text in {
        "flow/flow.dag.yaml": _FLOW,
        "flow/ask.py": "",
        "flow/.promptflow/flow.tools.json": "{}",
        "job.yml": _OF_A_FLOW,
    }.items():
        (tmp_path / name).write_text(text)
    named = [{"name": unique("flow")}, {"version": "1"}]
    component = load_component(tmp_path / "flow/flow.dag.yaml", params_override=named)
    made = client.components.create_or_update(component)

    assert made.type == client.components.get(made.name, "1").type == "parallel"
    job = client.jobs.create_or_update(load_job(tmp_path / "job.yml"))
    node = _graph(azure, str(job.name))["nodes"]["ask"]
    assert node["inputs"]["text"] == "${data.text}"
    assert node["inputs"]["connections.ask.connection"] == "mine"
    assert node["component"]["flow_definition_uri"]["file"] == "flow.dag.yaml"


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
    loopback.post(f"{azure.control_url}/endings", json=ending).raise_for_status()
    job = load_job(io.StringIO(_PLAIN), params_override=[{"name": unique(f"told-{status}")}])
    name = str(client.jobs.create_or_update(job).name)
    assert finished(client, name).status == status
    assert list(client.jobs.list(parent_job_name=name)) == []
    # what was not told of stays as it is
    job.name = unique("untold")
    assert client.jobs.create_or_update(job).status == "Queued"


def test_an_ending_that_cannot_be_understood_is_refused(azure: LocalAzure) -> None:
    answer = loopback.post(f"{azure.control_url}/endings", json={"name": "("})
    assert answer.status_code == 400
    assert "no regular expression" in answer.text
