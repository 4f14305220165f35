"""Pipelines as nodes of pipelines, run for real: children, outputs, computes, failures."""

from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient, load_component, load_job
from azure.core.exceptions import HttpResponseError

from emulator.stack import LocalAzure
from tests.integration.workspace import children, details, finished, log_of, output, unique

_SAY = """
type: command
name: say
version: 1
inputs: {text: {type: string}, before: {type: uri_folder, optional: true}}
outputs: {said: {type: uri_folder}}
command: >-
  echo "${{inputs.text}}" > ${{outputs.said}}/text; echo $AZUREML_ROOT_RUN_ID
  $[[; cat ${{inputs.before}}/text >> ${{outputs.said}}/text]]
environment: azureml:plain:1
"""
_INNER = """
type: pipeline
name: inner
version: 1
inputs: {word: {type: string}, twice: {type: string, default: again}, where: {type: string}}
outputs: {both: {type: uri_folder}}
jobs:
  one: {type: command, component: ./say.yml, compute: "${{parent.inputs.where}}",
    inputs: {text: "<${{parent.inputs.word}}>"}}
  two: {type: command, component: ./say.yml, compute: "${{parent.inputs.where}}",
    inputs: {text: "${{parent.inputs.twice}}", before: "${{parent.jobs.one.outputs.said}}"},
    outputs: {said: "${{parent.outputs.both}}"}}
"""
_JOB = """
type: pipeline
experiment_name: tests
inputs: {word: hello}
outputs: {result: {type: uri_folder}}
settings: {default_compute: azureml:serverless}
jobs:
  sub: {type: pipeline, component: ./inner.yml,
    inputs: {word: "${{parent.inputs.word}}", where: cpu-cluster}}
  last: {type: command, component: ./say.yml,
    inputs: {text: end, before: "${{parent.jobs.sub.outputs.both}}"},
    outputs: {said: "${{parent.outputs.result}}"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {"say": _SAY, "inner": _INNER, "job": _JOB}.items():
        (tmp_path / f"{name}.yml").write_text(text)
    return tmp_path


def _submitted(ml: MLClient, folder: Path) -> Any:
    job: Any = load_job(folder / "job.yml")
    job.name = unique("nested")
    return ml.jobs.create_or_update(job)


def test_a_pipeline_as_a_node_runs_its_own_steps(
    ml: MLClient, local_azure: LocalAzure, folder: Path
) -> None:
    job = _submitted(ml, folder)
    assert finished(ml, job.name).status == "Completed"
    assert output(ml, job.name, "result", folder / "got") == {"text": "end\nagain\n<hello>\n"}
    steps = children(ml, job.name)
    assert set(steps) == {"sub", "last"}
    assert steps["sub"].status == "Completed"
    inner = children(ml, steps["sub"].name)
    assert set(inner) == {"one", "two"}
    assert {step.status for step in inner.values()} == {"Completed"}
    assert log_of(ml, local_azure, inner["one"].name).strip() == job.name


def test_the_node_computes_of_a_nested_pipeline_are_promoted(ml: MLClient, folder: Path) -> None:
    job = _submitted(ml, folder)
    finished(ml, job.name)
    inner = children(ml, children(ml, job.name)["sub"].name)
    assert details(ml, inner["one"].name).target == "cpu-cluster"

    text = (folder / "job.yml").read_text()
    (folder / "job.yml").write_text(text.replace("where: cpu-cluster", "where: nowhere"))
    with pytest.raises(HttpResponseError, match="Unknown compute target 'nowhere'"):
        _submitted(ml, folder)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('"${{parent.inputs.where}}"', "azureml:cpu-cluster", "can't hard-code compute"),
        (
            'before: "${{parent.jobs.one.outputs.said}}"',
            "before: {type: uri_folder, "
            'path: "azureml://datastores/workspaceblobstore/paths/fixed/"}',
            "data 'azureml://datastores",
        ),
    ],
)
def test_a_nested_pipeline_with_a_fixed_compute_or_data_is_refused(
    ml: MLClient, folder: Path, before: str, after: str, expected: str
) -> None:
    text = (folder / "inner.yml").read_text()
    assert before in text
    (folder / "inner.yml").write_text(text.replace(before, after))
    with pytest.raises(HttpResponseError, match="can't have runtime settings") as caught:
        ml.components.create_or_update(load_component(folder / "inner.yml"))
    assert expected in str(caught.value)


def test_a_failing_inner_step_fails_all_that_is_around_it(ml: MLClient, folder: Path) -> None:
    text = (folder / "say.yml").read_text()
    (folder / "say.yml").write_text(
        text.replace('echo "${{', 'test "${{inputs.text}}" != again || exit 3; echo "${{')
    )
    job = _submitted(ml, folder)
    assert finished(ml, job.name).status == "Failed"
    sub = children(ml, job.name)["sub"]
    assert sub.status == "Failed"
    assert "/sub" in details(ml, job.name).error.error.message
    assert "/two" in details(ml, sub.name).error.error.message
