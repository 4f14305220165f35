"""A pipeline's jobs as the SDK understands them: nodes, their ports, and what these are bound to.

The SDK reads the YAML, so whatever it accepts means here what it means to `az ml`; this room adds
the line to each of its findings, and the findings it leaves to the service.
"""

import json
import logging
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.documents import Document
from shared.errors import DefinitionsInvalid, Problem

#: A path or reference that is not on the disk of whoever publishes.
REMOTE = re.compile(r"(azureml:|https?://|wasbs://|abfss://|git\+)")

_PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([\w-]+)\s*\}\}")
_PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.([\w-]+)\s*\}\}")
_STEP_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.([\w-]+)\.outputs\.([\w-]+)\s*\}\}")


@dataclass(frozen=True)
class Bound:
    """One port of one node, and the text it is bound to ("" for a value)."""

    node: str
    port: str
    text: str


@dataclass(frozen=True)
class Graph:
    """The nodes of a pipeline, in the order of its document."""

    document: Document
    #: Name -> the node as YAML, with its component spelled out unless it is a reference.
    nodes: dict[str, dict[str, Any]]

    def declared(self, kind: str) -> dict[str, Any]:
        """The pipeline's own "inputs" or "outputs"."""
        return mapping(self.document.content.get(kind))

    def port(self, node: str, kind: str, name: str) -> dict[str, Any]:
        """How a node's component declares one of its "inputs" or "outputs"; {} if unknown."""
        component = mapping(self.nodes[node]["component"])
        return mapping(mapping(component.get(kind)).get(name))

    def users_of_input(self, name: str) -> Iterator[Bound]:
        """The ports that a pipeline input feeds."""
        for bound in self._bound("inputs"):
            if (found := _PARENT_INPUT.fullmatch(bound.text)) and found[1] == name:
                yield bound

    def makers_of_output(self, name: str) -> Iterator[Bound]:
        """The ports that a pipeline output comes from."""
        for bound in self._bound("outputs"):
            if (found := _PARENT_OUTPUT.fullmatch(bound.text)) and found[1] == name:
                yield bound

    def dangling(self) -> Iterator[Problem]:
        """References to inputs, outputs and jobs that are not there."""
        for bound in self._bound("inputs"):
            if found := _PARENT_INPUT.fullmatch(bound.text):
                there = self.declared("inputs")
                yield from self._unless(found[1], there, bound, "inputs", "pipeline input")
            elif found := _STEP_OUTPUT.fullmatch(bound.text):
                job, output = found.groups()
                yield from self._unless(job, self.nodes, bound, "inputs", "job")
                component = self.nodes.get(job, {}).get("component")
                if isinstance(component, dict):
                    there = mapping(component.get("outputs"))
                    what = f"output of job {job!r}:"
                    yield from self._unless(output, there, bound, "inputs", what)
        for bound in self._bound("outputs"):
            if found := _PARENT_OUTPUT.fullmatch(bound.text):
                there = self.declared("outputs")
                yield from self._unless(found[1], there, bound, "outputs", "pipeline output")

    def _bound(self, kind: str) -> Iterator[Bound]:
        for node, content in self.nodes.items():
            for port, value in mapping(content.get(kind)).items():
                yield Bound(node=node, port=port, text=_text(value))

    def _unless(
        self, name: str, there: dict[str, Any], bound: Bound, kind: str, what: str
    ) -> Iterator[Problem]:
        if name not in there:
            known = ", ".join(sorted(there)) or "none"
            yield self.document.problem(
                ("jobs", bound.node, kind, bound.port),
                f"there is no {what} {name!r}; there are: {known}",
            )


def load(document: Document) -> Graph:
    """The graph of a pipelineJob document.

    Raises DefinitionsInvalid with everything that is wrong with it.
    """
    _refuse(list(_unsupported(document)))
    graph = Graph(document=document, nodes=_nodes(document))
    _refuse(list(graph.dangling()))
    return graph


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, otherwise an empty one: YAML allows `inputs:` alone."""
    return value if isinstance(value, dict) else {}


def _unsupported(document: Document) -> Iterator[Problem]:
    """What this version cannot carry, by name, rather than half done."""
    content = document.content
    if content.get("type", "pipeline") != "pipeline":
        yield document.problem(("type",), f"type is {content['type']!r}; only 'pipeline' is taken")
    if "component" in content:
        yield document.problem(("component",), "a job of one component is not taken yet")
    if not mapping(content.get("jobs")):
        yield document.problem(("jobs",), "a pipeline needs at least one job in 'jobs'")
    for node, value in mapping(content.get("jobs")).items():
        yield from _unsupported_node(document, node, value)
    for name, value in mapping(content.get("inputs")).items():
        path = mapping(value).get("path")
        if path is not None and not REMOTE.match(str(path)):
            yield document.problem(
                ("inputs", name, "path"),
                f"{path!r} is a local file; upload it and give its azureml:// or https:// path",
            )


def _unsupported_node(document: Document, node: str, value: Any) -> Iterator[Problem]:
    place = ("jobs", node)
    if not isinstance(value, dict):
        yield document.problem(place, f"jobs.{node} is not a mapping")
        return
    if (kind := value.get("type", "command")) != "command":
        yield document.problem(
            (*place, "type"), f"{kind!r} jobs are not taken yet, only command jobs"
        )
    if "compute" in value:
        yield document.problem(
            (*place, "compute"),
            "a compute of its own is not taken yet; set settings.default_compute",
        )
    for name, bound in mapping(value.get("inputs")).items():
        path = mapping(bound).get("path")
        if path is not None and not str(path).startswith("${{"):
            yield document.problem(
                (*place, "inputs", name),
                "a step's own data is not taken yet; make it an input of the pipeline "
                f"and write ${{{{parent.inputs.{name}}}}}",
            )


def _nodes(document: Document) -> dict[str, dict[str, Any]]:
    logging.getLogger("azure.ai.ml._utils._experimental").setLevel(logging.ERROR)
    from azure.ai.ml import load_job
    from azure.ai.ml.entities import PipelineComponent, PipelineJob
    from azure.ai.ml.exceptions import MlException
    from marshmallow.exceptions import ValidationError

    try:
        job = load_job(document.path)
        assert isinstance(job, PipelineJob)
        assert isinstance(job.component, PipelineComponent)
        with tempfile.TemporaryDirectory() as folder:
            dumped = Path(folder, "component.yml")
            job.component.dump(dumped)
            nodes = yaml.safe_load(dumped.read_text())["jobs"]
    except (MlException, ValidationError) as error:
        raise DefinitionsInvalid(_sdk_problems(document, str(error))) from None
    return {node: _short(nodes[node]) for node in document.content["jobs"]}


def _short(node: dict[str, Any]) -> dict[str, Any]:
    """A node with its plain bindings as the text that people write."""
    ports = {
        kind: {
            name: _text(value) if mapping(value).keys() == {"path"} else value
            for name, value in node[kind].items()
        }
        for kind in ("inputs", "outputs")
        if isinstance(node.get(kind), dict)
    }
    return {**node, **ports}


def _text(bound: Any) -> str:
    return str(bound.get("path", "") if isinstance(bound, dict) else bound)


def _sdk_problems(document: Document, text: str) -> list[Problem]:
    """The SDK's validation report, each finding at its line."""
    begin = text.find("{")
    try:
        report, _ = json.JSONDecoder().raw_decode(text[begin:]) if begin >= 0 else ({}, 0)
        findings = report.get("errors", [])
    except ValueError:
        findings = []
    problems = []
    for finding in findings:
        where = str(finding.get("path", "*"))
        place = tuple(where.split(".")) if where != "*" else ()
        message = str(finding.get("message", "")).strip()
        problems.append(document.problem(place, f"{where}: {message}" if place else message))
    return problems or [document.problem((), " ".join(text.split())[:500])]


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise DefinitionsInvalid(problems)
