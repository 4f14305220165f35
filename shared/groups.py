"""Which events of a batched trigger belong together, and which one says that they are complete.

Pure: from a trigger's pattern and what an event says.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shared.paths import PathPattern


@dataclass(frozen=True, kw_only=True)
class Group:
    """Events that have the same captures, those that a trigger groups by."""

    #: Capture -> text, in the order of `group_by`.
    values: Mapping[str, str]
    #: Set for events that are looked at once more, which never mix with those that come.
    replay: str | None = None

    @property
    def id(self) -> str:
        """A digest, as the name of the group's blobs."""
        parts = [sorted(self.values.items()), *([self.replay] if self.replay else [])]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    @property
    def text(self) -> str:
        """The group in words: "date=2026-03-01, region=north"."""
        return ", ".join(f"{name}={value}" for name, value in self.values.items()) or "all events"


def of(group_by: Sequence[str], captures: Mapping[str, str], replay: str | None = None) -> Group:
    """The group of an event with these captures."""
    return Group(values={name: captures[name] for name in group_by}, replay=replay)


# Every event that may release a group asks again.
@lru_cache(maxsize=1_000)
def folders(pattern: str, group_by: tuple[str, ...]) -> list[PathPattern]:
    """The folders, on the way of a pattern, in which an event tells its group by where it is.

    Those below all literal ones that capture what is grouped by; none when that is in the last
    segment. Raises ValueError for a pattern that cannot be read.
    """
    *parents, _ = pattern.split("/")
    literal = PathPattern(pattern).prefix.count("/")
    ways = ["/".join(parents[:depth]) for depth in range(literal, len(parents) + 1)]
    found = [PathPattern.parse(way) for way in ways]
    return [folder for folder in found if folder.captures >= set(group_by)]


def found_in(pattern: str, group_by: Sequence[str], path: str) -> dict[str, str] | None:
    """What the folder of a path captures, when that tells the group; see `folders`."""
    folder = path.rpartition("/")[0]
    for one in folders(pattern, tuple(group_by)):
        captures = one.match(folder)
        if captures is not None:
            return captures
    return None
