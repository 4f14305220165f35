"""Where a node's input comes from: a literal, data, the pipeline's input, another node's output."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from emulator.azureml.errors import UserError

EXPRESSION = re.compile(r"\$\{\{\s*(?P<path>[^{}]+?)\s*\}\}")
_PARENT_INPUT = re.compile(r"parent\.inputs\.(?P<name>\w+(?:\.\w+)*)")
_NODE_OUTPUT = re.compile(r"parent\.jobs\.(?P<node>\w+)\.outputs\.(?P<name>\w+)")
_PARENT_OUTPUT = re.compile(r"parent\.outputs\.(?P<name>\w+)")


@dataclass(frozen=True)
class Text:
    """A literal, which may hold `${{parent.inputs.x}}` of literal inputs inside other text."""

    text: str

    @property
    def parent_inputs(self) -> tuple[str, ...]:
        return tuple(_parent_input(match) for match in EXPRESSION.finditer(self.text))

    def filled(self, value_of: Callable[[str], str]) -> str:
        """The text with every expression replaced by the value of that pipeline input."""
        return EXPRESSION.sub(lambda match: value_of(_parent_input(match)), self.text)


@dataclass(frozen=True)
class ParentInput:
    """The whole of one input of the pipeline, whatever its type."""

    name: str


@dataclass(frozen=True)
class NodeOutput:
    """An output of another node of the same pipeline."""

    node: str
    name: str


@dataclass(frozen=True)
class Data:
    """Data that is named by URI or asset id."""

    uri: str
    type: str
    mode: str | None = None
    #: Made by a step of this job: it may be empty, and before that step its address is a binding.
    is_produced: bool = False


Binding = Text | ParentInput | NodeOutput | Data


def read_binding(value: str, where: str) -> Binding:
    """A node input's literal value as a binding. Raises UserError on an unknown expression."""
    match = EXPRESSION.fullmatch(value)
    if match:
        if parent := _PARENT_INPUT.fullmatch(match["path"]):
            return ParentInput(parent["name"])
        if node := _NODE_OUTPUT.fullmatch(match["path"]):
            return NodeOutput(node["node"], node["name"])
    for found in EXPRESSION.finditer(value):
        if not _PARENT_INPUT.fullmatch(found["path"]):
            raise UserError(
                f"{where} has the expression {found[0]!r}, which is neither "
                "${{parent.inputs.<name>}} nor, as the whole value, "
                "${{parent.jobs.<node>.outputs.<name>}}.",
                inner=("BadArgument", "InvalidBinding"),
            )
    return Text(value)


def read_parent_output(value: str, where: str) -> str:
    """The pipeline output that a node's output is bound to."""
    match = EXPRESSION.fullmatch(value)
    parent = _PARENT_OUTPUT.fullmatch(match["path"]) if match else None
    if not parent:
        raise UserError(
            f"{where} is bound to {value!r}; an output is bound to ${{{{parent.outputs.<name>}}}}.",
            inner=("BadArgument", "InvalidBinding"),
        )
    return parent["name"]


def _parent_input(match: re.Match[str]) -> str:
    parent = _PARENT_INPUT.fullmatch(match["path"])
    assert parent, "bindings are checked when they are read"
    return parent["name"]
