"""What an order is when it is written down first."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.index import Paused, Snapshot
from shared.ledger import Reason, Record, State
from shared.openings import Binding, Openings, place_of, slot_of_order
from shared.orders import Order
from shared.slots import ALL
from shared.triggers import Match, Matcher
from tests.unit.scene import DEPLOYMENT, Scene, event, indexed, trigger


@pytest.fixture
def here() -> Scene:
    return Scene()


def ordered(
    here: Scene, given: TriggerDefinition, paused: Paused | None = None
) -> tuple[Order, Binding, Snapshot]:
    here.publish(given)
    snapshot = here.index.peek()
    [known] = indexed(given).values()
    if paused:
        known = known.model_copy(update={"paused": paused})
    verdict = Matcher({given.name: known}, here.variables).judge(known, event())
    assert isinstance(verdict, Match)
    order = here.orders.matched(event(), verdict)
    return order, here.orders.bind(order, snapshot), snapshot


def opened(here: Scene, given: TriggerDefinition, paused: Paused | None = None) -> Record:
    order, binding, snapshot = ordered(here, given, paused)
    openings = Openings(deployment=DEPLOYMENT, computes=here.computes)
    return openings.open(order, here.world.now, binding, snapshot)


def test_a_run_that_may_begin_has_its_job_and_what_bounds_it(here: Scene) -> None:
    record = opened(
        here,
        trigger(policies={"retry": {"max_attempts": 3}, "run_timeout": "PT2H"}),
    )

    assert record.state is State.SUBMITTING
    assert record.body is not None
    assert record.attempt.number == 1
    assert (record.slot, record.max_attempts) == (ALL, 3)
    assert record.run_timeout == timedelta(hours=2)


def test_nothing_takes_a_place_that_nothing_bounds(here: Scene) -> None:
    assert opened(here, trigger()).slot is None


@pytest.mark.parametrize(
    "policies",
    [
        {"concurrency": {"limit": 3}, "max_runs_per_day": "unlimited"},
        {"concurrency": {"limit": "unlimited"}, "max_runs_per_day": 3},
        {},
    ],
)
def test_either_bound_asks_for_a_place(here: Scene, policies: dict[str, Any]) -> None:
    assert opened(here, trigger(policies=policies)).slot == ALL


def test_runs_of_one_key_share_a_place_and_say_which(here: Scene) -> None:
    keyed = trigger(policies={"concurrency": {"key": "${{ event.data.api }}", "limit": 2}})
    order, binding, _ = ordered(here, keyed)
    record = opened(here, keyed)

    assert record.slot not in (None, ALL)
    place = place_of(order, record, binding)
    assert (place.label, place.policies.concurrency.limit) == ("PutBlob", 2)


def test_a_key_that_finds_nothing_is_a_dead_letter_that_says_where(here: Scene) -> None:
    record = opened(
        here, trigger(policies={"concurrency": {"key": "${{ event.data.nothing }}", "limit": 2}})
    )

    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert record.reason.code == "input_missing"
    assert record.reason.text.startswith("policies.concurrency.key: ")
    assert record.slot is None


@pytest.mark.parametrize(
    ("policy", "state", "then"),
    [("hold", State.HELD, "resume"), ("drop", State.SKIPPED, "dropped")],
)
def test_while_paused_nothing_begins(here: Scene, policy: str, state: State, then: str) -> None:
    paused = Paused(at=here.world.now, note="the source is being repaired")
    record = opened(here, trigger(policies={"while_paused": policy}), paused)

    assert record.state is state
    assert record.body is None
    assert record.reason is not None
    assert record.reason.code == "paused"
    assert "the source is being repaired" in record.reason.text
    assert then in record.reason.text


def test_what_names_no_pipeline_takes_no_place(here: Scene) -> None:
    order, (pipeline, _), _ = ordered(here, trigger(policies={}))
    missing = Reason(code="pipeline_missing", text="none")

    assert slot_of_order(order, (pipeline, missing)) is None


def test_a_slot_of_its_own_comes_before_the_trigger_s(here: Scene) -> None:
    order, binding, _ = ordered(here, trigger(policies={}))

    assert slot_of_order(replace(order, own_slot=("replay-1", 2)), binding) == "replay-1"
