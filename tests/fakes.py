"""Small real implementations of the two ports: blobs in memory, and an AzureML that remembers.

Both share one `World`, whose `now` is the services' clock and whose `reach` every call passes
through: there a simulation interleaves, crashes and fails them.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from shared.blob_state import Blob, Listed, Unchanged, Written
from shared.compute_definitions import ComputeDefinition
from shared.compute_plans import Target
from shared.errors import JobExists, JobRejected, SignalboxError, WorkspaceUnavailable
from shared.lakes import Upload, UploadPage
from shared.native_plans import FoundSchedule, WantedSchedule
from shared.workspace import Datastore, FailedStep, Job, JobBody, Step


@dataclass
class World:
    """The services' surroundings."""

    now: datetime = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    #: Called before each call takes effect, with its name; may raise.
    before: Callable[[str], None] = lambda _call: None
    #: Called after it took effect and before the caller has its answer; may raise.
    after: Callable[[str], None] = lambda _call: None
    #: The calls made, for those who count.
    calls: list[str] = field(default_factory=list)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def begin(self, call: str) -> None:
        self.calls.append(call)
        self.before(call)


@dataclass
class _Stored:
    data: bytes
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    etag: str
    at: datetime


class MemoryBlobs:
    """BlobState in memory, with the service's conditions."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.stored: dict[str, _Stored] = {}
        self._writes = 0

    def get(self, name: str) -> Blob | None:
        self.world.begin(f"get {name}")
        found = self.stored.get(name)
        blob = Blob(data=found.data, etag=found.etag, at=self.world.now) if found else None
        self.world.after(f"get {name}")
        return blob

    def get_if_changed(self, name: str, etag: str) -> Blob | Unchanged | None:
        self.world.begin(f"get_if_changed {name}")
        found = self.stored.get(name)
        answer: Blob | Unchanged | None = None
        if found:
            answer = (
                Unchanged(at=self.world.now)
                if found.etag == etag
                else Blob(data=found.data, etag=found.etag, at=self.world.now)
            )
        self.world.after(f"get_if_changed {name}")
        return answer

    def create(
        self,
        name: str,
        data: bytes,
        *,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written | None:
        self.world.begin(f"create {name}")
        written = None if name in self.stored else self._write(name, data, metadata or {}, tags)
        self.world.after(f"create {name}")
        return written

    def swap(
        self,
        name: str,
        data: bytes,
        *,
        etag: str,
        tags: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written | None:
        self.world.begin(f"swap {name}")
        found = self.stored.get(name)
        same = found is not None and found.etag == etag
        written = self._write(name, data, metadata or {}, tags) if same else None
        self.world.after(f"swap {name}")
        return written

    def put(
        self, name: str, data: bytes = b"", *, metadata: Mapping[str, str] | None = None
    ) -> Written:
        self.world.begin(f"put {name}")
        written = self._write(name, data, metadata or {}, None)
        self.world.after(f"put {name}")
        return written

    def set_metadata(self, name: str, metadata: Mapping[str, str]) -> bool:
        self.world.begin(f"set_metadata {name}")
        found = self.stored.get(name)
        if found:
            self._write(name, found.data, metadata, found.tags)
        self.world.after(f"set_metadata {name}")
        return found is not None

    def delete(self, name: str, *, etag: str | None = None) -> bool:
        self.world.begin(f"delete {name}")
        found = self.stored.get(name)
        gone = found is not None and etag in (None, found.etag)
        if gone:
            del self.stored[name]
        self.world.after(f"delete {name}")
        return gone

    def delete_all(self, names: Sequence[str]) -> None:
        self.world.begin(f"delete_all {names[0] if names else ''}")
        for name in names:
            self.stored.pop(name, None)
        self.world.after(f"delete_all {names[0] if names else ''}")

    def list(self, prefix: str, *, page: int | None = None) -> Iterator[Listed]:  # noqa: ARG002
        self.world.begin(f"list {prefix}")
        listed = [
            Listed(
                name=name,
                etag=blob.etag,
                last_modified=blob.at,
                metadata=blob.metadata,
                size=len(blob.data),
            )
            for name, blob in sorted(self.stored.items())
            if name.startswith(prefix)
        ]
        self.world.after(f"list {prefix}")
        return iter(listed)

    def _write(
        self, name: str, data: bytes, metadata: Mapping[str, str], tags: Mapping[str, str] | None
    ) -> Written:
        self._writes += 1
        etag = f'"{self._writes}"'
        self.stored[name] = _Stored(data, dict(metadata), dict(tags or {}), etag, self.world.now)
        return Written(etag=etag, at=self.world.now)


class MemoryWorkspace:
    """An AzureML that takes every job once and runs none of them."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.jobs: dict[str, Job] = {}
        self.bodies: dict[str, JobBody] = {}
        #: What `steps` answers, by job.
        self.under_way: dict[str, list[Step]] = {}
        #: What `failed_steps` answers, by job.
        self.failures: dict[str, list[FailedStep]] = {}
        #: What labels stand for, by kind and name.
        self.latest: dict[tuple[str, str], str] = {}

    def submit(self, name: str, body: JobBody) -> None:
        self.world.begin(f"PUT {name}")
        exists = name in self.jobs
        if not exists:
            self.jobs[name] = Job(name=name, status="NotStarted", tags=dict(body.tags))
            self.bodies[name] = body
        self.world.after(f"PUT {name}")
        if exists:
            raise JobExists(name)

    def find(self, name: str) -> Job | None:
        self.world.begin(f"GET {name}")
        found = self.jobs.get(name)
        self.world.after(f"GET {name}")
        return found

    def cancel(self, name: str) -> None:
        self.world.begin(f"cancel {name}")
        self.jobs[name] = Job(name=name, status="Canceled", tags=self.jobs[name].tags)
        self.world.after(f"cancel {name}")

    def studio_url(self, job: str) -> str:
        return f"https://ml.azure.com/runs/{job}"

    def steps(self, name: str) -> list[Step]:
        self.world.begin(f"steps {name}")
        return self.under_way.get(name, [])

    def failed_steps(self, name: str) -> list[FailedStep]:
        self.world.begin(f"steps {name}")
        return self.failures.get(name, [])

    def labelled(self, kind: str, name: str, label: str) -> str | None:
        self.world.begin(f"label {kind} {name}@{label}")
        found = self.latest.get((kind, name)) if label == "latest" else None
        self.world.after(f"label {kind} {name}@{label}")
        return found

    def datastore(self, name: str) -> Datastore:
        self.world.begin(f"datastore {name}")
        self.world.after(f"datastore {name}")
        return Datastore(account="contosoml", container="azureml-blobstore")

    def end(self, name: str, status: str) -> None:
        """The job reaches a state by itself."""
        self.jobs[name] = Job(name=name, status=status, tags=self.jobs[name].tags)


class MemoryTargets:
    """Computes in memory, which go from state to state when a test says so."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.there: dict[str, Target] = {}
        #: Raised by whatever is asked.
        self.trouble: SignalboxError | None = None

    def find(self, name: str) -> Target | None:
        self._asked("compute")
        return self.there.get(name)

    def create(self, definition: ComputeDefinition) -> None:
        self._asked("create compute")
        self.there[definition.name] = Target(
            type=definition.type,
            provisioning="Creating",
            state="Creating",
            settings=definition.content,
        )

    def start(self, name: str) -> None:
        self._asked("start compute")
        self.there[name] = replace(self.there[name], state="Starting")

    def ready(self, name: str) -> None:
        """What was under way is over."""
        self.there[name] = replace(self.there[name], provisioning="Succeeded", state="Running")

    def _asked(self, call: str) -> None:
        self.world.begin(call)
        if self.trouble is not None:
            raise self.trouble


class MemoryJobSchedules:
    """AzureML's schedules in memory; changes are over at once, unless `slow` says how many looks
    they take."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.there: dict[str, FoundSchedule] = {}
        #: Jobs that were started by hand, by schedule.
        self.started: list[str] = []
        #: What AzureML writes in another way than it was put: place -> text.
        self.kept_so: dict[str, str] = {}
        self.slow = 0
        self._looks: dict[str, int] = {}

    def all(self) -> list[FoundSchedule]:
        self.world.begin("schedules")
        found = [self._look(name) for name in sorted(self.there)]
        self.world.after("schedules")
        return [each for each in found if each]

    def find(self, name: str) -> FoundSchedule | None:
        self.world.begin(f"schedule GET {name}")
        found = self._look(name)
        self.world.after(f"schedule GET {name}")
        return found

    def put(self, wanted: WantedSchedule) -> None:
        self.world.begin(f"schedule PUT {wanted.name}")
        self._free(wanted.name)
        assert not wanted.over, "AzureML takes no schedule that is over"
        self._change(
            FoundSchedule(
                name=wanted.name,
                enabled=wanted.enabled,
                tags=wanted.tags,
                fields={**wanted.fields, **self.kept_so},
            )
        )
        self.world.after(f"schedule PUT {wanted.name}")

    def disable(self, name: str) -> None:
        self.world.begin(f"schedule disable {name}")
        self._free(name)
        if name in self.there:
            self._change(replace(self.there[name], enabled=False))
        self.world.after(f"schedule disable {name}")

    def delete(self, name: str) -> None:
        self.world.begin(f"schedule delete {name}")
        self._free(name)
        if name in self.there and self.there[name].enabled:
            raise JobRejected("UserError", f"The schedule {name} is enabled.")
        self.there.pop(name, None)
        self.world.after(f"schedule delete {name}")

    def trigger(self, name: str) -> str:
        self.world.begin(f"schedule trigger {name}")
        self.started.append(name)
        self.world.after(f"schedule trigger {name}")
        return f"{name}-{len(self.started)}"

    def _change(self, to: FoundSchedule) -> None:
        self.there[to.name] = replace(to, state="Updating" if self.slow else "Succeeded")
        self._looks[to.name] = self.slow

    def _look(self, name: str) -> FoundSchedule | None:
        found = self.there.get(name)
        if found and found.busy:
            self._looks[name] -= 1
            if self._looks[name] < 0:
                self.there[name] = replace(found, state="Succeeded")
        return found

    def _free(self, name: str) -> None:
        found = self.there.get(name)
        if found and found.busy:
            raise WorkspaceUnavailable("AzureML answered 409: it is in state Updating")


class MemoryLakes:
    """Users' containers in memory."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        #: What was written, by path.
        self.written: dict[str, bytes] = {}
        self.uploads: list[Upload] = []
        #: Raised instead of an answer.
        self.trouble: Exception | None = None
        #: What was looked at, for those who count.
        self.looks: list[str] = []
        self.page_size = 1_000

    def find(self, account: str, container: str, path: str) -> Upload | None:
        found = self.list(account, container, path, 1_000)
        return next((upload for upload in found if upload.path == path), None)

    def list(self, account: str, container: str, prefix: str, limit: int) -> list[Upload]:
        self.looks.append(f"{account}/{container}/{prefix}")
        if self.trouble is not None:
            raise self.trouble
        there = [
            upload
            for upload in self.uploads
            if (upload.account, upload.container) == (account, container)
            and upload.path.startswith(prefix)
        ]
        return sorted(there, key=lambda upload: upload.path)[:limit]

    def keep(self, account: str, container: str, path: str, data: bytes) -> None:
        self.world.begin(f"keep {path}")
        if self.trouble is not None:
            raise self.trouble
        self.written.setdefault(f"{account}/{container}/{path}", data)
        self.world.after(f"keep {path}")

    def page(self, account: str, container: str, prefix: str, marker: str | None) -> UploadPage:
        """Pages of `page_size` by name; a marker is the name that the page before ended with."""
        rest = [
            upload
            for upload in self.list(account, container, prefix, sys.maxsize)
            if marker is None or upload.path > marker
        ]
        page = rest[: self.page_size]
        return UploadPage(
            uploads=page,
            marker=page[-1].path if len(rest) > self.page_size else None,
            at=self.world.now,
        )
