"""A short storm with a fixed seed; `make faults` and `make soak` are the long ones."""

import pytest

from tests.faults.storm import Weather, storm
from tests.faults.world import world

_SHORT = Weather(
    storm=8,
    least={"hosts": 1, "azureml": 3, "storage": 3, "triggers": 1},
    calm=0,
    per_second=0.8,
    kills_every=4,
    pauses_every=2,
    faults_every=0.4,
    patient=False,
    still=60,
    rest=150,
)


# Two hosts start, die and start again on a machine that does other things as well.
@pytest.mark.timeout(300)
def test_one_completed_job_for_each_event_whatever_happens() -> None:
    with world() as app:
        outcome = storm(app, _SHORT, seed=1)
    assert not outcome.wrong, "\n".join(outcome.lines())
    assert not outcome.unfinished, "\n".join(outcome.lines())
    # no stream was dry
    assert len(outcome.sent) == 6
