"""When a group's events become a batch, and which of them. Pure.

Times are the storage service's: when the marker of each event was put.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.policies import Batch


@dataclass(frozen=True, order=True)
class Waiting:
    """An event that waits for its batch."""

    since: datetime
    key: str
    #: It says that its group is complete, and is in no batch itself.
    releases: bool = False


class Rule(StrEnum):
    """Why a group is due."""

    RELEASED = "released"
    FULL = "max_events"
    QUIET = "wait_after_last_change"
    OLD = "max_wait"


@dataclass(frozen=True, order=True)
class Due:
    """That a group is due, and since when."""

    at: datetime
    rule: Rule


def due(policy: Batch, waiting: Iterable[Waiting], now: datetime) -> Due | None:
    """Whether a group is due: by the rule that made it so first."""
    events, releases = _parted(waiting)
    if not events:
        return None
    rules = []
    if releases:
        # It released nothing as long as there was nothing.
        rules.append(Due(max(releases[0].since, events[0].since), Rule.RELEASED))
    if len(events) >= policy.max_events:
        rules.append(Due(events[policy.max_events - 1].since, Rule.FULL))
    rules += [one for one in _by_time(policy, events) if one.at <= now]
    return min(rules, default=None)


def latest(policy: Batch, waiting: Iterable[Waiting]) -> Due | None:
    """When a group is due if nothing more comes; None when it has no events."""
    events, _ = _parted(waiting)
    return min(_by_time(policy, events)) if events else None


def taken(policy: Batch, waiting: Iterable[Waiting]) -> list[Waiting]:
    """What a batch takes of a group that is due, oldest first.

    What released the group goes with the last of its events: until then it is complete.
    """
    events, releases = _parted(waiting)
    if len(events) > policy.max_events:
        return events[: policy.max_events]
    return sorted([*events, *releases])


def void(policy: Batch, waiting: Iterable[Waiting], now: datetime) -> list[Waiting]:
    """What released nothing: no event of its group came for so long as it would be waited for.

    Events overtake one another, so it may come before those that it is about.
    """
    events, releases = _parted(waiting)
    if events:
        return []
    return [one for one in releases if one.since + policy.wait_after_last_change <= now]


def _by_time(policy: Batch, events: Sequence[Waiting]) -> list[Due]:
    return [
        Due(events[-1].since + policy.wait_after_last_change, Rule.QUIET),
        Due(events[0].since + policy.max_wait, Rule.OLD),
    ]


def _parted(waiting: Iterable[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """Events and what releases them, each oldest first."""
    in_order = sorted(waiting)
    return (
        [one for one in in_order if not one.releases],
        [one for one in in_order if one.releases],
    )
