"""NCRONTAB schedules and retry pauses of the functions host."""

from datetime import UTC, datetime, timedelta

import pytest

from emulator.functions_host.protos import RpcRetryOptions
from emulator.functions_host.timers import Schedule, retry_delay

# a Sunday
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 * * * * *", "2026-11-22T12:01:00"),
        ("*/10 * * * * *", "2026-11-22T12:00:10"),
        ("0 */5 * * * *", "2026-11-22T12:05:00"),
        # five fields have no seconds
        ("30 14 * * *", "2026-11-22T14:30:00"),
        ("0 0 9-11 * * *", "2026-11-23T09:00:00"),
        ("0 30 9 * Jan Mon", "2027-01-04T09:30:00"),
        # the day of the month and the day of the week must both match, unlike in cron
        ("0 0 0 1 * Mon", "2027-02-01T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
    ],
)
def test_the_next_occurrence(expression: str, expected: str) -> None:
    assert Schedule(expression).next(NOON) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "00:05:00",
        "@daily",
        "0 0 0 L * *",
        "0 0 0 ? * 1",
        "61 * * * * *",
    ],
)
def test_what_azure_does_not_accept_is_refused(expression: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Schedule(expression)
    assert repr(expression) in str(refusal.value)


def test_a_fixed_delay_stays_the_same() -> None:
    retry = RpcRetryOptions(
        retry_strategy="fixed_delay", max_retry_count=3, delay_interval=timedelta(seconds=5)
    )
    assert [retry_delay(retry, attempt).seconds for attempt in (1, 2, 3)] == [5, 5, 5]


def test_exponential_backoff_doubles_up_to_the_longest() -> None:
    retry = RpcRetryOptions(
        retry_strategy="exponential_backoff",
        max_retry_count=-1,
        minimum_interval=timedelta(seconds=2),
        maximum_interval=timedelta(seconds=10),
    )
    assert [retry_delay(retry, n).seconds for n in (1, 2, 3, 4, 1000)] == [2, 4, 8, 10, 10]
