"""What exists in the local Azure: the fixed names that a test or a demo may rely on."""

import base64
import hashlib
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from emulator.service_bus.entities import Namespace, Queue, Subscription, Topic

BLOB_SUFFIX = ".blob.core.windows.net"
ARM_HOST = "management.azure.com"
#: Entra ID.
LOGIN_HOST = "login.microsoftonline.com"

type EventType = Literal[
    "Microsoft.Storage.BlobCreated",
    "Microsoft.MachineLearningServices.RunCompleted",
    "Microsoft.MachineLearningServices.RunStatusChanged",
    "Microsoft.MachineLearningServices.ModelRegistered",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StorageAccount(_Frozen):
    """A storage account and the containers that exist from the start."""

    name: str
    containers: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return self.name + BLOB_SUFFIX

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    @property
    def key(self) -> str:
        """The account key (base64): derived from the name, since nothing outside can reach it."""
        return base64.b64encode(hashlib.sha512(self.name.encode()).digest()).decode()


class ServicePrincipal(_Frozen):
    """An application that signs in with a secret, a certificate or another issuer's token."""

    client_id: str = "55555555-5555-5555-5555-555555555555"
    object_id: str = "66666666-6666-6666-6666-666666666666"
    #: opens nothing but the local Azure
    secret: str = "local-client-secret"
    #: the subject of the federated token that it trusts
    federated_subject: str = "system:serviceaccount:signalbox:app"


class Datastore(_Frozen):
    """A datastore of the workspace, over a container of any account."""

    name: str
    account: str
    container: str


class Compute(_Frozen):
    """A compute target that the workspace has from the start."""

    name: str
    type: Literal["AmlCompute", "ComputeInstance", "Kubernetes", "VirtualMachine"] = "AmlCompute"
    size: str = "STANDARD_D2S_V3"
    #: of a compute instance only
    state: Literal["Running", "Stopped"] = "Running"


class Workspace(_Frozen):
    """An Azure Machine Learning workspace and where its own storage is."""

    name: str = "ml-local"
    region: str = "westeurope"
    storage_account: str = "mllocalstore"
    #: container of the datastore `workspaceblobstore`
    datastore_container: str = "azureml-blobstore-local"
    #: container of run artifacts and logs
    artifacts_container: str = "azureml"
    #: beside `workspaceblobstore` and `workspaceartifactstore`
    datastores: tuple[Datastore, ...] = ()
    #: False: jobs are checked, accepted and kept, and stay Queued; nothing is run
    executes: bool = True
    computes: tuple[Compute, ...] = (Compute(name="cpu-cluster"),)
    #: how long creating, starting, stopping and deleting a compute takes
    compute_seconds: float = 0.5
    #: how long creating, changing and deleting a schedule takes
    schedule_seconds: float = 0.0

    @property
    def api_host(self) -> str:
        """Host of discovery and run history."""
        return f"{self.region}.api.azureml.ms"


class FunctionDestination(_Frozen):
    """Events go to a function of the app, by its webhook."""

    function: str

    @property
    def name(self) -> str:
        return self.function


class QueueDestination(_Frozen):
    """Events go into a queue of the Service Bus namespace, each as the body of one message."""

    queue: str

    @property
    def name(self) -> str:
        return self.queue


class EventSubscription(_Frozen):
    """An Event Grid subscription: whose events, which of them, and where they go."""

    #: the storage account whose events these are; None: the workspace's
    account: str | None = None
    destination: FunctionDestination | QueueDestination
    included_event_types: tuple[EventType, ...] = ("Microsoft.Storage.BlobCreated",)
    subject_begins_with: str = ""
    subject_ends_with: str = ""
    #: an app without the function does not want the events: they are dropped, not tried again.
    #: (In Azure nobody could have made the subscription: the function must answer first.)
    optional: bool = False

    @model_validator(mode="after")
    def _check_types(self) -> Self:
        """The source raises what is asked for."""
        provider = "Microsoft.Storage." if self.account else "Microsoft.MachineLearningServices."
        for kind in self.included_event_types:
            if not kind.startswith(provider):
                source = f"storage account {self.account}" if self.account else "workspace"
                raise ValueError(f"the {source} raises no {kind}")
        return self


class Topology(_Frozen):
    """One tenant, one subscription, one resource group and what is in it."""

    tenant_id: str = "11111111-1111-1111-1111-111111111111"
    subscription_id: str = "22222222-2222-2222-2222-222222222222"
    resource_group: str = "rg-local"
    #: the managed identity every process signs in with
    client_id: str = "33333333-3333-3333-3333-333333333333"
    object_id: str = "44444444-4444-4444-4444-444444444444"
    service_principal: ServicePrincipal = ServicePrincipal()
    workspace: Workspace = Workspace()
    function_app: str = "signalbox-local"
    storage_accounts: tuple[StorageAccount, ...] = (
        StorageAccount(
            name="signalboxstate", containers=("signalbox-state", "signalbox-definitions")
        ),
        StorageAccount(name="contosolake", containers=("landing",)),
        StorageAccount(name="mllocalstore", containers=("azureml-blobstore-local", "azureml")),
    )
    event_subscriptions: tuple[EventSubscription, ...] = (
        EventSubscription(
            account="contosolake", destination=FunctionDestination(function="blob_uploads")
        ),
        EventSubscription(
            destination=FunctionDestination(function="run_events"),
            included_event_types=(
                "Microsoft.MachineLearningServices.RunCompleted",
                "Microsoft.MachineLearningServices.RunStatusChanged",
                "Microsoft.MachineLearningServices.ModelRegistered",
            ),
            optional=True,
        ),
    )
    #: seconds between Event Grid's attempts to deliver, the last for ever; Azure's are longer
    event_pauses: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0)
    service_bus: Namespace = Namespace(
        queues=(Queue(name="signalbox-events"),),
        topics=(
            Topic(name="company-news", subscriptions=(Subscription(name="signalbox"),)),
            Topic(
                name="signalbox-outcomes",
                # what is told twice is kept once
                duplicate_detection_seconds=600,
                subscriptions=(Subscription(name="watch"),),
            ),
        ),
    )

    @property
    def function_app_host(self) -> str:
        return f"{self.function_app}.azurewebsites.net"

    @property
    def resource_group_id(self) -> str:
        return f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"

    @property
    def workspace_id(self) -> str:
        provider = "Microsoft.MachineLearningServices/workspaces"
        return f"{self.resource_group_id}/providers/{provider}/{self.workspace.name}"

    def account(self, name: str) -> StorageAccount:
        """The storage account of that name; KeyError lists the ones there are."""
        for account in self.storage_accounts:
            if account.name == name:
                return account
        known = ", ".join(account.name for account in self.storage_accounts)
        raise KeyError(f"there is no storage account {name!r} in the local Azure, only: {known}")

    def topic_of(self, subscription: EventSubscription) -> str:
        """ARM id of what the subscription listens to: the `topic` of its events."""
        account = subscription.account
        return self.workspace_id if account is None else self.account_id(account)

    def account_id(self, name: str) -> str:
        """ARM id of a storage account: the `topic` of its events."""
        provider = "Microsoft.Storage/storageAccounts"
        return f"{self.resource_group_id}/providers/{provider}/{self.account(name).name}"


class Addresses(_Frozen):
    """Loopback ports of one running local Azure."""

    front_door: int
    #: TLS listener for ARM, run history and the function app
    azure: int
    #: plain http: identity endpoint and the control of the emulator
    control: int
    storage: int
    #: one for each instance of the function app
    functions: tuple[int, ...]
    #: AMQP without TLS
    service_bus: int

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control}"

    @property
    def functions_urls(self) -> tuple[str, ...]:
        return tuple(f"http://127.0.0.1:{port}" for port in self.functions)

    @property
    def service_bus_connection(self) -> str:
        """The connection string; its last part makes the official clients speak AMQP in clear."""
        return (
            f"Endpoint=sb://127.0.0.1:{self.service_bus};"
            "SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=local;"
            "UseDevelopmentEmulator=true;"
        )
