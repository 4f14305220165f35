"""Requests that Azure's services got, as their own logs have them."""

import json
import uuid
from pathlib import Path
from typing import Any

from azure.storage.blob import ContainerClient

from tests.integration.waiting import eventually
from tests.loopback import loopback

Json = dict[str, Any]


def clear_arm_requests(control_url: str) -> None:
    loopback.delete(f"{control_url}/requests").raise_for_status()


def arm_requests(control_url: str) -> list[Json]:
    """Requests to ARM since its log was cleared; steps that run speak to run history, not to it."""
    found: list[Json] = loopback.get(f"{control_url}/requests", timeout=30).json()
    return [request for request in found if request["host"] == "management.azure.com"]


def storage_requests(log: Path, container: ContainerClient) -> list[Json]:
    """Requests to the container's account so far, in order."""
    marker = f"fence-{uuid.uuid4()}"
    # a request of our own: once it is in the log, everything before it is
    container.get_blob_client(marker).exists()

    def look() -> list[Json]:
        found = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
        return found if any(marker in request["path"] for request in found) else []

    host = f"{container.account_name}."
    return [
        request
        for request in eventually(look)
        if request["host"].startswith(host) and "fence-" not in request["path"]
    ]
