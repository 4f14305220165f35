"""What bounds a slot."""

from datetime import UTC, datetime
from typing import Any

from shared.places import OTHERS_FIRST, Place, daily_limit
from shared.policies import Policies
from shared.slots import ALL, Slot

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def place(own_limit: int | None = None, **policies: Any) -> Place:
    return Place(
        trigger="letters",
        slot=ALL,
        label="north",
        policies=Policies.model_validate(policies),
        own_limit=own_limit,
    )


def slot(*runs: str, waiting: int = 0) -> Slot:
    return Slot(holders=dict.fromkeys(runs, NOW), waiting=waiting)


def test_there_is_room_up_to_the_limit() -> None:
    two = place(concurrency={"limit": 2})
    assert [two.room(slot(*runs), 50) for runs in ("", "a", "ab", "abc")] == [2, 1, 0, 0]
    assert two.room(slot(), 1) == 1
    assert place(concurrency={"limit": "unlimited"}).room(slot("a"), 50) == 50


def test_a_limit_of_its_own_counts_instead_of_the_triggers() -> None:
    replay = place(own_limit=1, max_runs_per_day=3)
    assert (replay.limit, replay.per_day) == (1, None)
    assert place(max_runs_per_day=3).per_day == 3


def test_who_cannot_begin_is_told_why() -> None:
    one = place(concurrency={"limit": 1})
    assert one.obstacle(slot()) is None
    assert one.obstacle(slot(waiting=1)) == OTHERS_FIRST
    full = one.obstacle(slot("a", waiting=1))
    assert full is not None
    assert full.text == "1 run is under way of 'north', and 1 may be."
    assert "5 runs of letters have begun today" in daily_limit(place(max_runs_per_day=5)).text
