"""Histories in which events of uploads are lost, and found where the uploads lie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, ClassVar

from shared.index import IndexedTrigger
from shared.lakes import Upload
from shared.ledger import Record
from shared.policies import Policies, Sweep
from tests.simulation.batch_scenario import COMPLETE, SITES, TRIGGER, BatchScenario
from tests.simulation.batching import Batching
from tests.simulation.fickle import FickleLakes
from tests.simulation.scenario import Scenario
from tests.simulation.simulation import Source
from tests.simulation.sweep_watch import SweepWatch

EVERY = timedelta(minutes=5)
#: Longer than any history.
LOOKBACK = timedelta(days=60)
#: Ticks without trouble after which everything that lies there long enough is recorded.
SOON = 24


@dataclass(frozen=True)
class SweepScenario(BatchScenario):
    """A trigger that is swept; many of its events never come."""

    #: Whether uploads become runs of their own.
    alone: bool = True
    #: Somebody asks for a sweep now and then, also of what was overwritten.
    asked: float = 0.0

    @classmethod
    def drawn(
        cls, rng: Random, *, alone: bool | None = None, asked: float | None = None, **given: Any
    ) -> "SweepScenario":
        """A scenario by chance, but for what is given."""
        alone = rng.random() < 0.6 if alone is None else alone
        fixed: dict[str, Any] = {
            "republish": 0,
            "anew": 0.0,
            "crowd": False,
            "deleted_groups": False,
            "late_compute": False,
        }
        if alone:
            fixed |= {"overlap": "buffer_all"}
        drawn = BatchScenario.drawn(rng, **fixed | given)
        known = drawn.policies[TRIGGER]
        policies = known.model_copy(update={"batch": None}) if alone else known
        return cls(
            **vars(drawn) | {"policies": {TRIGGER: policies}},
            alone=alone,
            asked=rng.choice([0, 0, 0.01]) if asked is None else asked,
        )

    def indexed(self, name: str, at: datetime, policies: Policies | None = None) -> IndexedTrigger:
        found = super().indexed(name, at, policies)
        definition = found.definition.model_copy(
            update={"sweep": Sweep(every=EVERY, lookback=LOOKBACK)}
        )
        return found.model_copy(update={"definition": definition})


@dataclass
class Uploaded(Source):
    """An upload, and how much of its event arrives: it is given up after so many deliveries."""

    upload: Upload = field(kw_only=True)
    tries: int | None = None


class Sweeping(Batching):
    """Events that never come, come late or are given up; paths that are overwritten."""

    scenarios: ClassVar[type[Scenario]] = SweepScenario
    scenario: SweepScenario
    watch: SweepWatch
    lakes: FickleLakes
    parts_of_tick: ClassVar[tuple[str, ...]] = ("the batches", "the sweeps")

    def _watch(self) -> SweepWatch:
        return SweepWatch(
            self.scenario,
            jobs=lambda: self.workspace.jobs,
            now=lambda: self.world.now,
        )

    def _lakes(self) -> FickleLakes:
        return FickleLakes(self.world, self.rng, lambda: self.odds)

    def forgettable(self, record: Record) -> bool:
        """Nobody answered for it, and its upload does not lie there any more."""
        there = {upload.etag for upload in self.lakes.uploads}
        answered = {source.event.etag for source in self.sources if source.answered is not None}
        return record.event.etag not in there | answered

    def current(self) -> Mapping[str, Uploaded]:
        """What lies there, by path."""
        there = {upload.etag: upload.path for upload in self.lakes.uploads}
        return {
            there[source.upload.etag]: source
            for source in self.sources
            if isinstance(source, Uploaded) and source.upload.etag in there
        }

    def _other(self) -> bool:
        roll = self.rng.random()
        if roll < 0.01:
            self._upload()
        elif roll < 0.02 + self.scenario.asked:
            if roll < 0.02:
                self.world.pass_time(self.rng.choice([60, 300, 400]))
            else:
                self._ask()
        else:
            return super()._other()
        return True

    def _upload(self) -> None:
        """Somebody writes a file, maybe over another, or only sets a property of it."""
        self.world.pass_time(1)
        number, there = len(self.sources), self.lakes.uploads
        name = COMPLETE if not self.scenario.alone and self.rng.random() < 0.1 else f"{number}.csv"
        before, path = None, f"in/{self.rng.choice(SITES)}/{name}"
        if there and self.rng.random() < 0.25:
            path = self.rng.choice(there).path
        before = next((upload for upload in there if upload.path == path), None)
        upload = Upload(
            account="lake",
            container="landing",
            path=path,
            etag=f"0x{number}",
            size=number,
            last_modified=self.world.now,
            created=before.created if before else self.world.now,
        )
        self.lakes.uploads = [*(one for one in there if one.path != path), upload]
        event = upload.event().model_copy(update={"id": f"upload-{number}", "source": "/lake"})
        roll = self.rng.random()
        self.sources.append(
            Uploaded(
                event=event,
                uploaded=self.world.now,
                upload=upload,
                # Its event was lost, is given up soon, or comes for as long as it takes.
                lost=roll < 0.35,
                tries=1 if roll < 0.55 else None,
            )
        )

    def _deliver(self, source: Source) -> None:
        super()._deliver(source)
        if isinstance(source, Uploaded) and source.tries is not None:
            source.lost = source.deliveries >= source.tries

    def _ask(self) -> None:
        """Somebody asks for a sweep, maybe of what was overwritten, maybe only to see."""
        overwritten, dry_run = self.rng.random() < 0.3, self.rng.random() < 0.3
        self.watch.overwritten_too = self.watch.overwritten_too or overwritten
        self._begin(
            lambda worker: worker.sweeps.ask(TRIGGER, overwritten=overwritten, dry_run=dry_run),
            reads_the_index=True,
        )

    def _come_to_rest(self) -> None:
        for _ in range(SOON):
            self._calm_round()
        self.watch.soon(self.current())
        # What should have been taken by a batch is looked for when all of it is swept.
        self.world.pass_time(timedelta(days=1).total_seconds())
        for _ in range(6):
            self._calm_round()
        super()._come_to_rest()
