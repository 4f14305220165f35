"""What one local AzureML workspace is: its names, its storage, and the machine it runs on."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emulator.topology import Compute, Datastore, Topology

PROVIDER = "Microsoft.MachineLearningServices"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The names of an AzureML workspace. Everything a client can see of it follows from these."""

    tenant: str
    subscription: str
    resource_group: str
    name: str
    region: str
    #: The workspace's own storage account.
    storage_account: str
    #: Container behind the datastore `workspaceblobstore`.
    blob_container: str
    #: Container behind the datastore `workspaceartifactstore`: logs and run artifacts.
    artifact_container: str
    #: Datastores beside the workspace's own.
    more_datastores: tuple[Datastore, ...] = ()
    #: What is there from the start; serverless needs nothing.
    computes: tuple[Compute, ...] = (Compute(name="cpu-cluster"),)
    #: How long creating, starting, stopping and deleting a compute takes.
    compute_seconds: float = 0.5
    #: How long creating, changing and deleting a schedule takes.
    schedule_seconds: float = 0.0
    #: False: jobs are checked and kept, and stay Queued.
    executes: bool = True

    @classmethod
    def of(cls, topology: Topology) -> "Workspace":
        """The workspace that the topology of the local Azure describes."""
        workspace = topology.workspace
        return cls(
            tenant=topology.tenant_id,
            subscription=topology.subscription_id,
            resource_group=topology.resource_group,
            name=workspace.name,
            region=workspace.region,
            storage_account=workspace.storage_account,
            blob_container=workspace.datastore_container,
            artifact_container=workspace.artifacts_container,
            more_datastores=workspace.datastores,
            computes=workspace.computes,
            compute_seconds=workspace.compute_seconds,
            schedule_seconds=workspace.schedule_seconds,
            executes=workspace.executes,
        )

    @property
    def arm_id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/workspaces/{self.name}"
        )

    @property
    def workspace_id(self) -> str:
        """The workspace's GUID; the same for the same ARM id, so that a restart keeps it."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.arm_id.lower()))

    @property
    def api_host(self) -> str:
        """Host of run history and the other data planes, as the discovery URL tells clients."""
        return f"{self.region}.api.azureml.ms"

    @property
    def datastores(self) -> dict[str, Datastore]:
        """Every datastore by its name."""
        own = {
            "workspaceblobstore": self.blob_container,
            "workspaceartifactstore": self.artifact_container,
        }
        found = [
            Datastore(name=name, account=self.storage_account, container=container)
            for name, container in own.items()
        ]
        return {datastore.name: datastore for datastore in (*found, *self.more_datastores)}

    def child(self, kind: str, name: str) -> str:
        """The ARM id of a resource directly below the workspace."""
        return f"{self.arm_id}/{kind}/{name}"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where the workspace runs: the loopback Azure around it, and folders of this computer."""

    #: Key of every storage account that jobs may read, the workspace's own among them.
    account_keys: Mapping[str, str]
    #: Address of the front door (a CONNECT proxy) that leads to the storage accounts.
    front_door: str
    #: PEM file of the authority that signs the loopback Azure's certificates.
    authority: Path
    #: Working directories of runs; ends with the stack.
    folder: Path
    #: Virtual environments of steps; outlives the stack, so that a second run is quick.
    cache: Path
    #: Variables that lead a step's own SDK calls to the loopback Azure.
    step_variables: Mapping[str, str] = field(default_factory=dict)
    #: Variables of an ordinary process of this computer, for installing packages.
    plain_variables: Mapping[str, str] = field(default_factory=dict)
    #: How many steps run at once, over all jobs.
    cores: int = 2
