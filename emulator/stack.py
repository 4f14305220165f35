"""A whole local Azure as one object: its processes, its addresses and what a client needs.

with LocalAzure(Path("."), say=print) as azure:
    subprocess.run([...], env={**os.environ, **azure.environment})
"""

import fcntl
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from emulator import identity
from emulator.certificates import Certificates, issue_certificates
from emulator.child_process import ChildProcess, StartupError
from emulator.functions_host.keys import Keys
from emulator.ports import ReservedPorts, answers, listens
from emulator.services_settings import ServicesSettings
from emulator.storage import azurite
from emulator.topology import Addresses, Topology

#: The machine's environment, before any LocalAzure of this process was exported into os.environ:
#: the services process needs the machine's own proxy and certificates to install packages.
_MACHINE_ENVIRONMENT = dict(os.environ)

#: Credentials that DefaultAzureCredential would prefer to the managed identity.
_OTHER_CREDENTIALS = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
    "AZURE_TOKEN_CREDENTIALS",
)
_SECONDS_TO_START = 60.0
_ROOT = Path(__file__).resolve().parent.parent


class FunctionsHost:
    """One instance of the function app. It keeps its address and keys over restarts."""

    def __init__(self, process: ChildProcess, *, url: str, keys: Keys) -> None:
        self._process = process
        self.url = url
        self.keys = keys
        self.log = process.log

    @property
    def master_key(self) -> str:
        return self.keys.master

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it serves; StartupError with the log's tail otherwise."""
        self._process.start()
        self._process.wait_until(
            lambda: answers(f"{self.url}/admin/host/ping"), seconds=_SECONDS_TO_START
        )

    def begin(self) -> None:
        """Start it without waiting."""
        self._process.start()

    def stop(self) -> None:
        """An orderly end: functions that run are given a few seconds."""
        self._process.stop()

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever runs."""
        self._process.kill()


class LocalAzure:
    """The local Azure, as a context manager: a few seconds to start, nothing left behind.

    `app` is the folder of a function app (host.json, function_app.py); without it no functions
    host is started and events have no subscriber. `state` is kept when it is given and a
    temporary folder otherwise. `settings` are app settings that win over those of the app's
    local.settings.json. `say` is told what is being done, one line at a time.

    `instances` are so many hosts that serve the app: each listens to the queues, Event Grid and
    the front end call them in turns, and one of them calls the timers. `functions` is the first.
    """

    environment: dict[str, str]
    control_url: str
    functions: FunctionsHost | None
    hosts: list[FunctionsHost]

    def __init__(
        self,
        app: Path | None = None,
        *,
        state: Path | None = None,
        topology: Topology | None = None,
        settings: Mapping[str, str] | None = None,
        instances: int = 1,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.topology = topology or Topology()
        self._app = app.resolve() if app else None
        self._settings = dict(settings or {})
        self._instances = instances
        self._say = say
        self._temporary = state is None
        self.state = state.resolve() if state else Path(tempfile.mkdtemp(prefix="local-azure-"))
        self.logs = self.state / "logs"
        self.environment = {}
        self.control_url = ""
        self.functions = None
        self.hosts = []
        self._processes: list[ChildProcess] = []
        self._ports = ReservedPorts()
        self._locked: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def ca_file(self) -> Path:
        """The certificate authority clients must trust (PEM)."""
        return self.state / "tls" / "ca.pem"

    def start(self) -> None:
        """Start every part. StartupError or NotInstalled says what is missing."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self._lock()
        certificates = issue_certificates(self.state / "tls")
        addresses = Addresses(
            front_door=self._ports.take(),
            azure=self._ports.take(),
            control=self._ports.take(),
            storage=self._ports.take(),
            functions=tuple(self._ports.take() for _ in range(self._instances)),
            service_bus=self._ports.take(),
        )
        self.addresses = addresses
        self.control_url = addresses.control_url
        identity_header = secrets.token_hex(16)
        self.environment = self._client_environment(addresses, certificates, identity_header)
        keys = Keys.load(self.state / "functions") if self._app else None

        storage_log = self.logs / "azurite.log"
        storage_log.unlink(missing_ok=True)
        storage = azurite(
            self.topology,
            addresses,
            certificates,
            environment=_MACHINE_ENVIRONMENT,
            log=storage_log,
        )
        settings = ServicesSettings(
            topology=self.topology,
            addresses=addresses,
            identity_header=identity_header,
            state=self.state,
            tls=self.state / "tls",
            access_log=storage_log,
            event_grid_key=keys.event_grid if keys else None,
            client_environment=self.environment,
        )
        settings_file = self.state / "services.json"
        settings_file.touch(mode=0o600)
        settings_file.write_text(settings.model_dump_json(indent=2))
        services = self._python(
            "services", "emulator.services", str(settings_file), environment=_MACHINE_ENVIRONMENT
        )

        self._say(
            "starting storage, identity, Service Bus and the Azure Machine Learning workspace"
        )
        for process in (storage, services):
            self._processes.append(process)
            process.start()
        storage.wait_until(lambda: listens(addresses.storage), seconds=_SECONDS_TO_START)
        services.wait_until(lambda: answers(f"{self.control_url}/ready"), seconds=_SECONDS_TO_START)
        if self._app and keys:
            self._say("starting the functions host")
            self.hosts = [
                self._functions_host(self._app, number, port, keys)
                for number, port in enumerate(addresses.functions, start=1)
            ]
            self.functions = self.hosts[0]
            for host in self.hosts:
                host.start()

    def check(self) -> None:
        """StartupError with the log's tail when a part has ended by itself."""
        for process in self._processes:
            if not process.running:
                raise StartupError(f"{process.name} {process.ending}.\n{process.tail()}")

    def stop(self) -> None:
        """End everything that was started; safe to call twice."""
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
        self._ports.release()
        if self._locked:
            self._locked.close()
            self._locked = None
        if self._temporary:
            shutil.rmtree(self.state, ignore_errors=True)

    def _lock(self) -> None:
        """Keep the state folder for ourselves; the lock ends with the process at the latest."""
        file = (self.state / "lock").open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise StartupError(
                f"another local Azure runs in {self.state}: end it, or use another state folder"
            ) from None
        self._locked = file

    def _client_environment(
        self, addresses: Addresses, certificates: Certificates, identity_header: str
    ) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{addresses.front_door}"
        loopback = "127.0.0.1,localhost,::1"
        return {
            "HTTPS_PROXY": proxy,
            "HTTP_PROXY": proxy,
            "NO_PROXY": loopback,
            # libraries that read the lower-case names prefer them to the others
            "https_proxy": proxy,
            "http_proxy": proxy,
            "no_proxy": loopback,
            "REQUESTS_CA_BUNDLE": str(certificates.ca),
            "SSL_CERT_FILE": str(certificates.ca),
            "CURL_CA_BUNDLE": str(certificates.ca),
            "IDENTITY_ENDPOINT": f"{addresses.control_url}{identity.PATH}",
            "IDENTITY_HEADER": identity_header,
            "AZURE_CLIENT_ID": self.topology.client_id,
            "AZURE_TENANT_ID": self.topology.tenant_id,
            "ServiceBusConnection": addresses.service_bus_connection,
        }

    def _functions_host(self, app: Path, number: int, port: int, keys: Keys) -> FunctionsHost:
        machine = {k: v for k, v in _MACHINE_ENVIRONMENT.items() if k not in _OTHER_CREDENTIALS}
        environment = {
            **machine,
            **self.environment,
            "WEBSITE_SITE_NAME": self.topology.function_app,
            "WEBSITE_HOSTNAME": self.topology.function_app_host,
            **local_settings(app),
            **self._settings,
        }
        process = self._python(
            "functions-host" if number == 1 else f"functions-host-{number}",
            "emulator.functions_host",
            f"--app={app}",
            f"--state={self.state / 'functions'}",
            f"--port={port}",
            environment=environment,
        )
        self._processes.append(process)
        return FunctionsHost(process, url=f"http://127.0.0.1:{port}", keys=keys)

    def _python(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str]
    ) -> ChildProcess:
        return ChildProcess(
            name,
            [sys.executable, "-m", module, *arguments],
            environment={**environment, "PYTHONUNBUFFERED": "1"},
            folder=_ROOT,
            log=self.logs / f"{name}.log",
        )


def local_settings(app: Path) -> dict[str, str]:
    """`Values` of the app's local.settings.json, as the Functions tools read them."""
    file = app / "local.settings.json"
    if not file.exists():
        return {}
    settings = json.loads(file.read_text())
    if settings.get("IsEncrypted"):
        raise StartupError(f"{file} is encrypted: run `func settings decrypt` first")
    return {name: str(value) for name, value in settings.get("Values", {}).items()}
