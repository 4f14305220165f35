"""Histories in which many uploads become one run."""

from typing import ClassVar

from shared.ledger import Record
from tests.simulation.batch_scenario import SITES, TRIGGER, BatchScenario
from tests.simulation.batch_watch import BatchWatch
from tests.simulation.scenario import Scenario
from tests.simulation.simulation import Simulation, Source

#: Ticks during which some groups are never quiet.
CROWDED = 14
#: Seconds that it takes then to make a batch: a tick has time for no other.
_LONG = 9


class Batching(Simulation):
    """Groups that are released, quiet, old or full, while others seal them at the same time."""

    scenarios: ClassVar[type[Scenario]] = BatchScenario
    scenario: BatchScenario
    watch: BatchWatch

    _crowded = False

    def _watch(self) -> BatchWatch:
        return BatchWatch(
            self.scenario,
            jobs=lambda: self.workspace.jobs,
            now=lambda: self.world.now,
        )

    def forgettable(self, record: Record) -> bool:
        """Whether what waits may wait for ever: whoever took it in died before its marker, and it
        came again only when its trigger said no to it, or was not there."""
        assert record.member is not None
        missed = any(
            self.watch.editions.overlooks(TRIGGER, source.uploaded, source.answered)
            for source in self.sources
            if source.event.etag == record.event.etag
        )
        return (record.member.releases or missed) and record.key not in self.watch.since

    def _other(self) -> bool:
        roll = self.rng.random()
        if roll < self.scenario.republish:
            self._publish_trigger(TRIGGER, self.scenario.again(self.rng))
        elif roll < self.scenario.republish + 0.02:
            self._deliver_together()
        elif roll < self.scenario.republish + 0.04 and self.scenario.deleted_groups:
            self._delete_group()
        else:
            return False
        return True

    def _come_to_rest(self) -> None:
        if self.scenario.crowd:
            self._crowd()
        super()._come_to_rest()

    def _calm_round(self) -> None:
        began = self.world.now
        super()._calm_round()
        self.watch.ticked(began)

    def _crowd(self) -> None:
        """Two of three groups get more all the time, and what waits is delivered once more."""
        self._crowded = True
        _, *busy = self.rng.sample(SITES, 3)
        for _ in range(CROWDED):
            for site in busy:
                number = len(self.sources)
                event = self.scenario.uploaded(number, self.world.now, f"in/{site}/{number}.csv")
                self.sources.append(Source(event=event, uploaded=self.world.now))
            waiting = {one["event"]["data"]["eTag"] for one in self.watch.waiting()}
            for source in self.sources:
                if source.event.data["eTag"] in waiting:
                    self._deliver(source)
            self._calm_round()
        self._crowded = False

    def _after(self, call: str) -> None:
        if self._crowded and call.startswith("swap groups/"):
            self.world.pass_time(_LONG)
        super()._after(call)

    def _deliver(self, source: Source) -> None:
        if source.answered is None or self._crowded or not self.scenario.once:
            super()._deliver(source)

    def _deliver_together(self) -> None:
        """Some uploads in one body."""
        once = self.scenario.once
        come = [source for source in self.sources if not (once and source.answered)]
        some = self.rng.sample(come, min(len(come), 3))
        self.watch.step += 1
        for source in some:
            source.deliveries += 1
            source.first_delivery = source.first_delivery or self.watch.step

        def answered() -> None:
            for source in some:
                source.answered = source.answered or self.watch.step

        events = [source.event for source in some]
        self._begin(
            lambda worker: worker.dispatcher.handle(*events), answered, reads_the_index=True
        )

    def _delete_group(self) -> None:
        """Somebody deletes a group in which nothing waits, while nobody looks."""
        if self.activities or self.watch.waiting():
            return
        groups = [name for name in self.blobs.stored if name.startswith("groups/")]
        if groups:
            name = self.rng.choice(groups)
            del self.blobs.stored[name]
            self.watch.forgotten(name.rpartition("/")[2].removesuffix(".json"))
