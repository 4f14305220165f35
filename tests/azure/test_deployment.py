"""The deployed app and its workspace."""

import os

import httpx
import pytest
from azure.ai.ml import MLClient

from shared.settings import Settings
from shared.workspace import AzureWorkspace
from tests.integration.test_workspace import (
    test_a_job_that_is_not_there_is_none,
    test_a_second_put_is_proof_that_the_job_exists,
    test_what_can_never_run_is_rejected_with_azureml_s_code_and_words,
)

#: What the local workspace has to answer, Azure has to. They need a compute `cpu-cluster`.
__all__ = [
    "test_a_job_that_is_not_there_is_none",
    "test_a_second_put_is_proof_that_the_job_exists",
    "test_what_can_never_run_is_rejected_with_azureml_s_code_and_words",
]


def test_the_app_asks_for_a_key(app: httpx.Client) -> None:
    assert app.get("/api/health").status_code == 401


def test_the_app_reaches_what_it_needs(app: httpx.Client) -> None:
    answer = app.get("/api/health", headers={"x-functions-key": os.environ["SIGNALBOX_KEY"]})

    assert answer.json()["status"] == "ok", answer.text
    assert answer.status_code == 200


def test_an_event_that_nobody_waits_for_is_taken(app: httpx.Client) -> None:
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/tests/azure",
        "type": "signalbox.tests.nobody",
    }
    answer = app.post(
        "/api/events", json=event, headers={"x-functions-key": os.environ["SIGNALBOX_KEY"]}
    )

    assert answer.status_code == 202, answer.text


def test_the_workspace_s_own_datastore_is_where_manifests_go(workspace: AzureWorkspace) -> None:
    found = workspace.datastore("workspaceblobstore")

    # What the lifecycle rule for manifests counts on, infra/modules/manifest-expiry.bicep.
    assert found.container.startswith("azureml-blobstore-")


def test_every_source_has_a_datastore_without_credentials(
    deployment: Settings, ml: MLClient
) -> None:
    if not deployment.datastores:
        pytest.skip("SIGNALBOX_DATASTORES names none")
    for place, name in deployment.datastores.items():
        found = ml.datastores.get(name)
        assert f"{found.account_name}/{found.container_name}" == place
        assert type(found.credentials).__name__ == "NoneCredentialConfiguration"
