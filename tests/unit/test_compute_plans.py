"""What a look at a compute leads to."""

from typing import Any

import pytest

from shared.compute_definitions import ComputeDefinition
from shared.compute_plans import Action, State, Target, plan, uncompared

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


def test_a_difference_is_told_as_yaml_has_it() -> None:
    found = plan(cluster(tags={"team": "blue"}, enable_node_public_ip=True), there())

    assert [str(each) for each in found.drift] == [
        'tags is not set, the definition says {"team": "blue"}',
        "enable_node_public_ip is not set, the definition says true",
    ]


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
        ({"idle_time_before_shutdown_minutes": 1440}, "P1D", False),
        ({"idle_time_before_shutdown_minutes": 30}, "PT1800S", False),
        ({"idle_time_before_shutdown": "half an hour"}, "PT30M", True),
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


def test_an_instance_that_could_not_be_started_says_so() -> None:
    found = plan(instance(), there("computeinstance", state="Stopped", problem="AllocationFailed"))

    assert (found.action, found.state) == (Action.START, State.STOPPED)
    assert "could not start compute 'desk': AllocationFailed. The region has" in str(found.problem)


@pytest.mark.parametrize("provisioning", ["Failed", "Succeeded"])
@pytest.mark.parametrize("type", ["kubernetes", "virtualmachine", "synapsespark"])
def test_what_others_attached_is_used_and_never_changed(type: str, provisioning: str) -> None:
    wanted = ComputeDefinition.kept({"name": "aks", "type": type, "namespace": "ours"})
    seen = there(type, provisioning=provisioning, settings={"namespace": "default"})
    found = plan(wanted, seen)

    assert found.action is Action.KEEP
    assert found.state is (State.READY if provisioning == "Succeeded" else State.FAILED)
    assert [str(each) for each in found.drift] == ["namespace is default, the definition says ours"]


SUBNET = "/subscriptions/1/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets"


@pytest.mark.parametrize(
    ("wanted", "actual", "differs"),
    [
        ({"vnet_name": "v", "subnet": "s"}, {"subnet": f"{SUBNET}/s"}, False),
        ({"vnet_name": "V", "subnet": "S"}, {"subnet": f"{SUBNET}/s"}, False),
        (
            {"subnet": f"{SUBNET}/s"},
            {"subnet": f"{SUBNET}/s", "public_ip_address": "1.2.3.4"},
            False,
        ),
        ({"vnet_name": "w", "subnet": "s"}, {"subnet": f"{SUBNET}/s"}, True),
        ({"vnet_name": "v", "subnet": "t"}, {"subnet": f"{SUBNET}/s"}, True),
        ({"vnet_name": "v", "subnet": "s"}, {}, True),
        ({"vnet_name": "v", "subnet": "s"}, None, True),
    ],
)
def test_a_network_is_compared_by_name(
    wanted: dict[str, str], actual: dict[str, str] | None, differs: bool
) -> None:
    settings = dict(there().settings) | ({"network_settings": actual} if actual is not None else {})

    found = plan(cluster(network_settings=wanted), there(settings=settings))
    assert [each.setting for each in found.drift] == ["network_settings"] * differs


@pytest.mark.parametrize(
    ("wanted", "actual", "differs"),
    [
        ({"type": "SystemAssigned"}, {"type": "system_assigned", "principal_id": "1"}, False),
        (
            {"type": "user_assigned", "user_assigned_identities": [{"resource_id": "/A"}]},
            {"type": "user_assigned", "user_assigned_identities": [{"resource_id": "/a", "x": 1}]},
            False,
        ),
        ({"type": "system_assigned"}, None, True),
        (
            {"type": "user_assigned", "user_assigned_identities": [{"resource_id": "/a"}]},
            {"type": "user_assigned", "user_assigned_identities": [{"resource_id": "/b"}]},
            True,
        ),
    ],
)
def test_an_identity_is_compared_by_kind_and_id(
    wanted: dict[str, Any], actual: dict[str, Any] | None, differs: bool
) -> None:
    settings = dict(there().settings) | ({"identity": actual} if actual else {})

    found = plan(cluster(identity=wanted), there(settings=settings))
    assert [each.setting for each in found.drift] == ["identity"] * differs


def test_of_who_signs_in_only_the_name_is_compared_and_told() -> None:
    secret = {"admin_username": "ann", "admin_password": "correct-horse", "ssh_key_value": "k"}
    seen = there(settings={**there().settings, "ssh_settings": {"admin_username": "bob"}})

    [drift] = plan(cluster(ssh_settings=secret), seen).drift
    assert str(drift) == "ssh_settings.admin_username is bob, the definition says ann"
    assert plan(cluster(ssh_settings={"ssh_key_value": "k"}), seen).drift == ()
    assert plan(instance(ssh_settings=secret), there("computeinstance")).drift == ()


@pytest.mark.parametrize("setting", ["ssh_public_access_enabled", "enable_node_public_ip"])
def test_a_way_in_that_differs_is_told(setting: str) -> None:
    seen = there(settings={**there().settings, setting: True})

    assert plan(cluster(**{setting: True}), seen).drift == ()
    assert [each.setting for each in plan(cluster(**{setting: False}), seen).drift] == [setting]


def test_what_is_compared_is_not_said_to_be_left_out() -> None:
    everything = {"schedules": {}, "ssh_settings": {}, "location": "x", "network_settings": {}}

    assert uncompared(cluster(**everything)) == [
        "schedules",
        "ssh_settings (all but admin_username)",
    ]
    assert uncompared(instance(**everything)) == ["location", "schedules", "ssh_settings"]
    assert uncompared(cluster()) == []


def test_another_kind_under_the_same_name_is_told_and_left_alone() -> None:
    found = plan(cluster(), there("computeinstance", state="Stopped"))

    assert found.action is Action.KEEP
    assert [str(each) for each in found.drift] == [
        "type is computeinstance, the definition says amlcompute"
    ]
