"""Compiled definitions against golden files, and what a version does and does not depend on.

`pytest tests/unit --regenerate-golden` writes the golden files anew; read the difference.
"""

import json
import os
import re
import shutil
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.ai.ml import load_component

from shared import compiler, definitions
from shared.compiler import CompiledPipeline
from shared.inputs import DataInput, PipelineInput

DEFINITIONS = Path(__file__).parent / "definitions"
GOLDEN = Path(__file__).parent / "golden"
PIPELINES = [path.stem for path in sorted((DEFINITIONS / "pipelines").iterdir())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the definitions that a test may change."""
    return Path(shutil.copytree(DEFINITIONS, tmp_path / "definitions"))


def compiled(folder: Path, name: str) -> CompiledPipeline:
    [definition] = [found for found in definitions.load(folder).pipelines if found.name == name]
    return compiler.compile(definition)


@cache
def original(name: str = "churn-training") -> CompiledPipeline:
    """Of the definitions as they are."""
    return compiled(DEFINITIONS, name)


def versions_of(found: CompiledPipeline) -> dict[str, str]:
    """Of the pipeline and of each of its steps."""
    return {found.name: found.version, **{step.name: step.version for step in found.steps}}


def versions(folder: Path, name: str = "churn-training") -> dict[str, str]:
    return versions_of(compiled(folder, name))


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def as_json(pipeline: CompiledPipeline) -> str:
    text = json.dumps(asdict(pipeline), default=lambda model: model.model_dump(), indent=2)
    return text.replace(str(DEFINITIONS), "<definitions>") + "\n"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_compiles_to_its_golden_file(name: str, regenerate_golden: bool) -> None:
    made = as_json(original(name))
    golden = GOLDEN / f"{name}.json"
    if regenerate_golden:
        golden.write_text(made)

    assert made == golden.read_text()


def test_every_golden_file_has_its_pipeline() -> None:
    assert [path.stem for path in sorted(GOLDEN.iterdir())] == PIPELINES


@pytest.mark.parametrize("name", PIPELINES)
def test_a_copy_of_a_folder_has_the_same_versions(tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(DEFINITIONS, tmp_path / "other/deeper"))

    assert versions(copy, name) == versions_of(original(name))


def test_names_and_versions_are_what_azureml_takes() -> None:
    for name in PIPELINES:
        found = original(name)
        for component in (found.component, *found.steps):
            assert re.fullmatch(r"[a-z][a-z0-9_]*", component.name)
            assert re.fullmatch(r"[0-9a-f]{16}", component.version)
            assert component.document["name"] == component.name
            assert component.document["version"] == component.version


@pytest.mark.parametrize("name", PIPELINES)
def test_the_sdk_loads_what_is_to_be_registered(tmp_path: Path, name: str) -> None:
    found = original(name)
    for made in (found.component, *found.steps):
        if flow := made.document.get("flow"):
            # Its file says all the rest.
            assert load_component(flow).type == made.document["type"]
            continue
        file = tmp_path / f"{made.name}.yml"
        file.write_text(yaml.safe_dump(made.document, sort_keys=False))
        loaded = load_component(file)

        assert (loaded.name, loaded.version) == (made.name, made.version)
        assert loaded.inputs.keys() == made.document.get("inputs", {}).keys()
        assert loaded.outputs.keys() == made.document.get("outputs", {}).keys()


def test_a_component_of_two_pipelines_is_one_version() -> None:
    [one] = [step for step in original().steps if "prep" in step.name]
    [other] = [step for step in original("scoring").steps if "prep" in step.name]

    assert one == other


def test_what_leaves_no_trace_in_the_content_changes_nothing(folder: Path) -> None:
    source = folder / "components/prepare/src"
    os.utime(source / "prepare.py", (1, 1))
    (source / "prepare.py").chmod(0o600)
    (source / "__pycache__").mkdir()
    (source / "__pycache__/prepare.cpython-313.pyc").write_bytes(b"\x00")
    (source / "deeper/__pycache__").mkdir(parents=True)
    (source / "deeper/__pycache__/x.pyc").write_bytes(b"\x00")
    (source / ".DS_Store").write_bytes(b"\x00")
    (source / "empty").mkdir()
    edit(folder, "pipelines/churn-training.yml", "# Component files", "# Other words")
    edit(folder, "pipelines/churn-training.yml", "share: 0.25", "'share':    0.250")
    edit(folder, "components/train/component.yml", "{instance_count: 1}", "\n  instance_count: 1")

    assert versions(folder) == versions_of(original())


#: What is edited, and the versions that change beside the pipeline's own.
EDITS = {
    "a byte of code": ("components/prepare/src/prepare.py", "prepare", "Prepare", {"prepare_rows"}),
    "a command": ("components/train/component.yml", "train.py", "-O train.py", {"train_model"}),
    "an environment's packages": ("environments/conda.yml", "1.9.1", "1.9.2", {"prepare_rows"}),
    "an environment's reference": ("components/train/component.yml", ":3", ":4", {"train_model"}),
    "a component's port": (
        "components/train/component.yml", "min: 1", "min: 2", {"train_model"},
    ),
    "a component's name": (
        "components/train/component.yml", "train_model", "fit_model", {"fit_model", "train_model"},
    ),
    "a default": ("pipelines/churn-training.yml", "seed: 7", "seed: 9", set()),
    "a default's type": ("pipelines/churn-training.yml", "share: 1", "share: 1.0", set()),
    "a setting": ("pipelines/churn-training.yml", "cpu-cluster", "gpu-cluster", set()),
    "a tag": ("pipelines/churn-training.yml", "retention", "sales", set()),
    "the experiment": ("pipelines/churn-training.yml", "name: churn", "name: other", set()),
    "an input's mode": ("pipelines/churn-training.yml", "download}", "ro_mount}", set()),
    "an output's path": ("pipelines/churn-training.yml", "paths/second", "paths/third", set()),
    "a binding": ("pipelines/churn-training.yml", "${{parent.inputs.seed}}", "1", set()),
    "a step's limit": ("pipelines/churn-training.yml", "timeout: 600", "timeout: 60", set()),
    "a step's variable": ("pipelines/churn-training.yml", 'VERBOSE: "1"', 'VERBOSE: "2"', set()),
    "a step's name": ("pipelines/churn-training.yml", "train_first", "train_one", set()),
    "a description": ("pipelines/churn-training.yml", "two models", "models", set()),
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
def test_content_changes_the_versions_that_hold_it(folder: Path, what: str) -> None:
    file, old, new, steps = EDITS[what]
    before = versions_of(original())
    edit(folder, file, old, new)
    after = versions(folder)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}

    assert changed == {"churn-training", *steps}


@pytest.mark.parametrize(
    "change",
    [
        lambda source: (source / "new.txt").write_text(""),
        lambda source: (source / "prepare.py").rename(source / "other.py"),
        lambda source: (source / "deep").mkdir() or (source / "deep/new.txt").write_text(""),
    ],
)
def test_files_that_come_go_or_move_change_the_version(folder: Path, change: Any) -> None:
    change(folder / "components/prepare/src")

    assert (
        versions(folder, "scoring")["prepare_rows"]
        != versions_of(original("scoring"))["prepare_rows"]
    )


def test_files_do_not_run_into_each_other(folder: Path) -> None:
    source = folder / "components/prepare/src"
    (source / "a").write_text("bc")
    before = versions(folder)["prepare_rows"]
    (source / "a").rename(source / "ab")
    (source / "ab").write_text("c")

    assert versions(folder)["prepare_rows"] != before


def component(folder: Path, **more: Any) -> Path:
    """Replaces the heartbeat's step by a component file with more in it."""
    step = folder / "components/own/component.yml"
    step.parent.mkdir()
    content = {
        "type": "command",
        "name": "own",
        "command": "echo",
        "environment": "azureml:plain:1",
        **more,
    }
    step.write_text(json.dumps(content))
    (folder / "pipelines/heartbeat.yml").write_text(
        "type: pipeline\n"
        "jobs:\n"
        "  say: {type: command, component: ../components/own/component.yml}\n"
    )
    return step.parent


class TestAnEnvironmentBuiltFromAFolder:
    def folder_with(self, place: Path, dockerfile: str) -> Path:
        folder = Path(shutil.copytree(DEFINITIONS, place))
        own = component(folder, environment={"build": {"path": "./docker"}})
        (own / "docker").mkdir()
        (own / "docker/Dockerfile").write_text(dockerfile)
        return folder

    def test_has_a_version_by_its_content(self, tmp_path: Path) -> None:
        one = versions(self.folder_with(tmp_path / "one", "FROM a"), "heartbeat")
        shutil.rmtree(tmp_path / "one")
        other = versions(self.folder_with(tmp_path / "one", "FROM b"), "heartbeat")

        assert one != other

    def test_has_the_same_version_everywhere(self, tmp_path: Path) -> None:
        one = versions(self.folder_with(tmp_path / "one", "FROM a"), "heartbeat")
        other = versions(self.folder_with(tmp_path / "other", "FROM a"), "heartbeat")

        assert one == other


def pipeline(folder: Path, text: str) -> CompiledPipeline:
    (folder / "pipelines/own.yml").write_text(text)
    return compiled(folder, "own")


def typed(folder: Path, value: str, *ports: str) -> PipelineInput:
    """The compiled input of a literal that is bound to ports of these types."""
    steps = "".join(
        f"""
  step{number}:
    type: command
    component:
      type: command
      command: echo ${{{{inputs.x}}}}
      environment: azureml:plain:1
      inputs: {{x: {{type: {port}}}}}
    inputs: {{x: "${{{{parent.inputs.x}}}}"}}"""
        for number, port in enumerate(ports)
    )
    return pipeline(folder, f"type: pipeline\ninputs: {{x: {value}}}\njobs:{steps}\n").inputs["x"]


@pytest.mark.parametrize(
    ("value", "ports", "type", "default"),
    [
        ("3", ["number"], "number", 3),
        ("3", ["integer"], "integer", 3),
        ("3", ["number", "integer"], "number", 3),
        ("'3'", ["string"], "string", "3"),
        ("true", ["boolean"], "boolean", True),
        ("0.5", ["number"], "number", 0.5),
        ("0", ["integer"], "integer", 0),
        ("false", ["boolean"], "boolean", False),
        ("''", ["string"], "string", ""),
    ],
)
def test_a_literal_has_the_type_that_its_steps_expect(
    folder: Path, value: str, ports: list[str], type: str, default: Any
) -> None:
    found = typed(folder, value, *ports)

    assert (found.type, found.default) == (type, default)
    assert found.default.__class__ is default.__class__
    assert not found.required


def test_a_literal_that_only_registered_components_use_has_the_type_of_its_value(
    folder: Path,
) -> None:
    found = pipeline(
        folder,
        "type: pipeline\n"
        "inputs: {a: 1, b: 1.5, c: true, d: text}\n"
        "jobs:\n"
        "  step:\n"
        "    type: command\n"
        "    component: azureml:registered:1\n"
        '    inputs: {a: "${{parent.inputs.a}}", d: "${{parent.inputs.d}}"}\n',
    )

    assert {name: value.type for name, value in found.inputs.items()} == {
        "a": "integer", "b": "number", "c": "boolean", "d": "string",
    }  # fmt: skip
    assert found.steps == ()
    assert found.component.document["jobs"]["step"]["component"] == "azureml:registered:1"


def test_what_a_component_cannot_carry_travels_beside_it() -> None:
    found = original()

    assert found.settings["continue_on_step_failure"] is True
    assert found.settings["default_compute"].endswith("cpu-cluster")
    assert (found.experiment_name, found.description) == ("churn", "Trains two models.")
    assert found.tags == {"team": "retention", "level": "2"}
    assert found.inputs["rows"] == PipelineInput(type="uri_file", mode="download")
    assert found.inputs["rows"].required
    assert found.outputs["second"] == DataInput(
        type="mlflow_model",
        mode="upload",
        path="azureml://datastores/workspaceblobstore/paths/second",
    )
    # A pipeline component holds no runtime settings, no data and no paths of outputs.
    document = found.component.document
    assert document["inputs"]["rows"] == {"type": "uri_file"}
    assert document["outputs"]["second"] == {"type": "mlflow_model"}
    assert "settings" not in document
    assert not original("scoring").inputs["rows"].required


def test_an_output_has_the_type_of_the_port_that_makes_it() -> None:
    assert original("scoring").outputs == {"report": DataInput(type="uri_folder")}


def test_an_output_keeps_the_name_that_it_is_registered_under() -> None:
    found = original("every-field").outputs

    assert (found["model"].name, found["model"].version) == ("churn-model", "7")
    assert found["made"].model_dump() == {"type": "uri_folder", "path": None, "mode": None}


def test_an_output_of_a_legacy_path_is_a_folder() -> None:
    assert original("every-field").outputs["left"].type == "uri_folder"


def test_an_import_is_registered_by_its_source(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED", "true")
    found = pipeline(
        folder,
        "type: pipeline\n"
        "jobs:\n"
        "  fetch:\n"
        "    type: import\n"
        "    source: {type: azuresqldb, query: select 1, connection: azureml:rows}\n"
        "    output: {type: mltable, path: azureml://datastores/d/paths/rows/}\n",
    )
    [step] = found.steps

    assert {"source", "output"} <= step.document.keys()
    assert not {"inputs", "outputs"} & step.document.keys()
    assert found.component.document["jobs"]["fetch"]["inputs"]["query"] == "select 1"


def test_a_node_keeps_what_is_its_own() -> None:
    nodes = original().component.document["jobs"]

    assert list(nodes) == ["prepare", "train_first", "train_second"]
    assert nodes["train_first"]["component"] == nodes["train_second"]["component"]
    assert nodes["train_second"]["limits"] == {"timeout": 600}
    assert nodes["train_second"]["environment_variables"] == {"VERBOSE": "1"}
    assert nodes["train_second"]["inputs"]["rounds"] == 60


@pytest.mark.parametrize("name", ["2nd-step", "_hidden"])
def test_a_declared_name_becomes_one_that_azureml_takes(folder: Path, name: str) -> None:
    component(folder, name=name)
    [step] = compiled(folder, "heartbeat").steps

    assert re.fullmatch(r"[a-z][a-z0-9_]*", step.name)
