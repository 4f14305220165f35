"""Pipelines as they are written, and what is said of them."""

from pathlib import Path

import pytest

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


def line_of(text: str, part: str) -> int:
    [line] = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    return line


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
