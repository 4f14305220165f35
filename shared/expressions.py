"""`${{ … }}`: JMESPath over what is known about an event, the same root everywhere."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from shared.errors import ExpressionInvalid, NothingFound, listed
from shared.inputs import redacted

#: Longer than any honest mapping.
MAX_LENGTH = 500
#: How many times as much as it looks at an expression may make. JMESPath has no loops, but
#: `[@,@]|[@,@][]|…` makes twice as much with every stage; see `_growth`.
MAX_GROWTH = 100

#: What jmespath raises: its own errors, and those of Python that it lets through.
_TROUBLES = (JMESPathError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)

_EXPRESSION = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)


def check(
    template: Any,
    roots: Mapping[str, frozenset[str] | None],
    absent: Mapping[str, str] | None = None,
) -> list[str]:
    """What is wrong with the expressions in a value, without an event at hand.

    `roots` are the names that will be there, each with its members, or None where these are not
    known; `absent` says of others why they are not, and what to write. The answer is empty when
    all is well.
    """
    if not isinstance(template, str):
        return []
    problems = []
    if "${{" in _EXPRESSION.sub("", template):
        problems.append(f"{template!r} opens an expression with '${{{{' but never closes it")
    for text in _EXPRESSION.findall(template):
        problems += _check_path(f"${{{{{text}}}}}", text, roots, absent or {})
    return problems


def check_condition(text: str, roots: Mapping[str, frozenset[str] | None]) -> list[str]:
    """What is wrong with a condition: JMESPath without the `${{ }}` around it."""
    if "${{" in text:
        return ["where is JMESPath itself; leave out '${{' and '}}'"]
    return _check_path(text, text, roots, {})


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

    Raises ExpressionInvalid, and NothingFound when an expression finds nothing (or null).
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
        raise ExpressionInvalid(
            f"'${{{{{text}}}}}' cannot be worked out: {_cut(str(error), 300)}"
        ) from None
    if found is None:
        raise NothingFound(
            f"'${{{{{text}}}}}' found nothing; write 'not_null({text.strip()}, `…`)' "
            "to give a default"
        )
    if not isinstance(found, str | bool | int | float | list | dict):
        raise ExpressionInvalid(f"'${{{{{text}}}}}' is not a value")
    return found


def _check_path(
    shown: str,
    text: str,
    roots: Mapping[str, frozenset[str] | None],
    absent: Mapping[str, str],
) -> list[str]:
    try:
        tree = _compiled(text).parsed
    except ExpressionInvalid as error:
        return [str(error)]
    problems = [
        f"{shown!r} negates only what is right behind '!', and then looks for members of true or "
        f"false, which have none; write '!({path})'"
        for path in _negated(tree)
    ]
    for root, *members in sorted(_paths(tree)):
        if root not in roots:
            why = absent.get(root, "which is not known here")
            problems.append(
                f"{shown!r} starts at {root!r}, {why}; use one of: {listed(sorted(roots))}"
            )
        elif (known := roots[root]) is not None and members and members[0] not in known:
            there = listed(sorted(known)) if known else "nothing"
            problems.append(f"{shown!r}: {root} has no {members[0]!r}, only {there}")
    return problems


# Every event asks the same expressions again.
@lru_cache(maxsize=1_000)
def _compiled(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise ExpressionInvalid(f"An expression is longer than {MAX_LENGTH} characters")
    try:
        compiled = jmespath.compile(text.strip())
        growth = _growth(compiled.parsed)
    except _TROUBLES as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        reason = reason.removesuffix(":").removesuffix(", for expression")
        raise ExpressionInvalid(
            f"'${{{{{text}}}}}' is not JMESPath: {reason}{_remedy(reason)}"
        ) from None
    if growth > MAX_GROWTH:
        raise ExpressionInvalid(
            f"'${{{{{text}}}}}' could make more than {MAX_GROWTH} times as much as the event "
            "holds: lists, objects and functions multiply when one works on what another made; "
            "use fewer of them, and join with a separator in quotes"
        )
    return compiled


def _remedy(reason: str) -> str:
    """What to write instead, for what people write most who know other languages."""
    if "(NUMBER)" in reason:
        return "; a number stands in backticks, as in `12`"
    if "Unknown token '='" in reason:
        return "; to compare write '=='"
    if "Unknown token '-'" in reason:
        return "; a name with '-' stands in double quotes, as in event.data.\"row-count\""
    return ""


def _growth(tree: Any) -> float:
    """How many times as much as it looks at an expression makes at most, along the way too.

    What works on the outcome of something else multiplies, what stands side by side adds up.
    """
    match tree:
        case {"type": "literal", "value": value}:
            return _leaves(value)
        case {"type": "function_expression", "value": "join", "children": [separator, joined]}:
            # The separator is repeated as often as there are things to join.
            if separator["type"] == "literal":
                return max(1, len(str(separator["value"]))) * _growth(joined)
            if joined["type"] == "multi_select_list":
                return (_growth(separator) + 1) * _growth(joined)
            return float("inf")
        case {"type": "function_expression", "value": name, "children": list(children)}:
            each = prod(_growth(child) for child in children if child["type"] == "expref")
            given = sum(_growth(child) for child in children if child["type"] != "expref")
            if name == "not_null":
                given = max(map(_growth, children), default=1)
            # Text within text: every quote and backslash gets another backslash.
            return each * max(1, given) * (2 if name == "to_string" else 1)
        case {"type": "filter_projection", "children": [base, then, condition]}:
            return _growth(base) * max(_growth(then), _growth(condition))
        case {"type": "multi_select_list" | "multi_select_dict", "children": list(children)}:
            return sum(map(_growth, children))
        case {
            "type": "comparator" | "or_expression" | "and_expression",
            "children": list(children),
        }:
            return max(map(_growth, children))
        case {"type": "slice"}:
            return 1
        case {"children": list(children)}:
            return prod(map(_growth, children))
        case _:
            return 1


def _leaves(value: Any) -> int:
    """How many things a literal holds, itself among them."""
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(map(_leaves, value)) if isinstance(value, list) else 1


def _negated(tree: Any) -> list[str]:
    """What was meant by each `!a.b`, which JMESPath reads as `(!a).b`."""
    match tree:
        case {
            "type": "subexpression"
            | "index_expression"
            | "projection"
            | "value_projection"
            | "filter_projection"
            | "flatten" as of,
            "children": [{"type": "not_expression", "children": [meant]}, *rest],
        }:
            names = [part["value"] for part in (meant, *rest) if part["type"] == "field"]
            plain = of == "subexpression" and len(names) == len(rest) + 1
            return [".".join(names) if plain else "…", *_negated(meant)]
        case {"type": "slice"}:
            return []
        case {"children": list(children)}:
            return [path for child in children for path in _negated(child)]
        case _:
            return []


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


def _cut(text: str, length: int = 60) -> str:
    # It goes into logs, and whoever sent the event chose it.
    text = redacted(text)
    return text if len(text) <= length else f"{text[:length]}…"
