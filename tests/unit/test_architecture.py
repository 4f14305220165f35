"""What holds the house together, read from the source and from a fresh process."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from shared.ledger import FUNCTION_TIMEOUT
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
SHARED = sorted((ROOT / "shared").glob("*.py"))
EVERYTHING = [*SHARED, *sorted((ROOT / "shared/api").glob("*.py"))]

#: What the worker does with the app, and what that loaded.
_ASK = """
import json, sys
import function_app
loaded = sorted(sys.modules)
functions = [
    {"name": function.get_function_name(), **json.loads(function.get_function_json())}
    for function in function_app.app.get_functions()
]
print(json.dumps({"loaded": loaded, "functions": functions}))
"""


@cache
def app(*settings: tuple[str, str]) -> dict[str, Any]:
    """The app in a process of its own; an app answers for its functions only once."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=ROOT,
        env={**os.environ, **dict(settings)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@cache
def nodes(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text())))


@cache
def imports(file: Path) -> set[str]:
    """Every module that a file imports, wherever in it that stands."""
    found = set()
    for node in nodes(file):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            found |= {node.module or ""}
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def importers(module: str) -> set[str]:
    return {
        file.stem
        for file in EVERYTHING
        if any(name == module or name.startswith(module + ".") for name in imports(file))
    }


def test_the_app_starts_without_the_azureml_sdk() -> None:
    # A second and 60 MB at every cold start.
    assert [name for name in app()["loaded"] if name.startswith("azure.ai")] == []
    assert "shared.workspace" in app()["loaded"]


def test_the_app_starts_without_what_only_publishing_and_the_command_need() -> None:
    loaded = set(app()["loaded"])

    assert not loaded & {"click", "rich", "marshmallow", "cli", "emulator"}


def test_the_app_starts_without_what_only_the_http_api_needs() -> None:
    # Most of a second at every cold start.
    loaded = app()["loaded"]

    assert not {"fastapi", "starlette", "httpx", "anyio"} & set(loaded)
    assert [name for name in loaded if name.startswith("shared.api")] == []
    assert "functions.http_api" in loaded


def function(function: str, **binding: Any) -> dict[str, Any]:
    return {
        "name": function,
        "scriptFile": "function_app.py",
        "bindings": [{"direction": "IN", **binding}],
    }


def test_the_worker_finds_these_functions() -> None:
    # Names are part of webhook addresses and Event Grid subscriptions: changing one is a migration.
    found = app()["functions"]

    assert [f for f in found if f["bindings"][0]["type"] != "httpTrigger"] == [
        function("blob_uploads", type="eventGridTrigger", name="event"),
        function("run_events", type="eventGridTrigger", name="event"),
        function(
            "queue_messages",
            type="serviceBusTrigger",
            name="message",
            connection="ServiceBusConnection",
            queueName="%SIGNALBOX_EVENTS_QUEUE%",
        ),
        function(
            "topic_messages",
            type="serviceBusTrigger",
            name="message",
            connection="ServiceBusConnection",
            topicName="%SIGNALBOX_EVENTS_TOPIC%",
            subscriptionName="%SIGNALBOX_EVENTS_SUBSCRIPTION%",
        ),
        function(
            "timer", type="timerTrigger", name="timer", schedule="0 * * * * *", useMonitor=True
        ),
    ]


ON, AZURE_S = ("SIGNALBOX_PLATFORM_AUTHENTICATION", "true"), ("WEBSITE_AUTH_ENABLED", "True")


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ((), "FUNCTION"),
        ((ON,), "FUNCTION"),
        ((AZURE_S,), "FUNCTION"),
        ((ON, AZURE_S), "ANONYMOUS"),
    ],
)
def test_http_is_one_function_with_a_key_unless_azure_itself_signs_callers_in(
    settings: tuple[tuple[str, str], ...], level: str
) -> None:
    found = app(*settings)["functions"]

    [http] = [f for f in found if f["bindings"][0]["type"] == "httpTrigger"]
    assert (http["name"], http["bindings"][0]["route"]) == ("http_api", "{*path}")
    assert http["bindings"][0]["authLevel"] == level


@pytest.mark.parametrize(
    ("module", "rooms"),
    [
        ("azure.ai.ml", {"workspace", "targets", "job_schedules", "nodes", "sources"}),
        ("azure.storage", {"blob_state", "lakes"}),
        ("azure.identity", {"bootstrap"}),
        ("azure.functions", set()),
        ("jmespath", {"expressions"}),
        ("opentelemetry", {"telemetry"}),
        ("opentelemetry.sdk", set()),
        ("azure.monitor", set()),
        ("functions", set()),
        ("cli", set()),
        ("emulator", set()),
    ],
)
def test_each_client_has_its_room(module: str, rooms: set[str]) -> None:
    assert importers(module) == rooms & {file.stem for file in SHARED}


def test_only_the_workspace_makes_a_client() -> None:
    assert importers("azure.ai.ml.MLClient") == {"workspace"}


def test_only_the_command_and_the_functions_read_the_environment() -> None:
    readers = {
        file.stem
        for file in EVERYTHING
        for node in nodes(file)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }

    assert readers == {"bootstrap"}


def clocks(file: Path) -> Iterator[str]:
    for node in nodes(file):
        if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "time", "sleep"):
            value = node.value
            if isinstance(value, ast.Name) and value.id in ("datetime", "time", "date"):
                yield f"{value.id}.{node.attr}"


def test_no_decision_is_made_by_a_worker_s_clock() -> None:
    assert {file.stem: found for file in EVERYTHING if (found := list(clocks(file)))} == {}


@pytest.mark.parametrize("file", SHARED, ids=lambda file: file.stem)
def test_every_room_has_its_tests(file: Path) -> None:
    if file.stem != "__init__":
        assert (ROOT / f"tests/unit/test_{file.stem}.py").exists()


def local_settings() -> dict[str, str]:
    content = json.loads((ROOT / "local.settings.json").read_text())
    found: dict[str, str] = content["Values"]
    return found


def test_the_settings_of_this_machine_are_those_that_are_read() -> None:
    ours = {
        field.alias: field
        for field in Settings.model_fields.values()
        if field.alias and field.alias.startswith("SIGNALBOX_")
    }
    given = {
        name
        for name in local_settings()
        if name.startswith("SIGNALBOX_") and not name.startswith("SIGNALBOX_VAR_")
    }

    assert given <= ours.keys()
    assert given >= {name for name, field in ours.items() if field.is_required()}


def test_no_setting_of_this_machine_is_a_secret() -> None:
    for name, value in local_settings().items():
        assert "key=" not in value.lower(), name
        assert "sig=" not in value.lower(), name
        assert not name.endswith(("_KEY", "_SECRET", "ConnectionString"))


def test_the_host_ends_a_call_when_the_protocol_says_so() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))

    assert hours * 3600 + minutes * 60 + seconds == FUNCTION_TIMEOUT.total_seconds()
