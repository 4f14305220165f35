"""The definitions container in a real storage account, published into a workspace."""

from collections.abc import Callable

import pytest
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from emulator.stack import LocalAzure
from shared import bootstrap
from shared.bootstrap import App
from shared.published import latest
from tests.integration.workspace import clear_requests, requests, unique
from tests.unit.test_bootstrap import ENVIRONMENT


@pytest.fixture
def container(local_azure: LocalAzure) -> Callable[[str], ContainerClient]:
    def make(name: str) -> ContainerClient:
        account = local_azure.topology.account("signalboxstate").url
        found = ContainerClient(account, name, DefaultAzureCredential())
        found.create_container()
        return found

    return make


def app(azure: LocalAzure, mark: str) -> App:
    """As the timer has it, put together from settings."""
    topology = azure.topology
    return bootstrap.build(
        {
            **ENVIRONMENT,
            "SIGNALBOX_STATE_ACCOUNT": "signalboxstate",
            "SIGNALBOX_STATE_CONTAINER": f"{mark}-state",
            "SIGNALBOX_DEFINITIONS_CONTAINER": f"{mark}-definitions",
            "SIGNALBOX_SUBSCRIPTION_ID": topology.subscription_id,
            "SIGNALBOX_RESOURCE_GROUP": topology.resource_group,
            "SIGNALBOX_WORKSPACE": topology.workspace.name,
        }
    )


def test_a_file_that_is_uploaded_is_published_by_the_timer(
    local_azure: LocalAzure, ml: MLClient, container: Callable[[str], ContainerClient]
) -> None:
    mark = unique("d").replace("_", "-")
    state, files = container(f"{mark}-state"), container(f"{mark}-definitions")
    name = mark.replace("-", "_")
    files.upload_blob(
        f"pipelines/{name}.yml",
        "type: pipeline\njobs:\n  say: {type: command, command: echo, "
        "environment: 'azureml:plain@latest'}\n",
    )
    files.upload_blob(
        "triggers/called.yml", f"name: called\nspec: {{http: {{}}}}\naction: {{pipeline: {name}}}\n"
    )
    files.upload_blob(
        "pipelines/local.yml",
        "type: pipeline\njobs:\n  say: {type: command, command: x, code: /etc, "
        "environment: 'azureml:plain:1'}\n",
    )
    here = app(local_azure, mark)
    here.tick.run()

    snapshot = here.index.peek()
    assert snapshot.pipelines.keys() == {name}
    assert snapshot.triggers.keys() == {"called"}
    found = latest(snapshot, name)
    assert found
    assert ml.components.get(name, found.version)
    [why] = here.drops.problems("pipeline", "local")
    assert why.startswith("pipelines/local.yml:3: jobs.say.code names a file on somebody's disk")

    # What is wrong is looked at once more: the index is another than before.
    here.tick.run()
    clear_requests(local_azure)
    kept = state.get_blob_client("drops.json").get_blob_properties().etag
    here.tick.run()
    assert requests(local_azure) == []
    assert state.get_blob_client("drops.json").get_blob_properties().etag == kept

    files.delete_blob("triggers/called.yml")
    files.delete_blob("pipelines/local.yml")
    here.tick.run()
    assert here.index.peek().triggers == {}
    assert here.drops.wrong() == {}

    # A container that is gone takes nothing off, and keeps the timer from nothing.
    files.delete_container()
    here.tick.run()
    assert here.index.peek().pipelines.keys() == {name}
