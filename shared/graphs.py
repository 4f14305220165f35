"""A pipeline's graph: its jobs, their ports, and what these are bound to.

The SDK reads the YAML, so whatever it accepts means here what it means to `az ml`; this room adds
the line to each of its findings, and the findings it leaves to the service.
"""

import json
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from shared import checks, documents, nodes, wrapping
from shared.bindings import PARENT_INPUT, PARENT_OUTPUT, Bound, bound_in
from shared.documents import Document, Place
from shared.errors import DefinitionsInvalid, Problem
from shared.nodes import Node, mapping


@dataclass(frozen=True)
class Graph:
    """The nodes of a pipeline, in the order of its document."""

    #: The job.
    document: Document
    #: Where its jobs are written: the job itself, or the file of the component it is a job of.
    jobs_document: Document
    nodes: dict[str, Node]
    #: The component that it is a job of, when it has no jobs of its own.
    component: Node | None = None
    #: What looks like a mistake and AzureML accepts.
    warnings: tuple[Problem, ...] = field(default=())

    def declared(self, kind: str) -> dict[str, Any]:
        """The pipeline's own "inputs" or "outputs"."""
        return mapping(self.document.content.get(kind))

    def port(self, bound: Bound) -> dict[str, Any]:
        """How the node's component declares a port; {} if unknown."""
        return mapping(self.ports(bound.node, bound.kind).get(bound.port))

    def ports(self, node: str, kind: str) -> dict[str, Any]:
        return self.nodes[node].ports(kind)

    def users_of_input(self, name: str) -> Iterator[Bound]:
        """The ports that a pipeline input feeds."""
        for bound in bound_in(self.jobs_document.content):
            if (found := PARENT_INPUT.fullmatch(bound.text)) and found[1] == name:
                yield bound

    def makers_of_output(self, name: str) -> Iterator[Bound]:
        """The ports that a pipeline output comes from."""
        for bound in bound_in(self.jobs_document.content):
            if (found := PARENT_OUTPUT.fullmatch(bound.text)) and found[1] == name:
                yield bound


def load(document: Document) -> Graph:
    """The graph of a pipelineJob document.

    Raises DefinitionsInvalid with everything that is wrong with it.
    """
    problems = [*checks.before(document)]
    graph = None
    if wrapping.kind(document.content) == "pipeline":
        try:
            graph = _graph(document)
        except DefinitionsInvalid as error:
            # The SDK follows references to learn types, and trips over what was found already.
            told = {(problem.file, problem.line) for problem in problems}
            whole = document.line(())
            problems += [
                problem
                for problem in error.problems
                if not told or (problem.line > whole and (problem.file, problem.line) not in told)
            ]
    if graph:
        problems += checks.after(graph.document, graph.jobs_document, graph.nodes)
    if problems or graph is None:
        raise DefinitionsInvalid(sorted(set(problems)))
    found = checks.warnings(graph.document, graph.jobs_document, graph.nodes)
    return replace(graph, warnings=tuple(sorted(set(found))))


def _graph(document: Document) -> Graph:
    try:
        with _without_warnings():
            job = nodes.load(document)
    except Exception as error:  # noqa: BLE001 - the SDK has many, and lets Python's own through
        raise DefinitionsInvalid(_sdk_problems(document, error)) from None
    component = job.component
    written = document
    if component and component.file:
        written = documents.read(component.file, root=document.root)
    return Graph(document=document, jobs_document=written, nodes=job.nodes, component=component)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps the SDK from printing the findings that its report has as well."""
    log = logging.getLogger("azure.ai.ml.entities._validation.core")
    log.addFilter(_no_warning)
    try:
        yield
    finally:
        log.removeFilter(_no_warning)


def _no_warning(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING


def _follows(document: Document, place: Place) -> bool:
    """Whether a finding only follows from an unknown key, which is told as that.

    A step with such a key is none to the SDK, which then asks for a component.
    """
    if place[:1] != ("jobs",) or place[2:] != ("component",):
        return False
    step = mapping(mapping(document.content.get("jobs")).get(str(place[1])))
    return bool(checks.unknown_keys(step))


def _sdk_problems(document: Document, error: Exception) -> list[Problem]:
    """The SDK's validation report, each finding at its line; without one, what it said."""
    text = str(error)
    begin = text.find("{")
    try:
        report, _ = json.JSONDecoder().raw_decode(text[begin:]) if begin >= 0 else ({}, 0)
        # An unknown key is only a warning to the SDK, but explains the rest.
        findings = report.get("errors", []) + report.get("warnings", [])
    except ValueError:
        findings = []
    problems = []
    for finding in findings:
        where = str(finding.get("path", "*"))
        place = tuple(where.split(".")) if where != "*" else ()
        message = _short_text(str(finding.get("message", "")))
        if not _follows(document, place):
            problems.append(document.problem(place, f"{where}: {message}" if place else message))
    said = f"the AzureML SDK cannot read it: {type(error).__name__}: {text}"
    return problems or [document.problem((), _short_text(said))]


def _short_text(text: str) -> str:
    return textwrap.shorten(text, 280)
