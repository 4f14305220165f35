"""Computes: made to be there without waiting, and what runs make of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.compute import COMPUTE_PATIENCE, RETRY, computes_of
from shared.compute_definitions import ComputeDefinition
from shared.compute_plans import State
from shared.errors import JobRejected, RecordUnreadable, WorkspaceUnavailable
from shared.index import Snapshot
from shared.ledger import LEASE
from shared.ledger import State as Run
from shared.workspace import JobBody
from tests.unit.scene import Scene, event, fail, interject, trigger

CPU = ComputeDefinition.kept({"name": "cpu-cluster", "type": "amlcompute", "size": "D2"})
DESK = ComputeDefinition.kept({"name": "desk", "type": "computeinstance", "size": "D2"})


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(trigger())
    return scene


def adopt(scene: Scene, *definitions: ComputeDefinition) -> list[str]:
    """What publishing does with computes; the lines that it says."""
    told: list[str] = []
    scene.computes.adopt(definitions, told.append)

    def named(before: Snapshot, _at: object) -> Snapshot:
        return before.model_copy(update={"computes": {each.name: "r1" for each in definitions}})

    scene.index.change(named)
    scene.index.read()
    scene.world.calls.clear()
    return told


def minute(scene: Scene) -> None:
    scene.world.pass_time(61)
    scene.tick.run()


def state(scene: Scene, name: str = "cpu-cluster") -> State:
    return scene.computes.all()[name].state


def test_publishing_creates_what_is_missing_and_waits_for_nothing(here: Scene) -> None:
    told = adopt(here, CPU)

    assert here.targets.there["cpu-cluster"].provisioning == "Creating"
    assert state(here) is State.CHANGING
    assert told == ["compute cpu-cluster is on its way"]


def test_publishing_again_changes_nothing(here: Scene) -> None:
    adopt(here, CPU)
    here.targets.ready("cpu-cluster")
    before = dict(here.targets.there)

    assert adopt(here, CPU) == ["compute cpu-cluster is ready"]
    assert here.targets.there == before


def test_an_event_asks_no_compute_anything(here: Scene) -> None:
    adopt(here, CPU)
    here.targets.ready("cpu-cluster")
    here.computes.check()
    here.calls()

    here.dispatcher.handle(event())
    calls = here.calls()
    assert here.record().state is Run.SUBMITTED
    assert [call for call in calls if "compute" in call] == ["get_if_changed computes.json"]


def test_an_event_whose_compute_nobody_defined_costs_no_more_than_ever(here: Scene) -> None:
    adopt(here, DESK)
    here.dispatcher.handle(event())

    assert here.calls() == [
        "get_if_changed index.json",
        "put open",
        "create ledger",
        "PUT",
        "swap ledger",
    ]


def test_a_run_waits_for_its_compute_and_goes_on_when_it_is_there(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())

    waiting = here.record()
    assert waiting.state is Run.WAITING_COMPUTE
    assert waiting.reason
    assert waiting.reason.text == "compute cpu-cluster is on its way"
    minute(here)
    assert here.record().state is Run.WAITING_COMPUTE
    assert here.workspace.jobs == {}

    here.targets.ready("cpu-cluster")
    minute(here)
    done = here.record()
    assert [t.state for t in done.transitions] == [
        Run.WAITING_COMPUTE,
        Run.SUBMITTING,
        Run.SUBMITTED,
    ]
    assert done.reason is None
    assert list(here.workspace.jobs) == [done.attempt.job_name]


def test_a_second_delivery_of_what_waits_submits_nothing(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())
    [decision] = here.dispatcher.handle(event())

    assert decision.duplicate
    assert here.workspace.jobs == {}


def test_a_second_delivery_leaves_it_to_the_tick_that_the_compute_is_there(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())
    here.targets.ready("cpu-cluster")
    here.computes.check()
    here.calls()
    here.dispatcher.handle(event())

    assert [call for call in here.calls() if call.startswith(("GET", "PUT"))] == []
    assert here.record().state is Run.WAITING_COMPUTE
    minute(here)
    assert here.record().state is Run.SUBMITTED


def test_what_waits_too_long_is_a_dead_letter_that_says_why(here: Scene) -> None:
    here.targets.trouble = WorkspaceUnavailable("403: give it AzureML Compute Operator")
    adopt(here, CPU)
    here.targets.trouble = JobRejected("QuotaExceeded", "no cores")
    here.targets.there.clear()
    # A look succeeds, and what is begun is refused.
    here.targets.find = _nothing  # type: ignore[method-assign]
    adopt(here, CPU)
    here.dispatcher.handle(event())
    here.world.pass_time(COMPUTE_PATIENCE.total_seconds())
    here.tick.run()
    assert here.record().state is Run.WAITING_COMPUTE
    here.world.pass_time(1)
    here.tick.run()

    dead = here.record()
    assert dead.state is Run.DEAD_LETTER
    assert dead.reason
    assert dead.reason.code == "compute_unavailable"
    assert "no cores" in dead.reason.text
    assert "Ask for more quota" in dead.reason.text
    assert here.markers() == []


def test_canceling_ends_the_wait(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())
    record = here.record()
    assert here.submission.request_cancel(record.trigger, record.key)
    here.targets.ready("cpu-cluster")
    minute(here)

    assert here.record().state is Run.CANCELED
    assert here.workspace.jobs == {}


def test_a_cancel_between_the_look_and_the_put_is_seen(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())
    record = here.record()
    here.targets.ready("cpu-cluster")
    here.computes.check()
    interject(
        here.world,
        "swap ledger/",
        lambda: here.submission.request_cancel(record.trigger, record.key),
    )
    minute(here)
    assert here.workspace.jobs == {}

    minute(here)
    assert here.record().state is Run.CANCELED


def test_a_worker_that_dies_after_the_wait_is_taken_over(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())
    here.targets.ready("cpu-cluster")
    fail(here.world, "PUT", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        minute(here)
    assert here.record().state is Run.SUBMITTING

    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()
    assert here.record().state is Run.SUBMITTED


def test_a_refusal_after_the_wait_is_final_at_once(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())
    here.targets.ready("cpu-cluster")
    fail(here.world, "PUT", JobRejected("UserError", "no"))
    minute(here)

    assert here.record().state is Run.DEAD_LETTER


def test_a_stopped_instance_is_started_only_for_a_run_that_waits(here: Scene) -> None:
    adopt(here, DESK, CPU)
    here.targets.ready("cpu-cluster")
    here.targets.ready("desk")
    stopped = replace(here.targets.there["desk"], state="Stopped")
    here.targets.there["desk"] = stopped
    minute(here)
    assert here.targets.there["desk"] == stopped
    assert state(here, "desk") is State.STOPPED

    here.publish(trigger(compute="desk"))
    adopt_names(here, "desk", "cpu-cluster")
    here.dispatcher.handle(event(time=here.world.now))
    assert here.record().state is Run.WAITING_COMPUTE
    assert here.targets.there["desk"] == stopped
    minute(here)
    assert here.targets.there["desk"].state == "Starting"
    here.targets.ready("desk")
    minute(here)
    assert here.record().state is Run.SUBMITTED


def adopt_names(scene: Scene, *names: str) -> None:
    scene.index.change(
        lambda before, _at: before.model_copy(update={"computes": dict.fromkeys(names, "r1")})
    )


def test_publishing_starts_what_is_stopped(here: Scene) -> None:
    adopt(here, DESK)
    here.targets.there["desk"] = replace(
        here.targets.there["desk"], provisioning="Succeeded", state="Stopped"
    )
    adopt(here, DESK)

    assert here.targets.there["desk"].state == "Starting"


def test_an_instance_that_does_not_start_is_tried_again_after_a_while(here: Scene) -> None:
    adopt(here, DESK)
    here.publish(trigger(compute="desk"))
    adopt_names(here, "desk")
    stopped = replace(
        here.targets.there["desk"],
        provisioning="Succeeded",
        state="Stopped",
        problem="AllocationFailed",
    )
    here.targets.there["desk"] = stopped
    here.computes.check()
    here.dispatcher.handle(event(time=here.world.now))
    here.world.pass_time(RETRY.total_seconds())
    here.tick.run()
    assert here.targets.there["desk"].state == "Starting"

    # It comes to nothing.
    here.targets.there["desk"] = stopped
    minute(here)
    minute(here)
    assert here.targets.there["desk"] == stopped
    waiting = here.record().reason
    assert waiting
    assert waiting.text.startswith(
        "compute desk is stopped: Azure could not start compute 'desk': AllocationFailed. "
    )
    here.world.pass_time(RETRY.total_seconds())
    here.tick.run()
    assert here.targets.there["desk"].state == "Starting"


def test_what_publishing_would_do_is_foreseen_and_not_done(here: Scene) -> None:
    there = ComputeDefinition.kept({"name": "there", "type": "amlcompute", "size": "D4"})
    here.targets.create(replace(there, content={"size": "D2"}))
    here.targets.ready("there")
    here.targets.create(DESK)
    here.targets.ready("desk")
    here.targets.there["desk"] = replace(here.targets.there["desk"], state="Stopped")
    before = dict(here.targets.there)
    here.calls()

    assert here.computes.foresee([CPU, DESK, there]) == {
        "cpu-cluster": ["is not there; will be created"],
        "desk": ["is stopped; will be started"],
        "there": ["is ready", "differs: size is D2, the definition says D4"],
    }
    assert here.calls() == ["compute", "compute", "compute"]
    assert here.targets.there == before
    here.targets.trouble = WorkspaceUnavailable("403: no role")
    assert here.computes.foresee([CPU]) == {"cpu-cluster": ["could not be looked at: 403: no role"]}


def test_a_run_says_that_its_compute_cannot_be_looked_at(here: Scene) -> None:
    adopt(here, CPU)
    here.dispatcher.handle(event())
    here.targets.trouble = WorkspaceUnavailable("AzureML answered 403: no role")
    minute(here)
    reason = here.record().reason
    assert reason
    assert reason.text == "compute cpu-cluster is on its way: AzureML answered 403: no role"

    here.targets.trouble = None
    here.targets.ready("cpu-cluster")
    minute(here)
    assert here.record().state is Run.SUBMITTED


def test_what_differs_is_carried_by_runs(here: Scene) -> None:
    adopt(here, CPU)
    here.targets.ready("cpu-cluster")
    there = here.targets.there["cpu-cluster"]
    here.targets.there["cpu-cluster"] = replace(there, settings={"size": "D4"})

    assert adopt(here, CPU) == ["compute cpu-cluster is ready"]
    here.dispatcher.handle(event())
    assert here.record().warnings == (
        "compute cpu-cluster differs: size is D4, the definition says D2",
    )


def test_what_failed_is_tried_again_after_a_while_and_not_every_minute(here: Scene) -> None:
    adopt(here, CPU)
    failed = replace(here.targets.there["cpu-cluster"], provisioning="Failed", problem="Quota")
    here.targets.there["cpu-cluster"] = failed
    minute(here)
    assert state(here) is State.FAILED

    _refusals.clear()
    here.targets.create = _refused  # type: ignore[method-assign]
    for times in (1, 2):
        here.world.pass_time(RETRY.total_seconds())
        minute(here)
        minute(here)
        assert len(_refusals) == times
        assert "no cores" in str(here.computes.all()["cpu-cluster"].problem)
        here.targets.there.pop("cpu-cluster", None)


def _nothing(name: str) -> None:  # noqa: ARG001 - what targets are asked
    return None


_refusals: list[str] = []


def _refused(definition: ComputeDefinition) -> None:
    _refusals.append(definition.name)
    raise JobRejected("QuotaExceeded", "no cores")


def test_an_azureml_that_does_not_answer_changes_no_finding(here: Scene) -> None:
    adopt(here, CPU)
    here.targets.ready("cpu-cluster")
    here.computes.check()
    here.targets.trouble = WorkspaceUnavailable("AzureML answered 503")
    minute(here)

    assert state(here) is State.READY


def test_what_cannot_be_read_of_computes_keeps_no_run_from_being_looked_at(here: Scene) -> None:
    fail(here.world, "PUT", WorkspaceUnavailable("503"))
    here.dispatcher.handle(event())
    here.world.pass_time(LEASE.total_seconds() + 1)
    here.blobs.put("computes.json", b"{")
    here.tick.run()

    assert here.record().state is Run.SUBMITTED
    with pytest.raises(RecordUnreadable, match=r"computes\.json"):
        here.computes.all()


def test_nothing_is_written_when_nothing_changed(here: Scene) -> None:
    adopt(here, CPU)
    here.targets.ready("cpu-cluster")
    minute(here)
    here.calls()
    minute(here)

    writes = [call for call in here.calls() if call.startswith(("swap", "put", "create"))]
    assert writes == ["swap clock.json", "put tick.json"]


def test_forgotten_computes_stay_as_they_are(here: Scene) -> None:
    adopt(here, CPU)
    before = dict(here.targets.there)
    here.computes.forget(["cpu-cluster"])

    assert here.computes.all() == {}
    assert here.targets.there == before


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"settings": {"default_compute": "azureml:cpu"}}, {"cpu"}),
        ({"settings": {"default_compute": "serverless"}}, set()),
        ({"settings": {}}, set()),
        (
            {
                "settings": {"default_compute": "cpu"},
                "inputs": {"signalbox_compute_train": "gpu", "rate": "0.1"},
            },
            {"cpu", "gpu"},
        ),
        (
            {
                "jobs": {
                    "a": {"compute": "azureml:/subscriptions/s/x/computes/gpu"},
                    "b": {"compute": "${{parent.inputs.c}}"},
                    "c": {},
                }
            },
            {"gpu"},
        ),
    ],
)
def test_the_computes_of_a_job_are_its_default_and_its_steps(
    body: dict[str, Any], named: set[str]
) -> None:
    assert computes_of(JobBody(component_id="/c", display_name="d", **body)) == named


def test_patience_is_longer_than_what_creating_takes() -> None:
    assert COMPUTE_PATIENCE > RETRY > timedelta(minutes=10)
