"""Loopback ports: kept for their process, and asked whether it is up."""

import socket

import httpx


class ReservedPorts:
    """Free loopback ports, bound but not listening: nobody else is given them meanwhile.

    A child may still listen on one, since both sides set SO_REUSEADDR; while no child does,
    connections are refused, as with a host that is down.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self) -> int:
        """One more port."""
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        self._sockets.append(reserved)
        port: int = reserved.getsockname()[1]
        return port

    def release(self) -> None:
        for reserved in self._sockets:
            reserved.close()
        self._sockets.clear()


def listens(port: int) -> bool:
    """Whether somebody accepts connections on the loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether a GET of the address, of plain http, succeeds."""
    try:
        # Unverified: loading the certificate authorities takes far longer than the request.
        return httpx.get(url, trust_env=False, timeout=2, verify=False).is_success
    except httpx.HTTPError:
        return False
