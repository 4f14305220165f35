"""Pipelines in files within files."""

from pathlib import Path

import pytest

from tests.unit.graphing import COMPONENT, FILED, load, problems

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
