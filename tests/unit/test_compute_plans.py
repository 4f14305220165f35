"""What a look at a compute leads to."""

from typing import Any

import pytest

from shared.compute_definitions import ComputeDefinition
from shared.compute_plans import Action, State, Target, plan

SETTINGS = {
    "size": "Standard_DS3_v2",
    "tier": "low_priority",
    "min_instances": 0,
    "max_instances": 4,
    "idle_time_before_scale_down": 300,
    "location": "West Europe",
}


def cluster(**settings: Any) -> ComputeDefinition:
    content = {"name": "cpu", "type": "amlcompute", **SETTINGS, **settings}
    return ComputeDefinition.kept(content)


def instance(**settings: Any) -> ComputeDefinition:
    content = {"name": "desk", "type": "computeinstance", "size": "Standard_DS3_v2", **settings}
    return ComputeDefinition.kept(content)


def there(type: str = "amlcompute", **changes: Any) -> Target:
    given: dict[str, Any] = {
        "type": type,
        "provisioning": "Succeeded",
        "state": "Running" if type == "computeinstance" else None,
        "settings": {**SETTINGS, "size": "STANDARD_DS3_V2", "location": "westeurope"},
        **changes,
    }
    return Target(**given)


def test_what_is_not_there_is_created() -> None:
    found = plan(cluster(), None)

    assert (found.action, found.state, found.drift) == (Action.CREATE, State.MISSING, ())


@pytest.mark.parametrize("type", ["kubernetes", "virtualmachine", "synapsespark"])
def test_what_others_attach_is_never_created(type: str) -> None:
    found = plan(ComputeDefinition.kept({"name": "aks", "type": type}), None)

    assert (found.action, found.state) == (Action.KEEP, State.MISSING)
    assert "az ml compute attach" in str(found.problem)


def test_what_is_as_it_should_be_is_kept_without_a_word() -> None:
    found = plan(cluster(), there())

    assert (found.action, found.state, found.drift) == (Action.KEEP, State.READY, ())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("size", "Standard_NC6"),
        ("tier", "dedicated"),
        ("min_instances", 1),
        ("max_instances", 8),
        ("idle_time_before_scale_down", 120),
        ("location", "northeurope"),
        ("description", "ours"),
        ("tags", {"team": "blue"}),
    ],
)
def test_each_setting_that_differs_is_told_and_none_is_changed(setting: str, value: Any) -> None:
    found = plan(cluster(**{setting: value}), there())

    assert found.action is Action.KEEP
    [drift] = found.drift
    assert (drift.setting, drift.wanted) == (setting, value)
    assert setting in str(drift)


@pytest.mark.parametrize(
    ("setting", "wanted", "actual"),
    [
        ("size", "standard_ds3_v2", "STANDARD_DS3_V2"),
        ("tier", "LowPriority", "low_priority"),
        ("tier", "low_priority", "Lowpriority"),
        ("tier", "Dedicated", "dedicated"),
        ("location", "westeurope", "West Europe"),
        ("idle_time_before_scale_down", 300, 300.0),
        ("tags", {"n": 1}, {"n": "1"}),
    ],
)
def test_another_spelling_is_no_difference(setting: str, wanted: Any, actual: Any) -> None:
    seen = there(settings={**there().settings, setting: actual})

    assert plan(cluster(**{setting: wanted}), seen).drift == ()


@pytest.mark.parametrize(
    ("wanted", "actual", "differs"),
    [
        ({"idle_time_before_shutdown_minutes": 30}, "PT30M", False),
        ({"idle_time_before_shutdown": "PT1H30M"}, "PT90M", False),
        ({"idle_time_before_shutdown_minutes": 30}, "PT60M", True),
        ({"idle_time_before_shutdown_minutes": 30}, None, True),
    ],
)
def test_an_instance_s_idle_time_is_compared(
    wanted: dict[str, Any], actual: str | None, differs: bool
) -> None:
    settings = {"size": "Standard_DS3_v2"}
    settings |= {"idle_time_before_shutdown": actual} if actual else {}

    found = plan(instance(**wanted), there("computeinstance", settings=settings))
    assert bool(found.drift) is differs


@pytest.mark.parametrize(
    ("state", "action", "came_to"),
    [
        ("Running", Action.KEEP, State.READY),
        ("JobRunning", Action.KEEP, State.READY),
        ("Stopped", Action.START, State.STOPPED),
        ("Starting", Action.KEEP, State.CHANGING),
        ("Stopping", Action.KEEP, State.CHANGING),
        ("CreateFailed", Action.CREATE, State.FAILED),
    ],
)
def test_an_instance_is_where_its_state_says(state: str, action: Action, came_to: State) -> None:
    found = plan(instance(), there("computeinstance", state=state))

    assert (found.action, found.state) == (action, came_to)


@pytest.mark.parametrize(
    ("provisioning", "state"),
    [
        ("Succeeded", State.READY),
        ("Updating", State.READY),
        ("Creating", State.CHANGING),
        ("Deleting", State.CHANGING),
        ("Failed", State.FAILED),
    ],
)
def test_a_cluster_is_where_its_provisioning_says(provisioning: str, state: State) -> None:
    assert plan(cluster(), there(provisioning=provisioning)).state is state


def test_a_want_of_quota_is_told_with_its_remedy() -> None:
    seen = there(provisioning="Failed", problem="ClusterCoreQuotaReached")

    found = plan(cluster(), seen)
    assert found.action is Action.CREATE
    assert "ClusterCoreQuotaReached. Ask for more quota" in str(found.problem)


def test_another_kind_under_the_same_name_is_told_and_left_alone() -> None:
    found = plan(cluster(), there("computeinstance", state="Stopped"))

    assert found.action is Action.KEEP
    assert [str(each) for each in found.drift] == [
        "type is computeinstance, the definition says amlcompute"
    ]
