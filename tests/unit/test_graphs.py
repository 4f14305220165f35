"""Everything wrong with a pipeline is found before anything is registered, each at its line."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.errors import Problem
from tests.unit.graphing import FILED, INLINE, line_of, load, problems


@pytest.mark.parametrize("text", [INLINE, FILED], ids=["inline", "filed"])
def test_a_graph_knows_what_is_bound_to_what(tmp_path: Path, text: str) -> None:
    graph = load(tmp_path, text)

    assert list(graph.nodes) == ["prepare", "use"]
    assert list(graph.declared("inputs")) == ["rows"]
    assert [(bound.node, bound.port) for bound in graph.users_of_input("rows")] == [
        ("prepare", "rows")
    ]
    assert [(bound.node, bound.port) for bound in graph.makers_of_output("kept")] == [
        ("use", "kept")
    ]
    assert [graph.port(bound)["type"] for bound in graph.users_of_input("rows")] == ["uri_file"]
    assert graph.ports("prepare", "outputs").keys() == {"clean"}
    assert list(graph.users_of_input("unknown")) == []


#: What is wrong: the edit that makes it so, a text on the line where it is, and what is said.
MISTAKES = {
    "another type of document": (
        "type: pipeline", "type: sweep", "type: sweep", "jobs of type 'pipeline', ",
    ),
    "an unknown type of node": (
        "  use:\n    type: command", "  use:\n    type: magic", "type: magic", "jobs.use",
    ),
    "a private type of node": (
        "  use:\n    type: command", "  use:\n    type: import", "type: import",
        "AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED=true",
    ),
    "a node that is none": ("  use:\n", "  nothing: 5\n  use:\n", "nothing: 5", "not a mapping"),
    "a compute from nowhere": (
        "  use:\n", "  use:\n    compute: ${{parent.inputs.where}}\n", "parent.inputs.where",
        "no pipeline input 'where'; there are: rows",
    ),
    "data of a step that is not there": (
        "rows: ${{parent.inputs.rows}}", "rows: {type: uri_file, path: ../data/b.csv}",
        "path: ../data/b.csv", "there is no file or folder '../data/b.csv'",
    ),
    "local data that is not there": (
        "type: uri_file\n", "type: uri_file\n    path: ../data/a.csv\n", "path: ../data/a",
        "there is no file or folder '../data/a.csv'",
    ),
    "a name that is not free": (
        "outputs:\n  kept", "  signalbox_x: 5\noutputs:\n  kept", "signalbox_x: 5",
        "Signalbox's own",
    ),
    "a misspelt input in a command": (
        "echo ${{inputs.rows}}", "echo ${{inputs.row}}", "echo ${{inputs.row}}",
        "there is no input of the command: 'row'; there are: rows",
    ),
    "a misspelt output in a command": (
        "${{outputs.clean}}\n", "${{outputs.clear}}\n", "${{outputs.clear}}",
        "there is no output of the command: 'clear'; there are: clean",
    ),
    "no environment": (
        "${{outputs.kept}}\n    environment: azureml:plain:1\n", "${{outputs.kept}}\n", "  use:",
        "job 'use' has no environment",
    ),
    "a conda file that is not there": (
        "  use:\n    type: command\n    command: echo ${{inputs.clean}} ${{outputs.kept}}\n"
        "    environment: azureml:plain:1\n",
        "  use:\n    type: command\n    command: echo ${{inputs.clean}} ${{outputs.kept}}\n"
        "    environment: {image: x, conda_file: ../gone.yml}\n",
        "conda_file", "there is no file or folder '../gone.yml'",
    ),
    "a component that is not there": (
        "outputs:\n  kept", "component: ../gone.yml\noutputs:\n  kept", "component: ../gone.yml",
        "there is no file or folder '../gone.yml'",
    ),
    "a missing command": (
        "    command: echo ${{inputs.clean}} ${{outputs.kept}}\n", "", "  use:", "jobs.use",
    ),
    "tags of the wrong shape": (
        "type: pipeline\n", "type: pipeline\ntags: [a]\n", "tags:", "tags: Not a valid mapping",
    ),
    "settings of the wrong shape": (
        "type: pipeline\n", "type: pipeline\nsettings: 5\n", "settings:", "settings: Invalid input",
    ),
    "an input without a value": (
        "  rows:\n    type: uri_file\n", "  rows: # nothing\n", "# nothing", "inputs.rows: ",
    ),
}  # fmt: skip


REFERENCES = {
    "an unknown pipeline input": (
        "parent.inputs.rows", "parent.inputs.row", "parent.inputs.row",
        "no pipeline input 'row'; there are: rows",
    ),
    "an unknown job": (
        "jobs.prepare.outputs", "jobs.prep.outputs", "jobs.prep.", "no job 'prep'",
    ),
    "an unknown output of a job": (
        "outputs.clean}}\n    outputs:\n", "outputs.clear}}\n    outputs:\n", "outputs.clear",
        "'clear'; there are: clean",
    ),
    "an unknown pipeline output": (
        "parent.outputs.kept", "parent.outputs.keep", "parent.outputs.keep",
        "no pipeline output 'keep'; there are: kept",
    ),
}  # fmt: skip


def all_found(folder: Path, text: str, *kinds: str) -> None:
    """Makes the mistakes and finds each of them, where it is."""
    for what in kinds:
        old, new = (MISTAKES | REFERENCES)[what][:2]
        assert old in text
        text = text.replace(old, new, 1)
    found = problems(folder, text)
    for what in kinds:
        _, _, place, said = (MISTAKES | REFERENCES)[what]
        line = line_of(text, place)
        assert any(problem.line == line and said in problem.message for problem in found), found


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_found_at_its_line(tmp_path: Path, what: str) -> None:
    all_found(tmp_path, INLINE, what)


@pytest.mark.parametrize("what", REFERENCES)
def test_a_reference_to_nothing_is_found_at_its_line(tmp_path: Path, what: str) -> None:
    all_found(tmp_path, FILED, what)


@pytest.mark.parametrize("what", REFERENCES)
def test_an_inline_step_s_reference_to_nothing_is_found_at_its_line(
    tmp_path: Path, what: str
) -> None:
    all_found(tmp_path, INLINE, what)


@pytest.mark.parametrize("jobs", ["", "jobs:\n", "jobs: []\n", "jobs: {}\n"])
def test_a_pipeline_needs_jobs(tmp_path: Path, jobs: str) -> None:
    [problem] = problems(tmp_path, f"type: pipeline\n{jobs}")

    assert "at least one job" in problem.message


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (
            INLINE,
            [
                "local data that is not there",
                "data of a step that is not there",
                "a name that is not free",
                "a node that is none",
            ],
        ),
        (FILED, ["an unknown pipeline input", "an unknown job", "an unknown pipeline output"]),
        (INLINE, ["a missing command", "an input without a value"]),
    ],
    ids=["not taken", "references", "the SDK's findings"],
)
def test_mistakes_of_one_kind_are_told_at_once(tmp_path: Path, text: str, kinds: list[str]) -> None:
    all_found(tmp_path, text, *kinds)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (INLINE, ["a compute from nowhere", "a missing command"]),
        (FILED, ["a compute from nowhere", "an unknown pipeline output"]),
        (FILED, ["tags of the wrong shape", "an unknown pipeline output"]),
    ],
)
def test_mistakes_of_every_kind_are_told_at_once(
    tmp_path: Path, text: str, kinds: list[str]
) -> None:
    all_found(tmp_path, text, *kinds)


def test_a_component_s_own_mistakes_are_told(tmp_path: Path) -> None:
    text = "type: pipeline\njobs:\n  own: {type: command, component: ../own.yml}\n"
    found = problems(tmp_path, text, own="type: command\nname: own\n")

    assert {problem.line for problem in found} == {3}
    assert any("component.command" in problem.message for problem in found)


def test_what_a_component_names_and_is_not_there_is_told_in_its_file(tmp_path: Path) -> None:
    text = "type: pipeline\njobs:\n  own: {type: command, component: ../own.yml}\n"
    own = "type: command\nname: own\ncommand: echo\ncode: ./gone\nenvironment: azureml:plain:1\n"

    assert Problem("own.yml", 4, "there is no file or folder './gone'") in problems(
        tmp_path, text, own=own
    )


def test_files_are_told_by_the_folder_that_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "type: pipeline\njobs:\n  own: {type: command, component: ../own.yml}\n"
    own = "type: command\nname: own\ncommand: echo\ncode: ./gone\nenvironment: azureml:plain:1\n"

    assert {problem.file for problem in problems(Path(), text, own=own)} <= {
        "own.yml",
        "pipelines/own.yml",
    }


def test_a_component_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    text = "type: pipeline\njobs:\n  own: {type: command, component: ../gone.yml}\n"
    [problem] = problems(tmp_path, text)

    assert problem.line == 3
    assert problem.message == "there is no file or folder '../gone.yml'"


@pytest.mark.parametrize(
    "form",
    [
        "${{parent.jobs.prepare.outputs.clean}}",
        "${{ parent.jobs.prepare.outputs.clean }}",
        "{path: '${{parent.jobs.prepare.outputs.clean}}'}",
        "{path: '${{parent.jobs.prepare.outputs.clean}}', mode: download}",
        "{type: uri_folder, path: '${{parent.jobs.prepare.outputs.clean}}'}",
    ],
)
def test_every_form_of_a_binding_is_taken(tmp_path: Path, form: str) -> None:
    old = "${{parent.jobs.prepare.outputs.clean}}"
    load(tmp_path, FILED.replace(old, form))
    found = problems(tmp_path, FILED.replace(old, form.replace("outputs.clean", "outputs.clear")))

    assert any("'clear'" in problem.message for problem in found)


TRIPS: dict[str, dict[str, Any]] = {
    "a component that is a number": {"component": 5},
    "a date": {"inputs": {"day": date(2026, 3, 1)}},
    "a component file that is a list": {"component": "../list.yml"},
    "a component file that is no YAML": {"component": "../broken.yml"},
}


@pytest.mark.parametrize("what", TRIPS)
def test_what_the_sdk_trips_over_is_a_problem(tmp_path: Path, what: str) -> None:
    content: dict[str, Any] = yaml.safe_load(FILED)
    for name, value in TRIPS[what].items():
        if name == "inputs":
            content["inputs"].update(value)
        else:
            content["jobs"]["use"] = {"type": "command", name: value}

    assert problems(tmp_path, yaml.safe_dump(content), list="- 1\n", broken="a: [\n")
