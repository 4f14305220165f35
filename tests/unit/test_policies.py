from typing import Any

import pytest
from pydantic import ValidationError

from shared.policies import Concurrency, Policies, Sweep


def test_what_nobody_says_bounds_runs_all_the_same() -> None:
    policies = Policies()

    assert (policies.concurrency.limit, policies.concurrency.key) == (20, None)
    assert policies.max_runs_per_day == 1000
    assert (policies.overlap, policies.while_paused) == ("buffer_all", "hold")
    assert (policies.retry.max_attempts, policies.run_timeout, policies.max_depth) == (1, None, 5)
    assert policies.batch is None
    assert policies.bounded


@pytest.mark.parametrize(
    ("limit", "per_day", "bounded"),
    [("unlimited", "unlimited", False), (1, "unlimited", True), ("unlimited", 1, True)],
)
def test_only_what_is_unlimited_twice_is_not_bounded(
    limit: object, per_day: object, bounded: bool
) -> None:
    policies = Policies.model_validate(
        {"concurrency": {"limit": limit}, "max_runs_per_day": per_day}
    )

    assert policies.bounded is bounded


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "many", None, "20", [1]])
def test_a_limit_is_a_whole_number_or_unlimited(limit: object) -> None:
    with pytest.raises(ValidationError, match="whole number from 1, or 'unlimited'"):
        Concurrency.model_validate({"limit": limit})


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ({"run_timeout": "PT59S"}, "shorter than PT1M"),
        ({"retry": {"max_attempts": 0}}, "greater than or equal to 1"),
        ({"batch": {"wait_after_last_change": "PT1H", "max_wait": "PT5M"}}, "longer than max_wait"),
        ({"batch": {"max_wait": "P8D"}}, "longer than P7D"),
        ({"batch": {"max_events": 0}}, "greater than or equal to 1"),
        ({"batch": {"max_events": 10_001}}, "less than or equal to 10000"),
        ({"batch": {"release_on": {}}}, "asks for nothing"),
        ({"batch": {"group_by": ["day", "day"]}}, "twice"),
        (
            {
                "overlap": "buffer_one",
                "batch": {},
                "concurrency": {"limit": "unlimited"},
                "max_runs_per_day": "unlimited",
            },
            "needs a concurrency.limit",
        ),
        ({"while_paused": "forget"}, "'hold' or 'drop'"),
    ],
)
def test_what_cannot_be_meant_is_refused(policies: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Policies.model_validate(policies)


@pytest.mark.parametrize(
    ("sweep", "said"),
    [({"every": "PT1M"}, "shorter than PT5M"), ({"every": "P3D"}, "lookback is shorter")],
)
def test_a_sweep_leaves_no_gap(sweep: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Sweep.model_validate(sweep)


@pytest.mark.parametrize(
    "policies",
    [
        {},
        {"concurrency": {"limit": "unlimited"}, "max_runs_per_day": "unlimited"},
        {"run_timeout": "P1D", "batch": {"release_on": {"suffix": {"subject": "/_SUCCESS"}}}},
    ],
)
def test_what_is_written_is_read_as_the_same(policies: dict[str, Any]) -> None:
    read = Policies.model_validate(policies)

    assert Policies.model_validate_json(read.model_dump_json(by_alias=True)) == read
