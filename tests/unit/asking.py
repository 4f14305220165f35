"""A scene that can be asked what became of things, with users' blobs in memory."""

from typing import Any

from shared.clocks import Clocks
from shared.explain import Explain
from shared.lakes import Upload
from shared.members import Members
from shared.questions import Explanation
from shared.runs import Runs
from shared.sweep_states import SweepStates
from tests.unit.scene import Scene, event

PATH = "sales/north/march.csv"
PLACE = f"contosolake/landing/{PATH}"


class Asked(Scene):
    """A scene with everything that answers questions."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = Runs(
            ledger=self.ledger, history=self.history, workspace=self.workspace, index=self.index
        )
        self.members = Members(ledger=self.ledger, history=self.history, inbox=self.inbox)
        self.explain = Explain(
            index=self.index,
            orders=self.orders,
            ledger=self.ledger,
            history=self.history,
            runs=self.runs,
            members=self.members,
            lakes=self.lakes,
            sweeps=SweepStates(self.blobs),
            clocks=Clocks(self.blobs),
            variables=self.variables,
            drops=self.drops,
        )

    def put(self, path: str = PATH, etag: str = "0x1", **changes: Any) -> None:
        """A blob lies there; no event tells of it."""
        given: dict[str, Any] = {"size": 12, "last_modified": self.world.now, **changes}
        given |= {"account": "contosolake", "container": "landing", "path": path, "etag": etag}
        self.lakes.uploads = [
            *(there for there in self.lakes.uploads if there.path != path),
            Upload(**given),
        ]

    def upload(self, path: str = PATH, etag: str = "0x1", **changes: Any) -> list[str]:
        """A blob is put and its event arrives; the runs it becomes."""
        self.put(path, etag)
        time = self.world.now.isoformat()
        made = self.dispatcher.handle(event(path, etag=etag, eventTime=time, **changes))
        return [decision.record.run_id for decision in made if decision.record]

    def end(self, run: str, status: str) -> None:
        """A run's job ends, and that is noticed."""
        trigger, key = run.split(".")
        kept = self.ledger.read(trigger, key)
        assert kept is not None
        self.workspace.end(kept.record.attempt.job_name, status)
        self.world.pass_time(60)
        self.submission.resume(trigger, key)


def decisions(answer: Explanation) -> list[tuple[str | None, str]]:
    """Who decided what."""
    return [(item.trigger, item.decision) for item in answer.items]
