"""Services that fail the ways Azure's do: before, after, late, stale; never two truths."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from random import Random
from typing import Any

from shared.binding import RUN_TAG
from shared.blob_state import Listed, Written
from shared.compute_definitions import ComputeDefinition
from shared.compute_plans import Target
from shared.errors import (
    JobExists,
    JobRejected,
    MessagingUnavailable,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from shared.events import Event
from shared.lakes import UploadPage
from shared.workspace import Datastore, FailedStep, Job, JobBody, Step
from tests.fakes import MemoryBlobs, MemoryLakes, World

#: A request on its way may take effect this much later; GRACE must cover it.
LONGEST_REQUEST = timedelta(minutes=3)
#: GET may not see a job for this long after it came to be.
STALENESS = timedelta(seconds=90)

ENDED = frozenset({"Completed", "Failed", "Canceled"})

#: Names, and uploads, that one request lists: so few that others go on between the pages of every
#: listing.
PAGE, UPLOADS = 3, 2


@dataclass(frozen=True)
class Odds:
    """How often things go wrong, as probabilities per call."""

    storage_fails: float = 0.02
    storage_answer_lost: float = 0.02
    #: The SDK repeats a write whose answer was lost, and then meets its own first try.
    storage_meets_itself: float = 0.02
    put_unapplied: float = 0.1
    put_applied_unanswered: float = 0.1
    put_late: float = 0.1
    put_rejected: float = 0.1
    #: AzureML says that there are too many requests, and has not looked at this one.
    put_throttled: float = 0.1
    get_fails: float = 0.05
    get_stale: float = 0.3
    #: A call that takes far longer than others.
    stuck: float = 0.08
    #: Of the scheduler's steps.
    crash: float = 0.02
    cancel: float = 0.01
    leap: float = 0.01
    #: A trigger is paused, or goes on.
    pause: float = 0.01
    #: The day ends.
    midnight: float = 0.005
    #: How fast jobs go on.
    progress: float = 0.3
    job_fails: float = 0.2
    #: A job that would run for ever.
    job_hangs: float = 0.05
    #: A topic that does not take an outcome, or takes it without an answer.
    outcome_fails: float = 0.1
    outcome_answer_lost: float = 0.1

    @classmethod
    def of_the_day(cls, rng: Random) -> "Odds":
        """Some histories have fair weather, some foul, some foul in one respect only."""
        fair = cls()
        return cls(
            **{
                item.name: min(0.6, getattr(fair, item.name) * rng.choice([0, 1, 1, 1, 6]))
                for item in fields(cls)
            }
        )

    @classmethod
    def calm(cls) -> "Odds":
        return cls(**dict.fromkeys((item.name for item in fields(cls)), 0.0) | _AT_REST)


#: What goes on when nothing goes wrong any more.
_AT_REST = {"progress": 0.5, "job_fails": 0.2}


class FickleBlobs(MemoryBlobs):
    """Conditional writes whose answers may say less than what happened, and listings during
    which others go on."""

    def __init__(
        self, world: World, rng: Random, odds: Odds, wrote: Callable[[str, bytes], None]
    ) -> None:
        super().__init__(world)
        self.rng = rng
        self.odds = odds
        #: Told of whatever is written, at once.
        self._wrote = wrote

    def list(self, prefix: str, *, page: int | None = None) -> Iterator[Listed]:  # noqa: ARG002
        last = ""
        while True:
            listed = [each for each in super().list(prefix) if each.name > last]
            yield from listed[:PAGE]
            if len(listed) <= PAGE:
                return
            last = listed[PAGE - 1].name

    def create(self, name: str, data: bytes, **more: Any) -> Written | None:
        return self._maybe_met_itself(super().create(name, data, **more))

    def swap(self, name: str, data: bytes, **more: Any) -> Written | None:
        return self._maybe_met_itself(super().swap(name, data, **more))

    def _write(
        self, name: str, data: bytes, metadata: Mapping[str, str], tags: Mapping[str, str] | None
    ) -> Written:
        written = super()._write(name, data, metadata, tags)
        self._wrote(name, data)
        return written

    def _maybe_met_itself(self, written: Written | None) -> Written | None:
        return None if self.rng.random() < self.odds.storage_meets_itself else written


@dataclass
class _Put:
    """A PUT that the caller gave up on, still under way."""

    name: str
    body: JobBody
    due: datetime


@dataclass
class FickleWorkspace:
    """An AzureML whose PUT may fail unapplied, fail applied or be applied later, and whose GET
    may be stale."""

    world: World
    rng: Random
    odds: Odds
    #: Told of every job that came to be, at once.
    came: Callable[[str], None]
    #: Triggers whose jobs may hang: somebody stops them.
    patient: frozenset[str] = frozenset()
    jobs: dict[str, Job] = field(default_factory=dict)
    born: dict[str, datetime] = field(default_factory=dict)
    late: list[_Put] = field(default_factory=list)
    #: What each job was made from.
    bodies: dict[str, JobBody] = field(default_factory=dict)
    #: How often a label was looked up, each time for another version.
    versions: int = 0
    #: Jobs that end only when they are canceled.
    hanging: set[str] = field(default_factory=set)
    #: When each job ended.
    ended: dict[str, datetime] = field(default_factory=dict)

    def submit(self, name: str, body: JobBody) -> None:
        self.world.begin(f"PUT {name}")
        roll = self.rng.random()
        odds = self.odds
        if roll < odds.put_unapplied:
            raise WorkspaceUnavailable("503", retry_after=self.rng.choice([None, 1.0, 200.0]))
        roll -= odds.put_unapplied
        if roll < odds.put_late:
            delay = LONGEST_REQUEST * self.rng.random()
            self.late.append(_Put(name, body, self.world.now + delay))
            raise WorkspaceUnavailable("timed out")
        roll -= odds.put_late
        if roll < odds.put_throttled:
            wait = self.rng.choice([None, 1.0, 40.0, 200.0])
            raise WorkspaceUnavailable("429", retry_after=wait, refused=True)
        roll -= odds.put_throttled
        if name in self.jobs:
            raise JobExists(name)
        if roll < odds.put_rejected:
            raise JobRejected("UserError", "no")
        roll -= odds.put_rejected
        self._apply(name, body)
        if roll < odds.put_applied_unanswered:
            raise WorkspaceUnavailable("connection reset")
        self.world.after(f"PUT {name}")

    def find(self, name: str) -> Job | None:
        self.world.begin(f"GET {name}")
        if self.rng.random() < self.odds.get_fails:
            raise WorkspaceUnavailable("429", retry_after=5.0)
        found = self.jobs.get(name)
        if found and self.world.now - self.born[name] < STALENESS:
            found = None if self.rng.random() < self.odds.get_stale else found
        self.world.after(f"GET {name}")
        return found

    def labelled(self, kind: str, name: str, label: str) -> str | None:
        self.world.begin(f"GET {kind} {name}@{label}")
        if self.rng.random() < self.odds.get_fails:
            raise WorkspaceUnavailable("429", retry_after=5.0)
        # Somebody registers a new version all the time.
        self.versions += 1
        return str(self.versions)

    def cancel(self, name: str) -> None:
        self.world.begin(f"cancel {name}")
        # It takes its time, or is done at once.
        self.set_status(name, self.rng.choice(["CancelRequested", "Canceled"]))
        self.world.after(f"cancel {name}")

    def failed_steps(self, name: str) -> list[FailedStep]:
        self.world.begin(f"steps {name}")
        return [FailedStep(step="train", job=f"{name}-train", log_tail="no convergence")]

    def datastore(self, name: str) -> Datastore:
        self.world.begin(f"datastore {name}")
        return Datastore(account="contosoml", container="azureml-blobstore")

    def set_status(self, name: str, status: str) -> None:
        job = self.jobs[name]
        if job.status not in ENDED:
            self.jobs[name] = Job(name=name, status=status, tags=job.tags)
            if status in ENDED:
                self.ended[name] = self.world.now

    def progress(self) -> None:
        """Time does its work: late PUTs arrive, jobs go on."""
        for put in [put for put in self.late if put.due <= self.world.now]:
            self.late.remove(put)
            if put.name not in self.jobs:
                # Noticed only now, as after a leap of time, it came when it was due.
                self._apply(put.name, put.body, put.due)
        for name, job in list(self.jobs.items()):
            if self.rng.random() > self.odds.progress:
                continue
            if job.status == "NotStarted":
                self.set_status(name, "Running")
            elif job.status == "CancelRequested":
                self.set_status(name, "Canceled")
            elif job.status == "Running" and name not in self.hanging:
                failed = self.rng.random() < self.odds.job_fails
                self.set_status(name, "Failed" if failed else "Completed")

    def _apply(self, name: str, body: JobBody, at: datetime | None = None) -> None:
        self.jobs[name] = Job(name=name, status="NotStarted", tags=dict(body.tags))
        self.born[name] = at or self.world.now
        self.bodies[name] = body
        trigger = body.tags[RUN_TAG].partition(".")[0]
        if trigger in self.patient and self.rng.random() < self.odds.job_hangs:
            self.hanging.add(name)
        self.came(name)

    def steps(self, name: str) -> list[Step]:
        self.world.begin(f"steps {name}")
        return []

    def studio_url(self, job: str) -> str:
        return job


@dataclass
class FickleTargets:
    """A compute that is created, fails to answer, and becomes ready late, or never."""

    world: World
    rng: Random
    odds: Odds
    #: When what was begun is ready; None: it fails for want of quota.
    ready_at: datetime | None
    created: bool = False

    def find(self, name: str) -> Target | None:
        self._asked(f"GET compute {name}")
        if not self.created:
            return None
        ready = self.ready_at is not None and self.world.now >= self.ready_at
        unready = "Creating" if self.ready_at is not None else "Failed"
        return Target(
            type="amlcompute", provisioning="Succeeded" if ready else unready, settings={}
        )

    def create(self, definition: ComputeDefinition) -> None:
        self._asked(f"PUT compute {definition.name}")
        self.created = True
        self.world.after(f"PUT compute {definition.name}")

    def start(self, name: str) -> None:
        raise AssertionError(f"{name} is no instance")

    def _asked(self, call: str) -> None:
        self.world.begin(call)
        if self.rng.random() < self.odds.get_fails:
            raise WorkspaceUnavailable("429")


@dataclass
class FickleOutcomes:
    """A topic that remembers what it was told."""

    world: World
    rng: Random
    odds: Odds
    told: list[str] = field(default_factory=list)

    def publish(self, events: Sequence[Event]) -> None:
        self.world.begin("send")
        if self.rng.random() < self.odds.outcome_fails:
            raise MessagingUnavailable("the topic is away")
        self.told += [event.id for event in events]
        if self.rng.random() < self.odds.outcome_answer_lost:
            raise MessagingUnavailable("its answer was lost")
        self.world.after("send")


@dataclass
class FickleLakes(MemoryLakes):
    """Users' containers, which others write to between two pages."""

    world: World
    rng: Random
    odds: Callable[[], Odds]

    def __post_init__(self) -> None:
        super().__init__(self.world)
        self.page_size = UPLOADS

    def page(self, account: str, container: str, prefix: str, marker: str | None) -> UploadPage:
        self.world.begin("page")
        if self.rng.random() < self.odds().storage_fails:
            raise StorageUnavailable("the lake did not answer")
        page = super().page(account, container, prefix, marker)
        self.world.after("page")
        return page
