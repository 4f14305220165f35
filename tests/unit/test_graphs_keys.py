"""What is said of the keys and values of steps: mistakes, and what only looks like one."""

import logging
import sys
from pathlib import Path

import pytest

from shared.errors import DefinitionsInvalid, Problem
from tests.unit.graphing import COMPONENT, FILED, INLINE, line_of, load, problems


def told_of(folder: Path, text: str) -> list[Problem]:
    """The warnings of a pipeline that is taken, the problems of one that is not."""
    try:
        return list(load(folder, text).warnings)
    except DefinitionsInvalid as error:
        return error.problems


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
