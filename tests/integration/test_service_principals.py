"""A service principal signs in through DefaultAzureCredential, unchanged, by its settings alone."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.identity import DefaultAzureCredential
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from emulator.stack import LocalAzure
from shared.blob_state import AzureBlobState
from shared.errors import StorageUnavailable, WorkspaceUnavailable
from shared.workspace import AzureWorkspace
from tests.loopback import loopback

Set = Callable[..., None]


@pytest.fixture
def principal(local_azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> Set:
    """Puts the settings of the service principal, and some more, into the environment."""

    def put(**more: str) -> None:
        # Where there is no managed identity.
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            monkeypatch.delenv(name)
        topology = local_azure.topology
        settings = {
            "AZURE_TENANT_ID": topology.tenant_id,
            "AZURE_CLIENT_ID": topology.service_principal.client_id,
            # No other way is tried, and the machine's own metadata is not asked.
            "AZURE_TOKEN_CREDENTIALS": "prod",
            **more,
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    return put


def certificate(folder: Path, name: str) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = folder / "principal.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


def workspace(azure: LocalAzure) -> AzureWorkspace:
    topology = azure.topology
    return AzureWorkspace(
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        DefaultAzureCredential(),
    )


def last_sign_in(azure: LocalAzure) -> dict[str, Any]:
    found: list[dict[str, Any]] = loopback.get(f"{azure.control_url}/sign-ins").json()
    return found[-1]


def asks_as_the_principal(azure: LocalAzure, how: str) -> None:
    """AzureML and storage answer whoever signed in so."""
    assert workspace(azure).find("nothing") is None
    principal = azure.topology.service_principal
    sign_in = {"client_id": principal.client_id, "how": how}
    assert last_sign_in(azure) == {**sign_in, "resource": "https://management.azure.com"}

    account = azure.topology.account("signalboxstate")
    blobs = AzureBlobState(account.url, "signalbox-state", DefaultAzureCredential())
    assert blobs.get("nothing") is None
    assert last_sign_in(azure) == {**sign_in, "resource": "https://storage.azure.com"}


def test_by_a_secret(local_azure: LocalAzure, principal: Set) -> None:
    principal(AZURE_CLIENT_SECRET=local_azure.topology.service_principal.secret)

    asks_as_the_principal(local_azure, "secret")


def test_by_a_certificate(local_azure: LocalAzure, principal: Set, tmp_path: Path) -> None:
    principal(AZURE_CLIENT_CERTIFICATE_PATH=str(certificate(tmp_path, "signalbox")))

    asks_as_the_principal(local_azure, "certificate")


def test_by_the_token_of_another_issuer(
    local_azure: LocalAzure, principal: Set, tmp_path: Path
) -> None:
    subject = local_azure.topology.service_principal.federated_subject
    token = tmp_path / "token"
    token.write_text(
        jwt.encode({"sub": subject, "exp": time.time() + 600}, "k" * 32, algorithm="HS256")
    )
    principal(AZURE_FEDERATED_TOKEN_FILE=str(token))

    asks_as_the_principal(local_azure, "federated token")


def test_a_user_assigned_identity_is_asked_for_by_its_client_id(local_azure: LocalAzure) -> None:
    assert workspace(local_azure).find("nothing") is None

    client_id = local_azure.topology.client_id
    assert last_sign_in(local_azure)["client_id"] == client_id
    assert last_sign_in(local_azure)["how"] == "managed identity"


def test_one_credential_signs_in_once_for_each_service(local_azure: LocalAzure) -> None:
    credential = DefaultAzureCredential()
    for _ in range(3):
        credential.get_token("https://ml.azure.com/.default")
    before = loopback.get(f"{local_azure.control_url}/sign-ins").json()
    credential.get_token("https://ml.azure.com/.default")

    assert loopback.get(f"{local_azure.control_url}/sign-ins").json() == before


WRONG = "not-the-secret-of-anybody"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"AZURE_CLIENT_SECRET": WRONG}, "AADSTS7000215"),
        ({"AZURE_CLIENT_SECRET": WRONG, "AZURE_CLIENT_ID": "7" * 8}, "AADSTS700016"),
        ({"AZURE_CLIENT_SECRET": WRONG, "AZURE_TENANT_ID": "8" * 8}, "check your tenant name"),
        ({}, "not available|unavailable|failed to retrieve"),
    ],
    ids=["secret", "client", "tenant", "nobody"],
)
def test_who_cannot_sign_in_is_told_what_to_set(
    local_azure: LocalAzure, principal: Set, settings: dict[str, str], said: str
) -> None:
    principal(**settings)

    with pytest.raises(WorkspaceUnavailable, match=said) as job:
        workspace(local_azure).find("nothing")
    assert_remedy(str(job.value))


def test_who_cannot_sign_in_to_storage_is_told_what_to_set(
    local_azure: LocalAzure, principal: Set
) -> None:
    principal()
    account = local_azure.topology.account("signalboxstate")
    blobs = AzureBlobState(account.url, "signalbox-state", DefaultAzureCredential())

    with pytest.raises(StorageUnavailable) as blob:
        blobs.get("nothing")
    assert_remedy(str(blob.value))


def assert_remedy(told: str) -> None:
    assert "Could not sign in" in told
    assert "AZURE_CLIENT_SECRET" in told
    assert WRONG not in told
    assert "\n" not in told


def without(azure: LocalAzure, *roles: str) -> Iterator[None]:
    url = f"{azure.control_url}/roles"
    loopback.put(url, json={"without": roles}).raise_for_status()
    yield
    loopback.delete(url).raise_for_status()


@pytest.fixture
def not_a_data_scientist(local_azure: LocalAzure) -> Iterator[None]:
    yield from without(local_azure, "AzureML Data Scientist")


@pytest.fixture
def not_a_compute_operator(local_azure: LocalAzure) -> Iterator[None]:
    yield from without(local_azure, "AzureML Compute Operator")


@pytest.mark.usefixtures("not_a_data_scientist")
def test_a_missing_role_on_the_workspace_is_named(local_azure: LocalAzure) -> None:
    asked = workspace(local_azure)
    for ask in (
        lambda: asked.find("nothing"),
        lambda: asked.registered("nothing", "1"),
        lambda: asked.labelled("data", "nothing", "latest"),
        lambda: asked.cancel("nothing"),
    ):
        with pytest.raises(WorkspaceUnavailable, match="role AzureML Data Scientist") as told:
            ask()
        assert local_azure.topology.client_id in str(told.value)
        assert "perform action 'Microsoft.MachineLearningServices/workspaces/" in str(told.value)


@pytest.mark.usefixtures("not_a_compute_operator")
def test_a_missing_role_for_computes_is_named(local_azure: LocalAzure) -> None:
    client = workspace(local_azure).client()
    from azure.ai.ml.entities import AmlCompute

    from shared.workspace import translated

    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    with (
        pytest.raises(WorkspaceUnavailable, match="role AzureML Compute Operator"),
        translated("compute 'c'"),
    ):
        client.compute.begin_create_or_update(AmlCompute(name="c", size="STANDARD_D2S_V3"))
