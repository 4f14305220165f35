"""What is wrong with a pipeline before AzureML is asked: found all at once, each at its line.

An error is what AzureML would refuse; what it takes in silence and no one means is a warning.
"""

from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from shared import documents, keys, literals, wrapping
from shared.bindings import (
    JOB_OUTPUT,
    OWN_PORT,
    PARENT_INPUT,
    PARENT_OUTPUT,
    bound_in,
    unclosed,
    whole,
)
from shared.documents import Document, Place
from shared.errors import DefinitionsInvalid, Problem
from shared.inputs import RESERVED_INPUT
from shared.nodes import (
    PIPELINE_KEYS,
    PRIVATE,
    PRIVATE_FEATURES,
    Node,
    mapping,
    private_features,
)
from shared.sources import local

#: Keys whose text is for people.
_PROSE = ("description", "comment")


def before(document: Document) -> Iterator[Problem]:
    """What can be told without the SDK, and what it would not say well."""
    yield from _shape(document)
    yield from _dangling(document)
    yield from _unclosed(document)


def after(document: Document, written: Document, nodes: Mapping[str, Node]) -> Iterator[Problem]:
    """What bindings and literals, and the components they are for, say differently.

    `written` is where the jobs are.
    """
    yield from _misfits(written, nodes)
    yield from _cycles(written)
    for name, node in nodes.items():
        yield from _command(written, name, node)
    for place, message in _unfit(written, nodes, literals.misfit):
        yield written.problem(place, message)
    for inner, jobs in _within(document, nodes):
        yield from after(inner, inner, jobs)


def warnings(document: Document, written: Document, nodes: Mapping[str, Node]) -> Iterator[Problem]:
    """What AzureML takes in silence: keys that are not known, inputs that nobody has."""
    content = document.content
    for bound in bound_in(written.content):
        # An input of a group is written group.input.
        port, ports = bound.port.partition(".")[0], nodes[bound.node].ports(bound.kind)
        if bound.kind == "inputs" and ports and port not in ports:
            yield from _unless(written, bound.place, "input of the component:", port, ports)
    for place, message in _unfit(written, nodes, literals.doubt):
        yield written.problem(place, message)
    yield from keys.ignored(document, (), content, PIPELINE_KEYS)
    yield from keys.ignored(
        document, ("settings",), mapping(content.get("settings")), keys.SETTINGS
    )
    yield from _of_steps(written, nodes)


def _of_steps(document: Document, nodes: Mapping[str, Node]) -> Iterator[Problem]:
    """Keys that hardly mean what they say, of steps and in the files of their components."""
    for name, value in mapping(document.content.get("jobs")).items():
        if mapping(value).get("type", "command") == "command":
            yield from keys.ignored(document, ("jobs", name), mapping(value), keys.STEP)
        else:
            yield from keys.misspelt(document, ("jobs", name), mapping(value))
    for node in nodes.values():
        if file := _document_of(node, document.root):
            yield from keys.misspelt(file, (), file.content)
    for inner, jobs in _within(document, nodes):
        yield from _of_steps(inner, jobs)


def _within(
    document: Document, nodes: Mapping[str, Node]
) -> Iterator[tuple[Document, dict[str, Node]]]:
    """The pipelines that nodes are, and that have files of their own, with their jobs."""
    for node in nodes.values():
        if node.jobs and (file := _document_of(node, document.root)):
            yield file, node.jobs


def _document_of(node: Node, root: Path) -> Document | None:
    """The file of a node's component; a flow's says other things."""
    if node.file is None or node.file.suffix not in (".yml", ".yaml") or not node.knows_ports:
        return None
    try:
        return documents.read(node.file, root=root)
    except DefinitionsInvalid:
        # Told by _missing.
        return None


def _shape(document: Document) -> Iterator[Problem]:
    content = document.content
    kind = wrapping.kind(content)
    if kind != "pipeline":
        known = ", ".join(repr(known) for known in ("pipeline", *wrapping.WRAPPED))
        yield document.problem(("type",), f"type is {kind!r}; jobs of type {known} are taken")
        return
    if "component" in content:
        yield from _missing(document, (), {"component": content["component"]})
    elif not mapping(content.get("jobs")):
        yield document.problem(("jobs",), "a pipeline needs at least one job in 'jobs'")
    for node, value in mapping(content.get("jobs")).items():
        if not isinstance(value, dict):
            yield document.problem(("jobs", node), f"jobs.{node} is not a mapping")
            continue
        yield from _missing(document, ("jobs", node), value)
        if value.get("type") in PRIVATE and not private_features():
            yield document.problem(
                ("jobs", node, "type"),
                f"jobs of type {value['type']!r} are a private preview of AzureML, whose SDK takes "
                f"them where {PRIVATE_FEATURES}=true is set",
            )
        for key in keys.unknown(value):
            message = f"{key!r} is not known; {keys.instead(key, keys.STEP)}"
            yield document.problem(("jobs", node, key), message)
        for port, given in mapping(value.get("inputs")).items():
            yield from _data(document, ("jobs", node, "inputs", port), given)
    for name, value in mapping(content.get("inputs")).items():
        yield from _data(document, ("inputs", name), value)
        if name.startswith(RESERVED_INPUT):
            yield document.problem(
                ("inputs", name), f"names that begin with {RESERVED_INPUT!r} are Signalbox's own"
            )
        if mapping(value).get("type") in ("string", "integer", "number", "boolean"):
            default = mapping(value).get("default", "…")
            yield document.problem(
                ("inputs", name),
                f"a pipeline job's literal input is its value alone: write '{name}: {default}'",
            )


def _data(document: Document, place: Place, value: Any) -> Iterator[Problem]:
    """Local data that is not there."""
    path = mapping(value).get("path")
    if (name := local(path)) and not (document.path.parent / name).exists():
        yield document.problem((*place, "path"), f"there is no file or folder {path!r}")


def _missing(
    document: Document, place: Place, step: dict[str, Any], above: tuple[Path, ...] = ()
) -> Iterator[Problem]:
    """What a step names and is not there, also in its component's file and the files in that."""
    environment = mapping(step.get("environment"))
    named = {
        (*place, "component"): step.get("component"),
        (*place, "trial"): step.get("trial"),
        (*place, "code"): step.get("code"),
        (*place, "environment", "conda_file"): environment.get("conda_file"),
    }
    for where, value in named.items():
        name = local(value)
        if name is None:
            continue
        path = document.path.parent / name
        if not path.exists():
            yield document.problem(where, f"there is no file or folder {value!r}")
        elif path.resolve() in above:
            # The SDK would read on for ever.
            circle = document.problem(where, f"{value!r} is, in the end, a part of itself")
            raise DefinitionsInvalid([circle])
        elif where[-1] in ("component", "trial"):
            try:
                component = documents.read(path.resolve(), root=document.root)
            except DefinitionsInvalid as error:
                yield from error.problems
                continue
            files = (*above, path.resolve())
            yield from _missing(component, (), component.content, files)
            for child, content in mapping(component.content.get("jobs")).items():
                yield from _missing(component, ("jobs", child), mapping(content), files)
            yield from _dangling(component)
            yield from _unclosed(component)


def _dangling(document: Document) -> Iterator[Problem]:
    """References to inputs, outputs and jobs that are not there."""
    content = document.content
    if "component" in content:
        return
    inputs, outputs = (mapping(content.get(kind)) for kind in ("inputs", "outputs"))
    jobs = mapping(content.get("jobs"))
    for bound in bound_in(content):
        for found in PARENT_INPUT.finditer(bound.text):
            yield from _unless(document, bound.place, "pipeline input", found[1], inputs)
        for found in PARENT_OUTPUT.finditer(bound.text):
            yield from _unless(document, bound.place, "pipeline output", found[1], outputs)
        for found in JOB_OUTPUT.finditer(bound.text):
            job, output = found.groups()
            yield from _unless(document, bound.place, "job", job, jobs)
            if "command" in mapping(jobs.get(job)):
                there = mapping(jobs[job].get("outputs"))
                what = f"output of job {job!r}:"
                yield from _unless(document, bound.place, what, output, there)
    for node, value in jobs.items():
        for found in PARENT_INPUT.finditer(str(mapping(value).get("compute"))):
            place = ("jobs", node, "compute")
            yield from _unless(document, place, "pipeline input", found[1], inputs)


def _unclosed(document: Document) -> Iterator[Problem]:
    """Expressions without their end: AzureML takes them for plain text."""
    for place, text in documents.texts(document.content):
        if place[-1] not in _PROSE:
            for begun in unclosed(text):
                yield document.problem(
                    place,
                    f"{begun!r} opens an expression with '${{{{' but never closes it; end it "
                    "with '}}'",
                )


def _misfits(document: Document, nodes: Mapping[str, Node]) -> Iterator[Problem]:
    """What nodes bind and their component files declare, where the two disagree."""
    for bound in bound_in(document.content):
        if bound.kind == "outputs" and nodes[bound.node].knows_ports:
            there = nodes[bound.node].ports("outputs")
            yield from _unless(document, bound.place, "output of the component:", bound.port, there)
        for found in JOB_OUTPUT.finditer(bound.text):
            # A job that is not there is told by _dangling.
            source = nodes.get(found[1])
            if source and source.knows_ports:
                what = f"output of job {found[1]!r}:"
                there = source.ports("outputs")
                yield from _unless(document, bound.place, what, found[2], there)
    for name, node in nodes.items():
        if node.spelled.get("type") == "command" and not node.spelled.get("environment"):
            yield document.problem(
                ("jobs", name),
                f"job {name!r} has no environment; give an image, a conda file or azureml:name:1",
            )
        given = {
            port.partition(".")[0]
            for port, value in mapping(document.content["jobs"][name].get("inputs")).items()
            if value is not None
        }
        searched = mapping(node.content.get("search_space"))
        for port, declared in node.ports("inputs").items():
            needed = "default" not in declared and not literals.flag(declared.get("optional"))
            if needed and declared.get("type") != "group" and port not in {*given, *searched}:
                yield document.problem(
                    ("jobs", name, "inputs"),
                    f"the component of job {name!r} needs the input {port!r} "
                    f"({declared.get('type')})",
                )


def _cycles(document: Document) -> Iterator[Problem]:
    waits: dict[str, set[str]] = {}
    for bound in bound_in(document.content):
        if bound.kind == "inputs":
            after = {found[1] for found in JOB_OUTPUT.finditer(bound.text)}
            waits.setdefault(bound.node, set()).update(after)
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        place = ("jobs", error.args[1][0], "inputs")
        yield document.problem(place, f"these jobs wait for each other: {circle}")


def _command(document: Document, name: str, node: Node) -> Iterator[Problem]:
    """Ports that a command line names and its component does not have."""
    if node.spelled.get("type") != "command":
        return
    written = document
    place: Place = ("jobs", name, "command")
    if file := _document_of(node, document.root):
        written, place = file, ("command",)
    for found in OWN_PORT.finditer(str(node.spelled.get("command"))):
        kind, port = found.groups()
        there = node.ports(kind)
        if kind == "inputs" and any(value.get("type") == "group" for value in there.values()):
            continue
        yield from _unless(written, place, f"{kind.removesuffix('s')} of the command:", port, there)


def _unfit(
    document: Document,
    nodes: Mapping[str, Node],
    why_not: Callable[[Any, dict[str, Any]], str | None],
) -> Iterator[tuple[Place, str]]:
    """Literals that the components they go to do not take."""
    inputs = mapping(document.content.get("inputs"))
    for bound in bound_in(document.content):
        declared = mapping(nodes[bound.node].ports(bound.kind).get(bound.port))
        if bound.kind != "inputs" or not declared:
            continue
        place: Place
        if found := PARENT_INPUT.fullmatch(bound.text):
            value, place = inputs.get(found[1]), ("inputs", found[1])
            if isinstance(value, dict) and "default" in value:
                # A component's, which declares it.
                value, place = value["default"], (*place, "default")
        elif whole(bound.text):
            continue
        else:
            value = mapping(document.content["jobs"][bound.node]["inputs"])[bound.port]
            place = bound.place
        if why := why_not(value, declared):
            yield place, f"{bound.node}.{bound.port}: {why}"


def _unless(
    document: Document, place: Place, what: str, name: str, there: Mapping[str, Any]
) -> Iterator[Problem]:
    if name not in there:
        known = ", ".join(sorted(there)) or "none"
        yield document.problem(place, f"there is no {what} {name!r}; there are: {known}")
