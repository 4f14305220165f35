"""Computes through the official SDK: created, changed, started, stopped, deleted, out of quota."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    AmlCompute,
    ComputeInstance,
    IdentityConfiguration,
    ManagedIdentityConfiguration,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from emulator.topology import Compute, Topology, Workspace
from tests.integration.conftest import exported
from tests.integration.workspace import eventually, finished, pipeline, refusal
from tests.loopback import loopback

_HELLO = """
type: pipeline
jobs:
  hello: {type: command, command: echo hello, environment: "azureml://registries/azureml/environments/plain/versions/1"}
"""


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    """A local Azure with a compute of every kind from the start."""
    workspace = Workspace(
        compute_seconds=0.6,
        computes=(
            Compute(name="cpu-cluster"),
            Compute(name="desk", type="ComputeInstance", state="Stopped"),
            Compute(name="aks", type="Kubernetes"),
            Compute(name="vm-1", type="VirtualMachine"),
        ),
    )
    with LocalAzure(topology=Topology(workspace=workspace)) as azure, exported(azure):
        yield azure


@pytest.fixture
def client(azure: LocalAzure) -> Iterator[MLClient]:
    topology = azure.topology
    yield MLClient(
        DefaultAzureCredential(),
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        enable_telemetry=False,
        show_progress=False,
        retry_total=0,
    )
    loopback.delete(f"{azure.control_url}/faults").raise_for_status()
    loopback.delete(f"{azure.control_url}/compute-failures").raise_for_status()


def _instance_state(client: MLClient, name: str, wanted: str) -> Any:
    def look() -> Any:
        found = client.compute.get(name)
        return found if found.state == wanted else None

    return eventually(look, seconds=10, what=f"{name} {wanted}")


def test_computes_of_the_topology(client: MLClient) -> None:
    kinds = {compute.name: compute.type for compute in client.compute.list()}
    assert kinds == {
        "cpu-cluster": "amlcompute",
        "desk": "computeinstance",
        "aks": "kubernetes",
        "vm-1": "virtualmachine",
    }
    assert client.compute.get("desk").state == "Stopped"
    assert "/connectedClusters/aks" in client.compute.get("aks").resource_id


def test_cluster_is_created_and_reads_back_as_the_service_writes_it(
    azure: LocalAzure, client: MLClient
) -> None:
    wanted = AmlCompute(
        name="train-low",
        size="Standard_DS3_v2",
        tier="low_priority",
        min_instances=0,
        max_instances=3,
        idle_time_before_scale_down=300,
        description="for training",
        tags={"team": "blue"},
        identity=IdentityConfiguration(type="system_assigned"),
        ssh_public_access_enabled=False,
        enable_node_public_ip=False,
    )
    with _held(azure, "train-low", "Create"):
        poller = client.compute.begin_create_or_update(wanted)
        assert client.compute.get("train-low").provisioning_state == "Creating"
    made = poller.result(timeout=20)
    assert made.provisioning_state == "Succeeded"
    assert (made.size, made.tier) == ("STANDARD_DS3_V2", "low_priority")
    assert (made.min_instances, made.max_instances) == (0, 3)
    assert made.idle_time_before_scale_down == 300
    assert (made.description, made.tags) == ("for training", {"team": "blue"})
    assert made.identity.type == "system_assigned"
    assert made.identity.principal_id
    assert made.ssh_public_access_enabled is False
    assert made.enable_node_public_ip is False


def test_cluster_is_updated_but_keeps_its_size(client: MLClient) -> None:
    client.compute.begin_create_or_update(
        AmlCompute(name="grows", size="Standard_D2s_v3", max_instances=1)
    ).result(timeout=20)
    found = client.compute.get("grows")
    assert (found.tier, found.idle_time_before_scale_down) == ("dedicated", 120)
    found.max_instances = 5
    found.identity = IdentityConfiguration(
        type="user_assigned",
        user_assigned_identities=[ManagedIdentityConfiguration(resource_id="/subscriptions/a/id")],
    )
    assert client.compute.begin_update(found).result(timeout=20).max_instances == 5
    assert client.compute.get("grows").identity.type == "user_assigned"

    found.size = "Standard_D4s_v3"
    error = refusal(lambda: client.compute.begin_update(found))
    assert error.status_code == 400
    assert "vmSize of compute 'grows' cannot be changed" in error.message
    assert client.compute.get("grows").size == "STANDARD_D2S_V3"


def test_cluster_is_deleted(azure: LocalAzure, client: MLClient) -> None:
    cluster = AmlCompute(name="short-lived", size="Standard_D2s_v3")
    client.compute.begin_create_or_update(cluster).result(timeout=20)
    with _held(azure, "short-lived", "Delete"):
        poller = client.compute.begin_delete("short-lived")
        assert client.compute.get("short-lived").provisioning_state == "Deleting"
    poller.result(timeout=20)
    with pytest.raises(ResourceNotFoundError):
        client.compute.get("short-lived")
    assert "short-lived" not in [compute.name for compute in client.compute.list()]


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (AmlCompute(name="a", size="Standard_D2s_v3"), "not a valid name"),
        (AmlCompute(name="odd-size", size="Enormous_1"), "The vmSize 'Enormous_1'"),
        (AmlCompute(name="odd-tier", size="Standard_D2", tier="cheap"), "vmPriority 'Cheap'"),
        (
            AmlCompute(name="inverted", size="Standard_D2", min_instances=4, max_instances=2),
            "need 0 <= minNodeCount (4) <= maxNodeCount (2)",
        ),
        (ComputeInstance(name="ab", size="Standard_D2s_v3"), "not a valid name"),
    ],
)
def test_computes_that_cannot_be(client: MLClient, compute: Any, expected: str) -> None:
    error = refusal(lambda: client.compute.begin_create_or_update(compute))
    assert error.status_code == 400
    assert expected in error.message


def test_quota_that_is_found_out_at_once(azure: LocalAzure, client: MLClient) -> None:
    body = {"error": {"code": "QuotaExceeded", "message": "no cores left of family standardDSv2"}}
    fault = {
        "method": "PUT",
        "path_contains": "/computes/greedy",
        "action": {"status": 400, "body": body},
    }
    loopback.post(f"{azure.control_url}/faults", json=fault).raise_for_status()
    cluster = AmlCompute(name="greedy", size="Standard_D2s_v3")
    error = refusal(lambda: client.compute.begin_create_or_update(cluster))
    assert "no cores left" in error.message
    with pytest.raises(ResourceNotFoundError):
        client.compute.get("greedy")


def test_quota_that_is_found_out_later(azure: LocalAzure, client: MLClient) -> None:
    _fail(azure, compute="greedy", code="ClusterCoreQuotaReached", message="no cores left")
    poller = client.compute.begin_create_or_update(
        AmlCompute(name="greedy", size="Standard_D2s_v3")
    )
    with pytest.raises(HttpResponseError, match="no cores left"):
        poller.result(timeout=20)
    found = client.compute.get("greedy")
    assert found.provisioning_state == "Failed"
    assert found.provisioning_errors == "ClusterCoreQuotaReached"

    job = _job("greedy")
    ended = finished(client, client.jobs.create_or_update(job).name)
    assert ended.status == "Failed"


def test_instance_is_created_stopped_and_started(azure: LocalAzure, client: MLClient) -> None:
    wanted = ComputeInstance(
        name="bench-1", size="Standard_DS3_v2", idle_time_before_shutdown_minutes=30
    )
    with _held(azure, "bench-1", "Create"):
        poller = client.compute.begin_create_or_update(wanted)
        creating = client.compute.get("bench-1")
        assert (creating.provisioning_state, creating.state) == ("Creating", "Creating")
    made = poller.result(timeout=20)
    assert (made.state, made.size) == ("Running", "STANDARD_DS3_V2")
    assert made.idle_time_before_shutdown_minutes == 30
    assert made.last_operation["operationStatus"] == "Succeeded"

    with _held(azure, "bench-1", "Stop"):
        poller = client.compute.begin_stop("bench-1")
        assert client.compute.get("bench-1").state == "Stopping"
        assert refusal(lambda: client.compute.begin_start("bench-1")).status_code == 409
    poller.result(timeout=20)
    assert client.compute.get("bench-1").state == "Stopped"
    client.compute.begin_stop("bench-1").result(timeout=20)

    with _held(azure, "bench-1", "Start"):
        poller = client.compute.begin_start("bench-1")
        assert client.compute.get("bench-1").state == "Starting"
    poller.result(timeout=20)
    assert client.compute.get("bench-1").state == "Running"
    client.compute.begin_restart("bench-1").result(timeout=20)
    assert client.compute.get("bench-1").state == "Running"


def test_instance_that_cannot_start_stays_stopped(azure: LocalAzure, client: MLClient) -> None:
    _fail(azure, compute="desk", operation="Start", code="AllocationFailed", message="no capacity")
    poller = client.compute.begin_start("desk")
    with pytest.raises(HttpResponseError, match="no capacity"):
        poller.result(timeout=20)
    found = client.compute.get("desk")
    assert found.state == "Stopped"
    assert found.last_operation["operationStatus"] == "StartFailed"


def test_job_on_a_stopped_instance_waits_until_it_is_started(client: MLClient) -> None:
    name = client.jobs.create_or_update(_job("desk")).name

    def queued() -> Any:
        steps = list(client.jobs.list(parent_job_name=name))
        return steps[0] if steps and steps[0].status == "Queued" else None

    eventually(queued, seconds=10, what="a queued step")
    assert client.compute.get("desk").state == "Stopped"
    client.compute.begin_start("desk")
    _instance_state(client, "desk", "Running")
    assert finished(client, name).status == "Completed"
    client.compute.begin_stop("desk").result(timeout=20)


def test_job_that_waits_for_its_compute_can_be_canceled(
    azure: LocalAzure, client: MLClient
) -> None:
    with _held(azure, "slow", "Create"):
        cluster = AmlCompute(name="slow", size="Standard_D2s_v3")
        client.compute.begin_create_or_update(cluster)
        name = client.jobs.create_or_update(_job("slow")).name
        client.jobs.begin_cancel(name).result(timeout=20)
        assert client.jobs.get(name).status == "Canceled"


def test_only_instances_are_started(client: MLClient) -> None:
    error = refusal(lambda: client.compute.begin_start("cpu-cluster"))
    assert error.status_code == 400
    assert "of compute instances" in error.message


def test_attached_computes_run_jobs_but_cannot_be_made(client: MLClient) -> None:
    assert finished(client, client.jobs.create_or_update(_job("aks")).name).status == "Completed"
    attached = client.compute.get("aks")
    attached._name = "aks-2"
    error = refusal(lambda: client.compute.begin_create_or_update(attached))
    assert error.status_code == 501
    assert "Attaching computes of type" in error.message


def _job(compute: str) -> Any:
    job: Any = pipeline(_HELLO)
    job.settings.default_compute = compute
    return job


@contextmanager
def _held(azure: LocalAzure, compute: str, operation: str) -> Iterator[None]:
    """The operation goes on for as long as it lasts, however busy the machine is."""
    _fail(azure, compute=compute, operation=operation, hold=True)
    yield
    loopback.delete(f"{azure.control_url}/compute-failures").raise_for_status()


def _fail(azure: LocalAzure, **failure: str | bool) -> None:
    loopback.post(f"{azure.control_url}/compute-failures", json=failure).raise_for_status()
