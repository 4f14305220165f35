"""A batch's manifest in the workspace's own datastore, as its job finds it."""

import json

import pytest
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient

from emulator.stack import LocalAzure
from shared import manifests
from shared.lakes import AzureLakes
from shared.manifests import Manifests
from shared.workspace import AzureWorkspace
from tests.integration.workspace import unique
from tests.unit.scene import event


@pytest.fixture
def rooms(local_azure: LocalAzure) -> Manifests:
    topology = local_azure.topology
    names = topology.subscription_id, topology.resource_group, topology.workspace.name
    credential = DefaultAzureCredential()
    return Manifests(
        deployment="test",
        lakes=AzureLakes(credential),
        workspace=AzureWorkspace(*names, credential),
    )


def test_a_manifest_lies_where_its_address_says(local_azure: LocalAzure, rooms: Manifests) -> None:
    events = [event(f"sales/03-01/{name}.csv") for name in ("a", "ä b")]
    lines = {one.id: manifests.line(one, {"date": "03-01"}) for one in events}
    batch = unique("key")
    address = rooms.write("of-a-day", batch, lines)
    # Whoever makes the same batch again finds it there.
    assert rooms.write("of-a-day", batch, lines) == address

    workspace = local_azure.topology.workspace
    path = address.removeprefix("azureml://datastores/workspaceblobstore/paths/")
    blob = BlobClient(
        local_azure.topology.account(workspace.storage_account).url,
        workspace.datastore_container,
        path,
        credential=DefaultAzureCredential(),
    )
    content = blob.download_blob().readall().decode()
    assert [json.loads(line)["event"] for line in content.splitlines()] == [
        one.content for one in events
    ]
