"""Histories in which what is over is run once more: many at a time, by several workers."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from shared.errors import SignalboxError
from shared.ledger import State
from shared.replay_states import Replay
from shared.selections import Wish
from tests.simulation.scenario import Scenario
from tests.simulation.simulation import Simulation
from tests.simulation.workers import Worker

_OVER = (State.COMPLETED, State.FAILED, State.CANCELED, State.DEAD_LETTER, State.SKIPPED)


@dataclass(frozen=True)
class ReplayScenario(Scenario):
    """Two triggers, of which one makes dead letters; somebody runs them again."""

    #: How often a replay is asked for, canceled, or a run retried, for each step.
    asked: float = 0.02
    canceled: float = 0.005
    retried: float = 0.01

    @classmethod
    def drawn(
        cls,
        rng: Random,
        *,
        asked: float | None = None,
        canceled: float | None = None,
        retried: float | None = None,
        uploads: int | None = None,
        steps: int | None = None,
        **given: Any,
    ) -> "ReplayScenario":
        """A scenario by chance, but for what is given."""
        number = rng.choice([2, 4, 6]) if uploads is None else uploads
        steps = rng.randint(200, 300 + 80 * number) if steps is None else steps
        fixed = {"chains": False, "late_compute": rng.random() < 0.1, "anew": 0.0}
        return cls(
            **vars(Scenario.drawn(rng, uploads=number, steps=steps, **fixed | given)),
            asked=rng.choice([0.03, 0.1]) if asked is None else asked,
            canceled=rng.choice([0, 0, 0.05]) if canceled is None else canceled,
            retried=rng.choice([0, 0.01]) if retried is None else retried,
        )


@dataclass
class Request:
    """A client's wish for a replay, made again under its key until it is answered."""

    key: str
    wish: Wish
    limit: int
    answered: bool = False


class Replaying(Simulation):
    """Runs that are chosen by how they ended or by name, replays that are canceled."""

    scenarios: ClassVar[type[Scenario]] = ReplayScenario
    scenario: ReplayScenario
    parts_of_tick: ClassVar[tuple[str, ...]] = ("the batches", "the replays")

    def __init__(self, *given: Any, **more: Any) -> None:
        self.requests: list[Request] = []
        #: Replays that somebody canceled.
        self.given_up: set[str] = set()
        super().__init__(*given, **more)

    @property
    def replays(self) -> Mapping[str, Replay]:
        """All that there are, by id."""
        found = [
            Replay.model_validate_json(blob.data)
            for name, blob in self.blobs.stored.items()
            if name.startswith("replays/")
        ]
        return {replay.id: replay for replay in found}

    def chosen(self, replay: Replay) -> list[str]:
        """What a replay is to run once more."""
        found: list[str] = json.loads(self.blobs.stored[f"replayed/{replay.chosen}.json"].data)
        return found

    def run(self) -> None:
        super().run()
        for replay in self.replays.values():
            self.watch.seen["replays"] += 1
            self.watch.seen["replays canceled"] += replay.cancel_requested
            self.watch.seen["run once more"] += replay.started

    def at_rest(self) -> bool:
        return super().at_rest() and all(replay.over for replay in self.replays.values())

    def _other(self) -> bool:
        scenario, roll = self.scenario, self.rng.random()
        if roll < scenario.asked:
            self._ask()
        elif roll < scenario.asked + scenario.canceled:
            self._give_up()
        elif roll < scenario.asked + scenario.canceled + scenario.retried:
            self._retry()
        else:
            return False
        return True

    def _ask(self) -> None:
        """Somebody asks for a replay, or once more for one that was not answered."""
        again = [request for request in self.requests if not request.answered]
        if again and self.rng.random() < 0.5:
            request = self.rng.choice(again)
        else:
            request = Request(f"key-{len(self.requests)}", self._wish(), self.rng.choice([1, 1, 2]))
            self.requests.append(request)

        def answered() -> None:
            request.answered = True

        self._begin(
            lambda worker: worker.replays.ask(
                request.wish, limit=request.limit, by="anna", key=request.key
            ),
            answered,
            reads_the_index=True,
        )

    def _wish(self) -> Wish:
        trigger = self.rng.choice(self.scenario.triggers)
        if self.rng.random() < 0.5:
            outcomes = self.rng.sample(_OVER, self.rng.randint(1, 4))
            return Wish(trigger=trigger, outcomes=tuple(outcomes))
        runs = [
            f"{trigger}.{name.rpartition('/')[2].removesuffix('.json')}"
            for name in self.blobs.stored
            if name.startswith(f"ledger/{trigger}/")
        ]
        some = self.rng.sample(runs, min(len(runs), self.rng.randint(1, 8)))
        return Wish(runs=tuple(some)) if some else Wish(trigger=trigger, outcomes=("failed",))

    def _give_up(self) -> None:
        """Somebody cancels a replay."""
        under_way = [id for id, replay in self.replays.items() if not replay.over]
        if not under_way:
            return
        id = self.rng.choice(under_way)
        self.given_up.add(id)

        def cancel(worker: Worker) -> None:
            with suppress(SignalboxError):
                worker.replays.cancel(id)

        self._begin(cancel, reads_the_index=True)

    def _retry(self) -> None:
        """Somebody has a single run tried again."""
        records = [name for name in self.blobs.stored if name.startswith("ledger/")]
        if not records:
            return
        _, trigger, file = self.rng.choice(records).split("/")

        def retry(worker: Worker) -> None:
            with suppress(SignalboxError):
                worker.dispatcher.retry(trigger, file.removesuffix(".json"))

        self._begin(retry, reads_the_index=True)
