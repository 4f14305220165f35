"""Locks between the threads of a simulated process, of which each is a greenlet."""

from random import Random

from greenlet import getcurrent

#: How often, of the times it looks, one who waits gives up.
_IMPATIENCE = 0.03


class Door:
    """Lets others go on while it waits; sometimes it does not wait to the end."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._taken = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: ARG002
        while self._taken:
            parent = getcurrent().parent
            assert parent is not None, "the simulation's own calls are alone"
            if self._rng.random() < _IMPATIENCE:
                return False
            parent.switch(False)
        self._taken = True
        return True

    def release(self) -> None:
        self._taken = False
