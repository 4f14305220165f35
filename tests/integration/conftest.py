"""The local Azure that integration tests talk to with the official SDKs."""

import contextlib
import os
from collections.abc import Iterator

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from tests.integration.basic_app import BasicApp, running_basic_app


@contextlib.contextmanager
def exported(azure: LocalAzure) -> Iterator[None]:
    """While it lasts, what this process does with Azure goes to `azure`."""
    before = {name: os.environ.get(name) for name in azure.environment}
    os.environ.update(azure.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture(scope="session")
def local_azure() -> Iterator[LocalAzure]:
    """A local Azure without a function app, its environment exported for the session."""
    with LocalAzure() as azure, exported(azure):
        yield azure


@pytest.fixture(scope="module")
def basic_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicApp]:
    """A local Azure of its own with the small test app, its environment exported meanwhile."""
    with running_basic_app(tmp_path_factory.mktemp("basic")) as app, exported(app.azure):
        yield app


@pytest.fixture(scope="session")
def ml(local_azure: LocalAzure) -> MLClient:
    """The official client of the local workspace, which has the environment `azureml:plain:1`."""
    topology = local_azure.topology
    client = MLClient(
        DefaultAzureCredential(),
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        enable_telemetry=False,
        show_progress=False,
        # a refusal of the workspace should come back at once
        retry_total=0,
    )
    client.environments.create_or_update(Environment(name="plain", version="1", image="python"))
    return client
