"""The workspace's own hands in blob storage: account keys, SAS addresses, files and logs."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    generate_blob_sas,
    generate_container_sas,
)

from emulator.azureml.errors import UserError
from emulator.azureml.locations import Location
from emulator.azureml.resources import now
from emulator.azureml.workspace import Machine

#: Azurite 3.37 knows no newer one; a client of the newest SDK would ask for it.
_API_VERSION = "2025-05-05"
_SAS_LIFETIME = timedelta(hours=8)
_FOLDER_MARK = "hdi_isfolder"
_LARGEST_BLOCK = 4 * 1024 * 1024


class Missing(Exception):
    """Nothing lies at the location."""

    def __init__(self, location: Location) -> None:
        super().__init__(f"there is nothing at {location.url}")


class Storage:
    """Reads and writes blobs with the accounts' keys, whoever owns them."""

    def __init__(self, machine: Machine) -> None:
        self._keys = machine.account_keys
        self._clients = {
            account: BlobServiceClient(
                f"https://{account}.blob.core.windows.net",
                credential={"account_name": account, "account_key": key},
                api_version=_API_VERSION,
                proxies={"https": machine.front_door},
                connection_verify=str(machine.authority),
                retry_total=3,
            )
            for account, key in machine.account_keys.items()
        }

    def exists(self, location: Location) -> bool:
        """Whether there is a blob at the location, or any below it."""
        return next(self._below(location), None) is not None

    def is_file(self, location: Location) -> bool:
        """Whether there is a blob of exactly that name."""
        blob = self._client(location).get_blob_client(location.container, location.path)
        return not location.path.endswith("/") and bool(blob.exists())

    def download_file(self, location: Location, target: Path) -> None:
        """Write one blob to the file `target`. Raises Missing."""
        container = self._client(location).get_container_client(location.container)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            try:
                container.download_blob(location.path).readinto(file)
            except ResourceNotFoundError as error:
                raise Missing(location) from error

    def download_folder(self, location: Location, target: Path) -> None:
        """Write every blob below the location into the folder `target`. Raises Missing."""
        prefix = location.path.rstrip("/") + "/" if location.path.strip("/") else ""
        found = False
        for name in self._below(location):
            found = True
            relative = name.removeprefix(prefix) if name.startswith(prefix) else location.name
            self.download_file(
                Location(location.account, location.container, name), target / relative
            )
        if not found:
            raise Missing(location)

    def upload(self, source: Path, location: Location) -> int:
        """Store a file, or every file below a folder, at the location; returns how many."""
        container = self._client(location).get_container_client(location.container)
        files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        for file in sorted(files):
            parts = () if file == source else file.relative_to(source).parts
            with file.open("rb") as data:
                container.upload_blob(location.below(*parts).path, data, overwrite=True)
        return len(files)

    def create_log(self, location: Location) -> None:
        """An empty append blob."""
        self._client(location).get_blob_client(
            location.container, location.path
        ).create_append_blob()

    def append(self, location: Location, data: bytes) -> None:
        """Add to the end of a log."""
        blob = self._client(location).get_blob_client(location.container, location.path)
        for start in range(0, len(data), _LARGEST_BLOCK):
            blob.append_block(data[start : start + _LARGEST_BLOCK])

    def new_container(self, account: str, name: str) -> str:
        """Create a container for one upload; returns an address with a SAS that may write there."""
        client = self._clients[account].create_container(name)
        token = generate_container_sas(
            account,
            name,
            account_key=self._keys[account],
            permission=ContainerSasPermissions(read=True, write=True, create=True, list=True),
            expiry=now() + _SAS_LIFETIME,
        )
        return f"{client.url}?{token}"

    def container_sas(self, account: str, container: str) -> str:
        """A SAS token for everything a client does in a datastore."""
        return generate_container_sas(
            account,
            container,
            account_key=self._keys[account],
            permission=ContainerSasPermissions(
                read=True, write=True, create=True, list=True, delete=True
            ),
            expiry=now() + _SAS_LIFETIME,
        )

    def readable_url(self, location: Location) -> str:
        """The address of a blob that anyone may read for some hours."""
        token = generate_blob_sas(
            location.account,
            location.container,
            location.path,
            account_key=self._keys[location.account],
            permission=BlobSasPermissions(read=True),
            expiry=now() + _SAS_LIFETIME,
        )
        return f"{location.url}?{token}"

    def _client(self, location: Location) -> BlobServiceClient:
        if location.account not in self._clients:
            raise UserError(
                f"The local Azure has no storage account {location.account!r}; "
                f"it has: {', '.join(sorted(self._clients))}.",
                inner=("NotFound", "StorageAccountNotFound"),
            )
        return self._clients[location.account]

    def _below(self, location: Location) -> Iterator[str]:
        """Names of the blob at the location and of those in the folder of that name."""
        container = self._client(location).get_container_client(location.container)
        path = location.path.rstrip("/")
        try:
            for blob in container.list_blobs(name_starts_with=path, include=["metadata"]):
                inside = blob.name == path or not path or blob.name.startswith(path + "/")
                if inside and _FOLDER_MARK not in (blob.metadata or {}):
                    yield blob.name
        except ResourceNotFoundError as error:
            raise Missing(location) from error
