"""The page about the HTTP API says what it offers: operations, fields, states, reasons."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from shared import envelopes
from shared.api import contract
from shared.api.application import create_app
from shared.api.bodies import RunRequest, TestRequest
from shared.api.events import Decided
from shared.bootstrap import App
from shared.ledger import State
from shared.previews import Preview
from shared.questions import Explanation
from shared.summaries import RunDetail, RunSummary
from tests.unit.pages import ROOT, codes, page, pages

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
API = "docs/api.md"


# Reasons


def _reasons() -> set[str]:
    """The code of every reason that shared/ gives."""
    found = set()
    for file in (ROOT / "shared").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        named = {
            target.id: node.value.value
            for node in nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in nodes:
            if isinstance(node, ast.Call):
                code = next((word.value for word in node.keywords if word.arg == "code"), None)
                said = named.get(code.id) if isinstance(code, ast.Name) else code
                value = said.value if isinstance(said, ast.Constant) else said
                found |= {value} if isinstance(value, str) else set()
    return found


def test_every_reason_is_documented_and_no_other() -> None:
    assert sorted(page(API).keys("reason", "meaning")) == sorted(_reasons())


def test_every_state_is_documented_and_no_other() -> None:
    assert page(API).keys("state", "meaning") == [state.value for state in State]


# The API


@cache
def _openapi() -> dict[str, Any]:
    def nobody() -> App:
        raise AssertionError("describing the API asks nobody")

    return contract.document(create_app(nobody, new_id=lambda: "1", now=lambda: NOW))


def test_the_page_has_every_operation_and_no_other() -> None:
    offered = {
        f"{method.upper()} {path}" for path, item in _openapi()["paths"].items() for method in item
    }

    assert sorted(page(API).keys("operation", "what")) == sorted(offered)


def _calls() -> Iterator[tuple[str, str, str | None]]:
    """Method, path and body of every curl in the documentation."""
    for here in pages():
        for block in here.blocks("sh"):
            for call in re.split(r"^curl ", block.text, flags=re.MULTILINE)[1:]:
                address = re.search(r"\$SIGNALBOX_URL(/[^\s\"?]*)", call)
                assert address, call
                body = re.search(r"-d '(.*?)'", call, re.DOTALL)
                said = re.search(r"-X (\w+)", call)
                method = said[1] if said else "POST" if body else "GET"
                yield method, address[1], body[1] if body else None


def test_every_curl_is_an_operation_with_a_body_that_is_json() -> None:
    calls = list(_calls())
    assert len(calls) > 5
    for method, path, body in calls:
        patterns = {
            re.sub(r"\{\w+\}", "[^/]+", offered): item
            for offered, item in _openapi()["paths"].items()
        }
        methods = [item for pattern, item in patterns.items() if re.fullmatch(pattern, path)]
        assert any(method.lower() in item for item in methods), f"{method} {path}"
        content = json.loads(body) if body else None
        if path.endswith("/runs") and body:
            assert RunRequest.model_validate(content)
        if path.endswith("/test"):
            assert TestRequest.model_validate(content)
        if path == "/api/events" and body:
            assert len(envelopes.parse(content, now=NOW)) == 1


@pytest.mark.parametrize(
    "model", [RunSummary, RunDetail, RunRequest, TestRequest, Preview, Explanation, Decided]
)
def test_every_field_of_the_api_is_on_its_page(model: type[BaseModel]) -> None:
    named = set(re.findall(r"\w+", " ".join([*codes(page(API).text), *_examples()])))

    # A run has an id, whatever else.
    assert model.model_fields.keys() - named - {"id", "question"} == set()


def _examples() -> list[str]:
    return [block.text for language in ("json", "sh") for block in page(API).blocks(language)]


def test_every_status_of_an_error_is_documented() -> None:
    told = {
        int(status)
        for item in _openapi()["paths"].values()
        for operation in item.values()
        for status in operation["responses"]
        if int(status) >= 400
    }
    shown = {int(row[0]) for row in page(API).table("status", "meaning")}

    # Wrong methods belong to no operation.
    assert shown == told | {405}
