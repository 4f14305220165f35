"""`${{…}}` in a pipeline's document: what a port of a job is bound to."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shared.nodes import mapping

PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([\w-]+)\s*\}\}")
PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.([\w-]+)\s*\}\}")
JOB_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.([\w-]+)\.outputs\.([\w-]+)\s*\}\}")
#: In a command line; `$[[…]]` marks a part that is left out with an optional input.
OWN_PORT = re.compile(r"\$\{\{\s*(inputs|outputs)\.([\w-]+)(?:\.[\w.-]+)?\s*\}\}")
#: What is shown of one that does not end: its path, and nothing of the text behind it.
_PATH = re.compile(r" *[\w.-]{0,100} *\}?")

#: Where an AutoML job has its data; it has no component and no inputs.
_AUTOML_DATA = ("training_data", "validation_data", "test_data")


@dataclass(frozen=True)
class Bound:
    """One port of one node, and the text it is bound to."""

    node: str
    #: "inputs" or "outputs".
    kind: str
    port: str
    text: str
    #: Where it stands in the document.
    place: tuple[str, ...]


def bound_in(content: dict[str, Any]) -> Iterator[Bound]:
    """Every port that a document binds, in its order."""
    for node, value in mapping(content.get("jobs")).items():
        job = mapping(value)
        for kind in ("inputs", "outputs"):
            for port, given in mapping(job.get(kind)).items():
                yield Bound(node, kind, port, text_of(given), ("jobs", node, kind, port))
        if job.get("type") == "automl":
            for port in _AUTOML_DATA:
                if port in job:
                    yield Bound(node, "inputs", port, text_of(job[port]), ("jobs", node, port))


def text_of(given: Any) -> str:
    """What a port is given, as text."""
    return str(given.get("path", "") if isinstance(given, dict) else given)


def unclosed(text: str) -> list[str]:
    """The beginning of every expression in a text that opens and never closes."""
    # `${` alone may be the shell's.
    _, *opened = text.split("${{")
    shown = [found[0] for part in opened if "}}" not in part and (found := _PATH.match(part))]
    return [f"${{{{{path.strip()}" for path in shown]


def whole(text: str) -> bool:
    """Whether a text is one binding and nothing else."""
    return any(form.fullmatch(text) for form in (PARENT_INPUT, PARENT_OUTPUT, JOB_OUTPUT))
