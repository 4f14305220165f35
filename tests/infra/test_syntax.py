"""Every file can be read by two parsers, and fits the others: parameters, outputs, versions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

from tests.infra.bicep import FILES, INFRA, all_files, decorated, read

#: What Azure Verified Modules take and put out, by path and version.
_INTERFACES = "tests/infra/verified_modules.json"

_NAMES = [str(path.relative_to(INFRA)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_the_grammar_of_tree_sitter_reads_it(path: Path) -> None:
    tree = Parser(Language(tree_sitter_bicep.language())).parse(path.read_bytes())

    assert [f"line {node.start_point[0] + 1}" for node in _wrong(tree.root_node)] == []


def _wrong(node: Node) -> list[Node]:
    here = [node] if node.is_error or node.is_missing else []
    return [*here, *(wrong for child in node.children for wrong in _wrong(child))]


@pytest.mark.parametrize("path", FILES, ids=_NAMES)
def test_pycep_reads_it(path: Path) -> None:
    file = read(path)

    # Nothing is lost: it skips in silence what it takes for a comment.
    declared = re.findall(r"^(param|module|resource|output) (\w+)", file.text, re.MULTILINE)
    kinds = {"param": "parameters", "module": "modules", "resource": "resources"}
    for kind, name in declared:
        assert name in file.tree[kinds.get(kind, "outputs")], f"{kind} {name}"


@pytest.mark.parametrize("text", ["param x\n", "var x = {\n  a: 1\n", "resource a 'b@1' = [\n"])
def test_both_notice_what_is_no_bicep(text: str) -> None:
    from lark.exceptions import LarkError
    from pycep import BicepParser

    tree = Parser(Language(tree_sitter_bicep.language())).parse(text.encode())
    assert _wrong(tree.root_node)
    with pytest.raises(LarkError):
        BicepParser().parse(text=text)


def test_every_parameter_says_what_it_is() -> None:
    silent = [
        f"{file.name}: {name}"
        for file in all_files()
        for name, declared in file.parameters.items()
        if not decorated(declared, "description")
    ]

    assert silent == []


def test_modules_are_given_what_they_take() -> None:
    wrong = []
    for file in all_files():
        for module in file.modules():
            if module.verified:
                continue
            there = read(INFRA / module.source)
            needed = {
                name
                for name in there.parameters
                if not re.search(rf"^param {name} \w+(\[\])? =", there.text, re.MULTILINE)
            }
            given = set(module.params)
            if unknown := given - set(there.parameters):
                wrong.append(f"{file.name}: {module.name} has no {sorted(unknown)}")
            if missing := needed - given:
                wrong.append(f"{file.name}: {module.name} needs {sorted(missing)}")
            if unknown := _read_of(module.name, file.text) - set(there.outputs):
                wrong.append(f"{file.name}: {module.name} puts out no {sorted(unknown)}")

    assert wrong == []


def test_verified_modules_are_given_what_they_take() -> None:
    """Another version is to be read first.

    Source: parameters and outputs of each module's main.json, under its tag
    (https://github.com/Azure/bicep-registry-modules, `git show <path>/<version>:<path>/main.json`).
    """
    known: dict[str, Any] = json.loads((INFRA.parent / _INTERFACES).read_text())
    wrong, seen = [], set()
    for file in all_files():
        for module in file.modules():
            if not module.verified:
                continue
            assert module.source in known, f"{module.source} is not in {_INTERFACES}"
            seen.add(module.source)
            there = known[module.source]
            if unknown := set(module.params) - {*there["required"], *there["optional"]}:
                wrong.append(f"{file.name}: {module.name} has no {sorted(unknown)}")
            if missing := set(there["required"]) - set(module.params):
                wrong.append(f"{file.name}: {module.name} needs {sorted(missing)}")
            if unknown := _read_of(module.name, file.text) - set(there["outputs"]):
                wrong.append(f"{file.name}: {module.name} puts out no {sorted(unknown)}")

    assert wrong == []
    assert set(known) == seen


def _read_of(module: str, text: str) -> set[str]:
    """The outputs of a module that a file reads."""
    return set(re.findall(rf"\b{module}\.\??outputs\.(\w+)", text))


def test_no_parameter_or_variable_is_in_vain() -> None:
    unused = [
        f"{file.name}: {name}"
        for file in all_files()
        for name in [*file.parameters, *file.tree.get("variables", {})]
        if len(re.findall(rf"\b{name}\b", file.text)) < 2
    ]

    assert unused == []


def test_every_file_is_used() -> None:
    used = {module.source for file in all_files() for module in file.modules()}

    # What azd, the hook after deployment, and whoever has no network, begin with.
    assert set(_NAMES) - used == {"main.bicep", "subscriptions.bicep", "network.bicep"}


def test_verified_modules_have_exact_versions_and_one_each() -> None:
    versions: dict[str, set[str]] = {}
    for file in all_files():
        for module in file.modules():
            if module.verified:
                path, _, version = module.source.partition(":")
                assert re.fullmatch(r"\d+\.\d+\.\d+", version), module.source
                versions.setdefault(path, set()).add(version)

    assert len(versions) > 8
    assert {path: found for path, found in versions.items() if len(found) > 1} == {}


def test_only_the_template_has_defaults() -> None:
    given = _parameters()

    assert sorted(given) == sorted(read(INFRA / "main.bicep").parameters)
    for name, value in given.items():
        # azd leaves out what no variable of its environment says.
        assert re.fullmatch(r"\$\{(AZURE|INFRA)_[A-Z_]+\}", value["value"]), name
    assert len({value["value"] for value in given.values()}) == len(given)


def test_no_output_takes_the_place_of_a_parameter() -> None:
    """azd keeps both in one environment."""
    outputs = set(read(INFRA / "main.bicep").outputs)
    given = {value["value"].strip("${}") for value in _parameters().values()}

    assert outputs & given <= {"AZURE_LOCATION"}


def _parameters() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    return found
