"""The storage accounts that data is in: what lies there now, and what jobs are to read.

The other room with a blob client; state is in `blob_state`.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import quote

from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobProperties,
    BlobServiceClient,
    ContentSettings,
    ExponentialRetry,
)

from shared import roles
from shared.errors import NotFound, RequestInvalid, StorageUnavailable
from shared.events import BLOB_CREATED, Event, blob_subject

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"[a-z0-9$](?:-?[a-z0-9]){2,62}")

#: Azure's limit for a blob's name.
_PATH_LENGTH = 1024

#: JSON, one value a line.
_LINES = ContentSettings(content_type="application/x-ndjson")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A blob as it lies there now."""

    account: str
    container: str
    path: str
    #: Without the quotes that HTTP puts around it, as Event Grid tells it.
    etag: str
    #: Bytes.
    size: int
    #: Storage time.
    last_modified: datetime
    content_type: str = "application/octet-stream"
    blob_type: str = "BlockBlob"
    #: Storage time since which there is a blob of that path; None when the service does not tell.
    created: datetime | None = None

    @property
    def url(self) -> str:
        return f"https://{self.account}.blob.core.windows.net/{self.container}/{quote(self.path)}"

    def event(self) -> Event:
        """The event that Event Grid would have sent of it, as far as the blob itself tells.

        It has the real one's dedupe key, not its id and source, which name the subscription.
        """
        return Event(
            id=f"upload-{self.etag}",
            source=f"/storageAccounts/{self.account}",
            type=BLOB_CREATED,
            subject=blob_subject(self.container, self.path),
            time=self.last_modified,
            data={
                "api": "PutBlob",
                "contentType": self.content_type,
                "contentLength": self.size,
                "blobType": self.blob_type,
                "eTag": self.etag,
                "url": self.url,
            },
        )


@dataclass(frozen=True, kw_only=True)
class UploadPage:
    """Some blobs of a listing, and where it goes on."""

    uploads: Sequence[Upload]
    #: Hand it back for what follows; None when nothing does.
    marker: str | None
    #: When it was listed, by that storage account's clock.
    at: datetime


class Lakes(Protocol):
    """Looks at uploads where they are.

    All raise StorageUnavailable, NotFound for a container that is not there, and RequestInvalid
    for what is no blob's name.
    """

    def find(self, account: str, container: str, path: str) -> Upload | None:
        """The blob of that path; None when there is none."""

    def list(self, account: str, container: str, prefix: str, limit: int) -> list[Upload]:
        """The first blobs whose path begins so, by name."""

    def page(self, account: str, container: str, prefix: str, marker: str | None) -> UploadPage:
        """Blobs whose path begins so, those behind a page's marker; a page may be empty."""

    def keep(self, account: str, container: str, path: str, data: bytes) -> None:
        """Write a blob, unless there is one of that path: then it is that one."""


class AzureLakes:
    """Lakes in Azure, through the public SDK."""

    def __init__(self, credential: TokenCredential, *, page: int = 1_000) -> None:
        self._credential = credential
        #: Blobs of one page.
        self._page = page
        self._lock = threading.Lock()
        #: By account.
        self._clients: dict[str, BlobServiceClient] = {}

    def find(self, account: str, container: str, path: str) -> Upload | None:
        _require_plain(account, container, path)
        if not path:
            return None
        with _translated(account, container):
            client = self._client(account).get_blob_client(container, path)
            try:
                found = client.get_blob_properties()
            except ResourceNotFoundError as error:
                _require_container(error)
                return None
            return _upload(account, container, found)

    def list(self, account: str, container: str, prefix: str, limit: int) -> list[Upload]:
        _require_plain(account, container, prefix)
        uploads: list[Upload] = []
        with _translated(account, container):
            client = self._client(account).get_container_client(container)
            for item in client.list_blobs(
                name_starts_with=prefix, include=["metadata"], results_per_page=limit
            ):
                if len(uploads) == limit:
                    break
                if (upload := _upload(account, container, item)) is not None:
                    uploads.append(upload)
        return uploads

    def page(self, account: str, container: str, prefix: str, marker: str | None) -> UploadPage:
        _require_plain(account, container, prefix)
        dates: list[str] = []
        with _translated(account, container):
            # What the SDK declares is a plain iterator.
            pages: Any = (
                self._client(account)
                .get_container_client(container)
                .list_blobs(
                    name_starts_with=prefix,
                    include=["metadata"],
                    results_per_page=self._page,
                    raw_response_hook=lambda answer: dates.append(
                        answer.http_response.headers["Date"]
                    ),
                )
                .by_page(continuation_token=marker)
            )
            found = [_upload(account, container, item) for item in next(pages, ())]
            if not dates:
                raise StorageUnavailable(f"Blob storage did not say when it listed {account}")
            return UploadPage(
                uploads=[upload for upload in found if upload is not None],
                # The service's own words for "nothing" are an empty text.
                marker=pages.continuation_token or None,
                at=parsedate_to_datetime(dates[-1]).astimezone(UTC),
            )

    def keep(self, account: str, container: str, path: str, data: bytes) -> None:
        _require_plain(account, container, path)
        with _translated(account, container, roles.MANIFESTS):
            client = self._client(account).get_blob_client(container, path)
            try:
                client.upload_blob(data, content_settings=_LINES)
            except ResourceExistsError as error:
                # 409 also means, for one, that the container is being deleted.
                if getattr(error, "error_code", None) != "BlobAlreadyExists":
                    raise

    def _client(self, account: str) -> BlobServiceClient:
        with self._lock:
            if account not in self._clients:
                self._clients[account] = BlobServiceClient(
                    f"https://{account}.blob.core.windows.net",
                    credential=self._credential,
                    # Somebody waits for the answer.
                    retry_policy=ExponentialRetry(
                        initial_backoff=1, increment_base=2, retry_total=1
                    ),
                    connection_timeout=5,
                    read_timeout=20,
                )
            return self._clients[account]


def _upload(account: str, container: str, found: BlobProperties) -> Upload | None:
    # A Data Lake shows its folders as empty blobs.
    if (found.metadata or {}).get("hdi_isfolder") == "true":
        return None
    settings: Any = found.content_settings
    return Upload(
        account=account,
        container=container,
        path=str(found.name),
        etag=str(found.etag).strip('"'),
        size=int(found.size or 0),
        last_modified=found.last_modified,
        content_type=settings.content_type or "application/octet-stream",
        blob_type=str(getattr(found.blob_type, "value", found.blob_type)),
        created=found.creation_time,
    )


def _require_plain(account: str, container: str, path: str) -> None:
    """What is asked for becomes an address: it must name the blob and nothing else."""
    wrong = {}
    if not _ACCOUNT.fullmatch(account):
        wrong["account"] = "is no storage account's name: 3 to 24 lower-case letters and digits"
    if not _CONTAINER.fullmatch(container) or len(container) > 63:
        wrong["container"] = "is no container's name"
    if len(path) > _PATH_LENGTH:
        wrong["path"] = f"is longer than {_PATH_LENGTH} characters"
    elif any("\ud800" <= character <= "\udfff" for character in path):
        wrong["path"] = "is no Unicode text"
    elif {".", ".."} & set(path.split("/")):
        wrong["path"] = "leads elsewhere: it has a part '.' or '..'"
    if wrong:
        raise RequestInvalid("This names no blob", wrong)


def _require_container(error: ResourceNotFoundError) -> None:
    # Without this, a mistyped container would look like one without the blob.
    if getattr(error, "error_code", None) == "ContainerNotFound":
        raise error


@contextmanager
def _translated(account: str, container: str, role: str = roles.LAKES) -> Iterator[None]:
    """The SDK's failures as ours; `role` is what allows it."""
    place = f"{account}/{container}"
    try:
        yield
    except AzureError as error:
        status = getattr(error, "status_code", None)
        if status == 404:
            raise NotFound(f"Storage account {account} has no container {container!r}.") from error
        said = f"answered {status}" if status else "could not be reached"
        code = getattr(error, "error_code", None) or type(error).__name__
        if isinstance(error, ClientAuthenticationError) and status != 403:
            raise StorageUnavailable(
                f"Could not sign in to ask blob storage for {place}: {roles.sign_in(error)}"
            ) from error
        remedy = f" {roles.give(role)}" if status == 403 else ""
        raise StorageUnavailable(f"Blob storage {said} for {place} ({code}).{remedy}") from error
