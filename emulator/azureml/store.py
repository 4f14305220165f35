"""Everything of one kind that the workspace has, in memory and safe to share between threads."""

import threading
from collections.abc import Callable
from typing import Protocol


class Named(Protocol):
    """What a store can hold."""

    @property
    def name(self) -> str: ...


class Store[T: Named]:
    """Things by name. `missing` makes the error for a name that nothing has."""

    def __init__(self, missing: Callable[[str], Exception]) -> None:
        self._missing = missing
        self._lock = threading.Lock()
        self._things: dict[str, T] = {}

    def add(self, thing: T) -> None:
        with self._lock:
            self._things[thing.name] = thing

    def find(self, name: str) -> T | None:
        with self._lock:
            return self._things.get(name)

    def get(self, name: str) -> T:
        """The one of that name. Raises what `missing` makes."""
        thing = self.find(name)
        if thing is None:
            raise self._missing(name)
        return thing

    def newest_first(self) -> list[T]:
        with self._lock:
            return list(reversed(self._things.values()))
