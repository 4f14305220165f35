"""Steps that are not run again when nothing has changed, and everything that makes them run."""

from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, Output
from azure.ai.ml.entities import CommandComponent

from tests.integration.workspace import children, finished, output, pipeline, unique

_TWO_STEPS = """
type: pipeline
inputs: {word: WORD}
outputs: {copy: {type: uri_folder}}
jobs:
  make:
    type: command
    command: echo "${{inputs.word}} $RANDOM" > ${{outputs.made}}/text
    environment: azureml:plain:1
    inputs: {word: "${{parent.inputs.word}}"}
    outputs: {made: {type: uri_folder}}
  copy:
    type: command
    command: cp ${{inputs.made}}/text ${{outputs.copy}}/text
    environment: azureml:plain:1
    inputs: {made: {type: uri_folder, path: "${{parent.jobs.make.outputs.made}}"}}
    outputs: {copy: "${{parent.outputs.copy}}"}
"""


def _run(ml: MLClient, yaml: str, **settings: Any) -> Any:
    job: Any = pipeline(yaml)
    for name, value in settings.items():
        setattr(job.settings, name, value)
    done = finished(ml, ml.jobs.create_or_update(job).name)
    assert done.status == "Completed"
    return done


def _reused(ml: MLClient, job: Any) -> dict[str, bool]:
    return {
        name: step.properties["azureml.isreused"] == "true"
        for name, step in children(ml, job.name).items()
    }


def test_unchanged_steps_are_reused_with_their_outputs(ml: MLClient, tmp_path: Path) -> None:
    yaml = _TWO_STEPS.replace("WORD", unique("word"))
    first, second = _run(ml, yaml), _run(ml, yaml)
    assert _reused(ml, first) == {"make": False, "copy": False}
    assert _reused(ml, second) == {"make": True, "copy": True}
    earlier = children(ml, first.name)["make"]
    properties = children(ml, second.name)["make"].properties
    assert properties["azureml.reusedrunid"] == earlier.name
    assert properties["azureml.reusedpipelinerunid"] == first.name
    made = output(ml, first.name, "copy", tmp_path / "first")
    assert output(ml, second.name, "copy", tmp_path / "second") == made
    step = children(ml, second.name)["make"]
    ml.jobs.download(step.name, download_path=tmp_path / "step", output_name="made")
    assert [path.read_text() for path in (tmp_path / "step").rglob("text")] == [made["text"]]


def test_force_rerun_runs_everything(ml: MLClient) -> None:
    yaml = _TWO_STEPS.replace("WORD", unique("word"))
    _run(ml, yaml)
    assert _reused(ml, _run(ml, yaml, force_rerun=True)) == {"make": False, "copy": False}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("WORD", "another"),
        ('echo "${{', 'echo "so ${{'),
        ("    outputs: {made:", "    environment_variables: {A: b}\n    outputs: {made:"),
    ],
)
def test_what_changes_runs_and_so_does_all_behind_it(ml: MLClient, before: str, after: str) -> None:
    word = unique("word")
    _run(ml, _TWO_STEPS.replace("WORD", word))
    changed = _TWO_STEPS.replace(before, after if before != "WORD" else word + after)
    assert changed != _TWO_STEPS
    job = _run(ml, changed.replace("WORD", word))
    assert _reused(ml, job) == {"make": False, "copy": False}


def test_a_component_that_is_not_deterministic_runs_always(ml: MLClient) -> None:
    dice = CommandComponent(
        name=unique("dice"),
        version="1",
        command="cp ${{inputs.made}}/text ${{outputs.copy}}/text",
        environment="azureml:plain:1",
        inputs={"made": Input(type="uri_folder")},
        outputs={"copy": Output(type="uri_folder")},
        is_deterministic=False,
    )
    ml.components.create_or_update(dice)
    before, _, after = _TWO_STEPS.partition("    command: cp")
    rest = after.partition("environment: azureml:plain:1")[2]
    yaml = f"{before}    component: azureml:{dice.name}:1{rest}".replace("WORD", unique("word"))
    _run(ml, yaml)
    assert _reused(ml, _run(ml, yaml)) == {"make": True, "copy": False}


def test_a_failed_step_is_not_reused_but_those_before_it_are(ml: MLClient, tmp_path: Path) -> None:
    mark = tmp_path / "mended"
    yaml = _TWO_STEPS.replace("WORD", unique("word")).replace(
        "command: cp", f"command: test -e {mark} && cp"
    )
    job = finished(ml, ml.jobs.create_or_update(pipeline(yaml)).name)
    assert job.status == "Failed"
    mark.touch()
    assert _reused(ml, _run(ml, yaml)) == {"make": True, "copy": False}
