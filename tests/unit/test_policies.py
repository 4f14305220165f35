"""What bounds a trigger's runs: what may be written, and what makes no sense."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.policies import Batch, Policies


def test_a_batch_needs_nothing_said() -> None:
    batch = Policies.model_validate({"batch": {}}).batch

    assert batch == Batch(
        group_by=(),
        wait_after_last_change=timedelta(minutes=2),
        max_wait=timedelta(minutes=30),
        max_events=5_000,
        release_on=None,
    )


@pytest.mark.parametrize(
    ("batch", "why"),
    [
        ({"wait_after_last_change": "PT2H"}, "longer than max_wait"),
        ({"wait_after_last_change": "-PT2M"}, "is no duration"),
        ({"wait_after_last_change": 120}, "is no duration"),
        ({"max_wait": "P8D"}, "longer than P7D"),
        ({"max_events": 0}, "greater than or equal to 1"),
        ({"max_events": 50_001}, "less than or equal to 50000"),
        ({"release_on": {}}, "asks for nothing"),
        ({"group_by": ["day", "day"]}, "twice"),
        ({"group_by": ["Day"]}, "pattern"),
    ],
)
def test_a_batch_that_makes_no_sense_is_told_why(batch: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Policies.model_validate({"batch": batch})


@pytest.mark.parametrize(
    ("policies", "why"),
    [
        ({"overlap": "buffer_one"}, "is for batches"),
        ({"overlap": "skip", "batch": {}}, "would lose a whole batch"),
        (
            {
                "overlap": "buffer_one",
                "batch": {},
                "concurrency": {"limit": "unlimited"},
                "max_runs_per_day": "unlimited",
            },
            "needs a concurrency.limit",
        ),
    ],
)
def test_overlap_and_batches_go_together(policies: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Policies.model_validate(policies)
