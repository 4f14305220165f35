"""Every name that is used is declared: what the compiler would say first."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.infra.bicep import FILES, INFRA

_PARSER = Parser(Language(tree_sitter_bicep.language()))

#: Functions of Bicep that are used. Source: Bicep functions.
_FUNCTIONS = {
    "any",
    "concat",
    "contains",
    "empty",
    "cidrSubnet",
    "endsWith",
    "environment",
    "filter",
    "flatten",
    "guid",
    "indexOf",
    "join",
    "last",
    "loadJsonContent",
    "map",
    "replace",
    "resourceGroup",
    "resourceId",
    "split",
    "subscription",
    "subscriptionResourceId",
    "substring",
    "take",
    "tenant",
    "toLower",
    "toObject",
    "toUpper",
    "trim",
    "union",
    "uniqueString",
}
#: Names that decorators and types are made of.
_DECLARATIONS = {
    "parameter_declaration",
    "variable_declaration",
    "output_declaration",
    "resource_declaration",
    "module_declaration",
}


def undeclared(text: str) -> list[str]:
    """`line: name` of everything that nothing declares."""
    root = _PARSER.parse(text.encode()).root_node
    known = {
        _text(_first_name(node))
        for node in _below(root)
        if node.type in _DECLARATIONS - {"output_declaration"}
    }
    return list(_unknown(root, known))


def _unknown(node: Node, known: set[str]) -> Iterator[str]:
    children = list(node.named_children)
    if node.type == "decorator":
        return
    if node.type == "identifier":
        if _text(node) not in known:
            yield f"{node.start_point[0] + 1}: {_text(node)}"
        return
    if node.type in (*_DECLARATIONS, "object_property") and children[0].type in (
        "identifier",
        "decorators",
    ):
        # The name itself; of a property, its key.
        children.remove(_first_name(node))
    elif node.type == "call_expression":
        function = node.child_by_field_name("function")
        if function and function.type == "identifier":
            children.remove(function)
            if _text(function) not in _FUNCTIONS:
                yield f"{node.start_point[0] + 1}: {_text(function)}()"
    elif node.type == "lambda_expression":
        *variables, body = children
        known = known | {_text(name) for one in variables for name in _names(one)}
        children = [body]
    elif node.type == "for_statement":
        variable = node.child_by_field_name("initializer")
        assert variable
        known = known | {_text(name) for name in _names(variable)}
        children.remove(variable)
    for child in children:
        yield from _unknown(child, known)


def _names(node: Node) -> list[Node]:
    return [one for one in (node, *_below(node)) if one.type == "identifier"]


def _first_name(node: Node) -> Node:
    return next(child for child in node.named_children if child.type == "identifier")


def _below(node: Node) -> Iterator[Node]:
    for child in node.named_children:
        yield child
        yield from _below(child)


def _text(node: Node) -> str:
    assert node.text
    return node.text.decode()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(INFRA)))
def test_every_name_is_declared(path: Path) -> None:
    assert undeclared(path.read_text()) == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("var a = b\n", "1: b"),
        ("param a string = '${b}-c'\n", "1: b"),
        ("var a = map([], x => y)\n", "1: y"),
        ("var a = [for x in y: {\n  z: x\n}]\n", "1: y"),
        ("var a = {\n  b: c.d\n}\n", "2: c"),
        ("output a string = b.outputs.c\n", "1: b"),
        ("var a = lasst([])\n", "1: lasst()"),
        ("module a 'b.bicep' = {\n  scope: c\n}\n", "2: c"),
    ],
)
def test_what_is_not_declared_is_noticed(text: str, missing: str) -> None:
    assert undeclared(text) == [missing]
