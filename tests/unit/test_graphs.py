"""Everything wrong with a pipeline is found before anything is registered, each at its line."""

import logging
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared import documents, graphs
from shared.errors import DefinitionsInvalid, Problem
from shared.graphs import Graph

#: Every step spelled out in the pipeline itself.
INLINE = """\
type: pipeline
inputs:
  rows:
    type: uri_file
outputs:
  kept:
jobs:
  prepare:
    type: command
    command: echo ${{inputs.rows}} ${{outputs.clean}}
    environment: azureml:plain:1
    inputs:
      rows: ${{parent.inputs.rows}}
    outputs:
      clean:
  use:
    type: command
    command: echo ${{inputs.clean}} ${{outputs.kept}}
    environment: azureml:plain:1
    inputs:
      clean: ${{parent.jobs.prepare.outputs.clean}}
    outputs:
      kept: ${{parent.outputs.kept}}
"""
#: The same with component files.
FILED = """\
type: pipeline
inputs:
  rows:
    type: uri_file
outputs:
  kept:
jobs:
  prepare:
    type: command
    component: ../prepare.yml
    inputs:
      rows: ${{parent.inputs.rows}}
  use:
    type: command
    component: ../use.yml
    inputs:
      clean: ${{parent.jobs.prepare.outputs.clean}}
    outputs:
      kept: ${{parent.outputs.kept}}
"""
COMPONENTS = {
    "prepare": """\
type: command
name: prepare
command: echo ${{inputs.rows}} ${{outputs.clean}}
environment: azureml:plain:1
inputs: {rows: {type: uri_file}}
outputs: {clean: {type: uri_folder}}
""",
    "use": """\
type: command
name: use
command: echo ${{inputs.clean}} ${{outputs.kept}}
environment: azureml:plain:1
inputs: {clean: {type: uri_folder}}
outputs: {kept: {type: uri_folder}}
""",
}


def load(folder: Path, text: str, **files: str) -> Graph:
    (folder / "pipelines").mkdir(exist_ok=True)
    path = folder / "pipelines/own.yml"
    path.write_text(text)
    for name, content in {**COMPONENTS, **files}.items():
        (folder / f"{name}.yml").write_text(content)
    return graphs.load(documents.read(path, root=folder))


def problems(folder: Path, text: str, **files: str) -> list[Problem]:
    with pytest.raises(DefinitionsInvalid) as caught:
        load(folder, text, **files)
    assert {problem.file for problem in caught.value.problems} <= {
        "pipelines/own.yml",
        *(f"{name}.yml" for name in files),
    }
    return caught.value.problems


def told_of(folder: Path, text: str) -> list[Problem]:
    """The warnings of a pipeline that is taken, the problems of one that is not."""
    try:
        return list(load(folder, text).warnings)
    except DefinitionsInvalid as error:
        return error.problems


def line_of(text: str, part: str) -> int:
    [line] = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    return line


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


COMPONENT = """\
type: command
name: own
command: echo ${{inputs.needed}}
environment: azureml:plain:1
inputs:
  needed: {type: integer}
  few: {type: integer, min: 1, max: 10, optional: true}
  kind: {type: string, enum: [round, flat], default: round}
  sure: {type: boolean, default: false}
"""


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("{}", "needs the input 'needed'"),
        ("{neded: 2}", "needs the input 'needed'"),
        ("{needed: many}", "own.needed: 'many' is not of type integer"),
        ("{needed: 1.5}", "own.needed: 1.5 is not of type integer"),
        ("{needed: 1, few: 11}", "own.few: 11 is beyond the max of 10"),
        ("{needed: 1, few: 0}", "own.few: 0 is beyond the min of 1"),
        ("{needed: 1, kind: oval}", "own.kind: 'oval' is not one of round, flat"),
        ("{needed: 1, sure: maybe}", "own.sure: 'maybe' is not of type boolean"),
    ],
)
def test_a_step_s_inputs_fit_its_component(tmp_path: Path, inputs: str, said: str) -> None:
    step = f"{{type: command, component: ../own.yml, inputs: {inputs}}}"
    [problem] = problems(tmp_path, f"type: pipeline\njobs:\n  own: {step}\n", own=COMPONENT)

    assert said in problem.message
    assert problem.line == 3


def test_a_pipeline_s_value_fits_the_step_that_it_is_for(tmp_path: Path) -> None:
    step = "{type: command, component: ../own.yml, inputs: {needed: '${{parent.inputs.n}}'}}"
    text = f"type: pipeline\ninputs:\n  n: many\njobs:\n  own: {step}\n"
    [problem] = problems(tmp_path, text, own=COMPONENT)

    assert (problem.line, problem.message) == (3, "own.needed: 'many' is not of type integer")


@pytest.mark.parametrize("inputs", ["{needed: '3'}", "{needed: 3.0, sure: 'True', few: '7'}"])
def test_values_that_azureml_takes_are_taken(tmp_path: Path, inputs: str) -> None:
    step = f"{{type: command, component: ../own.yml, inputs: {inputs}}}"

    assert load(tmp_path, f"type: pipeline\njobs:\n  own: {step}\n", own=COMPONENT)


#: What AzureML takes in silence: the edit, the line where it is told, and what is said.
DOUBTS = {
    "a key": ("outputs:\n  kept", "expriment_name: x\noutputs:\n  kept", "expriment", "'expr"),
    "a setting": (
        "outputs:\n  kept", "settings:\n  default_datestore: x\noutputs:\n  kept",
        "default_datestore", "'default_datastore' is",
    ),
    "a step's key": (
        "  use:\n", "  use:\n    environment_variable: {A: b}\n", "environment_variable",
        "'environment_variables' is",
    ),
    "an input that nobody has": (
        "    inputs:\n      clean:", "    inputs:\n      more: 5\n      clean:", "more: 5",
        "no input of the component: 'more'; there are: clean",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", DOUBTS)
def test_what_azureml_takes_and_nobody_means_is_a_warning(tmp_path: Path, what: str) -> None:
    old, new, place, said = DOUBTS[what]
    text = FILED.replace(old, new, 1)
    [warning] = load(tmp_path, text).warnings

    assert (warning.line, said in warning.message) == (line_of(text, place), True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("type: pipeline\n", "type: pipeline\nexperimnt_name: x\n", "'experiment_name' is"),
        ("type: pipeline\n", "type: pipeline\nzzz: x\n", "known are $schema, "),
        ("  use:\n", "  use:\n    inptus: {}\n", "'inputs' is"),
        ("  use:\n", "  use:\n    zzz: 1\n", "known are code, "),
        (
            "type: pipeline\n",
            "type: pipeline\nsettings: {default_compte: azureml:cpu}\n",
            "'default_compute' is",
        ),
        (
            "type: pipeline\n",
            "type: pipeline\nsettings:\n  zzz: 1\n",
            "known are continue_on_step_failure, default_compute, ",
        ),
    ],
)
def test_an_unknown_key_is_told_once_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    with_a_warning = logging.StreamHandler(sys.stderr)
    logging.getLogger("azure.ai.ml").addHandler(with_a_warning)
    try:
        [told] = told_of(tmp_path, INLINE.replace(old, new, 1))
    finally:
        logging.getLogger("azure.ai.ml").removeHandler(with_a_warning)

    assert said in told.message
    assert "Unknown field" not in capfd.readouterr().err


@pytest.mark.parametrize("settings", ["", "settings: {default_compute: azureml:cpu}\n"])
@pytest.mark.parametrize("text", [INLINE, FILED], ids=["inline", "filed"])
def test_an_unknown_key_below_a_comment_is_told_once(
    tmp_path: Path, text: str, settings: str
) -> None:
    tags = "tags: {level: '2'}\nexperimnt_name: x\ndisplay_name: y\n"
    [told] = told_of(tmp_path, f"# One of ours.\n{settings}{tags}{text}")

    assert told.message.endswith("; 'experiment_name' is")


def test_an_unknown_key_of_a_step_below_a_comment_is_told_once(tmp_path: Path) -> None:
    text = INLINE.replace("  use:\n", "  use:\n    inptus: {}\n")
    [problem] = problems(tmp_path, f"# One of ours.\n{text}")

    assert problem.message == "'inptus' is not known; 'inputs' is"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("type: uri_file", "type: integer\n    default: 3", "rows: 3"),
        ("command: echo", "code: ./gone\n    command: echo", "./gone"),
    ],
    ids=["a typed literal", "missing code"],
)
def test_common_mistakes_are_told_with_their_remedy(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    found = problems(tmp_path, INLINE.replace(old, new, 1))

    assert any(said in problem.message and len(problem.message) < 300 for problem in found)


NESTED = """\
type: pipeline
name: nested
inputs:
  rows: {type: uri_file}
  n: {type: integer, default: 3}
outputs:
  kept: {type: uri_folder}
jobs:
  prepare:
    type: command
    component: ./prepare.yml
    inputs:
      rows: ${{parent.inputs.rows}}
  count:
    type: command
    component: ./counting.yml
    inputs:
      needed: ${{parent.inputs.n}}
      kind: flat
  use:
    type: command
    component: ./use.yml
    inputs:
      clean: ${{parent.jobs.prepare.outputs.clean}}
    outputs:
      kept: ${{parent.outputs.kept}}
"""
#: A pipeline whose step is a pipeline whose step is that one.
OUTER = """\
type: pipeline
inputs: {rows: {type: uri_file}}
jobs:
  within: {type: pipeline, component: ../middle.yml, inputs: {rows: "${{parent.inputs.rows}}"}}
"""
MIDDLE = """\
type: pipeline
name: middle
inputs: {rows: {type: uri_file}}
jobs:
  deeper: {type: pipeline, component: ./nested.yml, inputs: {rows: "${{parent.inputs.rows}}"}}
"""
#: What is wrong in the innermost file: the edit, a text on its line, and what is said.
NESTED_MISTAKES = {
    "an unknown input": ("inputs.rows}}", "inputs.x}}", "inputs.x}}", "no pipeline input 'x'"),
    "an unknown job": ("jobs.prepare.", "jobs.prep.", "jobs.prep.", "no job 'prep'"),
    "an unknown output": ("clean}}", "clear}}", "clear}}", "'clear'; there are: clean"),
    "an unknown output of its own": (
        "outputs.kept}}", "outputs.keep}}", "outputs.keep}}", "no pipeline output 'keep'",
    ),
    "a missing input": (
        "      needed: ${{parent.inputs.n}}\n      kind: flat\n", "      kind: flat\n",
        "    inputs:\n      kind", "needs the input 'needed'",
    ),
    "a value that is not chosen": ("kind: flat", "kind: oval", "kind: oval", "is not one of"),
    "a default of the wrong type": ("default: 3", "default: 3.5", "3.5", "is not of type integer"),
    "jobs in a circle": (
        "rows: ${{parent.inputs.rows}}", "rows: ${{parent.jobs.use.outputs.kept}}",
        "jobs.use.", "wait for each other",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NESTED_MISTAKES)
def test_a_mistake_in_a_file_within_files_is_told_in_it(tmp_path: Path, what: str) -> None:
    old, new, place, said = NESTED_MISTAKES[what]
    assert NESTED.count(old) == 1
    nested = NESTED.replace(old, new)
    counting = COMPONENT.replace("name: own", "name: counting")
    found = problems(tmp_path, OUTER, middle=MIDDLE, nested=nested, counting=counting)

    line = nested[: nested.index(place)].count("\n") + 1
    told = [each for each in found if each.file == "nested.yml" and said in each.message]
    assert told, found
    assert line - 1 <= told[0].line <= line


def test_mistakes_in_files_are_told_with_those_of_the_pipeline(tmp_path: Path) -> None:
    nested = NESTED.replace("jobs.prepare.", "jobs.prep.").replace("outputs.kept}}", "outputs.x}}")
    text = OUTER + "  own: {type: command, component: ../gone.yml}\n"
    counting = COMPONENT.replace("name: own", "name: counting")
    found = problems(tmp_path, text, middle=MIDDLE, nested=nested, counting=counting)

    assert {problem.file for problem in found} == {"pipelines/own.yml", "nested.yml"}
    assert len([problem for problem in found if problem.file == "nested.yml"]) == 2


@pytest.mark.parametrize("text", [OUTER, "type: pipeline\ncomponent: ../middle.yml\n"])
def test_a_key_of_a_file_within_files_that_looks_like_another_is_a_warning(
    tmp_path: Path, text: str
) -> None:
    counting = COMPONENT.replace("name: own", "name: counting")
    counting = counting.replace("environment:", "is_determinstic: false\nenvironment:")
    nested = NESTED.replace("  use:\n", "  use:\n    environment_variable: {A: b}\n")
    graph = load(tmp_path, text, middle=MIDDLE, nested=nested, counting=counting)

    assert {(each.file, each.message.split(";")[1]) for each in graph.warnings} == {
        ("counting.yml", " 'is_deterministic' is"),
        ("nested.yml", " 'environment_variables' is"),
    }


def test_a_file_that_is_a_part_of_itself_is_told(tmp_path: Path) -> None:
    nested = NESTED.replace("component: ./use.yml", "component: ./middle.yml")
    found = problems(tmp_path, OUTER, middle=MIDDLE, nested=nested, counting=COMPONENT)

    assert any("a part of itself" in problem.message for problem in found)


def test_jobs_that_wait_for_each_other_are_told(tmp_path: Path) -> None:
    text = FILED.replace("${{parent.inputs.rows}}", "${{parent.jobs.use.outputs.kept}}")
    [problem] = problems(tmp_path, text)

    assert "these jobs wait for each other" in problem.message
    assert "prepare" in problem.message
    assert "use" in problem.message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "environment: {image: plain}",
            "code: ../gone\n    environment: {image: plain}",
            "'../gone'",
        ),
        ("environment: {image: plain}", "environment:", "jobs.say.environment: Field may not be"),
    ],
)
def test_a_step_with_a_mistake_is_not_asked_for_a_component_as_well(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    step = """\
type: pipeline
settings: {default_compute: "azureml:cpu"}
jobs:
  say:
    type: command
    command: echo hello
    environment: {image: plain}
"""
    assert load(tmp_path, step).nodes.keys() == {"say"}
    [problem] = problems(tmp_path, step.replace(old, new))

    assert said in problem.message


def test_a_step_without_anything_to_run_is_asked_for_it(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "type: pipeline\njobs:\n  say:\n    type: command\n")

    assert (problem.line, problem.message) == (
        3,
        "jobs.say.component: is missing; name one, or say what the step itself runs: `command` and "
        "`environment`, for a command",
    )


def test_a_value_that_is_none_of_the_sdk_s_says_what_it_may_be(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, INLINE.replace("type: uri_file", "type: urifile", 1))

    assert problem.message.endswith(
        "'urifile' is not one of uri_file, uri_folder, custom_model, mlflow_model, triton_model, "
        "mltable"
    )
