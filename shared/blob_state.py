"""State as blobs that change only by ETag: the one room that holds a blob client.

"It exists already" and "somebody changed it" are answers here, not errors: the protocols branch
on them. Every answer carries the storage service's own time, the only clock the protocols trust.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import batched
from typing import Any, Protocol

from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import ContainerClient, ContentSettings, ExponentialRetry

from shared import roles
from shared.errors import StorageUnavailable

_JSON = ContentSettings(content_type="application/json")

#: Blobs that one request deletes. Source: Blob Batch, "Remarks".
_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Written:
    """A write that took effect."""

    etag: str
    #: When, by the storage service's clock.
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A blob as read."""

    data: bytes
    etag: str
    #: When it was read, by the storage service's clock.
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Unchanged:
    """The blob still has the ETag we know."""

    at: datetime


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A blob as listed; its content is not read."""

    name: str
    etag: str
    last_modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    #: Bytes.
    size: int = 0


class BlobState(Protocol):
    """The few operations that state needs. All raise StorageUnavailable."""

    def get(self, name: str) -> Blob | None: ...

    def get_if_changed(self, name: str, etag: str) -> Blob | Unchanged | None: ...

    def create(
        self,
        name: str,
        data: bytes,
        *,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written | None:
        """None when the blob exists already."""

    def swap(
        self,
        name: str,
        data: bytes,
        *,
        etag: str,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written | None:
        """None when the blob is not, or no longer, at that ETag."""

    def put(
        self, name: str, data: bytes = b"", *, metadata: Mapping[str, str] | None = None
    ) -> Written: ...

    def set_metadata(self, name: str, metadata: Mapping[str, str]) -> bool:
        """False when there is no such blob; never creates one."""

    def delete(self, name: str, *, etag: str | None = None) -> bool:
        """False when there is no such blob, or not at that ETag."""

    def delete_all(self, names: Sequence[str]) -> None:
        """Delete blobs, many with one request; what is not there is as good as deleted."""

    def list(self, prefix: str, *, page: int | None = None) -> Iterator[Listed]:
        """In order of name. Whoever needs only the first few asks for pages of so many."""


class AzureBlobState:
    """BlobState in a container of an Azure storage account."""

    def __init__(self, account_url: str, container: str, credential: TokenCredential) -> None:
        self._container = ContainerClient(
            account_url,
            container,
            credential=credential,
            # The SDK's own waits (18, 24, 42 s) outlast the source's patience.
            retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2),
            connection_timeout=5,
            read_timeout=20,
        )

    def get(self, name: str) -> Blob | None:
        with _translated(name):
            try:
                return self._download(name)
            except ResourceNotFoundError as error:
                _require_container(error)
                return None

    def get_if_changed(self, name: str, etag: str) -> Blob | Unchanged | None:
        with _translated(name):
            try:
                return self._download(name, etag=etag, match_condition=MatchConditions.IfModified)
            except ResourceNotFoundError as error:
                _require_container(error)
                return None
            except HttpResponseError as error:
                # The SDK has no exception of its own for 304; it calls it "modified".
                if error.status_code != 304:
                    raise
                return Unchanged(at=_date(_headers(error)))

    def create(
        self,
        name: str,
        data: bytes,
        *,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written | None:
        with _translated(name):
            try:
                return self._upload(name, data, overwrite=False, tags=tags, metadata=metadata)
            except ResourceExistsError as error:
                # 409 also means, for one, that the container is being deleted.
                if error.error_code != "BlobAlreadyExists":  # type: ignore[attr-defined]
                    raise
                return None

    def swap(
        self,
        name: str,
        data: bytes,
        *,
        etag: str,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written | None:
        with _translated(name):
            try:
                return self._upload(
                    name,
                    data,
                    overwrite=True,
                    tags=tags,
                    metadata=metadata,
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except ResourceModifiedError:
                return None
            except ResourceNotFoundError as error:
                _require_container(error)
                return None

    def put(
        self, name: str, data: bytes = b"", *, metadata: Mapping[str, str] | None = None
    ) -> Written:
        with _translated(name):
            return self._upload(name, data, overwrite=True, metadata=metadata)

    def set_metadata(self, name: str, metadata: Mapping[str, str]) -> bool:
        with _translated(name):
            try:
                self._container.get_blob_client(name).set_blob_metadata(dict(metadata))
            except ResourceNotFoundError as error:
                _require_container(error)
                return False
            return True

    def delete(self, name: str, *, etag: str | None = None) -> bool:
        condition: dict[str, Any] = (
            {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        )
        with _translated(name):
            try:
                self._container.delete_blob(name, **condition)
            except ResourceModifiedError:
                return False
            except ResourceNotFoundError as error:
                _require_container(error)
                return False
            return True

    def delete_all(self, names: Sequence[str]) -> None:
        for some in batched(names, _AT_ONCE, strict=False):
            with _translated(some[0]):
                answers = self._container.delete_blobs(*some, raise_on_any_failure=False)
                for name, answer in zip(some, answers, strict=True):
                    if answer.status_code not in (202, 404):
                        raise StorageUnavailable(
                            f"Blob storage answered {answer.status_code} for {name!r}"
                        )

    def list(self, prefix: str, *, page: int | None = None) -> Iterator[Listed]:
        with _translated(prefix):
            for item in self._container.list_blobs(
                name_starts_with=prefix, include=["metadata"], results_per_page=page
            ):
                yield Listed(
                    name=item.name,
                    # A listing leaves out the quotes that every other answer, and a condition, has.
                    etag=f'"{item.etag.strip('"')}"',
                    last_modified=item.last_modified,
                    metadata=item.metadata or {},
                    size=item.size or 0,
                )

    def _download(self, name: str, **condition: Any) -> Blob:
        for _ in range(2):
            seen: dict[str, str] = {}
            stream = self._container.download_blob(
                name,
                raw_response_hook=lambda response, seen=seen: seen.update(
                    response.http_response.headers
                ),
                **condition,
            )
            # The SDK forgets the hook when its first try had no answer, as on a connection that
            # the service closed meanwhile; then nobody knows when this was read.
            if seen:
                return Blob(data=stream.readall(), etag=stream.properties.etag, at=_date(seen))
        raise StorageUnavailable(f"Blob storage answered {name!r} at the second try only, twice")

    def _upload(self, name: str, data: bytes, **options: Any) -> Written:
        for optional in ("tags", "metadata"):
            if options.get(optional) is not None:
                options[optional] = dict(options[optional])
            else:
                options.pop(optional, None)
        answer = self._container.get_blob_client(name).upload_blob(
            data, content_settings=_JSON, **options
        )
        return Written(etag=answer["etag"], at=answer["date"])


def _require_container(error: ResourceNotFoundError) -> None:
    # Without this, a mistyped container would look like an app with no triggers.
    if getattr(error, "error_code", None) == "ContainerNotFound":
        raise error


def _headers(error: HttpResponseError) -> Mapping[str, str]:
    # The transport's answer has them; azure-core's declared type does not say so.
    found: Mapping[str, str] = getattr(error.response, "headers", {})
    return found


def _date(headers: Mapping[str, str]) -> datetime:
    folded = {name.lower(): value for name, value in headers.items()}
    return parsedate_to_datetime(folded["date"]).astimezone(UTC)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """The SDK's failures as ours; the conflicts that callers branch on are caught inside."""
    try:
        yield
    except AzureError as error:
        status = getattr(error, "status_code", None)
        said = f"answered {status}" if status else "could not be reached"
        if isinstance(error, ClientAuthenticationError) and status != 403:
            raise StorageUnavailable(
                f"Could not sign in to ask blob storage for {name!r}: {roles.sign_in(error)}"
            ) from error
        role = f" {roles.give(roles.STATE)}" if status == 403 else ""
        raise StorageUnavailable(
            f"Blob storage {said} for {name!r}: {_first_line(error)}{role}"
        ) from error


def _first_line(error: AzureError) -> str:
    return str(error.message).splitlines()[0] if error.message else type(error).__name__
