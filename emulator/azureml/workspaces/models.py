"""The workspace and its datastores, as ARM shows them."""

from typing import Any

from emulator.azureml.workspace import PROVIDER, Workspace


def workspace_resource(workspace: Workspace) -> dict[str, Any]:
    group = workspace.arm_id.partition("/providers/")[0]
    api = f"{workspace.api_host}/mlflow/v1.0{workspace.arm_id}"
    return {
        "id": workspace.arm_id,
        "name": workspace.name,
        "type": f"{PROVIDER}/workspaces",
        "location": workspace.region,
        "kind": "Default",
        "tags": {},
        "identity": {
            "type": "SystemAssigned",
            "principalId": workspace.workspace_id,
            "tenantId": workspace.tenant,
        },
        "sku": {"name": "Basic", "tier": "Basic"},
        "properties": {
            "friendlyName": workspace.name,
            "description": "",
            "workspaceId": workspace.workspace_id,
            "tenantId": workspace.tenant,
            "storageAccount": (
                f"{group}/providers/Microsoft.Storage/storageAccounts/{workspace.storage_account}"
            ),
            "discoveryUrl": f"https://{workspace.api_host}/discovery",
            "mlFlowTrackingUri": f"azureml://{api}",
            "publicNetworkAccess": "Enabled",
            "provisioningState": "Succeeded",
            "systemDatastoresAuthMode": "identity",
            "hbiWorkspace": False,
        },
    }


def datastore_resource(workspace: Workspace, name: str) -> dict[str, Any]:
    datastore = workspace.datastores[name]
    return {
        "id": workspace.child("datastores", name),
        "name": name,
        "type": f"{PROVIDER}/workspaces/datastores",
        "properties": {
            "datastoreType": "AzureBlob",
            "accountName": datastore.account,
            "containerName": datastore.container,
            "endpoint": "core.windows.net",
            "protocol": "https",
            "isDefault": name == "workspaceblobstore",
            "serviceDataAccessAuthIdentity": "WorkspaceSystemAssignedIdentity",
            # clients use their own identity, as in a workspace without shared keys
            "credentials": {"credentialsType": "None"},
            "tags": {},
            "properties": {},
        },
    }


def discovery(workspace: Workspace) -> dict[str, str]:
    """Where each data plane is; all of them are one host."""
    host = f"https://{workspace.api_host}"
    return dict.fromkeys(("api", "catalog", "experimentation", "history", "pipelines"), host)
