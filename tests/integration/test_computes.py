"""Computes of definitions through the official SDK: created, started, compared, refused."""

from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from emulator.topology import Compute, Topology, Workspace
from shared.compute import Computes, Kept
from shared.compute_definitions import ComputeDefinition
from shared.compute_plans import State
from shared.targets import AzureTargets
from shared.workspace import AzureWorkspace
from tests.fakes import MemoryBlobs
from tests.integration.conftest import exported
from tests.integration.workspace import clear_requests, eventually, requests, unique
from tests.loopback import loopback

CLUSTER = {
    "type": "amlcompute",
    "size": "Standard_DS3_v2",
    "tier": "low_priority",
    "min_instances": 0,
    "max_instances": 3,
    "idle_time_before_scale_down": 300,
}


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    workspace = Workspace(
        compute_seconds=0.5,
        computes=(
            Compute(name="cpu-cluster"),
            Compute(name="desk", type="ComputeInstance", state="Stopped"),
            Compute(name="lamp", type="ComputeInstance", state="Stopped"),
            Compute(name="aks", type="Kubernetes"),
        ),
    )
    with LocalAzure(topology=Topology(workspace=workspace)) as azure, exported(azure):
        yield azure


def _workspace(azure: LocalAzure) -> AzureWorkspace:
    topology = azure.topology
    return AzureWorkspace(
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        DefaultAzureCredential(),
    )


@pytest.fixture
def computes(azure: LocalAzure) -> Iterator[Computes]:
    yield Computes(MemoryBlobs(), AzureTargets(_workspace(azure).client))
    loopback.delete(f"{azure.control_url}/compute-failures").raise_for_status()


def adopt(computes: Computes, **content: object) -> Kept:
    definition = ComputeDefinition.kept(content)
    return computes.adopt([definition], lambda _line: None)[definition.name]


def comes_to(computes: Computes, name: str, wanted: State) -> Kept:
    def look() -> Kept | None:
        computes.check()
        found = computes.all()[name]
        return found if found.state is wanted else None

    return eventually(look, seconds=20, what=f"{name} {wanted}")


def test_a_missing_cluster_is_created_as_it_is_defined(
    azure: LocalAzure, computes: Computes
) -> None:
    name = unique("c").replace("_", "-")
    clear_requests(azure)

    assert adopt(computes, name=name, **CLUSTER).state is State.CHANGING
    made = comes_to(computes, name, State.READY)
    assert made.drift == ()
    puts = [r for r in requests(azure) if r["method"] == "PUT" and "/computes/" in r["path"]]
    assert len(puts) == 1


def test_a_missing_instance_is_created_as_it_is_defined(computes: Computes) -> None:
    name = unique("i").replace("_", "-")
    adopt(
        computes,
        name=name,
        type="computeinstance",
        size="Standard_DS3_v2",
        idle_time_before_shutdown_minutes=30,
    )

    assert comes_to(computes, name, State.READY).drift == ()


#: Settings of a cluster as they are, in other words, and as they are not.
OTHERWISE: dict[str, tuple[object, object, object]] = {
    "size": ("Standard_DS3_v2", "standard_ds3_V2", "Standard_NC6"),
    "tier": ("low_priority", "LowPriority", "dedicated"),
    "min_instances": (1, 1, 0),
    "max_instances": (3, 3, 9),
    "idle_time_before_scale_down": (300, 300, 120),
    "location": ("westeurope", "West Europe", "northeurope"),
    "tags": ({"team": "blue"}, {"team": "blue"}, {"team": "red"}),
    "description": ("ours", "ours", "theirs"),
    "ssh_public_access_enabled": (False, False, True),
    "enable_node_public_ip": (True, True, False),
    "ssh_settings": (
        {"admin_username": "ann", "ssh_key_value": "k"},
        {"admin_username": "ann"},
        {"admin_username": "bob"},
    ),
    "network_settings": (
        {"vnet_name": "v", "subnet": "s"},
        {"vnet_name": "V", "subnet": "S"},
        {"vnet_name": "v", "subnet": "t"},
    ),
    "identity": (
        {"type": "user_assigned", "user_assigned_identities": [{"resource_id": "/sub/a"}]},
        {"type": "UserAssigned", "user_assigned_identities": [{"resource_id": "/SUB/A"}]},
        {"type": "system_assigned"},
    ),
}


@pytest.fixture(scope="module")
def cluster(azure: LocalAzure) -> str:
    """A cluster that somebody made with each of those settings."""
    name = unique("s").replace("_", "-")
    content = {key: given for key, (given, _, _) in OTHERWISE.items()}
    definition = ComputeDefinition.kept({"name": name, "type": "amlcompute", **content})
    AzureTargets(_workspace(azure).client).create(definition)
    return name


def test_no_setting_of_a_cluster_differs_in_other_words(computes: Computes, cluster: str) -> None:
    content = {key: same for key, (_, same, _) in OTHERWISE.items()}
    adopt(computes, name=cluster, type="amlcompute", **content)

    assert comes_to(computes, cluster, State.READY).drift == ()


def test_each_setting_of_a_cluster_that_differs_is_told_and_none_is_changed(
    azure: LocalAzure, computes: Computes, cluster: str
) -> None:
    clear_requests(azure)
    content = {key: other for key, (_, _, other) in OTHERWISE.items()}
    found = adopt(computes, name=cluster, type="amlcompute", **content)

    assert {each.setting.partition(".")[0] for each in found.drift} == OTHERWISE.keys()
    assert {r["method"] for r in requests(azure) if "/computes/" in r["path"]} == {"GET"}


@pytest.mark.parametrize(
    ("setting", "made", "same", "other"),
    [
        ("idle_time_before_shutdown_minutes", 90, 90, 30),
        ("size", "Standard_DS3_v2", "standard_ds3_v2", "Standard_NC6"),
    ],
)
def test_each_setting_of_an_instance_is_compared(
    computes: Computes, setting: str, made: object, same: object, other: object
) -> None:
    name = unique("i").replace("_", "-")
    given = {"name": name, "type": "computeinstance", "size": "Standard_DS3_v2"}
    adopt(computes, **{**given, setting: made})
    comes_to(computes, name, State.READY)

    assert adopt(computes, **{**given, setting: same}).drift == ()
    [drift] = adopt(computes, **{**given, setting: other}).drift
    assert (drift.setting, drift.wanted) == (setting, other)


def test_a_stopped_instance_is_started(computes: Computes) -> None:
    assert adopt(computes, name="desk", type="computeinstance").state is State.CHANGING
    comes_to(computes, "desk", State.READY)


def test_what_is_attached_is_used(azure: LocalAzure, computes: Computes) -> None:
    clear_requests(azure)

    assert adopt(computes, name="aks", type="kubernetes", namespace="default").state is State.READY
    missing = adopt(computes, name="vm", type="virtualmachine")
    assert missing.state is State.MISSING
    assert "az ml compute attach" in str(missing.problem)
    assert {r["method"] for r in requests(azure) if "/computes/" in r["path"]} == {"GET"}


def test_a_want_of_quota_is_told_in_words(azure: LocalAzure, computes: Computes) -> None:
    name = unique("q").replace("_", "-")
    arm = partial(httpx.post, f"{azure.control_url}/compute-failures")
    arm(json={"compute": name, "operation": "Create", "times": 99}).raise_for_status()
    adopt(computes, name=name, **CLUSTER)

    def told() -> str | None:
        found = computes._targets.find(name)
        assert found
        return found.problem

    assert "Quota" in eventually(told, seconds=20, what="the failure")
    # Publishing again tries again; what it begins is a creation like the first.
    assert adopt(computes, name=name, **CLUSTER).state is State.CHANGING
    assert "Ask for more quota" in str(comes_to(computes, name, State.FAILED).problem)
    loopback.delete(f"{azure.control_url}/compute-failures").raise_for_status()
    adopt(computes, name=name, **CLUSTER)
    assert comes_to(computes, name, State.READY).problem is None


def test_an_instance_that_cannot_be_started_says_why(azure: LocalAzure, computes: Computes) -> None:
    failure = {"compute": "lamp", "operation": "Start", "code": "AllocationFailed"}
    loopback.post(f"{azure.control_url}/compute-failures", json=failure).raise_for_status()
    adopt(computes, name="lamp", type="computeinstance", size="Standard_D2s_v3")

    why = str(comes_to(computes, "lamp", State.STOPPED).problem)
    assert why.startswith("Azure could not start compute 'lamp': AllocationFailed. The region has")
    adopt(computes, name="lamp", type="computeinstance", size="Standard_D2s_v3")
    assert comes_to(computes, "lamp", State.READY).problem is None


def test_what_takes_its_time_is_on_its_way_until_it_is_there(
    azure: LocalAzure, computes: Computes
) -> None:
    name = unique("h").replace("_", "-")
    hold = {"compute": name, "operation": "Create", "hold": True}
    loopback.post(f"{azure.control_url}/compute-failures", json=hold).raise_for_status()
    assert adopt(computes, name=name, **CLUSTER).state is State.CHANGING
    computes.check()
    assert computes.all()[name].state is State.CHANGING

    loopback.delete(f"{azure.control_url}/compute-failures").raise_for_status()
    comes_to(computes, name, State.READY)
