"""Event Grid: which events go where, and whether that is what the app makes of them."""

import re
from typing import Any

from emulator.topology import Topology
from infra.subscribe import FUNCTIONS, OPTIONAL, OTHERS, PARAMETERS
from shared import envelopes
from tests.infra.bicep import INFRA, Module, read
from tests.unit.test_architecture import app

SUBSCRIPTIONS = read(INFRA / "subscriptions.bicep")


def _module(name: str) -> Module:
    return next(one for one in SUBSCRIPTIONS.modules() if one.name == name)


def event_grid_functions() -> set[str]:
    """Functions with an Event Grid trigger, as the worker indexes them."""
    return {
        function["name"]
        for function in app()["functions"]
        if function["bindings"][0]["type"] == "eventGridTrigger"
    }


def test_subscriptions_name_the_functions_that_there_are() -> None:
    named = set(re.findall(r"\$\{functionAppId\}/functions/(\w+)", SUBSCRIPTIONS.text))

    assert named == event_grid_functions() == set(FUNCTIONS)


def test_the_local_event_grid_has_the_same_subscriptions() -> None:
    """What is tried on a laptop is what is deployed: kinds of events, and where they go."""
    local = {
        (one.destination.name, one.included_event_types) for one in Topology().event_subscriptions
    }
    deployed = {
        (
            re.findall(r"functions/(\w+)", str(module.params["functionId"]))[0],
            tuple(module.params["eventTypes"]),
        )
        for module in SUBSCRIPTIONS.modules()
    }

    assert deployed == local


def test_only_finished_writes_are_asked_for() -> None:
    [of_api] = _module("blobUploads").params["advancedFilters"]

    assert of_api["key"] == "data.api"
    assert of_api["operatorType"] == "StringIn"
    assert set(of_api["values"]) == envelopes.FINISHED_WRITES


def test_state_starts_nothing() -> None:
    main = read(INFRA / "main.bicep").tree["variables"]
    own = set(SUBSCRIPTIONS.tree["variables"]["own"]["value"])

    for name in ("stateContainer", "definitionsContainer", "deadLettersContainer"):
        assert main[name]["value"] in own
    assert main["packageContainer"]["value"] in own
    assert "filter(given, each => !contains(own, each.container))" in SUBSCRIPTIONS.text
    subject = _module("blobUploads").params["subjectBeginsWith"]
    # The slash at the end: `landing` is not `landing-old`.
    assert subject == "/blobServices/default/containers/${one.container}/"


def test_what_cannot_be_delivered_is_tried_for_a_day_and_kept() -> None:
    [resource] = [
        one
        for one in read(INFRA / "modules/subscription.bicep").resources.values()
        if not one["existing"]
    ]
    said: dict[str, Any] = resource["config"]["properties"]

    # Event Grid's largest. Source: Event Grid, "Retry schedule".
    assert said["retryPolicy"] == {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440}
    letters = said["deadLetterWithResourceIdentity"]["deadLetterDestination"]
    assert letters["endpointType"] == "StorageBlob"
    # Either the function, or the queue with an identity; never both.
    text = read(INFRA / "modules/subscription.bicep").text
    assert "destination: empty(functionId) ? null : {" in text
    assert "deliveryWithResourceIdentity: empty(functionId) ? {" in text


def test_the_hook_hands_over_all_that_the_template_takes() -> None:
    main = read(INFRA / "main.bicep")

    assert sorted(PARAMETERS.values()) == sorted(SUBSCRIPTIONS.parameters)
    assert set(PARAMETERS) <= set(main.outputs)
    # azd keeps the subscription itself.
    assert set(OTHERS) - {"AZURE_SUBSCRIPTION_ID"} <= set(main.outputs)
    assert set(OPTIONAL) <= set(PARAMETERS)
