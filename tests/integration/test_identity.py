"""Managed identity: DefaultAzureCredential, unchanged, gets tokens from the local endpoint."""

import time
from typing import Any

import jwt
import pytest
import requests
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        ("https://management.azure.com/.default", "https://management.azure.com"),
        ("https://management.azure.com//.default", "https://management.azure.com"),
        ("https://storage.azure.com/.default", "https://storage.azure.com"),
        ("https://ml.azure.com/.default", "https://ml.azure.com"),
    ],
)
def test_default_azure_credential_gets_a_token(
    local_azure: LocalAzure, scope: str, audience: str
) -> None:
    token = DefaultAzureCredential().get_token(scope)
    found = claims(token.token)
    tenant = local_azure.topology.tenant_id
    assert found["aud"] == audience
    assert found["tid"] == tenant
    assert found["iss"] == f"https://sts.windows.net/{tenant}/"
    assert found["appid"] == local_azure.topology.client_id
    assert found["nbf"] <= time.time() < found["exp"] == token.expires_on


def ask(azure: LocalAzure, *, header: str | None = None, **query: str) -> requests.Response:
    """The endpoint as a credential calls it, with parts of the call replaced."""
    parameters = {
        "api-version": "2019-08-01",
        "resource": "https://storage.azure.com",
        "client_id": azure.topology.client_id,
    } | query
    return requests.get(
        azure.environment["IDENTITY_ENDPOINT"],
        params={name: value for name, value in parameters.items() if value},
        headers={"X-IDENTITY-HEADER": header or azure.environment["IDENTITY_HEADER"]},
        timeout=5,
    )


def test_the_answer_is_that_of_app_service(local_azure: LocalAzure) -> None:
    answer = ask(local_azure).json()
    assert answer["resource"] == "https://storage.azure.com"
    assert answer["token_type"] == "Bearer"
    assert int(answer["expires_on"]) == claims(answer["access_token"])["exp"]


def test_a_wrong_identity_header_gets_no_token(local_azure: LocalAzure) -> None:
    answer = ask(local_azure, header="guessed")
    assert answer.status_code == 401
    assert "access_token" not in answer.text


def test_an_unknown_client_id_is_refused_with_the_right_one(local_azure: LocalAzure) -> None:
    answer = ask(local_azure, client_id="99999999-9999-9999-9999-999999999999")
    assert answer.status_code == 400
    assert local_azure.topology.client_id in answer.json()["message"]


@pytest.mark.parametrize(("name", "value"), [("resource", ""), ("api-version", "2017-09-01")])
def test_an_incomplete_or_outdated_call_is_refused(
    local_azure: LocalAzure, name: str, value: str
) -> None:
    answer = ask(local_azure, **{name: value})
    assert answer.status_code == 400
    assert name in answer.json()["message"]
