"""A short storm with a fixed seed; `make faults` and `make soak` are the long ones."""

import pytest

from tests.faults.storm import Weather, storm
from tests.faults.world import world

_SHORT = Weather(
    storm=12,
    calm=0,
    per_second=1.5,
    kills_every=4,
    faults_every=0.7,
    patient=False,
    rest=100,
)


# Two hosts start, die and start again on a machine that does other things as well.
@pytest.mark.timeout(300)
def test_one_completed_job_for_each_event_whatever_happens() -> None:
    with world() as app:
        outcome = storm(app, _SHORT, seed=1)
    assert not outcome.wrong, "\n".join(outcome.lines())
    # the storm was one, and no stream was dry
    assert outcome.met["hosts killed"] >= 1
    assert sum(n for what, n in outcome.met.items() if what.startswith("azureml")) >= 3
    assert set(outcome.sent) == {"unbounded", "again", "two-a-shop", "skipping"}
