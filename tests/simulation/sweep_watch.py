"""What sweeps find and start, noted as it happens."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.searches import SETTLED
from shared.sweep_states import Course, SweepState
from tests.simulation.batch_watch import BatchWatch
from tests.simulation.simulation import Source


@dataclass
class SweepWatch(BatchWatch):
    """Sees what sweeps start, and that nothing of it was there before."""

    #: Somebody asked for what was overwritten.
    overwritten_too: bool = False
    #: What is known of sweeps now.
    state: SweepState = field(default_factory=SweepState)
    #: Blob -> the steps at which records of it came to be.
    _recorded: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def wrote(self, name: str, data: bytes) -> None:
        super().wrote(name, data)
        if name.startswith("sweeps/"):
            self.state = SweepState.model_validate(json.loads(data))
            for course in (self.state.course, self.state.report):
                if course is not None:
                    self._counts(course)

    def soon(self, there: Mapping[str, Source]) -> None:
        """It was swept a few times without trouble: what lies there long enough is known."""
        told = {one.etag for one in self.state.overwritten}
        etags = {record["event"]["data"].get("eTag") for record in self._records.values()}
        for path, source in there.items():
            old = self.now() - source.uploaded > 3 * SETTLED
            if old and source.event.etag not in etags | told and self.fits(path):
                self.broken.append(f"{path} {source.event.etag} was not found soon")

    def fits(self, path: str) -> bool:
        batch = self.published[-1].batch
        return path.endswith(".csv") or bool(batch and batch.release_on)

    def _record(self, run: str, record: dict[str, Any]) -> None:
        new = run not in self._records
        super()._record(run, record)
        if not new or record["members"]:
            return
        steps = self._recorded[record["event"]["subject"]]
        if record["event"].get("sweptat"):
            self.seen["found by a sweep"] += 1
            known = [step for step in steps if step < self.caller.began]
            if known and not self.overwritten_too:
                self.broken.append(f"{run} was overwritten, and a sweep started it")
        steps.append(self.step)

    def _counts(self, course: Course) -> None:
        """What was looked at is known, found, overwritten, or could not be handed over."""
        counts = course.counts
        parts = counts.known + counts.found + counts.overwritten + counts.failed
        if counts.looked_at != parts or counts.looked_at > counts.listed or counts.failed:
            self.broken.append(f"a sweep counts {counts}")
        self.seen["overwritten"] += counts.overwritten
