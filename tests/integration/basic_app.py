"""The small function apps of function_apps, each running in a local Azure of its own."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from emulator.stack import FunctionsHost, LocalAzure
from emulator.topology import Topology
from tests.loopback import loopback

FOLDER = Path(__file__).parent / "function_apps" / "basic"
#: messages, run events, and a whole web application behind one function
MESSAGING = FOLDER.parent / "messaging"


@dataclass(frozen=True)
class BasicApp:
    """The app's local Azure, its functions host, and what its functions were called with."""

    azure: LocalAzure
    functions: FunctionsHost
    calls_file: Path
    #: while it exists, the event function fails for files named unlucky.csv
    failing_file: Path

    def calls(self, function: str) -> list[dict[str, Any]]:
        """Every call of that function so far, in order."""
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        # The last line may still be being written.
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [call for call in map(json.loads, lines) if call["function"] == function]

    def uploads(self, name: str) -> list[dict[str, Any]]:
        """Calls of the event function for one blob of the landing container."""
        subject = f"/blobServices/default/containers/landing/blobs/{name}"
        return [call for call in self.calls("blob_uploads") if call["subject"] == subject]

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request to the functions host on loopback."""
        return loopback.request(method, f"{self.functions.url}{path}", timeout=30, **options)

    def deliveries(self, name: str) -> list[dict[str, Any]]:
        """Deliveries of events about one blob of the landing container."""
        found = loopback.get(f"{self.azure.control_url}/deliveries").json()
        return [d for d in found if d["event"]["subject"].endswith(f"/landing/blobs/{name}")]


@contextmanager
def running_basic_app(folder: Path) -> Iterator[BasicApp]:
    """The app in a new local Azure; it writes its calls into `folder`."""
    with running_app(FOLDER, folder) as app:
        yield app


@contextmanager
def running_app(
    code: Path,
    folder: Path,
    *,
    topology: Topology | None = None,
    instances: int = 1,
    settings: Mapping[str, str] | None = None,
) -> Iterator[BasicApp]:
    """The app in `code` in a new local Azure; it writes its calls into `folder`."""
    calls, failing = folder / "calls.jsonl", folder / "failing"
    files = {"CALLS_FILE": str(calls), "FAILING_FILE": str(failing)}
    settings = {**files, **(settings or {})}
    with LocalAzure(code, settings=settings, topology=topology, instances=instances) as azure:
        assert azure.functions
        yield BasicApp(azure, azure.functions, calls, failing)
