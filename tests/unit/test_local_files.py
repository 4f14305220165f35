"""Files on somebody's disk that a document names."""

from pathlib import Path

import pytest
import yaml

from shared import documents, local_files


def named_in(content: object) -> list[str]:
    raw = yaml.safe_dump(content, sort_keys=False).encode()
    document = documents.parse(raw, file="a.yml", path=Path("a.yml"), root=Path())
    return [str(each) for each in local_files.named_in(document)]


def step(**content: object) -> dict[str, object]:
    return {"type": "pipeline", "jobs": {"a": {"type": "command", **content}}}


@pytest.mark.parametrize(
    "content",
    [
        step(code="./src"),
        step(code="/etc"),
        step(code="src"),
        step(code="file:///etc"),
        step(code=" FILE:/etc"),
        step(code="azureml:x/../../../etc"),
        step(component="./component.yml"),
        step(component="component.yml"),
        step(component="file:component.yml"),
        step(component="https://example.com/component.yml"),
        step(trial="trial.yml"),
        step(environment="env.yml"),
        step(environment={"image": "x", "conda_file": "conda.yml"}),
        step(environment={"image": "x", "conda_file": "azureml:/../../etc/passwd"}),
        step(environment={"build": {"path": "context"}}),
        step(environment={"build": {"path": ".", "dockerfile_path": "Dockerfile"}}),
        step(component={"type": "command", "code": "src"}),
        step(additional_includes=["../other"]),
        step(inputs={"data": {"type": "uri_file", "path": "data.csv"}}),
        step(inputs={"data": {"type": "uri_file", "path": "azureml:../../data.csv"}}),
        step(inputs={"data": "file:data.csv"}),
        step(task={"type": "run_function", "code": "src"}),
        step(entry={"file": "main.py"}, jars=["a.jar"]),
        # Names that are chosen by whoever writes the document.
        *(
            {"type": "pipeline", "jobs": {name: {"type": "command", "code": "/etc"}}}
            for name in ("command", "description", "tags", "properties", "inputs")
        ),
        {"jobs": {"a": {"type": "pipeline", "jobs": {"tags": {"component": "a.yml"}}}}},
        step(inputs={"comment": {"type": "uri_file", "path": "data.csv"}}),
        {"type": "pipeline", "component": "pipeline.yml"},
        {"type": "pipeline", "inputs": {"a": {"type": "uri_file", "path": "x"}}, "jobs": {}},
    ],
)
def test_every_way_to_name_a_file_is_found(content: object) -> None:
    found = named_in(content)

    assert found
    assert all(each.startswith("a.yml:") and "signalbox publish FOLDER" in each for each in found)


@pytest.mark.parametrize(
    "content",
    [
        step(
            command="python ../x.py file:///etc ./y",
            environment="azureml:plain:1",
            environment_variables={"PATH": "file:./x", "path": "./y"},
        ),
        step(environment={"image": "python", "conda_file": {"dependencies": ["python=3.13"]}}),
        step(environment="azureml://registries/azureml/environments/x/labels/latest"),
        step(component="azureml:prepare:1"),
        step(component="azureml:prepare@latest"),
        step(code="git+https://github.com/a/b"),
        step(inputs={"data": {"type": "uri_file", "path": "https://x.blob.core.windows.net/a/b"}}),
        step(inputs={"data": {"type": "uri_file", "path": "${{parent.inputs.data}}"}}),
        step(inputs={"text": "./just/a/text"}),
        {"$schema": "file.json", "type": "pipeline", "description": "file: x", "jobs": {}},
    ],
)
def test_what_is_no_file_is_let_be(content: object) -> None:
    assert named_in(content) == []
