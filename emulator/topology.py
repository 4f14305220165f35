"""What exists in the local Azure: the fixed names that a test or a demo may rely on."""

import base64
import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict

BLOB_SUFFIX = ".blob.core.windows.net"
ARM_HOST = "management.azure.com"


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


class Workspace(_Frozen):
    """An Azure Machine Learning workspace and where its own storage is."""

    name: str = "ml-local"
    region: str = "westeurope"
    storage_account: str = "mllocalstore"
    #: container of the datastore `workspaceblobstore`
    datastore_container: str = "azureml-blobstore-local"
    #: container of run artifacts and logs
    artifacts_container: str = "azureml"

    @property
    def api_host(self) -> str:
        """Host of discovery and run history."""
        return f"{self.region}.api.azureml.ms"


class EventSubscription(_Frozen):
    """An Event Grid subscription of a storage account that calls a function of the app."""

    account: str
    function: str
    included_event_types: tuple[Literal["Microsoft.Storage.BlobCreated"], ...] = (
        "Microsoft.Storage.BlobCreated",
    )
    subject_begins_with: str = ""
    subject_ends_with: str = ""


class Topology(_Frozen):
    """One tenant, one subscription, one resource group and what is in it."""

    tenant_id: str = "11111111-1111-1111-1111-111111111111"
    subscription_id: str = "22222222-2222-2222-2222-222222222222"
    resource_group: str = "rg-local"
    #: the managed identity every process signs in with
    client_id: str = "33333333-3333-3333-3333-333333333333"
    object_id: str = "44444444-4444-4444-4444-444444444444"
    workspace: Workspace = Workspace()
    function_app: str = "signalbox-local"
    storage_accounts: tuple[StorageAccount, ...] = (
        StorageAccount(name="signalboxstate", containers=("signalbox-state",)),
        StorageAccount(name="contosolake", containers=("landing",)),
        StorageAccount(name="mllocalstore", containers=("azureml-blobstore-local", "azureml")),
    )
    event_subscriptions: tuple[EventSubscription, ...] = (
        EventSubscription(account="contosolake", function="blob_uploads"),
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
    functions: int

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control}"

    @property
    def functions_url(self) -> str:
        return f"http://127.0.0.1:{self.functions}"
