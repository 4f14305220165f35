"""The services process: everything of the local Azure but storage and the functions host.

One event loop holds the front door, the identity endpoint and control of the emulator on plain
http, and a TLS listener for Azure's own host names.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Host, Route
from starlette.types import ASGIApp

from emulator.azureml import Machine, Workspace, WorkspaceControl, create_app
from emulator.blob_events import watch_storage
from emulator.certificates import Certificates
from emulator.child_process import end_with_parent
from emulator.event_grid import EventGrid
from emulator.faults import Faults
from emulator.front_door import FrontDoor, Routes
from emulator.function_app_proxy import FunctionAppProxy
from emulator.identity import Identity
from emulator.instances import Instances
from emulator.queue_sender import QueueSender
from emulator.service_bus.broker import Broker
from emulator.services_settings import ServicesSettings
from emulator.storage import StorageClient
from emulator.topology import ARM_HOST, LOGIN_HOST

log = logging.getLogger(__name__)


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
        hosts = settings.addresses.functions_urls
        self._function_app = FunctionAppProxy(Instances(hosts))
        topology = settings.topology
        self._broker = Broker(topology.service_bus, port=settings.addresses.service_bus)
        self._queues = QueueSender(settings.addresses.service_bus_connection)
        self._event_grid = EventGrid(
            topology,
            instances=Instances(hosts),
            key=settings.event_grid_key,
            queues=self._queues,
        )
        self._faults = Faults({ARM_HOST, topology.workspace.api_host})
        self._workspace_control = WorkspaceControl()
        self._workspace = create_app(
            Workspace.of(topology),
            _machine(settings),
            self._publish_from_any_thread,
            self._workspace_control,
        )
        self._door = FrontDoor(
            Routes(topology, settings.addresses), port=settings.addresses.front_door
        )
        self._ready = False
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        self._loop = loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, self._stop.set)
        settings, addresses = self._settings, self._settings.addresses
        servers = [
            _server(self._control_app(), addresses.control),
            _server(self._azure_app(), addresses.azure, self._certificates),
        ]
        # Starlette runs no lifespan of an application behind a Host route
        workspace_lifespan = self._workspace.router.lifespan_context(self._workspace)
        async with asyncio.TaskGroup() as tasks:
            serving = [tasks.create_task(server.serve()) for server in servers]
            # jobs that still run at the end store their last words through the front door
            async with self._broker, self._queues, self._door, workspace_lifespan:
                await self._storage.create_containers(settings.topology, seconds=30)
                watching = tasks.create_task(
                    watch_storage(
                        settings.access_log, settings.topology, self._storage, self._event_grid
                    )
                )
                self._ready = True
                stop = asyncio.create_task(self._stop.wait())
                await asyncio.wait([stop, *serving], return_when=asyncio.FIRST_COMPLETED)
                self._ready = False
                await self._event_grid.close()
            watching.cancel()
            for server in servers:
                server.should_exit = True
        await self._function_app.close()
        await self._storage.close()

    def _control_app(self) -> Starlette:
        """Plain http on loopback: the identity endpoint and the control of the emulator."""
        return Starlette(
            routes=[
                Route("/ready", self._answer_ready, methods=["GET"]),
                *self._identity.routes(),
                *self._faults.routes(),
                *self._workspace_control.routes(),
                *self._event_grid.routes(),
                *self._broker.routes(),
                *self._door.routes(),
            ]
        )

    def _azure_app(self) -> ASGIApp:
        """Behind the TLS listener: one application for each host name."""
        topology = self._settings.topology
        app = Starlette(
            routes=[
                Host(ARM_HOST, self._workspace),
                Host(LOGIN_HOST, Starlette(routes=self._identity.login_routes())),
                Host(topology.workspace.api_host, self._workspace),
                Host(topology.function_app_host, Starlette(routes=self._function_app.routes())),
            ]
        )
        return self._faults.around(app)

    def _publish_from_any_thread(self, event: dict[str, Any]) -> None:
        # a job's thread may outlive the loop, whose end nobody is told about any more
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._event_grid.publish, event)

    async def _answer_ready(self, _: Request) -> Response:
        return JSONResponse({"ready": self._ready}, status_code=200 if self._ready else 503)


def _server(app: ASGIApp, port: int, certificates: Certificates | None = None) -> _Server:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
        # a pooled connection that is closed under its client costs a request that is not retried
        timeout_keep_alive=300,
        server_header=False,
    )
    if certificates:
        config.ssl_certfile = str(certificates.chain)
        config.ssl_keyfile = str(certificates.key)
    return _Server(config)


def _machine(settings: ServicesSettings) -> Machine:
    """Where jobs of the workspace run, and what they need of the rest of the local Azure."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Machine(
        account_keys={a.name: a.key for a in settings.topology.storage_accounts},
        front_door=f"http://127.0.0.1:{settings.addresses.front_door}",
        authority=Certificates.at(settings.tls).ca,
        folder=settings.state / "azureml",
        cache=caches / "local-azure" / "environments",
        step_variables=settings.client_environment,
        plain_variables=dict(os.environ),
        cores=max(2, os.cpu_count() or 2),
    )


def main() -> None:
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for library in ("httpx", "azure"):
        logging.getLogger(library).setLevel(logging.WARNING)
    settings = ServicesSettings.model_validate_json(Path(sys.argv[1]).read_bytes())
    asyncio.run(Services(settings).run())


if __name__ == "__main__":
    main()
