"""What tests ask Azure itself, where the environment names a deployment; skipped where it does not.

The variables are the outputs of the deployment: `azd env get-values`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.identity import DefaultAzureCredential

from shared.blob_state import AzureBlobState
from shared.settings import Settings, load
from shared.workspace import AzureWorkspace

# The fixture that needs nothing but a workspace and its client.
from tests.integration.test_workspace import component

__all__ = ["component"]

#: Has Python and a shell, which is all that the steps need.
_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"

_HERE = Path(__file__).parent
_NEEDED = (
    "SIGNALBOX_DEPLOYMENT",
    "SIGNALBOX_STATE_ACCOUNT",
    "SIGNALBOX_SUBSCRIPTION_ID",
    "SIGNALBOX_RESOURCE_GROUP",
    "SIGNALBOX_WORKSPACE",
    "SIGNALBOX_URL",
    "SIGNALBOX_KEY",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.azure)
            if missing:
                item.add_marker(pytest.mark.skip(f"asks Azure; not set: {', '.join(missing)}"))


@pytest.fixture(scope="session")
def deployment() -> Settings:
    return load(os.environ)


@pytest.fixture(scope="session")
def account_url(deployment: Settings) -> str:
    return deployment.state_account_url


@pytest.fixture(scope="session")
def state(account_url: str, deployment: Settings) -> AzureBlobState:
    return AzureBlobState(account_url, deployment.state_container, DefaultAzureCredential())


@pytest.fixture
def name() -> str:
    """A blob that is not there."""
    return f"test/{uuid4()}.json"


@pytest.fixture(scope="session")
def ml(deployment: Settings) -> MLClient:
    """The workspace's official client; the workspace has the environment `azureml:plain:1`."""
    client = MLClient(
        DefaultAzureCredential(),
        deployment.subscription,
        deployment.resource_group,
        deployment.workspace,
        enable_telemetry=False,
        show_progress=False,
        retry_total=0,
    )
    client.environments.create_or_update(Environment(name="plain", version="1", image=_IMAGE))
    return client


@pytest.fixture(scope="session")
def workspace(deployment: Settings) -> AzureWorkspace:
    return AzureWorkspace(
        deployment.subscription,
        deployment.resource_group,
        deployment.workspace,
        DefaultAzureCredential(),
    )


@pytest.fixture(scope="session")
def app() -> Iterator[httpx.Client]:
    """The function app, without its key."""
    with httpx.Client(base_url=os.environ["SIGNALBOX_URL"], timeout=60) as client:
        yield client
