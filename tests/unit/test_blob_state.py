"""What storage's failures mean; its conditions are tested against the local storage account."""

from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.identity import CredentialUnavailableError

from shared.blob_state import AzureBlobState, _date, _require_container, _translated
from shared.errors import StorageUnavailable


@pytest.mark.parametrize(
    "error",
    [
        HttpResponseError("Server busy.\nRequestId: 1"),
        ServiceRequestError("Failed to resolve host"),
        ServiceResponseTimeoutError("Read timed out."),
        CredentialUnavailableError("no identity"),
    ],
)
def test_every_failure_of_storage_is_worth_another_try(error: Exception) -> None:
    with pytest.raises(StorageUnavailable) as caught, _translated("open/a/1"):
        raise error

    assert "'open/a/1'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_what_is_no_failure_of_storage_passes_through() -> None:
    with pytest.raises(ZeroDivisionError), _translated("open/a/1"):
        raise ZeroDivisionError


def test_no_answer_is_not_called_one() -> None:
    with pytest.raises(StorageUnavailable) as caught, _translated("open/a/1"):
        raise CredentialUnavailableError("no identity")

    assert "None" not in str(caught.value)


def test_a_container_that_is_not_there_is_not_an_empty_one() -> None:
    missing = ResourceNotFoundError("The specified container does not exist.")
    missing.error_code = "ContainerNotFound"  # type: ignore[attr-defined]
    with pytest.raises(ResourceNotFoundError):
        _require_container(missing)

    missing.error_code = "BlobNotFound"  # type: ignore[attr-defined]
    _require_container(missing)


@pytest.mark.parametrize("name", ["Date", "date"])
def test_time_is_storage_s(name: str) -> None:
    answered = _date({name: "Sun, 01 Mar 2026 12:00:00 GMT"})

    assert answered == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert answered.tzinfo is UTC


class NoCredential:
    def get_token(self, *scopes: str, **options: object) -> None:
        raise NotImplementedError


def test_storage_is_asked_again_soon_or_not_at_all() -> None:
    state = AzureBlobState("https://x.blob.core.windows.net", "state", NoCredential())  # type: ignore[arg-type]
    policy: Any = state._container._config.retry_policy
    waits = [policy.get_backoff_time({"count": count + 1}) for count in range(policy.total_retries)]

    # Event Grid waits for 30 s. The SDK adds or takes up to 3 s by chance, each time.
    assert sum(waits) < 15
