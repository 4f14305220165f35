"""Threads of one process that want to read or change the same blob: one does it for all who wait.

Each hands over what it wishes and goes through; whoever is through first finds the wishes of those
behind it, and grants them together, by one request. Those behind find theirs granted. A courtesy of
threads to one another only: what counts is the blob's ETag, and after a while nobody waits.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

#: Seconds that a thread lets others of its process go first.
COURTESY = 5.0


class Lock(Protocol):
    """As of `threading`."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...

    def release(self) -> None: ...


@dataclass(eq=False)
class Wish[Answer]:
    """What one thread wants."""

    _answer: Answer | None = field(default=None, init=False)
    _granted: bool = field(default=False, init=False)

    @property
    def answer(self) -> Answer:
        """What came of it, once it was granted."""
        assert self._granted
        answer: Any = self._answer
        return answer  # type: ignore[no-any-return]


@dataclass(eq=False)
class Crowd[Kind: Wish[Any]]:
    """Those whose wishes one of them grants."""

    _waiting: list[Kind]
    _guard: threading.Lock

    def wishes(self) -> list[Kind]:
        """What all want who still wait for it, in the order in which they came.

        Of a blob that is to be changed, to be asked after it was read: who gives up waiting reads
        it later than that, so its own swap and this one cannot both succeed without one seeing the
        other. Of one that is only read, before.
        """
        with self._guard:
            return list(self._waiting)

    def grant(self, answers: Callable[[list[Kind]], Mapping[Kind, Any]], of: list[Kind]) -> None:
        """Tell those who still wait what came of their wishes."""
        with self._guard:
            still = [wish for wish in of if wish in self._waiting]
            for wish, answer in answers(still).items():
                wish._answer, wish._granted = answer, True
                self._waiting.remove(wish)


@dataclass
class _Turnstile:
    """One blob's lock, how many threads are at it, and what they want."""

    lock: Lock
    users: int = 0
    waiting: list[Any] = field(default_factory=list)


class Turnstiles:
    """One for each blob that somebody wants to change just now."""

    def __init__(self, new_lock: Callable[[], Lock] = threading.Lock) -> None:
        self._new_lock = new_lock
        self._turnstiles: dict[Hashable, _Turnstile] = {}
        self._guard = threading.Lock()

    def through[Kind: Wish[Any]](
        self, name: Hashable, wish: Kind, serve: Callable[[Crowd[Kind]], None]
    ) -> None:
        """Have a wish granted, by another thread or with `serve`, which grants all there are.

        What `serve` raises is raised to the thread that called it; the others serve themselves.
        """
        with self._at(name) as turnstile:
            with self._guard:
                turnstile.waiting.append(wish)
            entered = turnstile.lock.acquire(timeout=COURTESY)
            try:
                with self._guard:
                    if wish._granted:
                        return
                    if not entered:
                        turnstile.waiting.remove(wish)
                waiting = turnstile.waiting if entered else [wish]
                serve(Crowd(waiting, self._guard))
                assert wish._granted
            finally:
                with self._guard:
                    if wish in turnstile.waiting:
                        turnstile.waiting.remove(wish)
                if entered:
                    turnstile.lock.release()

    @contextmanager
    def _at(self, name: Hashable) -> Iterator[_Turnstile]:
        with self._guard:
            turnstile = self._turnstiles.setdefault(name, _Turnstile(self._new_lock()))
            turnstile.users += 1
        try:
            yield turnstile
        finally:
            with self._guard:
                turnstile.users -= 1
                if not turnstile.users:
                    del self._turnstiles[name]
