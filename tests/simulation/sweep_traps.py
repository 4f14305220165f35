"""Rules of sweeps left out: each is a bug that the simulation must find.

See docs/decisions/0016-sweeps-report-what-was-overwritten.md.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shared import sweeps
from shared.index import IndexedTrigger
from shared.searches import Searches, Seen
from shared.sweep_states import Course, KeptSweep
from shared.sweeps import OVERLAP, Sweeps
from tests.simulation.trap import FAIR, Trap
from tests.simulation.workers import Parts


class CreateBeforeRead(Searches):
    """What is not recorded is started, and only then it is looked whether its path was seen."""

    def _take(
        self, indexed: IndexedTrigger, course: Course, upload: Any, one: Any, seen: Seen
    ) -> Course:
        if getattr(one, "recorded", True) is False and not course.dry_run:
            self._started(indexed, one.event, course.began)
        return super()._take(indexed, course, upload, one, seen)


class NoMargin(Sweeps):
    """A sweep begins where the one before did: what was too young for that is passed over."""

    def _go_on(self, indexed: IndexedTrigger, kept: KeptSweep, until: Callable[[], bool]) -> None:
        if kept.state.course is None:
            course = sweeps._next(indexed, kept.state, self._index.now())
            since = course.since if course.full else course.since + OVERLAP
            course = course.model_copy(update={"since": since})
            kept = KeptSweep(kept.state.model_copy(update={"course": course}), kept.etag)
        super()._go_on(indexed, kept, until)


class WrittenBeforeItIsDone(Sweeps):
    """How far a sweep is, is written down before that is done: a crash in between loses it."""

    def _go_on(self, indexed: IndexedTrigger, kept: KeptSweep, *_given: Any) -> None:
        name, now = indexed.definition.name, self._index.now()
        course = kept.state.course or sweeps._next(indexed, kept.state, now)
        ended = self._ended(name, kept.state, course)
        if written := self._states.swap(name, kept, ended):
            self._searches.page(indexed, course, self._searches.seen(name), lambda: False)
            again = written.state.model_copy(update={"course": None})
            self._states.swap(name, written, again)


class ForgottenIsLeft(Searches):
    """What waits for a batch that does not know of it is passed over like what is recorded."""

    def _look_up(self, trigger: str, one: Any) -> None:
        super()._look_up(trigger, one)
        one.forgotten = False


class OverwrittenIsStarted(Searches):
    """Nobody asks whether a path was there before: a property that is set runs it again."""

    def seen(self, trigger: str) -> Any:  # noqa: ARG002
        return frozenset[str]()


def _sweeps(**given: Any) -> dict[str, Any]:
    return {
        "uploads": 8,
        "steps": 400,
        "asked": 0,
        "slow": None,
        "policies": {"max_runs_per_day": "unlimited"},
        **given,
    }


_QUICK = replace(FAIR, progress=0.6)
_CRASHES = replace(_QUICK, crash=0.05)


def _trap(parts: Parts, odds: Any = _QUICK, **given: Any) -> Trap:
    return Trap(parts, odds, _sweeps(**given), kind="sweeps")


SWEEP_TRAPS: dict[str, Trap] = {
    "create before read": _trap(Parts(searches=CreateBeforeRead), alone=True),
    "no margin": _trap(Parts(sweeps=NoMargin), alone=True),
    "overwritten is started": _trap(Parts(searches=OverwrittenIsStarted), alone=True),
    "forgotten is left": _trap(
        Parts(searches=ForgottenIsLeft),
        replace(_QUICK, crash=0.1),
        alone=False,
        slow="create inbox/",
    ),
    "written before it is done": _trap(
        Parts(sweeps=WrittenBeforeItIsDone), replace(_QUICK, crash=0.1), alone=True, slow="page"
    ),
}
