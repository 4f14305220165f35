"""Waiting for something to become true, with a deadline and never by guessing a pause."""

import time
from collections.abc import Callable


def eventually[T](look: Callable[[], T], *, seconds: float = 20) -> T:
    """The first true value that `look` returns; AssertionError with the last one after a while."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last seen: {found!r}"
        time.sleep(0.02)
    return found
