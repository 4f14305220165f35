"""A local Azure to measure in: events are posted as Event Grid posts them, and everything counted.

Jobs are accepted and never executed, so that what is measured is what it takes to start them.
"""

import asyncio
import itertools
import json
import os
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from emulator.stack import FunctionsHost, LocalAzure
from emulator.topology import Topology, Workspace
from tests.e2e.running_signalbox import APP, Json, RunningSignalbox
from tests.integration.conftest import exported

STOCK = Path(__file__).parent / "stock"

#: Requests that one host is given at once; Event Grid would give it more.
_AT_ONCE = 16
#: Seconds that a job takes where jobs end; one that ends before its PUT is answered is found by
#: the timer only.
_JOB = 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some events took, on all hosts together."""

    events: int
    #: seconds from the first request until the last answer
    accepted: float
    #: seconds from the first request until nothing was left to do
    drained: float
    #: Of these, seconds for which other machines had this one's processors, mean of the processors;
    #: zero on hardware of one's own
    stolen: float
    storage: int
    azureml: int
    #: seconds of the hosts' processors
    cpu: float
    #: resident memory of the largest host, MB
    memory: float
    #: answers that were errors, and came again
    refused: int


class Machine:
    """One local Azure and its functions hosts."""

    def __init__(self, azure: LocalAzure) -> None:
        self.azure = azure
        self.app = RunningSignalbox(azure)
        self._account = azure.topology.account("signalboxstate").host
        self._numbers = itertools.count()
        self._read = 0
        self._seen: Counter[str] = Counter()
        #: Listings of our own that are in the log.
        self._own = 0

    @property
    def hosts(self) -> Sequence[FunctionsHost]:
        return self.azure.hosts

    def event(self, path: str) -> Json:
        """An upload as Event Grid tells it; nobody reads the blob, so none is there."""
        topology = self.azure.topology
        return {
            "id": str(uuid.uuid4()),
            "topic": topology.account_id("contosolake"),
            "subject": f"/blobServices/default/containers/landing/blobs/{path}",
            "eventType": "Microsoft.Storage.BlobCreated",
            "eventTime": datetime.now(UTC).isoformat(),
            "data": {
                "api": "PutBlob",
                "eTag": f"0x{next(self._numbers):015x}",
                "contentLength": 1,
                "url": f"{topology.account('contosolake').url}/landing/{path}",
            },
            "dataVersion": "",
            "metadataVersion": "1",
        }

    def measured(
        self,
        folder: str,
        events: int,
        *,
        at_once: int = _AT_ONCE,
        until: Callable[[], bool] | None = None,
    ) -> Cost:
        """What so many uploads to a folder take, until they are answered, and until `until`."""
        self.storage_requests()
        self.app.clear_requests()
        cpu, stolen, began = self._cpu(), _stolen(), time.monotonic()
        refused = asyncio.run(self._post(folder, events, at_once * len(self.hosts)))
        accepted = time.monotonic() - began
        while until and not until():
            time.sleep(0.5)
        drained = time.monotonic() - began
        return Cost(
            events=events,
            accepted=accepted,
            drained=drained,
            stolen=_stolen() - stolen,
            storage=self.storage_requests().total(),
            azureml=len(
                [r for r in self.app.arm_requests() if r["host"] == "management.azure.com"]
            ),
            cpu=self._cpu() - cpu,
            memory=max(_memory(host) for host in self.hosts),
            refused=refused,
        )

    def storage_requests(self) -> Counter[str]:
        """Requests to the state since the last look, by method and kind of blob."""
        # a request of our own: once it is in the log, everything before it is
        fence = f"fence-{uuid.uuid4()}"
        self.app.state.get_blob_client(fence).exists()
        found: Counter[str] = Counter()
        log = self.azure.logs / "azurite.log"
        while True:
            with log.open("rb") as lines:
                lines.seek(self._read)
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    if not line.startswith(b"{"):
                        continue
                    request = json.loads(line)
                    if fence in request["path"]:
                        found["GET list 200"] -= self._own
                        self._own, self._seen = 0, found
                        return found
                    if (
                        request["host"].startswith(self._account)
                        and "fence-" not in request["path"]
                    ):
                        found[_kind(request)] += 1

    @property
    def last_requests(self) -> Counter[str]:
        """What the last measurement counted, by method and kind of blob."""
        return self._seen

    def empty(self, *prefixes: str) -> bool:
        """Whether there are no blobs below any of the prefixes."""
        return not any(self._listed(prefix, pages=1) for prefix in prefixes)

    def count(self, prefix: str) -> int:
        """Blobs below a prefix."""
        return self._listed(prefix)

    def _listed(self, prefix: str, pages: int | None = None) -> int:
        """Names below a prefix, of so many pages of one or of all; not counted as requests."""
        found = 0
        names = self.app.state.list_blob_names(
            name_starts_with=prefix, results_per_page=1 if pages else None
        )
        for page in itertools.islice(names.by_page(), pages):
            self._own += 1
            found += len(list(page))
        return found

    def tick(self) -> None:
        """Let the timer look, without waiting for it, unless it does already: Azure lets only one
        look at a time."""
        host = self.hosts[0]
        log = host.log.read_text(errors="replace")
        if log.count("Executing 'Functions.timer'") > log.count("Executed 'Functions.timer'"):
            return
        httpx.post(
            f"{host.url}/admin/functions/timer",
            headers={"x-functions-key": host.master_key},
            json={"input": ""},
            trust_env=False,
        ).raise_for_status()

    async def _post(self, folder: str, events: int, at_once: int) -> int:
        waiting = asyncio.Queue[Json]()
        for number in range(events):
            waiting.put_nowait(self.event(f"{folder}/{number}.csv"))
        turns = itertools.cycle(self.hosts)
        refused = 0

        async def deliver(http: httpx.AsyncClient) -> None:
            nonlocal refused
            while not waiting.empty():
                event, host = waiting.get_nowait(), next(turns)
                answer = await http.post(
                    f"{host.url}/runtime/webhooks/EventGrid",
                    params={"functionName": "blob_uploads", "code": host.keys.event_grid},
                    headers={"aeg-event-type": "Notification"},
                    json=[event],
                )
                if answer.status_code >= 300:
                    refused += 1
                    waiting.put_nowait(event)

        async with (
            httpx.AsyncClient(trust_env=False, timeout=300) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(min(at_once, events)):
                tasks.create_task(deliver(http))
        return refused

    def _cpu(self) -> float:
        return sum(_cpu(host) for host in self.hosts)


def _kind(request: Json) -> str:
    parts = request["path"].split("/")
    kind = parts[2] if len(parts) > 2 else "list"
    return f"{request['method']} {kind} {request['status']}"


def _cpu(host: FunctionsHost) -> float:
    fields = Path(f"/proc/{host.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _stolen() -> float:
    """Seconds since the start for which each processor had work and did not get to it.

    Source: steal in proc_stat(5).
    """
    processors = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    stolen = [int(fields[8]) for fields in processors if re.fullmatch(r"cpu\d+", fields[0])]
    return sum(stolen) / len(stolen) / _TICKS


def _memory(host: FunctionsHost) -> float:
    status = Path(f"/proc/{host.pid}/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in status if line.startswith("VmRSS")]
    return int(kilobytes) / 1024


@contextmanager
def machine(
    definitions: Path,
    *,
    hosts: int = 1,
    timer: bool = True,
    jobs_end: bool = False,
    app: Path = APP,
) -> Iterator[Machine]:
    """Signalbox, or another app, with these definitions published for it.

    Without `timer`, nothing is looked at again; with `jobs_end`, jobs are completed soon.
    """
    topology = Topology(workspace=Workspace(executes=False))
    settings: dict[str, str] = {
        "SUBSCRIPTION_ID": topology.subscription_id,
        "RESOURCE_GROUP": topology.resource_group,
        "WORKSPACE": topology.workspace.name,
        "PIPELINES": str(definitions / "pipelines"),
    }
    if not timer:
        settings["AzureWebJobs.timer.Disabled"] = "true"
    if not jobs_end:
        settings["AzureWebJobs.run_events.Disabled"] = "true"
    with (
        LocalAzure(app, topology=topology, settings=settings, instances=hosts) as azure,
        exported(azure),
    ):
        found = Machine(azure)
        if app == APP:
            published = found.app.publish(definitions)
            assert published.returncode == 0, published.stderr
        if jobs_end:
            httpx.post(
                f"{azure.control_url}/endings", json={"after_seconds": _JOB}, trust_env=False
            ).raise_for_status()
        yield found


def pipeline(steps: int) -> Json:
    """A pipeline of so many steps one after the other, as a YAML document."""
    jobs: dict[str, Any] = {}
    for number in range(steps):
        jobs[f"step_{number}"] = {
            "type": "command",
            "command": f"echo {number} ${{{{inputs.data}}}} > ${{{{outputs.out}}}}/out.txt",
            "environment": {"image": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"},
            "inputs": {
                "data": f"${{{{parent.jobs.step_{number - 1}.outputs.out}}}}"
                if number
                else "${{parent.inputs.data}}"
            },
            "outputs": {"out": {"type": "uri_folder"}},
        }
    return {
        "type": "pipeline",
        "experiment_name": "bench",
        "settings": {"default_compute": "azureml:cpu-cluster"},
        "inputs": {
            "data": {
                "type": "uri_file",
                "path": "azureml://datastores/workspaceblobstore/paths/x.csv",
            }
        },
        "jobs": jobs,
    }


def trigger(name: str, pipeline: str, policies: Json) -> Json:
    """A trigger for the uploads to the folder of its name."""
    return {
        "name": name,
        "spec": {
            "blob": {
                "account": "contosolake",
                "container": "landing",
                "path": f"{name}/{{file}}.csv",
            }
        },
        "action": {
            "pipeline": pipeline,
            "inputs": {
                "data": "${{ manifest }}" if "batch" in policies else "${{ event.data.url }}"
            },
        },
        "policies": policies,
    }


def write_definitions(folder: Path, pipelines: dict[str, Json], triggers: Sequence[Json]) -> Path:
    """A folder as people keep it."""
    for kind, documents in (
        ("pipelines", pipelines),
        ("triggers", {trigger["name"]: trigger for trigger in triggers}),
    ):
        (folder / kind).mkdir(parents=True)
        for name, document in documents.items():
            # JSON is YAML
            (folder / kind / f"{name}.yml").write_text(json.dumps(document, indent=1))
    return folder
