"""What storage's failures mean; its conditions are tested against the local storage account."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.identity import CredentialUnavailableError
from azure.storage.blob import ContainerClient, ExponentialRetry

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


@contextmanager
def hasty_storage(dropped: set[int]) -> Iterator[AzureBlobState]:
    """Storage that closes the connection instead of answering those requests, by their number."""
    numbers = iter(range(100))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if next(numbers) in dropped:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.send_header("Content-Range", "bytes 0-3/4")
            self.send_header("ETag", '"0x1"')
            self.end_headers()
            self.wfile.write(b"here")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    state = AzureBlobState("https://x.blob.core.windows.net", "state", NoCredential())  # type: ignore[arg-type]
    state._container = ContainerClient(
        f"http://127.0.0.1:{server.server_port}/account",
        "state",
        retry_policy=ExponentialRetry(initial_backoff=0, increment_base=1, retry_total=2),
    )
    try:
        with state._container:
            yield state
    finally:
        server.shutdown()
        server.server_close()


def test_a_connection_that_storage_closed_meanwhile_costs_one_more_request() -> None:
    with hasty_storage({0}) as state:
        blob = state.get("index.json")

    assert blob is not None
    assert blob.data == b"here"
    assert blob.at.tzinfo is UTC


def test_a_read_whose_time_nobody_knows_is_made_again_by_the_source() -> None:
    with hasty_storage({0, 2}) as state, pytest.raises(StorageUnavailable):
        state.get("index.json")
