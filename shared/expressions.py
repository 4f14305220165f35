"""`${{ … }}`: JMESPath over what is known about an event, the same root everywhere."""

import json
import re
from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from shared.errors import ExpressionInvalid
from shared.inputs import redacted

#: Longer than any honest mapping; JMESPath has no loops, so length bounds the work.
MAX_LENGTH = 500

#: What jmespath raises: its own errors, and those of Python that it lets through.
_TROUBLES = (JMESPathError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)

_EXPRESSION = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)


def check(template: Any, roots: Mapping[str, frozenset[str] | None]) -> list[str]:
    """What is wrong with the expressions in a value, without an event at hand.

    `roots` are the names that will be there, each with its members, or None where these are not
    known. The answer is empty when all is well.
    """
    if not isinstance(template, str):
        return []
    problems = []
    if "${{" in _EXPRESSION.sub("", template):
        problems.append(f"{template!r} opens an expression with '${{{{' but never closes it")
    for text in _EXPRESSION.findall(template):
        problems += _check_path(f"${{{{{text}}}}}", text, roots)
    return problems


def check_condition(text: str, roots: Mapping[str, frozenset[str] | None]) -> list[str]:
    """What is wrong with a condition: JMESPath without the `${{ }}` around it."""
    if "${{" in text:
        return ["where is JMESPath itself; leave out '${{' and '}}'"]
    return _check_path(text, text, roots)


def unmet(condition: str, known: Mapping[str, Any]) -> str | None:
    """Why a condition is not true; None when it is."""
    try:
        found = _compiled(condition).search(known)
    except ExpressionInvalid as error:
        return str(error)
    except _TROUBLES as error:
        return f"cannot be worked out: {_cut(str(error))}"
    return None if found is True else f"is {_short(found)}"


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
    return _EXPRESSION.sub(lambda match: as_text(_found(match.group(1), known)), template)


def findings(template: Any, known: Mapping[str, Any]) -> list[Any]:
    """What each expression in a value finds, apart from the text around it.

    Raises ExpressionInvalid, as `evaluate`.
    """
    texts = _EXPRESSION.findall(template) if isinstance(template, str) else []
    return [_found(text, known) for text in texts]


def as_text(found: Any) -> str:
    """What an expression found, as it is written within text: JSON unless it is text."""
    return found if isinstance(found, str) else json.dumps(found)


def _found(text: str, known: Mapping[str, Any]) -> Any:
    try:
        found = _compiled(text).search(known)
    except _TROUBLES as error:
        raise ExpressionInvalid(f"'${{{{{text}}}}}' cannot be worked out: {error}") from None
    if found is None:
        raise ExpressionInvalid(
            f"'${{{{{text}}}}}' found nothing; write 'not_null({text.strip()}, `…`)' "
            "to give a default"
        )
    if not isinstance(found, str | bool | int | float | list | dict):
        raise ExpressionInvalid(f"'${{{{{text}}}}}' is not a value")
    return found


def _check_path(shown: str, text: str, roots: Mapping[str, frozenset[str] | None]) -> list[str]:
    try:
        paths = _paths(_compiled(text).parsed)
    except ExpressionInvalid as error:
        return [str(error)]
    problems = []
    for root, *members in sorted(paths):
        if root not in roots:
            problems.append(
                f"{shown!r} starts at {root!r}, which is not known here; "
                f"use one of: {', '.join(sorted(roots))}"
            )
        elif (known := roots[root]) is not None and members and members[0] not in known:
            there = ", ".join(sorted(known)) or "nothing"
            problems.append(f"{shown!r}: {root} has no {members[0]!r}, only {there}")
    return problems


def _compiled(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(f"An expression is longer than {MAX_LENGTH} characters")
    try:
        return jmespath.compile(text.strip())
    except _TROUBLES as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExpressionInvalid(f"'${{{{{text}}}}}' is not JMESPath: {reason}") from None


def _paths(tree: Any) -> set[tuple[str, ...]]:
    """The names an expression looks up: roots, and the first member of each that is named."""
    match tree:
        case {"type": "field", "value": name}:
            return {(name,)}
        case {"type": "subexpression", "children": [first, second, *_]}:
            members = _paths(second) or {()}
            return {(*path, *member) for path in _paths(first) for member in members}
        case {"type": "expref"}:
            # What is behind & belongs to each item of a list.
            return set()
        case {
            "type": "index_expression"
            | "projection"
            | "value_projection"
            | "filter_projection"
            | "flatten"
            | "pipe",
            "children": [first, *_],
        }:
            return _paths(first)
        case {"children": list(children)}:
            return set().union(*(_paths(child) for child in children))
        case _:
            return set()


def _short(found: Any) -> str:
    return _cut(json.dumps(found, default=lambda _: "no value"))


def _cut(text: str) -> str:
    # It goes into logs, and whoever sent the event chose it.
    text = redacted(text)
    return text if len(text) <= 60 else f"{text[:60]}…"
