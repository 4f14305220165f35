"""What may happen at a request: others go first, storage does not do it, or its answer is lost."""

from random import Random

from greenlet import getcurrent

from shared.errors import StorageUnavailable
from tests.simulation.fickle import Odds


class Trouble:
    """A history whose requests are made by greenlets; `World` calls it at each of them."""

    rng: Random
    odds: Odds
    #: Nothing goes wrong yet, or any more.
    _calm = True

    def _before(self, call: str) -> None:
        if self._yield() and self._unlucky(call, self.odds.storage_fails):
            raise StorageUnavailable("storage did not do it")

    def _after(self, call: str) -> None:
        if self._yield() and self._unlucky(call, self.odds.storage_answer_lost):
            raise StorageUnavailable("storage did it, its answer was lost")

    def _unlucky(self, call: str, odds: float) -> bool:
        """Whether a storage call fails; the workspace's calls fail in ways of their own."""
        storage = not call.startswith(("PUT", "GET", "cancel", "steps", "send"))
        return storage and not self._calm and self.rng.random() < odds

    def _yield(self) -> bool:
        """Let others go first; False in the simulation's own calls."""
        parent = getcurrent().parent
        if parent is None:
            return False
        parent.switch(False)
        return True
