"""Signalbox in a local Azure, seen from outside: its command, its log, its blobs and its jobs."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from azure.ai.ml import MLClient
from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient
from click.testing import CliRunner

from cli.main import main
from emulator.stack import LocalAzure, local_settings
from tests.integration.waiting import eventually
from tests.loopback import loopback

APP = Path(__file__).resolve().parents[2]
DEFINITIONS = Path(__file__).parent / "definitions"

Json = dict[str, Any]

#: Seconds from one tick to the next, where a test lets the timer look until something has come.
BETWEEN_TICKS = 0.3

#: Invocations of the timer: those that were asked for, not the clock's, and those that have ended.
_CALLED = re.compile(r"""Executing 'Functions\.timer' \(This .* called .*"invocation": "([^"]+)""")
_ENDED = re.compile(r"""Executed 'Functions\.timer' .*"invocation": "([^"]+)""")

#: States of a record that are never left.
FINAL = {"completed", "failed", "canceled", "dead_letter"}


class RunningSignalbox:
    """The app in its own local Azure, as its users and operators meet it."""

    def __init__(self, azure: LocalAzure) -> None:
        assert azure.functions
        self.azure = azure
        self.functions = azure.functions
        topology = azure.topology
        credential = DefaultAzureCredential()
        self.landing = ContainerClient(topology.account("contosolake").url, "landing", credential)
        self.state = ContainerClient(
            topology.account("signalboxstate").url, "signalbox-state", credential
        )
        self.ml = MLClient(
            credential,
            topology.subscription_id,
            topology.resource_group,
            topology.workspace.name,
            enable_telemetry=False,
            show_progress=False,
        )
        self._subjects: dict[str, str] = {}

    def publish(self, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run the `signalbox` command as a person would, with the settings of the app.

        In this process, which has loaded the SDK; the demo's test starts it as one of its own.
        """
        words = ["publish", str(folder)]
        settings = {**self.azure.environment, **local_settings(APP)}
        did = CliRunner().invoke(main, words, env=settings, catch_exceptions=False)
        return subprocess.CompletedProcess(words, did.exit_code, did.stdout, did.stderr)

    def command(self, *words: str) -> Json:
        """What the `signalbox` command answers in JSON, for a person with a key."""
        settings = {
            **self.azure.environment,
            "SIGNALBOX_URL": f"https://{self.azure.topology.function_app_host}",
            "SIGNALBOX_KEY": self.functions.master_key,
        }
        done = CliRunner().invoke(main, [*words, "--json"], env=settings, catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        answer: Json = json.loads(done.stdout)
        return answer

    def upload(self, path: str, text: str = "Dear all") -> str:
        """Upload a blob to the landing container; its ETag as events spell it."""
        put = self.landing.get_blob_client(path).upload_blob(text, overwrite=True)
        return str(put["etag"]).strip('"')

    def deliveries(self, path: str) -> list[Json]:
        """How Event Grid fared with the events of one blob, oldest first."""
        found = loopback.get(f"{self.azure.control_url}/deliveries").json()
        return [d for d in found if d["event"]["subject"] == subject_of(path)]

    def delivered(self, path: str, count: int = 1) -> Json:
        """The newest event of a blob, once the app has accepted so many of them."""

        def look() -> list[Json]:
            found = [d for d in self.deliveries(path) if d["state"] == "delivered"]
            return found if len(found) >= count else []

        event: Json = eventually(look)[-1]["event"]
        return event

    def redeliver(self, event: Json) -> None:
        """Let Event Grid deliver an event once more."""
        loopback.post(f"{self.azure.control_url}/deliveries/{event['id']}").raise_for_status()

    def post(self, body: object) -> httpx.Response:
        """POST to the Event Grid webhook with its key; answers when the function has ended."""
        return loopback.post(
            f"{self.functions.url}/runtime/webhooks/EventGrid",
            params={"functionName": "blob_uploads", "code": self.functions.keys.event_grid},
            headers={"aeg-event-type": "Notification", "content-type": "application/json"},
            content=body if isinstance(body, bytes) else json.dumps(body).encode(),
            timeout=60,
        )

    def tick(self) -> None:
        """Let the timer look now, and wait until it has."""
        # The clock calls it as well, and a look that has begun already may have seen less.
        before = self._logged(_CALLED)
        loopback.post(
            f"{self.functions.url}/admin/functions/timer",
            headers={"x-functions-key": self.functions.master_key},
            json={"input": ""},
        ).raise_for_status()
        eventually(lambda: (self._logged(_CALLED) - before) & self._logged(_ENDED), seconds=50)

    def _logged(self, invocations: re.Pattern[str]) -> set[str]:
        return set(invocations.findall(self.log()))

    def log(self) -> str:
        """What the functions host has logged since it was first started."""
        return self.functions.log.read_text(errors="replace")

    def records(self, path: str) -> list[Json]:
        """The ledger's records of the events of one blob, oldest first."""
        records = []
        for name in list(self.state.list_blob_names(name_starts_with="ledger/")):
            # a record's event never changes, so the others need not be read again
            if self._subjects.get(name, subject_of(path)) == subject_of(path):
                record = self.read(name)
                self._subjects[name] = record["event"]["subject"]
                records.append(record)
        ours = [r for r in records if r["event"]["subject"] == subject_of(path)]
        return sorted(ours, key=lambda record: str(record["transitions"][0]["at"]))

    def record(self, path: str, state: str, *, ticking: bool = False, seconds: float = 40) -> Json:
        """The one record of a blob, once it is in that state; `ticking` lets the timer look.

        A final state has come when all that follows from it is done.
        """

        def look() -> Json | None:
            if ticking:
                self.tick()
            # in this order: what follows a final state may still add to the record
            unfinished = self.state.list_blob_names(name_starts_with="open/")
            ongoing = {name.rsplit("/", 1)[1] for name in list(unfinished)}
            found = self.records(path)
            assert len(found) <= 1, found
            if found and found[0]["state"] == state:
                return None if state in FINAL and found[0]["key"] in ongoing else found[0]
            ended = found and found[0]["state"] in FINAL
            assert not ended, f"{path} is {found[0]['state']}: {found[0]['reason']}"
            return None

        record = eventually(look, seconds=seconds, every=BETWEEN_TICKS if ticking else 0.02)
        assert record
        return record

    def history(self, path: str) -> list[Json]:
        """The decisions about one blob, newest first."""
        names = list(self.state.list_blob_names(name_starts_with="history/"))
        entries = [self.read(name) for name in names]
        return [entry for entry in entries if entry["event"]["subject"] == subject_of(path)]

    def markers(self, trigger: str) -> set[str]:
        """Keys of the trigger's records that are not finished."""
        names = self.state.list_blob_names(name_starts_with=f"open/{trigger}/")
        return {name.rsplit("/", 1)[1] for name in names}

    def written(self) -> set[str]:
        """Names of what an event leaves at once, which the end of an earlier run never adds to."""
        return {
            blob.name
            for blob in self.state.list_blobs()
            if blob.name.startswith(("ledger/", "open/"))
            or (blob.name.startswith("history/") and self.read(blob.name)["decision"] == "no_match")
        }

    def read(self, name: str) -> Json:
        """A JSON blob of the state container."""
        found: Json = json.loads(self.state.download_blob(name).readall())
        return found

    def jobs(self, path: str) -> list[Any]:
        """The jobs in AzureML that the events of one blob became."""
        tag = "signalbox_event_subject"
        return [job for job in self.ml.jobs.list() if job.tags.get(tag) == subject_of(path)]

    def puts(self, job_name: str) -> list[int | None]:
        """Statuses of the PUTs of one job since the log was cleared; None for one unanswered."""
        found = self.arm_requests()
        return [
            r["status"]
            for r in found
            if r["method"] == "PUT" and r["path"].endswith(f"/jobs/{job_name}")
        ]

    def arm_requests(self) -> list[Json]:
        """Requests to ARM and run history since the log was cleared."""
        found: list[Json] = loopback.get(f"{self.azure.control_url}/requests").json()
        return found

    def clear_requests(self) -> None:
        loopback.delete(f"{self.azure.control_url}/requests").raise_for_status()

    @contextmanager
    def fault(self, action: Json, **where: Any) -> Iterator[Callable[[], int]]:
        """Arm a fault for the next PUT of a job; gives how often it was met so far."""
        fault = {"method": "PUT", "path_contains": "/jobs/", "action": action, **where}
        url = f"{self.azure.control_url}/faults"
        loopback.post(url, json=fault).raise_for_status()
        try:
            yield lambda: int(loopback.get(url).json()[0]["met"])
        finally:
            loopback.delete(url).raise_for_status()

    def age(self, record: Json) -> None:
        """Make a record two minutes older than it is, so that its lease is over.

        That is the same as waiting for two minutes: the times in a record and its marker are
        fixed, and the app compares them with storage's present time and with nothing else.
        """
        trigger, key = record["trigger"], record["key"]
        blob = self.state.get_blob_client(f"ledger/{trigger}/{key}.json")
        download = blob.download_blob()
        current = json.loads(download.readall())
        attempt = current["attempts"][-1]
        attempt["submitting_at"] = _earlier(attempt["submitting_at"])
        blob.upload_blob(
            json.dumps(current),
            overwrite=True,
            etag=download.properties.etag,
            match_condition=MatchConditions.IfNotModified,
        )
        marker = self.state.get_blob_client(f"open/{trigger}/{key}")
        if hint := marker.get_blob_properties().metadata.get("next_check"):
            marker.set_blob_metadata({"next_check": _earlier(hint)})

    def put_back(self, name: str, *path: str) -> None:
        """Make times in a blob of state three minutes earlier: those below the last of a path that
        is there, by name."""
        blob = self.state.get_blob_client(name)
        content = json.loads(blob.download_blob().readall())
        part = content
        for each in path:
            if isinstance(part[each], dict):
                part = part[each]
            else:
                part[each] = _earlier(part[each], minutes=3)
        blob.upload_blob(json.dumps(content), overwrite=True)

    @contextmanager
    def state_lost(self) -> Iterator[None]:
        """While it lasts, the state container is not there."""
        kept = []
        for blob in self.state.list_blobs(include=["metadata"]):
            # The app goes on, and closes markers.
            with suppress(ResourceNotFoundError):
                data = self.state.download_blob(blob.name).readall()
                kept.append((blob.name, data, blob.metadata or {}))
        self.state.delete_container()
        try:
            yield
        finally:
            self.state.create_container()
            # The index first: whoever finds none makes an empty one.
            for name, data, metadata in sorted(kept, key=lambda blob: blob[0] != "index.json"):
                self.state.upload_blob(name, data, metadata=metadata, overwrite=True)


def subject_of(path: str) -> str:
    """How events name a blob of the landing container."""
    return f"/blobServices/default/containers/landing/blobs/{path}"


def problem_lines(text: str) -> list[str]:
    """The lines of a command's output that say what is wrong where."""
    return [line for line in text.splitlines() if re.match(r"\S+\.yml:\d+: ", line)]


def _earlier(time: str, minutes: float = 2) -> str:
    return (datetime.fromisoformat(time) - timedelta(minutes=minutes)).isoformat()
