"""When a group's events become a batch, and which of them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import releases
from shared.policies import Batch
from shared.releases import Due, Rule, Waiting

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = Batch.model_validate(
    {"wait_after_last_change": "PT2M", "max_wait": "PT30M", "max_events": 4}
)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def waiting(*seconds: float, released: float | None = None) -> list[Waiting]:
    events = [Waiting(at(one), f"e{number:03}") for number, one in enumerate(seconds)]
    return [*events, *([Waiting(at(released), "done", True)] if released is not None else [])]


@pytest.mark.parametrize(
    ("group", "now", "expected"),
    [
        (waiting(), 9_999, None),
        (waiting(0), 119, None),
        (waiting(0), 120, (120, Rule.QUIET)),
        # Each event puts it off, until one has waited too long.
        (waiting(0, 60), 120, None),
        (waiting(0, 60), 180, (180, Rule.QUIET)),
        (waiting(0, 1_700, 1_790), 1_799, None),
        (waiting(0, 1_700, 1_790), 1_800, (1_800, Rule.OLD)),
        # As many as may be are due at once, since the one that made them so many.
        (waiting(0, 1, 2, 3), 3, (3, Rule.FULL)),
        (waiting(0, 1, 2, 3, 4, 5), 6, (3, Rule.FULL)),
        (waiting(0, released=5), 6, (5, Rule.RELEASED)),
        # Events overtake one another.
        (waiting(7, released=5), 7, (7, Rule.RELEASED)),
        (waiting(released=5), 9_999, None),
    ],
)
def test_a_group_is_due_by_the_rule_that_made_it_so_first(
    group: list[Waiting], now: float, expected: tuple[float, Rule] | None
) -> None:
    found = releases.due(POLICY, group, at(now))

    assert found == (expected and Due(at(expected[0]), expected[1]))


def test_a_group_that_was_quiet_long_ago_was_due_before_it_was_released() -> None:
    assert releases.due(POLICY, waiting(0, released=500), at(600)) == Due(at(120), Rule.QUIET)


def test_when_a_group_is_due_if_nothing_more_comes() -> None:
    assert releases.latest(POLICY, waiting(0, 60)) == Due(at(180), Rule.QUIET)
    assert releases.latest(POLICY, waiting(0, 1_750)) == Due(at(1_800), Rule.OLD)
    assert releases.latest(POLICY, waiting(released=1)) is None


def test_the_oldest_go_first_and_what_released_them_with_the_last() -> None:
    group = waiting(5, 3, 1, 4, 2, released=0)
    first = releases.taken(POLICY, group)
    second = releases.taken(POLICY, [one for one in group if one not in first])

    assert [one.since for one in first] == [at(1), at(2), at(3), at(4)]
    assert [(one.since, one.releases) for one in second] == [(at(0), True), (at(5), False)]


def test_what_releases_nothing_waits_as_long_as_a_group_waits_for_its_next_event() -> None:
    alone = waiting(released=10)

    assert releases.void(POLICY, alone, at(129)) == []
    assert releases.void(POLICY, alone, at(130)) == alone
    assert releases.void(POLICY, waiting(0, released=10), at(130)) == []


moments = st.integers(min_value=0, max_value=5_000)
group_of_any = st.builds(
    lambda events, ends: [
        *(Waiting(at(one), f"e{number}") for number, one in enumerate(events)),
        *(Waiting(at(one), f"r{number}", True) for number, one in enumerate(ends)),
    ],
    st.lists(moments, max_size=12),
    st.lists(moments, max_size=2),
)
policies = st.builds(
    lambda quiet, more, most: Batch(
        wait_after_last_change=timedelta(seconds=quiet),
        max_wait=timedelta(seconds=quiet + more),
        max_events=most,
    ),
    st.integers(0, 600),
    st.integers(0, 3_000),
    st.integers(1, 5),
)


@given(policies, group_of_any, moments)
def test_what_is_due_stays_so_for_the_same_reason(
    policy: Batch, group: list[Waiting], now: int
) -> None:
    # A listing shows what is there.
    then = max((one.since for one in group), default=START) + timedelta(seconds=now)
    found = releases.due(policy, group, then)

    if found is not None:
        assert releases.due(policy, group, then + timedelta(hours=3)) == found


@given(policies, group_of_any)
def test_no_event_waits_longer_than_it_may(policy: Batch, group: list[Waiting]) -> None:
    events = [one for one in group if not one.releases]
    if not events:
        return
    oldest = min(one.since for one in events)
    found = releases.due(policy, group, oldest + policy.max_wait)

    assert found is not None
    assert found.at <= oldest + policy.max_wait or found.rule in (Rule.FULL, Rule.RELEASED)


@given(policies, group_of_any)
def test_batch_by_batch_everything_is_taken_once_the_oldest_first(
    policy: Batch, group: list[Waiting]
) -> None:
    left, batches = sorted(group), list[list[Waiting]]()
    while any(not one.releases for one in left):
        batch = releases.taken(policy, left)
        assert 1 <= sum(not one.releases for one in batch) <= policy.max_events
        left = [one for one in left if one not in batch]
        batches.append(batch)

    events = [one for batch in batches for one in batch if not one.releases]
    assert events == sorted(one for one in group if not one.releases)
    # What released them is with the last of them, and left alone when there were none.
    assert not any(one.releases for batch in batches[:-1] for one in batch)
    assert not (batches and left)
