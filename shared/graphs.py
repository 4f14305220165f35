"""A pipeline's graph: its jobs, their ports, and what these are bound to.

The SDK reads the YAML, so whatever it accepts means here what it means to `az ml`; this room adds
the line to each of its findings, and the findings it leaves to the service.
"""

import json
import logging
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from shared import checks, documents, keys, nodes, wrapping
from shared.bindings import PARENT_INPUT, PARENT_OUTPUT, Bound, bound_in
from shared.documents import Document, Place
from shared.errors import DefinitionsInvalid, Problem
from shared.nodes import Node, mapping

#: How the SDK refuses a value, once for each kind of thing that it might have been meant as.
_NOT_IN_SET = re.compile(r"Value '([^']*)' passed is not in set \[([^\]]*)\]")
_NO_COMPONENT = (
    "name one, or say what the step itself runs: `command` and `environment`, for a command"
)
#: The keys of a step that says itself what it runs, and so needs no component.
_SPELLED_OUT = frozenset({"command", "entry", "task", "trial"})
_QUOTED = re.compile(r"'([^']*)'")


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
            graph = _graph(document, {each.line for each in problems if each.file == document.file})
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


def _graph(document: Document, told: set[int]) -> Graph:
    try:
        with _without_warnings():
            job = nodes.load(document)
    except Exception as error:  # noqa: BLE001 - the SDK has many, and lets Python's own through
        raise DefinitionsInvalid(_sdk_problems(document, error, told)) from None
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


def _follows(document: Document, place: Place, told: set[int]) -> bool:
    """Whether a finding only follows from another mistake of its step, which is told as that.

    A step with a mistake, such as an unknown key or a file that is not there, is none to the SDK,
    which then asks for a component. `told` are the lines of what is told.
    """
    if place[:1] != ("jobs",) or place[2:] != ("component",):
        return False
    step = mapping(mapping(document.content.get("jobs")).get(str(place[1])))
    if keys.unknown(step):
        return True
    of_step = (line for at, line in document.lines.items() if at[:2] == place[:2])
    return not _SPELLED_OUT.isdisjoint(step) and not told.isdisjoint(of_step)


def _sdk_problems(document: Document, error: Exception, told: set[int]) -> list[Problem]:
    """The SDK's validation report, each finding at its line; without one, what it said."""
    text = str(error)
    begin = text.find("{")
    try:
        report, _ = json.JSONDecoder().raw_decode(text[begin:]) if begin >= 0 else ({}, 0)
        # An unknown key is only a warning to the SDK, but explains the rest.
        findings = report.get("errors", []) + report.get("warnings", [])
    except ValueError:
        findings = []
    places = [_place(finding) for finding in findings]
    told = told | {document.line(place) for place in places if place[2:] != ("component",)}
    problems = []
    for finding, place in zip(findings, places, strict=True):
        message = _short_text(_plain(str(finding.get("message", ""))))
        if place[2:] == ("component",) and message == "is missing":
            message += f"; {_NO_COMPONENT}"
        if not _follows(document, place, told):
            where = f"{'.'.join(place)}: " if place else ""
            problems.append(document.problem(place, f"{where}{message}"))
    said = f"the AzureML SDK cannot read it: {type(error).__name__}: {text}"
    return problems or [document.problem((), _short_text(said))]


def _place(finding: dict[str, Any]) -> tuple[str, ...]:
    where = str(finding.get("path", "*"))
    return tuple(where.split(".")) if where != "*" else ()


def _plain(message: str) -> str:
    """What a value may be, where the SDK tells of each kind of thing that it is not."""
    if message == "Missing data for required field.":
        return "is missing"
    found = _NOT_IN_SET.findall(message)
    if len({value for value, _ in found}) != 1:
        return message
    names = dict.fromkeys(name for _, names in found for name in _QUOTED.findall(names))
    return f"{found[0][0]!r} is not one of {', '.join(names)}"


def _short_text(text: str) -> str:
    return textwrap.shorten(text, 280)
