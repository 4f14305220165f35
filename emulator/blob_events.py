"""Azurite raises no events: they are read off its access log, one JSON object for each request.

Schema: https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage
"""

import asyncio
import itertools
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from emulator.event_grid import EventGrid
from emulator.storage import StorageClient
from emulator.topology import BLOB_SUFFIX, Topology

log = logging.getLogger(__name__)

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
_POLL_SECONDS = 0.05
_sequence = itertools.count()


async def read_access_log(file: Path) -> AsyncIterator[bytes]:
    """A line for every request Azurite has answered and will answer, in that order."""
    with file.open("rb") as lines:
        rest = b""
        while True:
            chunk = lines.read(1 << 20)
            if not chunk:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                # what Azurite says about itself stands in the same file
                if line.startswith(b"{"):
                    yield line


def creating_api(request: dict[str, Any]) -> str | None:
    """The API by which a logged request created or replaced a blob, None when it did not."""
    if request["method"] != "PUT" or request["restype"] or request["path"].count("/") < 2:
        return None
    if request["comp"] == "blocklist" and request["status"] == 201:
        return "PutBlockList"
    if request["comp"] is None and request["status"] in (201, 202):
        return "CopyBlob" if request["copy_source"] else "PutBlob"
    return None


async def watch_storage(
    access_log: Path, topology: Topology, storage: StorageClient, event_grid: EventGrid
) -> None:
    """Publish an event for every blob that is created in an account with subscribers."""
    async for line in read_access_log(access_log):
        try:
            request = json.loads(line)
            account = str(request["host"]).split(":")[0].removesuffix(BLOB_SUFFIX)
            if event_grid.subscribes(account) and creating_api(request):
                event_grid.publish(await blob_created(request, topology, storage))
        except Exception:
            # one odd line must not end the events of all others
            log.exception("no event could be made of %r", line)


async def blob_created(
    request: dict[str, Any], topology: Topology, storage: StorageClient
) -> dict[str, Any]:
    """The event of a logged request that created a blob, in Event Grid's own schema."""
    api = creating_api(request)
    account = topology.account(str(request["host"]).split(":")[0].removesuffix(BLOB_SUFFIX))
    length, content_type = request["content_length"], request.get("content_type")
    blob_type = request.get("blob_type") or "BlockBlob"
    if api != "PutBlob":
        # these requests do not carry the blob's bytes, so the blob itself is asked; when it was
        # replaced or deleted meanwhile that is the nearest truth there is
        properties = await storage.head(account, request["path"])
        if properties is not None:
            length = int(properties.get("content-length", 0))
            content_type = properties.get("content-type")
            blob_type = properties.get("x-ms-blob-type", blob_type)
    container, _, name = unquote(request["path"]).lstrip("/").partition("/")
    return {
        "topic": topology.account_id(account.name),
        "subject": f"/blobServices/default/containers/{container}/blobs/{name}",
        "eventType": BLOB_CREATED,
        "id": str(uuid.uuid4()),
        "eventTime": request["time"],
        "data": {
            "api": api,
            "clientRequestId": request.get("client_request_id", ""),
            "requestId": request["request_id"],
            "eTag": str(request["etag"]).strip('"'),
            "contentType": content_type or "application/octet-stream",
            "contentLength": length,
            "blobType": blob_type,
            "url": f"{account.url}{request['path']}",
            "sequencer": f"{time.time_ns():032X}{next(_sequence):016x}",
            "storageDiagnostics": {"batchId": str(uuid.uuid4())},
        },
        "dataVersion": "",
        "metadataVersion": "1",
    }
