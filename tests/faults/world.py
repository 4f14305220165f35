"""Signalbox on several functions hosts, before a workspace whose jobs end by themselves."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient, LinearRetry

from emulator.service_bus.entities import Namespace, Queue, Subscription, Topic
from emulator.stack import FunctionsHost, LocalAzure
from emulator.topology import Topology, Workspace
from tests.e2e.running_signalbox import APP, Json, RunningSignalbox
from tests.integration.conftest import exported
from tests.integration.workspace import storage_http
from tests.loopback import loopback

DEFINITIONS = Path(__file__).parent / "definitions"

#: Seconds that a job takes.
_JOB = 0.3
#: A message of a host that was killed is back after so long; the shortest that Azure knows is 5.
_LOCK = 5.0
#: Whence the app takes messages.
RECEIVED = ("signalbox-events", "company-news/Subscriptions/signalbox")
#: More than any message can be given back here: what the broker gives up would be lost to us.
_DELIVERIES = 1000


#: The account that the app keeps its state in.
STATE = "signalboxstate"


class World(RunningSignalbox):
    """The app on all its hosts, and what is around it."""

    def __init__(self, azure: LocalAzure) -> None:
        super().__init__(azure)
        # What is done to the app's connections is done to these as well.
        patient = LinearRetry(backoff=1, retry_total=20)
        self.state = ContainerClient(
            azure.topology.account(STATE).url,
            "signalbox-state",
            credential=DefaultAzureCredential(),
            retry_policy=patient,
        )
        self._manifests = ContainerClient(
            azure.topology.account(azure.topology.workspace.storage_account).url,
            azure.topology.workspace.datastore_container,
            credential=DefaultAzureCredential(),
        )

    @property
    def hosts(self) -> list[FunctionsHost]:
        return self.azure.hosts

    def control(self, method: str, path: str, **options: Any) -> Any:
        """One request to the control of the local Azure, and its answer's JSON."""
        url = f"{self.azure.control_url}{path}"

        def ask() -> httpx.Response:
            return loopback.request(method, url, timeout=60, **options)

        answer = _answered(ask)
        return answer.json() if answer.content else None

    def storage_faults(self, method: str, fault: Json | None = None) -> Any:
        """What goes wrong in the account of the state: GET, POST one, DELETE all.

        Asked by the name of another account, whose connections nobody cuts.
        """
        if fault:
            fault = {"host": self.azure.topology.account(STATE).host, **fault}
        url = f"{self.azure.topology.account('contosolake').url}/.faults"
        with storage_http(self.azure) as http:
            return _answered(lambda: http.request(method, url, json=fault, timeout=60)).json()

    def ask(self, path: str, body: Json | None = None) -> httpx.Response:
        """POST to the HTTP API, by whichever host."""
        with storage_http(self.azure) as http:
            return http.post(
                f"https://{self.azure.topology.function_app_host}/api/{path}",
                headers={"x-functions-key": self.functions.keys.host},
                json=body,
                timeout=60,
            )

    def manifest(self, record: Json) -> list[Json]:
        """What the job of a batch was told of its events."""
        name = record["event"]["data"]["manifest"].partition("/paths/")[2]
        text = self._manifests.download_blob(name).readall().decode()
        return [json.loads(line) for line in text.splitlines()]

    def on_its_way(self) -> Counter[str]:
        """What was sent and nobody has taken yet, by what it is."""
        counts = self.control("GET", "/service_bus/counts")
        found = Counter({f"messages of {name}": 0 for name in RECEIVED})
        for name in RECEIVED:
            found[f"messages of {name}"] = counts[name]["active"] + counts[name]["locked"]
        for delivery in self.control("GET", "/deliveries", params={"state": "pending"}):
            found[f"events {delivery['event']['eventType'].rpartition('.')[2]}"] += 1
        return +found

    def ticks(self) -> None:
        """Let the timer look on every host that is up, at the same time."""
        for host in self.hosts:
            if host.running:
                loopback.post(
                    f"{host.url}/admin/functions/timer",
                    headers={"x-functions-key": host.master_key},
                    json={"input": ""},
                )

    def names(self, *prefixes: str) -> list[str]:
        """Blobs of the state below any of the prefixes."""
        return [
            name
            for prefix in prefixes
            for name in list(self.state.list_blob_names(name_starts_with=prefix))
        ]

    def grow_old(self) -> None:
        """Make what waits for a lease to be over two minutes older than it is.

        That is the same as waiting so long; see `RunningSignalbox.age`.
        """
        for name in self.names("open/"):
            _, trigger, key = name.split("/", 2)
            # a worker may change the record, or finish it, at the same time
            with suppress(ResourceNotFoundError, ResourceModifiedError):
                self._grow_old(f"ledger/{trigger}/{key}.json", name)

    def _grow_old(self, ledger: str, marker: str) -> None:
        blob = self.state.get_blob_client(ledger)
        download = blob.download_blob()
        record = json.loads(download.readall())
        if record["state"] != "submitting":
            return
        attempt = record["attempts"][-1]
        attempt["submitting_at"] = _earlier(attempt["submitting_at"])
        blob.upload_blob(
            json.dumps(record),
            overwrite=True,
            etag=download.properties.etag,
            match_condition=MatchConditions.IfNotModified,
        )
        hints = self.state.get_blob_client(marker)
        found = hints.get_blob_properties().metadata
        if hint := found.get("next_check"):
            hints.set_blob_metadata({**found, "next_check": _earlier(hint)})


def _answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The local Azure's own answer, although the machine may have no time for it just now."""
    for _ in range(4):
        with suppress(httpx.TransportError):
            return ask().raise_for_status()
    return ask().raise_for_status()


def _earlier(time: str) -> str:
    return (datetime.fromisoformat(time) - timedelta(minutes=2)).isoformat()


def topology() -> Topology:
    """The usual one, but for jobs that are not executed, and pauses that fit a short storm."""
    queue = Queue(name="signalbox-events", lock_seconds=_LOCK, max_delivery_count=_DELIVERIES)
    subscription = Subscription(
        name="signalbox", lock_seconds=_LOCK, max_delivery_count=_DELIVERIES
    )
    news = Topic(name="company-news", subscriptions=(subscription,))
    outcomes = Topic(
        name="signalbox-outcomes",
        duplicate_detection_seconds=600,
        subscriptions=(Subscription(name="watch"),),
    )
    return Topology(
        workspace=Workspace(executes=False),
        event_pauses=(0.5, 1.0, 2.0, 5.0),
        service_bus=Namespace(queues=(queue,), topics=(news, outcomes)),
    )


@contextmanager
def world(*, hosts: int = 2) -> Iterator[World]:
    """The app with the triggers beside this file published."""
    with LocalAzure(APP, topology=topology(), instances=hosts) as azure, exported(azure):
        found = World(azure)
        for ending in (
            {"name": "again-.*-a1", "status": "Failed", "after_seconds": _JOB},
            {"status": "Completed", "after_seconds": _JOB},
        ):
            found.control("POST", "/endings", json=ending)
        published = found.publish(DEFINITIONS)
        assert published.returncode == 0, published.stderr
        yield found
