"""`${{ … }}`: JMESPath over what is known about an event, the same root everywhere."""

import json
import re
from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from shared.errors import ExpressionInvalid

#: Longer than any honest mapping; JMESPath has no loops, so length bounds the work.
MAX_LENGTH = 500

_EXPRESSION = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)


def check(template: Any, roots: frozenset[str]) -> list[str]:
    """What is wrong with the expressions in a value, without an event at hand.

    `roots` are the names that will be there. The answer is empty when all is well.
    """
    if not isinstance(template, str):
        return []
    problems = []
    if "${{" in _EXPRESSION.sub("", template):
        problems.append(f"{template!r} opens an expression with '${{{{' but never closes it")
    for text in _EXPRESSION.findall(template):
        try:
            tree = _compiled(text).parsed
        except ExpressionInvalid as error:
            problems.append(str(error))
            continue
        unknown = sorted(_first_names(tree) - roots)
        problems.extend(
            f"'${{{{{text}}}}}' starts at {name!r}, which is not known here; "
            f"use one of: {', '.join(sorted(roots))}"
            for name in unknown
        )
    return problems


def evaluate(template: Any, known: Mapping[str, Any]) -> Any:
    """A value with its expressions replaced by what they find.

    A string that is one whole expression keeps the type of what was found, so 0, false and ""
    survive; within other text, what was found is written as text.

    Raises ExpressionInvalid when an expression finds nothing (or null).
    """
    if not isinstance(template, str):
        return template
    if whole := _EXPRESSION.fullmatch(template.strip()):
        return _found(whole.group(1), known)
    return _EXPRESSION.sub(lambda match: _as_text(_found(match.group(1), known)), template)


def _found(text: str, known: Mapping[str, Any]) -> Any:
    try:
        found = _compiled(text).search(known)
    except JMESPathError as error:
        raise ExpressionInvalid(f"'${{{{{text}}}}}' cannot be worked out: {error}") from None
    if found is None:
        raise ExpressionInvalid(
            f"'${{{{{text}}}}}' found nothing; write '{text.strip()} || `…`' to give a default"
        )
    return found


def _compiled(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(f"An expression is longer than {MAX_LENGTH} characters")
    try:
        return jmespath.compile(text.strip())
    except JMESPathError as error:
        reason = str(error).splitlines()[0]
        raise ExpressionInvalid(f"'${{{{{text}}}}}' is not JMESPath: {reason}") from None


def _first_names(tree: Any) -> set[str]:
    """The names an expression looks up in the root, found where its syntax tree begins."""
    match tree:
        case {"type": "field", "value": name}:
            return {name}
        case {
            "type": "subexpression"
            | "index_expression"
            | "projection"
            | "value_projection"
            | "filter_projection"
            | "flatten"
            | "pipe",
            "children": [first, *_],
        }:
            return _first_names(first)
        case {"children": list(children)}:
            return set().union(*(_first_names(child) for child in children))
        case _:
            return set()


def _as_text(found: Any) -> str:
    return found if isinstance(found, str) else json.dumps(found)
