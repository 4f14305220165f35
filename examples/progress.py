"""What has been seen of runs so far, and when."""

import time
from collections.abc import Sequence

ENDED = ("Completed", "Failed", "Canceled", "NotResponding")

#: A stage, and the marks it begins and ends with.
Stage = tuple[str, str, str]


class Progress:
    """Steps of several runs with their status, and the times at which each run passed a mark."""

    def __init__(self, runs: Sequence[str]) -> None:
        self.runs = runs
        self._status: dict[tuple[str, str], str] = {}
        self._passed: dict[tuple[str, str], float] = {}

    @property
    def steps(self) -> list[str]:
        return list(dict.fromkeys(step for _, step in self._status))

    def mark(self, run: str, mark: str, at: float | None = None) -> None:
        """Note that a run passes a mark, now or at a time in seconds since 1970; once only."""
        self._passed.setdefault((run, mark), time.time() if at is None else at)

    def see(self, run: str, step: str, status: str) -> bool:
        """Take note of a step's status; whether that is news."""
        if status == "Running":
            self.mark(run, f"{step} runs")
        elif status in ENDED:
            self.mark(run, f"{step} ended")
        before, self._status[run, step] = self._status.get((run, step), "NotStarted"), status
        return before != status

    def status(self, run: str, step: str) -> tuple[str, float | None]:
        """A step's status, and for how many seconds it was seen running."""
        status = self._status.get((run, step), "")
        return status, self._seconds(run, f"{step} runs", f"{step} ended", open_end=True)

    def figures(self, stages: Sequence[Stage]) -> list[list[str]]:
        """A row for each stage: its name, and its seconds in every run."""
        return [
            [name, *(_text(self._seconds(run, start, end)) for run in self.runs)]
            for name, start, end in stages
        ]

    def _seconds(self, run: str, start: str, end: str, *, open_end: bool = False) -> float | None:
        began = self._passed.get((run, start))
        ended = self._passed.get((run, end), time.time() if open_end else None)
        return None if began is None or ended is None else ended - began


def _text(seconds: float | None) -> str:
    if seconds is None:
        return "brief"  # it was over between two looks
    return f"{seconds:.1f}" if seconds >= 0.1 else "<0.1"
