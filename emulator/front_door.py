"""A CONNECT proxy that leads Azure's host names to the emulator and refuses every other one.

Clients come here through HTTPS_PROXY. The proxy only forwards bytes: TLS ends at the service, so
what the official SDKs verify is the service's own certificate.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.topology import ARM_HOST, BLOB_SUFFIX, LOGIN_HOST, Addresses, Topology

log = logging.getLogger(__name__)

_LARGEST_HEADER = 16 * 1024
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Refused(Exception):
    """The local Azure does not have that host; the message says which and what it has."""


class Routes:
    """Which loopback port serves a host name."""

    def __init__(self, topology: Topology, addresses: Addresses) -> None:
        self._ports = {
            ARM_HOST: addresses.azure,
            LOGIN_HOST: addresses.azure,
            topology.workspace.api_host: addresses.azure,
            topology.function_app_host: addresses.azure,
            **{account.host: addresses.storage for account in topology.storage_accounts},
        }

    def port(self, host: str, port: int) -> int:
        """The loopback port for `host:port`.

        Raises Refused for anything that is not part of the topology.
        """
        found = self._ports.get(host.lower().rstrip("."))
        if found is not None and port == 443:
            return found
        if found is not None:
            raise Refused(f"{host} is served on port 443 only, not {port}")
        if host.endswith(BLOB_SUFFIX):
            account = host.removesuffix(BLOB_SUFFIX)
            known = ", ".join(h.split(".")[0] for h in self._ports if h.endswith(BLOB_SUFFIX))
            raise Refused(f"the local Azure has no storage account {account!r}, only: {known}")
        raise Refused(
            f"{host} is not part of the local Azure, so nothing is sent there; "
            f"it serves: {', '.join(sorted(self._ports))}"
        )


class FrontDoor:
    """The listening proxy; `async with` keeps it open."""

    def __init__(self, routes: Routes, *, port: int) -> None:
        self._routes = routes
        self._port = port
        self._server: asyncio.Server | None = None
        self._clients: set[_Client] = set()
        self._asked: set[str] = set()

    async def __aenter__(self) -> "FrontDoor":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Client(self._find, self._clients), "127.0.0.1", self._port
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server:
            self._server.close()
            self._server.close_clients()

    def routes(self) -> list[Route]:
        """Control of the emulator.

        `POST /cuts?host=…` cuts every connection to a host name; `GET /hosts` tells which ones
        anybody asked for, also in vain, and `DELETE /hosts` forgets them.
        """
        return [
            Route("/cuts", self._cut, methods=["POST"]),
            Route("/hosts", self._hosts, methods=["GET", "DELETE"]),
        ]

    def _find(self, host: str, port: int) -> int:
        self._asked.add(host.lower())
        return self._routes.port(host, port)

    async def _hosts(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._asked.clear()
        return JSONResponse(sorted(self._asked))

    async def _cut(self, request: Request) -> Response:
        """In the middle of whatever they carry: a request is lost, or its answer."""
        host = request.query_params.get("host", "").lower()
        cut = [client for client in self._clients if client.host == host]
        for client in cut:
            client.transport.abort()
        return JSONResponse({"host": host, "cut": len(cut)})


class _Half(asyncio.Protocol):
    """One side of a tunnel: hands what it reads to its peer, at the peer's pace."""

    transport: asyncio.Transport
    peer: "_Half | None" = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.acknowledge_at_once()

    def acknowledge_at_once(self) -> None:
        # urllib3 leaves Nagle on for proxied connections: a request's body waits until its header
        # is acknowledged, 40 ms later when that is delayed. The kernel drops the option after
        # each read, so it is set again before the next one.
        connection = self.transport.get_extra_info("socket")
        if _QUICKACK is not None and connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def data_received(self, data: bytes) -> None:
        if self.peer:
            self.peer.transport.write(data)
        self.acknowledge_at_once()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.peer:
            self.peer.transport.close()

    def pause_writing(self) -> None:
        if self.peer:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer:
            self.peer.transport.resume_reading()


class _Client(_Half):
    """The client's side: reads the CONNECT request, then tunnels."""

    def __init__(self, find_port: Callable[[str, int], int], open_ones: "set[_Client]") -> None:
        self._find_port = find_port
        self._open_ones = open_ones
        #: whom it speaks to, once it has said so
        self.host = ""
        self._header = b""
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open_ones.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.peer:
            super().data_received(data)
            return
        self._header += data
        self.acknowledge_at_once()
        head, end, rest = self._header.partition(b"\r\n\r\n")
        if end and self._connecting is None:
            # a client speaks only after our 200; what came early is kept for the service
            self.transport.pause_reading()
            self._connecting = asyncio.get_running_loop().create_task(self._connect(head, rest))
        elif len(self._header) > _LARGEST_HEADER:
            self._refuse("431 Request Header Fields Too Large", "the request's header is too large")

    async def _connect(self, head: bytes, rest: bytes) -> None:
        line = head.split(b"\r\n", 1)[0].decode("latin-1")
        method, _, target = line.partition(" ")
        target = target.rpartition(" ")[0]
        if method != "CONNECT":
            with contextlib.suppress(Refused):
                self._find_port(urlsplit(target).hostname or target, 80)
            self._refuse("403 Forbidden", f"plain http does not leave this machine: {target}")
            return
        host, _, port = target.rpartition(":")
        self.host = host.lower()
        try:
            local = self._find_port(host.strip("[]"), int(port) if port.isdigit() else 0)
        except Refused as refusal:
            self._refuse("403 Forbidden", str(refusal))
            return
        try:
            _, service = await asyncio.get_running_loop().create_connection(
                _Half, "127.0.0.1", local
            )
        except OSError as error:
            self._refuse("502 Bad Gateway", f"the local {host} does not answer: {error}")
            return
        if self.transport.is_closing():
            service.transport.close()
            return
        self.peer, service.peer = service, self
        self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if rest:
            service.transport.write(rest)
        self.transport.resume_reading()

    def _refuse(self, status: str, reason: str) -> None:
        log.warning("front door: %s: %s", status, reason)
        body = (reason + "\n").encode()
        # clients show the status line of a refused CONNECT and rarely its body
        phrase = f"{status} ({reason.encode('ascii', 'replace').decode()})"
        self.transport.write(
            f"HTTP/1.1 {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        self.transport.close()
