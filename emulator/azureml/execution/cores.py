"""How many steps run at once."""

import contextlib
import threading
from collections.abc import Iterator

from emulator.azureml.execution.failures import StepStopped

_LOOK_EVERY = 0.1


class Cores:
    """A number of places, first come first served as far as the threads are."""

    def __init__(self, count: int) -> None:
        self._places = threading.BoundedSemaphore(count)

    @contextlib.contextmanager
    def one(self, stop: threading.Event) -> Iterator[None]:
        """Hold one place. Raises StepStopped when `stop` is set while waiting for it."""
        while not self._places.acquire(timeout=_LOOK_EVERY):
            if stop.is_set():
                raise StepStopped
        try:
            if stop.is_set():
                raise StepStopped
            yield
        finally:
            self._places.release()
