"""Upload a file as any producer would: `python -m examples.upload FILE landing/PATH`.

In a shell that knows the local Azure; `make run` says how.
"""

import sys
from pathlib import Path

from azure.core.exceptions import AzureError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient

LAKE = "https://contosolake.blob.core.windows.net"


def upload(file: Path, container: str, path: str) -> str:
    """Write the blob, over what may be there; the ETag by which this write is known."""
    blob = BlobClient(LAKE, container, path, credential=DefaultAzureCredential())
    with blob, file.open("rb") as data:
        return str(blob.upload_blob(data, overwrite=True)["etag"])


def main() -> int:
    try:
        _, file, place = sys.argv
        container, path = place.split("/", 1)
    except ValueError:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        etag = upload(Path(file), container, path)
    except (AzureError, OSError) as error:
        print(f"{file} was not uploaded: {error}", file=sys.stderr)
        return 1
    print(f"{LAKE}/{place} is written, ETag {etag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
