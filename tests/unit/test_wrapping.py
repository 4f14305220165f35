"""A job of one command as a pipeline."""

from pathlib import Path

from shared import documents, wrapping


def test_a_command_becomes_the_only_step(tmp_path: Path) -> None:
    file = tmp_path / "say.yml"
    file.write_text(
        "type: command\ncommand: echo ${{inputs.x}}\ncompute: azureml:c\ninputs:\n  x: 1\n"
    )
    found = wrapping.wrapped(documents.read(file, root=tmp_path), "say-it")

    assert found.content == {
        "type": "pipeline",
        "settings": {"default_compute": "azureml:c"},
        "inputs": {"x": 1},
        "jobs": {
            "say_it": {
                "type": "command",
                "command": "echo ${{inputs.x}}",
                "inputs": {"x": "${{parent.inputs.x}}"},
            }
        },
    }
    assert found.line(("jobs", "say_it", "command")) == 2
    assert found.line(("settings", "default_compute")) == 3


def test_a_pipeline_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "own.yml"
    file.write_text("type: pipeline\njobs: {}\n")
    document = documents.read(file, root=tmp_path)

    assert wrapping.wrapped(document, "own") is document
