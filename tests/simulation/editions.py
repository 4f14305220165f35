"""What was published of each trigger in a history, one after the other."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.policies import Policies


@dataclass(frozen=True)
class Edition:
    """What was published, or that the trigger was removed."""

    #: The step of the scheduler since which it holds, and the services' time.
    step: int
    at: datetime
    #: What bounds its runs; of a trigger that is not there, what bounds those that it has left.
    policies: Policies
    there: bool = True


class Editions:
    """All editions of all triggers."""

    def __init__(self, policies: Iterable[tuple[str, Policies]]) -> None:
        first = datetime.min.replace(tzinfo=UTC)
        self._of = {name: [Edition(0, first, each)] for name, each in policies}

    def add(self, trigger: str, policies: Policies | None, step: int, at: datetime) -> None:
        """A trigger was published anew; without policies: it was removed."""
        there = policies is not None
        self._of[trigger].append(Edition(step, at, policies or Policies(), there))

    def now(self, trigger: str) -> Edition:
        return self._of[trigger][-1]

    def ever(self, trigger: str) -> list[Edition]:
        return list(self._of[trigger])

    def since(self, trigger: str, step: int) -> list[Policies]:
        """What held at a step, and what was published after it."""
        all_of_it = self._of[trigger]
        later = [each.policies for each in all_of_it if each.step > step]
        return [next(e.policies for e in reversed(all_of_it) if e.step <= step), *later]

    def overlooks(self, trigger: str, uploaded: datetime, answered: int | None) -> bool:
        """Whether nothing need come of an upload, as the trigger was not there for it: an upload
        from before it was published again is none of its business."""
        each, following = self._of[trigger], [*self._of[trigger][1:], None]
        return any(
            not one.there
            and (answered is None or one.step <= answered)
            and (then is None or uploaded <= then.at)
            for one, then in zip(each, following, strict=True)
        )


def largest(limits: Iterable[int | None]) -> int | None:
    """The largest of some limits; None: there is one that bounds nothing."""
    found = list(limits)
    return None if None in found else max(each for each in found if each is not None)
