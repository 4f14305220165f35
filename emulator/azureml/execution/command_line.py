"""The command of a component with its inputs and outputs filled in."""

import re
from collections.abc import Mapping

_EXPRESSION = re.compile(r"\$\{\{\s*(inputs|outputs)\.([\w.]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


class UnknownName(ValueError):
    """The command uses an input or output that is not there."""


def render(command: str, inputs: Mapping[str, str | None], outputs: Mapping[str, str]) -> str:
    """Fill `${{inputs.x}}` and `${{outputs.x}}`; drop each `$[[…]]` with an input without value.

    `inputs` maps every declared input to its text or path, None for an optional one without a
    value. Values are put in as they are, as AzureML does: quoting is the command's own matter.
    Raises UnknownName.
    """

    def fill(match: re.Match[str]) -> str:
        values: Mapping[str, str | None] = inputs if match[1] == "inputs" else outputs
        value = values.get(match[2])
        if value is None:
            state = "has no value" if match[2] in values else "does not exist"
            raise UnknownName(f"{match[0]} in the command {state}")
        return value

    def optional(match: re.Match[str]) -> str:
        names = [name for kind, name in _EXPRESSION.findall(match[1]) if kind == "inputs"]
        missing = any(name in inputs and inputs[name] is None for name in names)
        return "" if missing else match[1]

    return _EXPRESSION.sub(fill, _OPTIONAL.sub(optional, command))
