"""A run on its way to AzureML, and what may come between."""

from shared.errors import JobRejected, WorkspaceUnavailable
from shared.ledger import GRACE, LEASE, Record, State
from shared.workspace import Job
from tests.fakes import MemoryWorkspace
from tests.unit.scene import Scene, event, fail

BUSY = WorkspaceUnavailable("AzureML answered 503")
REJECTED = JobRejected("ComponentNotFound", "no such component")
LEASE_OVER = LEASE.total_seconds() + 1
GRACE_OVER = GRACE.total_seconds() + 1


class LateWorkspace(MemoryWorkspace):
    """Its GET is behind its PUT for as long as `behind` is set."""

    behind = False

    def find(self, name: str) -> Job | None:
        found = super().find(name)
        return None if self.behind else found


def upload(here: Scene) -> Record:
    here.dispatcher.handle(event())
    here.calls()
    return here.record()


def left_submitting(here: Scene, error: Exception = BUSY, *, applied: bool = False) -> Record:
    """A run whose first PUT failed, or took effect without an answer."""
    fail(here.world, "PUT", error, applied=applied)
    record = upload(here)
    assert record.state is State.SUBMITTING
    return record


def resume(here: Scene, *, after: float = 0) -> Record:
    here.world.pass_time(after)
    here.calls()
    record = here.record()
    assert here.submission.resume(record.trigger, record.key)
    return here.record()


def name(here: Scene) -> str:
    return here.record().attempt.job_name
