"""The services process: everything of the local Azure but storage and the functions host.

One event loop holds the front door, the identity endpoint and control of the emulator on plain
http, and a TLS listener for Azure's own host names.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import uvicorn
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Host, Route
from starlette.types import ASGIApp

from emulator.certificates import Certificates
from emulator.child_process import end_with_parent
from emulator.front_door import FrontDoor, Routes
from emulator.identity import Identity
from emulator.storage import StorageClient
from emulator.topology import ARM_HOST, Addresses, Topology

log = logging.getLogger(__name__)


class ServicesSettings(BaseModel):
    """What the parent tells the services process, as a JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topology: Topology
    addresses: Addresses
    identity_header: str
    #: folder for what the services write
    state: Path
    #: folder with the certificates
    tls: Path
    #: Azurite's access log
    access_log: Path
    #: system key of the function app's Event Grid webhook; None without a function app
    event_grid_key: str | None


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: several servers share this process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Services:
    """Composes the parts and runs them until it is told to stop."""

    def __init__(self, settings: ServicesSettings) -> None:
        self._settings = settings
        self._certificates = Certificates.at(settings.tls)
        self._identity = Identity(settings.topology, header=settings.identity_header)
        self._storage = StorageClient(settings.addresses, self._certificates, self._identity)
        self._ready = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, self._stop.set)
        addresses = self._settings.addresses
        azure, control_routes = _azure_apps(self._settings)
        control = Starlette(
            routes=[
                Route("/ready", self._answer_ready, methods=["GET"]),
                *self._identity.routes(),
                *control_routes,
            ]
        )
        servers = [
            _server(control, addresses.control),
            _server(azure, addresses.azure, self._certificates),
        ]
        door = FrontDoor(Routes(self._settings.topology, addresses), port=addresses.front_door)
        async with asyncio.TaskGroup() as tasks:
            async with door:
                serving = [tasks.create_task(server.serve()) for server in servers]
                await self._storage.create_containers(self._settings.topology, seconds=30)
                self._ready = True
                stop = asyncio.create_task(self._stop.wait())
                await asyncio.wait([stop, *serving], return_when=asyncio.FIRST_COMPLETED)
                self._ready = False
            for server in servers:
                server.should_exit = True
        await self._storage.close()

    async def _answer_ready(self, request: Request) -> Response:
        return JSONResponse({"ready": self._ready}, status_code=200 if self._ready else 503)


def _server(app: ASGIApp, port: int, certificates: Certificates | None = None) -> _Server:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=60,
        server_header=False,
    )
    if certificates:
        config.ssl_certfile = str(certificates.chain)
        config.ssl_keyfile = str(certificates.key)
    return _Server(config)


def _azure_apps(settings: ServicesSettings) -> tuple[Starlette, list[BaseRoute]]:
    """The application behind the TLS listener, and the control routes of what it serves."""
    arm: ASGIApp = Starlette(
        routes=[Route("/{path:path}", _no_workspace, methods=["GET", "PUT", "POST", "DELETE"])]
    )
    control: list[BaseRoute] = []
    topology = settings.topology

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Starlette does not run the lifespan of an application behind a Host route
        if isinstance(arm, Starlette):
            async with arm.router.lifespan_context(arm):
                yield
        else:
            yield

    hosts: list[BaseRoute] = [
        Host(ARM_HOST, arm),
        Host(topology.workspace.api_host, arm),
    ]
    return Starlette(routes=hosts, lifespan=lifespan), control


async def _no_workspace(request: Request) -> Response:
    message = "The local Azure has no Azure Machine Learning workspace yet."
    return JSONResponse({"error": {"code": "ServiceUnavailable", "message": message}}, 503)


def main() -> None:
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = ServicesSettings.model_validate_json(Path(sys.argv[1]).read_bytes())
    asyncio.run(Services(settings).run())


if __name__ == "__main__":
    main()
