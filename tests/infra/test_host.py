"""host.json and the timer: what Azure documents, and times that fit each other."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from croniter import croniter

from functions import service_bus
from shared import batches, drops, replays, sweeps, tick
from tests.infra.bicep import INFRA, ROOT, read, verified
from tests.unit.pages import codes, page
from tests.unit.test_architecture import app

HOST: dict[str, Any] = json.loads((ROOT / "host.json").read_text())
SCHEMA: dict[str, Any] = json.loads((ROOT / "tests/infra/host.schema.json").read_text())

BUS = HOST["extensions"]["serviceBus"]


def test_it_says_what_azure_documents() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    _validate(HOST)


@pytest.mark.parametrize(
    "change",
    [
        {"functionTimeout": "5m"},
        {"extensions": {"servicebus": {}}},
        {"extensions": {"serviceBus": {"maxConcurrentCalls": 0}}},
        {
            "extensionBundle": {
                "id": "Microsoft.Azure.Functions.ExtensionBundle",
                "version": "[3.*]",
            }
        },
        # Concurrency that the host tunes itself forgets what the app's own limits count on.
        {"concurrency": {"dynamicConcurrencyEnabled": True}},
        {"logging": {"logLevel": {"default": "Info"}}},
    ],
)
def test_the_schema_notices(change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        _validate({**HOST, **change})


def _validate(host: dict[str, Any]) -> None:
    validator: Any = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate(host)


def test_the_page_explains_each_of_it() -> None:
    shown = page("docs/deploy.md").table("in `host.json`", "value", "why")

    assert {codes(name)[0]: codes(value)[0] for name, value, _ in shown} == dict(_flat(HOST))


def _flat(node: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif above + name != "version":
            yield above + name, str(value).lower() if isinstance(value, bool) else str(value)


def _span(text: str) -> timedelta:
    hours, minutes, seconds = map(int, text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _iso(text: str) -> timedelta:
    found = re.fullmatch(r"PT(\d+)M", text)
    assert found, text
    return timedelta(minutes=int(found[1]))


def test_a_message_stays_locked_as_long_as_its_function_may_run() -> None:
    [namespace] = verified("avm/res/service-bus/namespace")
    timeout = _span(HOST["functionTimeout"])

    assert _span(BUS["maxAutoLockRenewalDuration"]) > timeout
    assert BUS["prefetchCount"] == 0
    for entity in (*namespace.params["queues"], *namespace.params["topics"][0]["subscriptions"]):
        # The longest that Service Bus allows: renewal is seldom needed.
        assert _iso(entity["lockDuration"]) == timedelta(minutes=5)


def test_a_function_may_wait_as_long_as_it_means_to() -> None:
    assert timedelta(seconds=service_bus.LONGEST_WAIT) < _span(HOST["functionTimeout"])


def test_the_tick_ends_before_it_is_ended() -> None:
    budgets = (
        tick.OPEN_BUDGET,
        tick.SLOTS_BUDGET,
        tick.HELD_BUDGET,
        batches.BUDGET,
        sweeps.BUDGET,
        replays.BUDGET,
        drops.BUDGET,
    )

    assert timedelta(seconds=sum(budgets)) < _span(HOST["functionTimeout"])


def test_the_timer_is_an_expression_of_azure_functions() -> None:
    [timer] = [one for one in app()["functions"] if one["name"] == "timer"]
    schedule = timer["bindings"][0]["schedule"]
    seconds, *minutes = schedule.split()

    # Six fields, seconds first. Source: Timer trigger, NCRONTAB expressions.
    assert len(minutes) == 5
    assert seconds.isdigit()
    known: Any = croniter
    assert known.is_valid(" ".join(minutes))


def test_routes_begin_as_addresses_are_documented() -> None:
    assert HOST["extensions"]["http"]["routePrefix"] == "api"
    assert read(INFRA / "modules/app.bicep").text.count("/runtime/webhooks/EventGrid") == 1
