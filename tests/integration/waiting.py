"""Waiting for something to become true, with a deadline and never by guessing a pause."""

import time
from collections.abc import Callable


def eventually[T](look: Callable[[], T], *, seconds: float = 20, every: float = 0.02) -> T:
    """The first true value that `look` returns; AssertionError with the last one after a while.

    `every` are seconds between two looks: more where a look is work for somebody.
    """
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last seen: {found!r}"
        time.sleep(every)
    return found
