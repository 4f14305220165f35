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
            Compute(name="aks", type="Kubernetes"),
        ),
    )
    with LocalAzure(topology=Topology(workspace=workspace)) as azure, exported(azure):
        yield azure


@pytest.fixture
def computes(azure: LocalAzure) -> Iterator[Computes]:
    topology = azure.topology
    workspace = AzureWorkspace(
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        DefaultAzureCredential(),
    )
    yield Computes(MemoryBlobs(), AzureTargets(workspace.client))
    httpx.delete(f"{azure.control_url}/compute-failures").raise_for_status()


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


def test_each_setting_of_an_existing_cluster_that_differs_is_told(computes: Computes) -> None:
    found = adopt(computes, name="cpu-cluster", **{**CLUSTER, "location": "nowhere"})

    assert found.state is State.READY
    assert {each.setting for each in found.drift} >= {
        "tier",
        "max_instances",
        "idle_time_before_scale_down",
        "location",
    }
    assert not {"min_instances", "type"} & {each.setting for each in found.drift}


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
    # Publishing again tries again.
    adopt(computes, name=name, **CLUSTER)
    eventually(told, seconds=20, what="the second failure")
