"""A pipeline's jobs as the SDK understands them: nodes, their ports, and what these are bound to.

The SDK reads the YAML, so whatever it accepts means here what it means to `az ml`; this room adds
the line to each of its findings, and the findings it leaves to the service.
"""

import difflib
import json
import logging
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared import documents
from shared.documents import Document, Place
from shared.errors import DefinitionsInvalid, Problem
from shared.inputs import MOVING

#: A path or reference that is not on the disk of whoever publishes.
REMOTE = re.compile(r"(azureml:|https?://|wasbs://|abfss://|git\+)")

_KEYS = {"type", "name", "component", "display_name", "experiment_name", "description", "tags"}
_KEYS |= {"properties", "inputs", "outputs", "compute", "identity", "services"}
#: Source: AzureML CLI v2 pipelineJob and commandJob schemas.
_PIPELINE_KEYS = frozenset(_KEYS | {"$schema", "settings", "jobs"})
_STEP_KEYS = frozenset(
    _KEYS
    | {"command", "code", "environment", "environment_variables", "resources", "limits"}
    | {"distribution", "queue_settings", "is_deterministic", "comment"}
)

#: Source: azure.ai.ml's PipelineJobSettingsSchema, without what is in private preview.
_SETTINGS = frozenset(
    {"default_datastore", "default_compute", "continue_on_step_failure", "force_rerun"}
)

_PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([\w-]+)\s*\}\}")
_PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.([\w-]+)\s*\}\}")
_STEP_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.([\w-]+)\.outputs\.([\w-]+)\s*\}\}")


@dataclass(frozen=True)
class Bound:
    """One port of one node, and the text it is bound to."""

    node: str
    #: "inputs" or "outputs".
    kind: str
    port: str
    text: str

    @property
    def place(self) -> tuple[str, ...]:
        return ("jobs", self.node, self.kind, self.port)


@dataclass(frozen=True)
class Graph:
    """The nodes of a pipeline, in the order of its document."""

    document: Document
    #: Name -> the node as YAML, with its component spelled out unless it is a reference.
    nodes: dict[str, dict[str, Any]]

    def declared(self, kind: str) -> dict[str, Any]:
        """The pipeline's own "inputs" or "outputs"."""
        return mapping(self.document.content.get(kind))

    def port(self, bound: Bound) -> dict[str, Any]:
        """How the node's component declares a port; {} if unknown."""
        return mapping(self.ports(bound.node, bound.kind).get(bound.port))

    def ports(self, node: str, kind: str) -> dict[str, Any]:
        return mapping(mapping(self.nodes[node]["component"]).get(kind))

    def users_of_input(self, name: str) -> Iterator[Bound]:
        """The ports that a pipeline input feeds."""
        for bound in _bound(self.document):
            if (found := _PARENT_INPUT.fullmatch(bound.text)) and found[1] == name:
                yield bound

    def makers_of_output(self, name: str) -> Iterator[Bound]:
        """The ports that a pipeline output comes from."""
        for bound in _bound(self.document):
            if (found := _PARENT_OUTPUT.fullmatch(bound.text)) and found[1] == name:
                yield bound


def load(document: Document) -> Graph:
    """The graph of a pipelineJob document.

    Raises DefinitionsInvalid with everything that is wrong with it.
    """
    problems = [*_unsupported(document), *_dangling(document)]
    graph = None
    try:
        graph = Graph(document=document, nodes=_nodes(document))
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
        problems += _misfits(graph)
    if problems or graph is None:
        raise DefinitionsInvalid(sorted(set(problems)))
    return graph


def _bound(document: Document) -> Iterator[Bound]:
    """Every port that the document binds, in its order."""
    for node, content in mapping(document.content.get("jobs")).items():
        for kind in ("inputs", "outputs"):
            for port, value in mapping(mapping(content).get(kind)).items():
                yield Bound(node=node, kind=kind, port=port, text=_text(value))


def _dangling(document: Document) -> Iterator[Problem]:
    """References to inputs, outputs and jobs that are not there."""
    inputs, outputs = (mapping(document.content.get(kind)) for kind in ("inputs", "outputs"))
    jobs = mapping(document.content.get("jobs"))
    for bound in _bound(document):
        if found := _PARENT_INPUT.fullmatch(bound.text):
            yield from _unless(document, bound, "pipeline input", found[1], inputs)
        elif found := _PARENT_OUTPUT.fullmatch(bound.text):
            yield from _unless(document, bound, "pipeline output", found[1], outputs)
        elif found := _STEP_OUTPUT.fullmatch(bound.text):
            job, output = found.groups()
            yield from _unless(document, bound, "job", job, jobs)
            if "command" in mapping(jobs.get(job)):
                there = mapping(jobs[job].get("outputs"))
                yield from _unless(document, bound, f"output of job {job!r}:", output, there)


def _misfits(graph: Graph) -> Iterator[Problem]:
    """What nodes bind and their component files declare, where the two disagree."""
    document = graph.document
    for bound in _bound(document):
        if not isinstance(graph.nodes[bound.node]["component"], dict):
            continue
        there = graph.ports(bound.node, bound.kind)
        what = f"{bound.kind.removesuffix('s')} of the component:"
        yield from _unless(document, bound, what, bound.port, there)
        found = _STEP_OUTPUT.fullmatch(bound.text)
        # A job that is not there is told by _dangling.
        source = graph.nodes.get(found[1], {}) if found else {}
        if found and isinstance(source.get("component"), dict):
            made = graph.ports(found[1], "outputs")
            yield from _unless(document, bound, f"output of job {found[1]!r}:", found[2], made)
    for node, content in graph.nodes.items():
        if "additional_includes" in mapping(content["component"]):
            yield document.problem(
                ("jobs", node, "component"),
                "additional_includes are not taken yet; put the files into the code folder",
            )
        component = content["component"]
        if isinstance(component, dict) and not component.get("environment"):
            yield document.problem(
                ("jobs", node),
                f"job {node!r} has no environment; give an image, a conda file or azureml:name:1",
            )
        given = mapping(document.content["jobs"][node].get("inputs"))
        for name, port in graph.ports(node, "inputs").items():
            if name not in given and "default" not in port and not port.get("optional"):
                yield document.problem(
                    ("jobs", node, "inputs"),
                    f"the component of job {node!r} needs the input {name!r} ({port['type']})",
                )


def _unless(
    document: Document, bound: Bound, what: str, name: str, there: Mapping[str, Any]
) -> Iterator[Problem]:
    if name not in there:
        known = ", ".join(sorted(there)) or "none"
        yield document.problem(bound.place, f"there is no {what} {name!r}; there are: {known}")


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, otherwise an empty one: YAML allows `inputs:` alone."""
    return value if isinstance(value, dict) else {}


def _unsupported(document: Document) -> Iterator[Problem]:
    """What this version cannot carry, by name, rather than half done."""
    content = document.content
    if content.get("type", "pipeline") != "pipeline":
        yield document.problem(("type",), f"type is {content['type']!r}; only 'pipeline' is taken")
    yield from _typos(document, (), content, _PIPELINE_KEYS)
    yield from _typos(document, ("settings",), mapping(content.get("settings")), _SETTINGS)
    if "component" in content:
        yield document.problem(("component",), "a job of one component is not taken yet")
    if not mapping(content.get("jobs")):
        yield document.problem(("jobs",), "a pipeline needs at least one job in 'jobs'")
    for node, value in mapping(content.get("jobs")).items():
        yield from _unsupported_node(document, node, value)
    for name, value in mapping(content.get("inputs")).items():
        if mapping(value).get("type") in ("string", "integer", "number", "boolean"):
            default = mapping(value).get("default", "…")
            yield document.problem(
                ("inputs", name),
                f"a pipeline job's literal input is its value alone: write '{name}: {default}'",
            )
        path = mapping(value).get("path")
        if path is not None and not REMOTE.match(str(path)):
            yield document.problem(
                ("inputs", name, "path"),
                f"{path!r} is a local file; upload it and give its azureml:// or https:// path",
            )
        elif path is not None and MOVING.search(str(path)):
            yield document.problem(
                ("inputs", name, "path"),
                f"{path!r} means another version tomorrow; name one, as in azureml:x:1",
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
    yield from _typos(document, place, value, _STEP_KEYS)
    yield from _missing(document, place, value)
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


def _typos(
    document: Document, place: Place, content: dict[str, Any], known: frozenset[str]
) -> Iterator[Problem]:
    """Keys that are not known; the SDK warns of some, and takes others in silence."""
    for key in content.keys() - known:
        meant = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        said = f"{meant[0]!r} is" if meant else f"known are {', '.join(sorted(known))}"
        yield document.problem((*place, key), f"{key!r} is not known; {said}")


def _missing(document: Document, place: Place, step: dict[str, Any]) -> Iterator[Problem]:
    """Local files that a step names and that are not there, also in its component's file."""
    environment = mapping(step.get("environment"))
    named = {
        (*place, "component"): step.get("component"),
        (*place, "code"): step.get("code"),
        (*place, "environment", "conda_file"): environment.get("conda_file"),
    }
    for where, name in named.items():
        if not isinstance(name, str) or REMOTE.match(name):
            continue
        path = document.path.parent / name.removeprefix("file:")
        if not path.exists():
            yield document.problem(where, f"there is no file or folder {name!r}")
        elif where[-1] == "component":
            try:
                component = documents.read(path.resolve(), root=document.root)
            except DefinitionsInvalid as error:
                yield from error.problems
            else:
                yield from _missing(component, (), component.content)


def _nodes(document: Document) -> dict[str, dict[str, Any]]:
    from azure.ai.ml import load_job
    from azure.ai.ml.entities import PipelineComponent, PipelineJob

    try:
        with _without_warnings():
            job = load_job(document.path)
        assert isinstance(job, PipelineJob)
        assert isinstance(job.component, PipelineComponent)
        with tempfile.TemporaryDirectory() as folder:
            dumped = Path(folder, "component.yml")
            job.component.dump(dumped)
            nodes = yaml.safe_load(dumped.read_text())["jobs"]
    except Exception as error:  # noqa: BLE001 - the SDK has many, and lets Python's own through
        raise DefinitionsInvalid(_sdk_problems(document, error)) from None
    return {node: nodes[node] for node in document.content["jobs"]}


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


def _text(bound: Any) -> str:
    return str(bound.get("path", "") if isinstance(bound, dict) else bound)


def _short_text(text: str) -> str:
    return textwrap.shorten(text, 280)


def _follows(document: Document, place: Place) -> bool:
    """Whether a finding only follows from an unknown key, which is told as that.

    A step with such a key is none to the SDK, which then asks for a component.
    """
    if place[:1] != ("jobs",) or place[2:] != ("component",):
        return False
    step = mapping(mapping(document.content.get("jobs")).get(str(place[1])))
    return "component" not in step and not step.keys() <= _STEP_KEYS


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
