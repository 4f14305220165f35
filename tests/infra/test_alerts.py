"""Alerts ask for what the app really logs, and each has its place on the page."""

import ast
import json
import re
from typing import Any

from shared import telemetry
from shared.ledger import State
from tests.infra.bicep import INFRA, ROOT, read
from tests.unit.pages import codes, page

_FILE = read(INFRA / "modules/alerts.bicep")
_RULES: list[dict[str, Any]] = _FILE.tree["variables"]["rules"]["value"]


def actions() -> set[str]:
    """Every `action` that the app logs beside a sentence."""
    found = set()
    for folder in ("shared", "functions"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Dict):
                    said = zip(node.keys, node.values, strict=True)
                    found |= {_text(value) for key, value in said if _text(key) == "action"}
                # submission's own: _about(record, "run_submitted")
                elif isinstance(node, ast.Call) and _text(node.func) == "_about":
                    found |= {_text(argument) for argument in node.args}
    return found - {""}


def _text(node: ast.expr | None) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_alerts_ask_for_what_is_logged() -> None:
    asked = {
        action
        for rule in _RULES
        for said in re.findall(r'action\)? (?:==|in) (\([^)]*\)|"\w+")', rule["query"])
        for action in re.findall(r'"(\w+)"', said)
    }

    assert asked == {
        "event_refused",
        "message_refused",
        "run_finished",
        "waiting",
        "outcome_delayed",
        "daily_limit",
        "tick_item_failed",
    }
    assert asked <= actions()


def test_alerts_ask_for_states_that_there_are() -> None:
    states = {
        state for rule in _RULES for state in re.findall(r'state\) == "(\w+)"', rule["query"])
    }

    assert states == {State.DEAD_LETTER.value}


def test_alerts_ask_for_metrics_that_there_are() -> None:
    asked = {
        name: set(re.findall(r"customDimensions\.(\w+)", rule["query"]))
        for rule in _RULES
        for name in re.findall(r'\bname == "([\w.]+)"', rule["query"])
    }
    known = {metric.name: set(metric.attributes) for metric in telemetry.METRICS}

    assert asked == {telemetry.TICK_DURATION.name: {"outcome"}}
    assert [name for name, by in asked.items() if not by <= known[name]] == []


def test_the_worker_and_the_host_agree_on_who_sends_the_log() -> None:
    """With one of the two each line would be there twice, or none, and without its fields."""
    host = json.loads((ROOT / "host.json").read_text())
    app = (INFRA / "modules/app.bicep").read_text()

    assert host["telemetryMode"] == "OpenTelemetry"
    assert "PYTHON_ENABLE_OPENTELEMETRY: 'true'" in app
    # With which the worker would set it all up once more.
    assert "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY" not in app


def test_each_looks_at_least_as_often_as_its_window() -> None:
    for rule in _RULES:
        assert _minutes(rule["frequency"]) <= _minutes(rule["window"]), rule["name"]


def test_a_late_timer_is_noticed_by_what_is_missing() -> None:
    [late] = [rule for rule in _RULES if rule["name"] == "tick-late"]

    assert (late["operator"], late["threshold"]) == ("LessThan", 1)
    # The timer ticks every minute: a deployment or two may come between.
    assert _minutes(late["window"]) >= 5


def _minutes(duration: str) -> int:
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?", duration)
    assert found
    return int(found[1] or 0) * 60 + int(found[2] or 0)


def test_the_broker_s_dead_letters_are_those_of_what_the_app_reads() -> None:
    """Outcomes have other readers, whose dead letters are their business."""
    [asked] = _FILE.resources["crashes"]["config"]["properties"]["criteria"]["allOf"]

    assert asked["dimensions"] == [
        {"name": "EntityName", "operator": "Include", "values": ["eventsQueue", "eventsTopic"]}
    ]


def test_every_alert_is_on_the_page() -> None:
    shown = [codes(row[0])[0] for row in page("docs/deploy.md").table("alert", "fires when")]

    assert shown == [*(rule["name"] for rule in _RULES), "broker-dead-letters"]
    assert "name: 'signalbox-broker-dead-letters-${token}'" in _FILE.text
