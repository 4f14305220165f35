"""The way of an event, from its delivery to what is written down and what AzureML is asked."""

import json
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import envelopes
from shared.definitions import MANUAL_TRIGGER, UNREADABLE_TRIGGER, TriggerDefinition
from shared.dispatcher import SUBMIT_BUDGET, Decision, same_request
from shared.errors import (
    Conflict,
    EventInvalid,
    JobRejected,
    NotFound,
    RequestInvalid,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from shared.events import Event, about
from shared.inputs import DataInput
from shared.ledger import LEASE, State, job_name, run_key
from tests.fakes import World
from tests.unit import scene
from tests.unit.scene import (
    DEPLOYMENT,
    PIPELINE,
    TRIGGER,
    Killed,
    Scene,
    event,
    fail,
    interject,
    pipeline,
    request,
    trigger,
)

DOWN = StorageUnavailable("storage is down")


@pytest.fixture
def here() -> Scene:
    here = Scene()
    here.publish(trigger())
    return here


def test_an_event_costs_four_storage_requests_and_one_of_azureml(here: Scene) -> None:
    here.dispatcher.handle(event())

    key = run_key(DEPLOYMENT, event())
    assert here.world.calls == [
        "get_if_changed index.json",
        f"put open/{TRIGGER}/{key}",
        f"create ledger/{TRIGGER}/{key}.json",
        f"PUT {job_name(DEPLOYMENT, TRIGGER, key, 1)}",
        f"swap ledger/{TRIGGER}/{key}.json",
    ]


def test_an_event_becomes_a_job(here: Scene) -> None:
    here.dispatcher.handle(event())

    record = here.record()
    assert record.state is State.SUBMITTED
    assert record.pipeline == "churn-training@v1"
    assert record.event == event()
    [name] = here.workspace.jobs
    assert record.attempt.job_name == name
    assert here.workspace.bodies[name] == record.body
    assert [marker.key for marker in here.markers()] == [record.key]


def test_the_record_is_written_before_the_job_is_asked_for(here: Scene) -> None:
    fail(here.world, "PUT", RuntimeError("the SDK stumbled"))
    # The event is safe, so it is answered; the timer goes on with it.
    here.dispatcher.handle(event())

    record = here.record()
    assert record.state is State.SUBMITTING
    assert record.body is not None
    assert record.attempt.submitting_at == here.world.now


def test_a_job_is_all_that_trigger_and_pipeline_say_of_it(here: Scene) -> None:
    here.publish(
        trigger(
            inputs={
                "data": "${{ event.data.url }}",
                "region": "${{ captures.region }}",
                "size": "${{ event.data.contentLength }}",
                "seed": 7,
            },
            compute="${{ settings.stage }}-cluster",
            experiment_name="churn-${{ captures.region }}",
            force_rerun=False,
            tags={"region": "${{ captures.region }}", "domain": "sales"},
        ),
        pipelines=[
            pipeline(
                inputs={
                    "data": {"type": "uri_file", "mode": "download"},
                    "region": {"type": "string"},
                    "size": {"type": "integer"},
                    "seed": {"type": "number", "default": 1},
                    "rate": {"type": "number", "default": 0.5},
                },
                outputs={"model": {"type": "uri_folder", "path": "azureml://x"}},
                settings={"default_compute": "azureml:cpu", "continue_on_step_failure": True},
                experiment_name="from-pipeline",
                display_name="Churn",
                description="Trains.",
                tags={"domain": "telco", "team": "a"},
            )
        ],
    )
    here.dispatcher.handle(event())

    body = here.record().body
    assert body is not None
    assert body.component_id == "/components/churn-training/versions/v1"
    url = "https://contosolake.blob.core.windows.net/landing/sales/north/march.csv"
    assert body.inputs == {
        "data": DataInput(type="uri_file", path=url, mode="download"),
        "region": "north",
        "size": 12,
        "seed": 7,
        "rate": 0.5,
    }
    assert body.outputs == {"model": DataInput(type="uri_folder", path="azureml://x")}
    assert body.settings == {
        "default_compute": "dev-cluster",
        "continue_on_step_failure": True,
        "force_rerun": False,
    }
    assert body.experiment_name == "churn-north"
    assert body.display_name == "Churn: sales/north/march.csv"
    assert body.description == "Trains."
    assert body.tags.items() >= {"region": "north", "domain": "sales", "team": "a"}.items()


def test_a_job_says_where_it_comes_from(here: Scene) -> None:
    here.publish(trigger(tags={"signalbox_run": "forged"}))
    here.dispatcher.handle(event())

    record = here.record()
    assert record.body is not None
    assert record.body.tags == {
        "signalbox_deployment": DEPLOYMENT,
        "signalbox_trigger": TRIGGER,
        "signalbox_run": record.run_id,
        "signalbox_pipeline": "churn-training@v1",
        "signalbox_event_id": event().id,
        "signalbox_event_source": event().source,
        "signalbox_event_subject": event().subject,
    }


def test_what_is_long_is_cut_to_what_azureml_takes(here: Scene) -> None:
    long = "sales/north/" + "x" * 900 + ".csv"
    here.dispatcher.handle(event(long))

    body = here.record().body
    assert body is not None
    assert len(body.tags["signalbox_event_subject"]) == 256
    assert len(body.display_name) == 255
    assert body.tags["signalbox_run"] == here.record().run_id


@pytest.mark.parametrize(
    ("action", "of_pipeline", "expected"),
    [
        ("from-trigger", "from-pipeline", "from-trigger"),
        (None, "from-pipeline", "from-pipeline"),
        (None, None, "churn-training"),
    ],
)
def test_the_experiment_is_the_nearest_one_named(
    here: Scene, action: str | None, of_pipeline: str | None, expected: str
) -> None:
    here.publish(trigger(experiment_name=action), pipelines=[pipeline(experiment_name=of_pipeline)])
    here.dispatcher.handle(event())

    body = here.record().body
    assert body is not None
    assert body.experiment_name == expected


def test_the_second_delivery_of_a_submitted_event_starts_nothing(here: Scene) -> None:
    here.dispatcher.handle(event())
    before = here.record()
    here.calls()
    here.dispatcher.handle(event(id="delivered again"))

    assert "PUT" not in here.calls()
    assert here.record() == before
    assert len(here.workspace.jobs) == 1


def test_a_new_upload_of_the_same_blob_is_a_new_run(here: Scene) -> None:
    here.dispatcher.handle(event(etag="0x1"))
    here.dispatcher.handle(event(etag="0x2"))

    assert len(here.workspace.jobs) == 2


def test_a_delivery_after_the_end_repeats_the_final_steps(here: Scene) -> None:
    here.dispatcher.handle(event())
    here.workspace.end(here.record().attempt.job_name, "Completed")
    # The worker that wrote the final state ended before it could do what follows.
    fail(here.world, "put history/", DOWN)
    here.tick.run()
    assert here.record().state is State.COMPLETED
    assert here.decisions() == []
    here.calls()

    here.dispatcher.handle(event())

    assert here.calls() == [
        "get_if_changed index.json", "put open", "create ledger", "get ledger",
        "put history", "get_if_changed index.json", "delete open",
    ]  # fmt: skip
    assert [told["decision"] for told in here.decisions()] == ["completed"]
    assert here.markers() == []


def test_any_number_of_deliveries_after_the_end_leave_no_trace(here: Scene) -> None:
    here.dispatcher.handle(event())
    here.workspace.end(here.record().attempt.job_name, "Completed")
    here.tick.run()
    before = {name: blob.data for name, blob in here.blobs.stored.items()}
    here.world.pass_time(500)
    for _ in range(3):
        here.dispatcher.handle(event())

    assert {name: blob.data for name, blob in here.blobs.stored.items()} == before


@pytest.mark.parametrize(
    ("action", "pipelines", "code", "said"),
    [
        ({}, [], "pipeline_missing", "No pipeline named 'churn-training' is published"),
        (
            {"inputs": {"data": "${{ event.data.none }}", "seed": "${{ captures.none }}"}},
            None,
            "input_missing",
            "inputs.data: '${{ event.data.none }}' found nothing",
        ),
        ({"inputs": {}}, None, "input_missing", "data: the pipeline needs this data"),
        ({"inputs": {"data": "local.csv"}}, None, "input_missing", "'local.csv' is not an https"),
        ({"tags": {"x": "${{ event.none }}"}}, None, "input_missing", "tags.x: "),
        ({"compute": "${{ event.none }}"}, None, "input_missing", "compute: "),
        ({"experiment_name": "${{ event.none }}"}, None, "input_missing", "experiment_name: "),
    ],
)
def test_an_event_of_which_no_job_can_be_made_is_a_dead_letter(
    here: Scene, action: dict[str, Any], pipelines: Any, code: str, said: str
) -> None:
    here.publish(trigger(**action), pipelines=pipelines)
    here.dispatcher.handle(event())

    record = here.record()
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert record.reason.code == code
    assert said in record.reason.text
    assert record.body is None
    assert [step.state for step in record.transitions] == [State.DEAD_LETTER]
    assert here.workspace.jobs == {}
    assert here.markers() == []
    [told] = here.decisions()
    assert told["decision"] == "dead_letter"
    assert told["reason"] == {"code": code, "text": record.reason.text}


def reason_of(here: Scene) -> str:
    here.dispatcher.handle(event())
    reason = here.record().reason
    assert reason is not None
    return reason.text


def test_all_that_stands_in_the_way_is_told_at_once(here: Scene) -> None:
    here.publish(
        trigger(
            inputs={"data": "${{ event.none }}", "seed": "${{ captures.none }}"},
            tags={"t": "${{ event.no }}"},
        )
    )
    text = reason_of(here)

    assert all(place in text for place in ("inputs.data:", "inputs.seed:", "tags.t:"))


def test_wrong_types_are_told_beside_failed_expressions(here: Scene) -> None:
    here.publish(
        trigger(inputs={"data": "${{ event.none }}", "seed": "many"}),
        pipelines=[pipeline(inputs={"data": {"type": "uri_file"}, "seed": {"type": "integer"}})],
    )
    text = reason_of(here)

    assert "inputs.data:" in text
    assert "seed: " in text


@pytest.mark.parametrize("found", ["${{ event.data.contentLength }}", "${{ event.data }}"])
def test_an_experiment_that_is_no_text_is_text_or_a_dead_letter(here: Scene, found: str) -> None:
    here.publish(trigger(experiment_name=found), trigger("z-other"))
    here.dispatcher.handle(event())

    assert here.record().state in (State.SUBMITTED, State.DEAD_LETTER)
    assert here.record("z-other").state is State.SUBMITTED


def test_an_expression_that_python_trips_over_is_a_dead_letter(here: Scene) -> None:
    here.publish(trigger(tags={"x": "${{ event.data.contentLength < captures.region }}"}))
    here.dispatcher.handle(event())

    assert here.record().state is State.DEAD_LETTER


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "-Infinity"])
def test_a_record_can_be_read_whatever_a_path_says(here: Scene, text: str) -> None:
    here.publish(
        trigger(inputs={"rate": "${{ captures.region }}"}),
        pipelines=[pipeline(inputs={"rate": {"type": "number"}})],
    )
    here.dispatcher.handle(event(f"sales/{text}/a.csv"))

    assert here.record().state in (State.SUBMITTED, State.DEAD_LETTER)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("${{ event.data.contentLength == `12` }}", "true"),
        ("${{ [captures.region] }}", '["north"]'),
    ],
)
def test_a_tag_is_written_as_it_is_within_text(here: Scene, found: str, expected: str) -> None:
    here.publish(trigger(tags={"whole": found, "within": f" {found}."}))
    here.dispatcher.handle(event())

    body = here.record().body
    assert body is not None
    assert body.tags["within"] == f" {expected}."
    assert body.tags["whole"] == expected


def test_a_trigger_s_tags_are_cut_to_what_azureml_takes(here: Scene) -> None:
    here.publish(trigger(tags={"file": "${{ captures.file }}"}))
    here.dispatcher.handle(event("sales/north/" + "x" * 900 + ".csv"))

    body = here.record().body
    assert body is not None
    assert len(body.tags["file"]) <= 256


def test_an_event_older_than_the_trigger_is_not_its_business(here: Scene) -> None:
    effective = here.index.read().snapshot.triggers[TRIGGER].effective_from
    old = event(time=effective - timedelta(seconds=1))
    here.dispatcher.handle(old)

    assert here.workspace.jobs == {}
    [told] = here.decisions()
    assert told["decision"] == "no_match"
    assert told["check"] == f"not before {effective.isoformat()}"
    assert not any(name.startswith(("ledger/", "open/")) for name in here.blobs.stored)


def test_an_event_of_the_trigger_s_first_moment_is(here: Scene) -> None:
    effective = here.index.read().snapshot.triggers[TRIGGER].effective_from
    here.dispatcher.handle(event(time=effective))

    assert len(here.workspace.jobs) == 1


def test_a_near_miss_says_which_check_failed(here: Scene) -> None:
    here.publish(
        trigger("a-deeper", path="sales/{region}/{day}/{file}.csv"),
        trigger(
            "b-suffix", path="sales/{region}/{file}", filters={"suffix": {"subject": ".parquet"}}
        ),
        trigger("c-elsewhere", path="stock/{file}.csv"),
    )
    for _ in range(2):
        here.dispatcher.handle(event())

    assert {told["trigger"]: told["check"] for told in here.decisions()} == {
        "a-deeper": "path sales/{region}/{day}/{file}.csv",
        "b-suffix": "filter suffix subject .parquet",
    }
    # Delivered twice, told once; and what was no candidate leaves nothing.
    assert len(here.decisions()) == 2
    assert here.workspace.jobs == {}


def test_what_is_for_nobody_costs_one_request(here: Scene) -> None:
    here.dispatcher.handle(event("stock/a.csv"))

    assert here.calls() == ["get_if_changed index.json"]


def test_a_trigger_published_meanwhile_is_met(here: Scene) -> None:
    here.dispatcher.handle(event("stock/a.csv"))
    elsewhere = Scene(world=here.world)
    elsewhere.blobs.stored = here.blobs.stored
    elsewhere.publish(trigger("late", path="stock/{file}.csv"))
    here.dispatcher.handle(event("stock/b.csv", time=here.world.now))

    assert here.record("late").state is State.SUBMITTED


def test_all_records_are_written_before_any_job_is_asked_for(here: Scene) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    here.dispatcher.handle(event())

    assert here.calls() == [
        "get_if_changed index.json", "put open", "create ledger", "put open", "create ledger",
        "PUT", "swap ledger", "PUT", "swap ledger",
    ]  # fmt: skip
    assert here.record("a-first").key == here.record("b-second").key
    assert len(here.workspace.jobs) == 2


@pytest.mark.parametrize("call", ["put open/b-second", "create ledger/b-second"])
def test_storage_failing_for_one_trigger_is_mended_by_the_next_delivery(
    here: Scene, call: str
) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    fail(here.world, call, DOWN)
    with pytest.raises(StorageUnavailable):
        here.dispatcher.handle(event())
    assert here.record("a-first").state is State.SUBMITTING
    assert here.workspace.jobs == {}

    here.world.pass_time(10)
    here.dispatcher.handle(event())
    assert here.record("b-second").state is State.SUBMITTED
    # Another worker might still be submitting the first one, as long as its lease lasts.
    assert here.record("a-first").state is State.SUBMITTING

    here.world.pass_time(LEASE.total_seconds())
    here.tick.run()
    assert here.record("a-first").state is State.SUBMITTED
    assert len(here.workspace.jobs) == 2


@pytest.mark.parametrize("call", ["get_if_changed index.json", "put open/", "create ledger/"])
def test_what_fails_before_the_record_is_there_is_raised(here: Scene, call: str) -> None:
    fail(here.world, call, DOWN)
    with pytest.raises(StorageUnavailable):
        here.dispatcher.handle(event())
    assert here.workspace.jobs == {}

    here.dispatcher.handle(event())
    assert here.record().state is State.SUBMITTED


def test_a_record_whose_answer_was_lost_is_finished_by_the_tick(here: Scene) -> None:
    fail(here.world, "create ledger/", DOWN, applied=True)
    with pytest.raises(StorageUnavailable):
        here.dispatcher.handle(event())
    here.dispatcher.handle(event())
    assert here.workspace.jobs == {}

    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()
    assert here.record().state is State.SUBMITTED


@pytest.mark.parametrize(
    "error",
    [WorkspaceUnavailable("AzureML is down"), JobRejected("UserError", "no"), DOWN],
)
def test_nothing_is_raised_once_the_record_is_there(here: Scene, error: Exception) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    fail(here.world, "PUT", error)
    here.dispatcher.handle(event())

    assert here.record("a-first").state is not State.SUBMITTED
    assert here.record("b-second").state is State.SUBMITTED


def test_storage_failing_after_the_job_is_taken_is_left_to_the_tick(here: Scene) -> None:
    fail(here.world, "swap ledger/", DOWN)
    here.dispatcher.handle(event())
    assert here.record().state is State.SUBMITTING

    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()
    assert here.record().state is State.SUBMITTED
    assert len(here.workspace.jobs) == 1


def test_a_delivery_beside_one_that_is_submitting_leaves_it_alone(here: Scene) -> None:
    interject(here.world, "PUT", lambda: here.dispatcher.handle(event(id="at the same time")))
    here.dispatcher.handle(event())

    assert here.calls().count("PUT") == 1
    assert here.record().state is State.SUBMITTED
    assert here.record().attempt.takeovers == 0


@pytest.mark.parametrize("call", ["put open/", "create ledger/", "swap ledger/"])
def test_two_deliveries_at_once_make_one_job(here: Scene, call: str) -> None:
    interject(here.world, call, lambda: here.dispatcher.handle(event(id="at the same time")))
    here.dispatcher.handle(event())

    assert here.calls().count("PUT") == 1
    assert here.record().state is State.SUBMITTED
    assert len(here.markers()) == 1


def test_a_record_that_vanished_is_made_by_the_next_delivery(here: Scene) -> None:
    here.dispatcher.handle(event())
    [record] = [name for name in here.blobs.stored if name.startswith("ledger/")]
    interject(here.world, "get ledger/", lambda: here.blobs.stored.pop(record))
    with pytest.raises(StorageUnavailable, match="was there, and is not"):
        here.dispatcher.handle(event())

    here.dispatcher.handle(event())
    assert here.record().state is State.SUBMITTED
    assert len(here.workspace.jobs) == 1


def test_a_dead_letter_whose_end_fails_is_left_to_the_tick(here: Scene) -> None:
    here.publish(trigger("a-dead", inputs={}), trigger("b-second"))
    fail(here.world, "put history/", DOWN)
    here.dispatcher.handle(event())
    assert here.record("b-second").state is State.SUBMITTED
    assert here.decisions() == []

    here.tick.run()
    assert [told["trigger"] for told in here.decisions()] == ["a-dead"]


def test_what_a_shell_would_act_on_never_becomes_an_input(here: Scene) -> None:
    here.publish(
        trigger(inputs={"data": "${{ event.data.url }}", "region": "in ${{ captures.region }}"}),
        pipelines=[pipeline(inputs={"data": {"type": "uri_file"}, "region": {"type": "string"}})],
    )
    here.dispatcher.handle(event("sales/$(curl evil)/a.csv"))

    record = here.record()
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert "inputs.data: " in record.reason.text
    assert "inputs.region: " in record.reason.text
    assert "a shell would act" in record.reason.text
    assert here.workspace.jobs == {}


@pytest.mark.parametrize("found", ["${{ [captures.region] }}", "${{ event.data }}"])
def test_what_a_shell_would_act_on_never_hides_in_a_list_or_an_object(
    here: Scene, found: str
) -> None:
    here.publish(
        trigger(inputs={"note": f"of {found}"}),
        pipelines=[pipeline(inputs={"note": {"type": "string"}})],
    )
    here.dispatcher.handle(event("sales/$(curl evil)/a.csv"))

    assert here.record().state is State.DEAD_LETTER


def test_what_a_trigger_writes_itself_is_its_author_s_business(here: Scene) -> None:
    here.publish(
        trigger(inputs={"data": "${{ event.data.url }}", "query": "a > 5 & b"}),
        pipelines=[pipeline(inputs={"data": {"type": "uri_file"}, "query": {"type": "string"}})],
    )
    here.dispatcher.handle(event())

    body = here.record().body
    assert body is not None
    assert body.inputs["query"] == "a > 5 & b"


def test_what_a_trigger_writes_around_an_expression_is_too(here: Scene) -> None:
    here.publish(
        trigger(inputs={"query": "region == '${{ captures.region }}'"}),
        pipelines=[pipeline(inputs={"query": {"type": "string"}})],
    )
    here.dispatcher.handle(event())

    assert here.record().state is State.SUBMITTED


def test_a_record_that_cannot_be_read_is_left_to_the_tick(here: Scene) -> None:
    here.dispatcher.handle(event())
    [name] = [name for name in here.blobs.stored if name.startswith("ledger/")]
    here.blobs.put(name, b'{"state": "of a newer version"}')
    here.dispatcher.handle(event())

    assert len(here.workspace.jobs) == 1
    assert len(here.markers()) == 1


def test_a_delivery_past_the_lease_takes_over(here: Scene) -> None:
    fail(here.world, "PUT", WorkspaceUnavailable("AzureML answered 503"))
    here.dispatcher.handle(event())
    here.world.pass_time(LEASE.total_seconds() + 1)
    here.dispatcher.handle(event())

    record = here.record()
    assert record.state is State.SUBMITTED
    assert record.attempt.takeovers == 1


def test_what_a_repeated_delivery_cannot_mend_is_not_raised(here: Scene) -> None:
    here.dispatcher.handle(event())
    fail(here.world, "GET", WorkspaceUnavailable("AzureML answered 503"))
    here.dispatcher.handle(event())

    assert here.record().state is State.SUBMITTED


def test_submitting_ends_with_its_budget_and_the_tick_does_the_rest(here: Scene) -> None:
    names = ["a-first", "b-second", "c-third"]
    here.publish(*(trigger(name) for name in names))

    def slow(call: str) -> None:
        if call.startswith("PUT"):
            here.stopwatch += SUBMIT_BUDGET * 0.6

    here.world.before = slow
    here.dispatcher.handle(event())
    assert [here.record(name).state for name in names] == [
        State.SUBMITTED,
        State.SUBMITTED,
        State.SUBMITTING,
    ]

    here.world.pass_time(LEASE.total_seconds() + 1)
    here.tick.run()
    assert here.record("c-third").state is State.SUBMITTED


def test_the_pipeline_is_frozen_when_the_record_is_made(here: Scene) -> None:
    fail(here.world, "PUT", WorkspaceUnavailable("AzureML answered 503"))
    here.dispatcher.handle(event())
    here.publish(trigger(), pipelines=[pipeline(version="v2", component_id="/versions/v2")])
    here.tick.run()

    record = here.record()
    assert record.pipeline == "churn-training@v1"
    [body] = here.workspace.bodies.values()
    assert body.component_id == "/components/churn-training/versions/v1"


def test_deployments_do_not_meet_in_one_workspace(here: Scene) -> None:
    here.dispatcher.handle(event())
    assert [*here.workspace.jobs] == [
        job_name(DEPLOYMENT, TRIGGER, run_key(DEPLOYMENT, scene.event()), 1)
    ]
    assert job_name("prod", TRIGGER, run_key("prod", scene.event()), 1) not in here.workspace.jobs


# What is answered.


def test_a_delivery_is_answered_with_what_each_trigger_made_of_it(here: Scene) -> None:
    here.publish(
        trigger("a-run"), trigger("b-dead", inputs={}), trigger("c-no", path="sales/{file}.csv")
    )
    run, dead, no = here.dispatcher.handle(event())

    assert (run.trigger, run.duplicate, run.check) == ("a-run", False, None)
    assert run.record is not None
    assert run.record.run_id == here.record("a-run").run_id
    assert dead.record is not None
    assert dead.record.state is State.DEAD_LETTER
    assert no == Decision(trigger="c-no", check="path sales/{file}.csv")


def test_a_duplicate_is_answered_with_the_run_there_is(here: Scene) -> None:
    [first] = here.dispatcher.handle(event())
    [second] = here.dispatcher.handle(event(id="again"))

    assert second.duplicate
    assert first.record is not None
    assert second.record is not None
    assert second.record.run_id == first.record.run_id
    assert second.record.state is State.SUBMITTED


def test_a_duplicate_that_cannot_be_read_is_still_a_duplicate(here: Scene) -> None:
    here.dispatcher.handle(event())
    fail(here.world, "get ledger/", DOWN)

    assert here.dispatcher.handle(event()) == [Decision(trigger=TRIGGER, duplicate=True)]


def test_what_is_for_nobody_is_answered_with_nothing(here: Scene) -> None:
    assert here.dispatcher.handle(event("stock/a.csv")) == []


# An event for one trigger.


def test_an_event_may_be_handed_to_one_trigger_alone(here: Scene) -> None:
    here.publish(trigger("a-first"), trigger("b-second"))
    [decision] = here.dispatcher.handle(event(), only="b-second")

    assert decision.trigger == "b-second"
    assert {name.split("/")[1] for name in here.blobs.stored if name.startswith("ledger/")} == {
        "b-second"
    }


def test_the_one_trigger_says_no_as_it_would_to_any_event(here: Scene) -> None:
    [decision] = here.dispatcher.handle(event("stock/a.csv"), only=TRIGGER)

    assert decision.check == "path sales/{region}/{file}.csv"
    assert [told["decision"] for told in here.decisions()] == ["no_match"]


def test_a_trigger_that_is_not_there_is_not_found(here: Scene) -> None:
    with pytest.raises(NotFound, match="no trigger 'other'"):
        here.dispatcher.handle(event(), only="other")
    assert here.decisions() == []


# A run that a client asks for.


def asked(here: Scene, **given: Any) -> Decision:
    return here.dispatcher.run(request(**given))


def test_a_client_s_run_goes_the_way_of_every_other(here: Scene) -> None:
    decision = asked(here)

    record = here.record(MANUAL_TRIGGER)
    assert decision.trigger == MANUAL_TRIGGER
    assert not decision.duplicate
    assert record.state is State.SUBMITTED
    assert record.pipeline == "churn-training@v1"
    assert record.event == request()
    [name] = here.workspace.jobs
    here.workspace.end(name, "Completed")
    here.tick.run()
    assert here.record(MANUAL_TRIGGER).state is State.COMPLETED
    assert here.markers() == []


def test_the_same_key_and_body_is_the_same_run(here: Scene) -> None:
    first = asked(here)
    again = asked(here)

    assert again.duplicate
    assert first.record is not None
    assert again.record is not None
    assert again.record.run_id == first.record.run_id
    assert len(here.workspace.jobs) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"inputs": {"data": "https://x.blob.core.windows.net/c/b.csv"}},
        {"tags": {"a": "b"}},
        {"name": f"{PIPELINE}@v1"},
        {"force_rerun": True},
    ],
)
def test_the_same_key_for_another_request_is_a_conflict(here: Scene, other: dict[str, Any]) -> None:
    asked(here)
    with pytest.raises(Conflict, match="Idempotency-Key was used for another request"):
        asked(here, **other)

    assert len(here.workspace.jobs) == 1


def test_another_key_is_another_run(here: Scene) -> None:
    asked(here)
    asked(here, id="key-2")

    assert len(here.workspace.jobs) == 2


def test_what_was_accepted_is_answered_as_before_whatever_is_published_meanwhile(
    here: Scene,
) -> None:
    first = asked(here)
    here.publish(pipelines=[])
    again = asked(here)

    assert again.duplicate
    assert first.record is not None
    assert again.record is not None
    assert again.record.run_id == first.record.run_id


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"name": "other"}, NotFound, "No pipeline named 'other' is published"),
        ({"name": f"{PIPELINE}@v7"}, NotFound, "There are: churn-training"),
        ({"inputs": {}}, RequestInvalid, "do not fit"),
        ({"inputs": {"data": "https://x/$(id)"}}, RequestInvalid, "do not fit"),
        ({"inputs": {"data": "https://x/a", "more": 1}}, RequestInvalid, "do not fit"),
    ],
)
def test_a_request_that_cannot_run_is_refused_and_leaves_nothing(
    here: Scene, given: dict[str, Any], error: type[Exception], said: str
) -> None:
    before = dict(here.blobs.stored)
    with pytest.raises(error, match=said):
        asked(here, **given)

    assert here.blobs.stored == before
    assert here.workspace.jobs == {}


def test_a_refused_request_says_everything_by_its_place(here: Scene) -> None:
    with pytest.raises(RequestInvalid) as caught:
        asked(here, inputs={"data": "local.csv", "more": 1})

    assert caught.value.problems.keys() == {"inputs.data", "inputs.more"}


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    "call", ["get_if_changed index", "put open/", "create ledger/", "swap ledger/"]
)
def test_a_request_that_failed_anywhere_is_one_run_when_it_is_made_again(
    here: Scene, call: str, applied: bool
) -> None:
    fail(here.world, call, DOWN, applied=applied)
    if call == "swap ledger/":
        # The run is safe in its record by then.
        asked(here)
    else:
        with pytest.raises(StorageUnavailable):
            asked(here)
    asked(here)
    for _ in range(2):
        here.world.pass_time(LEASE.total_seconds() + 1)
        here.tick.run()

    assert len(here.workspace.jobs) == 1
    assert here.record(MANUAL_TRIGGER).state is State.SUBMITTED


def test_of_two_requests_at_once_one_makes_the_run(here: Scene) -> None:
    interject(here.world, "create ledger/", lambda: asked(here))
    decision = asked(here)

    assert decision.duplicate
    assert len(here.workspace.jobs) == 1


def test_a_request_whose_pipeline_goes_while_it_is_made_is_a_dead_letter(here: Scene) -> None:
    asked(here)
    here.publish(pipelines=[])
    record = here.record(MANUAL_TRIGGER)
    del here.blobs.stored[f"ledger/{MANUAL_TRIGGER}/{record.key}.json"]
    with pytest.raises(NotFound):
        asked(here)


# Once more.


def ended(here: Scene, status: str, name: str = TRIGGER) -> tuple[str, str]:
    here.workspace.end(here.record(name).attempt.job_name, status)
    here.tick.run()
    return name, here.record(name).key


def retried(here: Scene, name: str, key: str) -> Decision:
    return here.dispatcher.retry(name, key)


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_what_did_not_succeed_may_run_once_more(here: Scene, status: str) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, status)
    decision = retried(here, name, key)

    assert decision.record is not None
    assert decision.record.replay_of == f"{name}.{key}"
    assert decision.record.key != key
    assert decision.record.event == event()
    assert len(here.workspace.jobs) == 2
    [job] = [body for body in here.workspace.bodies.values() if "signalbox_replay_of" in body.tags]
    assert job.tags["signalbox_replay_of"] == f"{name}.{key}"


def test_a_retry_runs_what_is_published_now(here: Scene) -> None:
    here.publish(trigger(inputs={}))
    here.dispatcher.handle(event())
    name, key = TRIGGER, here.record().key
    assert here.record().state is State.DEAD_LETTER
    here.publish(trigger(), pipelines=[pipeline(version="v2")])
    decision = retried(here, name, key)

    assert decision.record is not None
    assert decision.record.pipeline == "churn-training@v2"
    assert len(here.workspace.jobs) == 1


def test_a_run_has_one_retry_however_often_that_is_asked_for(here: Scene) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    first, second = retried(here, name, key), retried(here, name, key)

    assert first.record is not None
    assert second.record is not None
    assert second.duplicate
    assert second.record.run_id == first.record.run_id
    assert len(here.workspace.jobs) == 2


def test_a_retry_that_fails_may_be_retried_in_turn(here: Scene) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    keys = [key]
    for _ in range(3):
        record = retried(here, name, keys[-1]).record
        assert record is not None
        assert record.replay_of == f"{name}.{keys[-1]}"
        here.workspace.end(record.attempt.job_name, "Failed")
        here.tick.run()
        keys.append(record.key)

    assert len(set(keys)) == len(here.workspace.jobs) == 4


@pytest.mark.parametrize("status", ["Completed", "Running"])
def test_what_succeeded_or_still_runs_is_not_retried(here: Scene, status: str) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, status)
    with pytest.raises(Conflict, match=f"is {status.lower()}; only what failed"):
        retried(here, name, key)

    assert len(here.workspace.jobs) == 1


def test_a_run_that_is_not_there_is_not_found(here: Scene) -> None:
    with pytest.raises(NotFound, match=r"no run on-upload\.none"):
        retried(here, TRIGGER, "none")


def test_a_run_whose_trigger_went_or_says_no_by_now_is_not_retried(here: Scene) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    here.publish(trigger(path="stock/{file}.csv"))
    with pytest.raises(Conflict, match=r"says no to it now: path stock/\{file\}\.csv"):
        retried(here, name, key)
    here.publish(trigger("other"))
    with pytest.raises(Conflict, match="no trigger 'on-upload' any more"):
        retried(here, name, key)

    assert len(here.workspace.jobs) == 1


def test_a_client_s_run_may_run_once_more_as_it_was_asked_for(here: Scene) -> None:
    asked(here, tags={"who": "me"})
    name, key = ended(here, "Failed", MANUAL_TRIGGER)
    decision = retried(here, name, key)

    assert decision.trigger == MANUAL_TRIGGER
    assert decision.record is not None
    assert decision.record.body is not None
    assert decision.record.body.tags["who"] == "me"


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    "call", ["get ledger/", "get_if_changed index", "put open/", "create ledger/", "PUT", "swap"]
)
def test_a_retry_that_failed_anywhere_is_one_run_when_it_is_asked_for_again(
    here: Scene, call: str, applied: bool
) -> None:
    here.dispatcher.handle(event())
    name, key = ended(here, "Failed")
    fail(here.world, call, Killed(), applied=applied)
    with pytest.raises(Killed):
        retried(here, name, key)
    retried(here, name, key)
    for _ in range(2):
        here.world.pass_time(LEASE.total_seconds() + 1)
        here.tick.run()

    assert len(here.workspace.jobs) == 2
    assert all("signalbox_run" in body.tags for body in here.workspace.bodies.values())


# What is no event.


def refuse(here: Scene, content: str = "{", **given: Any) -> None:
    details: dict[str, Any] = {
        "id": "7@2026",
        "source": "servicebus:queue/inbox",
        "via": "queue/inbox",
        "at": World().now,
        "why": "The body is not JSON",
        **given,
    }
    here.dispatcher.refuse(content, **details)


def test_what_is_no_event_is_a_dead_letter_with_its_text(here: Scene) -> None:
    refuse(here, "{no json")

    record = here.record(UNREADABLE_TRIGGER)
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert (record.reason.code, record.reason.text) == ("event_invalid", "The body is not JSON")
    assert record.event.data == {"text": "{no json"}
    assert (record.event.id, record.event.via) == ("7@2026", "queue/inbox")
    assert here.markers() == []
    assert [told["trigger"] for told in here.decisions()] == [UNREADABLE_TRIGGER]


def test_a_secret_is_kept_neither_in_the_text_nor_in_the_reason(here: Scene) -> None:
    refuse(here, f"{{ {SECRET}", why=f"{SECRET} is not JSON")

    assert "c2VjcmV0" not in here.record(UNREADABLE_TRIGGER).model_dump_json()


def test_what_is_delivered_twice_is_one_dead_letter_and_other_content_is_another(
    here: Scene,
) -> None:
    for content in ("{", "{", "{{"):
        refuse(here, content)

    assert len(here.decisions()) == 2


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("call", ["put open/", "create ledger/", "put history/", "delete open/"])
def test_what_could_not_be_refused_is_when_it_is_delivered_again(
    here: Scene, call: str, applied: bool
) -> None:
    fail(here.world, call, DOWN, applied=applied)
    if call.endswith(("open/", "ledger/")) and "delete" not in call:
        with pytest.raises(StorageUnavailable):
            refuse(here)
    else:
        refuse(here)
    refuse(here)
    here.tick.run()

    assert len(here.decisions()) == 1
    assert here.markers() == []


@given(
    st.text() | st.binary().map(lambda raw: raw.decode(errors="surrogateescape")),
    st.text() | st.just("x" * 5000),
    st.text() | st.just("x" * 5000),
    st.text(),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_refused_is_kept(content: str, id: str, source: str, why: str) -> None:
    here = Scene()
    here.publish()
    refuse(here, content + "\ud800", id=id + "\ud800", source=source, why=why + "\udfff")

    record = here.record(UNREADABLE_TRIGGER)
    assert record.state is State.DEAD_LETTER
    assert len(record.event.data["text"]) <= 2000
    assert here.markers() == []


# How deep runs may follow on runs.


def test_only_the_ends_of_runs_make_a_run_deeper(here: Scene) -> None:
    content = {
        "specversion": "1.0",
        "id": "1",
        "source": "/signalbox/test",
        "type": "signalbox.run.completed",
        "data": {"depth": 99, "run": "x", "status": "completed"},
    }
    listening = {
        "name": TRIGGER,
        "spec": {"event": {"type": "signalbox.run.completed"}},
        "action": {"pipeline": PIPELINE, "inputs": {"data": "https://x/a"}},
    }
    here.publish(TriggerDefinition.model_validate(listening))
    [forged] = envelopes.parse(content, now=here.world.now)
    here.dispatcher.handle(forged)

    assert here.record().depth == 0


# Crashes.


def outside(here: Scene) -> list[tuple[str, Callable[[], object]]]:
    """Every way in."""
    [message] = envelopes.message(
        b'{"region": "north"}', via="queue/inbox", sequence_number=7, enqueued=here.world.now
    )
    return [
        ("upload", lambda: here.dispatcher.handle(event())),
        ("message", lambda: here.dispatcher.handle(message)),
        ("one trigger", lambda: here.dispatcher.handle(event(), only=TRIGGER)),
        ("request", lambda: here.dispatcher.run(request())),
    ]


QUEUE = TriggerDefinition.model_validate(
    {
        "name": "on-message",
        "spec": {"service_bus": {"queue": "inbox"}},
        "action": {"pipeline": PIPELINE, "inputs": {"data": "https://x/${{ event.data.region }}"}},
    }
)


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("nth", range(7))
@pytest.mark.parametrize("way", range(4))
def test_a_worker_killed_at_any_call_of_any_way_in_leaves_one_job(
    way: int, nth: int, applied: bool
) -> None:
    here = Scene()
    here.publish(trigger(), QUEUE)
    _, deliver = outside(here)[way]
    left = nth

    def kill(_call: str) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise Killed

    if applied:
        here.world.after = kill
    else:
        here.world.before = kill
    try:
        deliver()
    except Killed:
        deliver()
    here.world.before = here.world.after = lambda _call: None
    for _ in range(3):
        here.world.pass_time(LEASE.total_seconds() + 1)
        here.tick.run()

    assert len(here.workspace.jobs) == 1
    for name in here.workspace.jobs:
        here.workspace.end(name, "Completed")
    here.tick.run()
    assert here.markers() == []
    assert [told["decision"] for told in here.decisions()] == ["completed"]


# Hostile input: it ends in a record or in a refusal, and what it planted is nowhere to be read.


SECRET = "AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0"
planted = st.sampled_from(
    [SECRET, f"a {SECRET}", f"https://x/a?sig={'c2VjcmV0' * 4}", "a", "${{ event }}"]
)
nested = st.recursive(
    planted | st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
hostile = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0"),
        "id": planted,
        "source": planted,
        "type": st.sampled_from(["order.placed", "other"]),
    },
    optional={"subject": planted, "data": nested, "tenant": planted, "time": planted},
)

LISTENING: dict[str, dict[str, Any]] = {
    "a-bound": {"inputs": {"data": "${{ event.data }}"}, "tags": {"t": "${{ event.id }}"}},
    "b-tagged": {
        "inputs": {"data": "https://x/a"},
        "tags": {"t": "${{ event.subject || event.source }}"},
        "experiment_name": "e ${{ event.source }}",
    },
    "c-named": {"pipeline": "${{ event.data.to || event.source }}", "allow": [PIPELINE]},
    "d-where": {},
}


def hostile_scene() -> Scene:
    here = Scene()
    wheres = {"d-where": "event.data.a || event.subject || event.id"}
    triggers = [
        {
            "name": name,
            "spec": {"event": {"type": "order.placed"}, "where": wheres.get(name, "`true`")},
            "action": {"pipeline": PIPELINE, **action},
        }
        for name, action in LISTENING.items()
    ]
    queue = {
        "name": "e-queue",
        "spec": {"service_bus": {"queue": "inbox"}},
        "action": {"pipeline": PIPELINE, "inputs": {"data": "${{ event.data }}"}},
    }
    here.publish(*(TriggerDefinition.model_validate(one) for one in [*triggers, queue]))
    return here


def seen_by_others(here: Scene, logged: list[logging.LogRecord]) -> str:
    """Log lines with all that they carry, everything that is kept, and all that AzureML has."""
    return "\n".join(
        [
            *(f"{line.getMessage()} {line.__dict__}" for line in logged),
            *(f"{blob.data!r} {blob.metadata} {blob.tags}" for blob in here.blobs.stored.values()),
            *(body.model_dump_json() for body in here.workspace.bodies.values()),
            *here.blobs.stored,
        ]
    )


@given(hostile | st.lists(hostile, max_size=2) | nested, st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_hostile_input_ends_in_a_record_or_a_refusal_and_shows_no_secret(
    caplog: pytest.LogCaptureFixture, content: Any, by_queue: bool
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    here = hostile_scene()
    raw = json.dumps(content).encode()
    try:
        events = (
            envelopes.message(raw, via="queue/inbox", sequence_number=1, enqueued=here.world.now)
            if by_queue
            else envelopes.parse(envelopes.decode(raw), now=here.world.now)
        )
    except EventInvalid as error:
        said = str(error)
        assert "c2VjcmV0" not in said
        refuse(here, raw.decode(), why=said)
        assert here.record(UNREADABLE_TRIGGER).state is State.DEAD_LETTER
        assert SECRET not in here.record(UNREADABLE_TRIGGER).model_dump_json()
    else:
        for found in events:
            for decision in here.dispatcher.handle(found):
                assert decision.check or decision.record
        here.tick.run()

    for name in here.blobs.stored:
        if name.startswith("ledger/"):
            _, trigger_name, key = name.removesuffix(".json").split("/")
            assert here.ledger.read(trigger_name, key) is not None
    assert "c2VjcmV0c2VjcmV0" not in seen_by_others(here, caplog.records)


@given(nested, nested, nested)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_hostile_request_is_a_run_or_refused_and_shows_no_secret(
    caplog: pytest.LogCaptureFixture, value: Any, tag: Any, name: Any
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    here = Scene()
    here.publish(pipelines=[pipeline(inputs={"note": {"type": "string", "default": "x"}})])
    try:
        given_event = request(
            inputs={"note": value}, tags={"t": tag, str(name): "x"}, experiment_name=name
        )
        here.dispatcher.run(given_event)
    except (EventInvalid, RequestInvalid) as error:
        problems = error.problems if isinstance(error, RequestInvalid) else {}
        assert "c2VjcmV0c2VjcmV0" not in f"{error} {problems}"
        assert here.workspace.jobs == {}
    else:
        assert here.record(MANUAL_TRIGGER).state is State.SUBMITTED
    assert "c2VjcmV0c2VjcmV0" not in seen_by_others(here, caplog.records)


def test_of_two_requests_with_one_key_that_differ_one_is_told_so(here: Scene) -> None:
    interject(here.world, "create ledger/", lambda: asked(here, inputs={"data": "azureml:a:1"}))
    with pytest.raises(Conflict):
        asked(here, inputs={"data": "azureml:b:1"})

    record = here.record(MANUAL_TRIGGER)
    assert record.event.data["inputs"] == {"data": "azureml:a:1"}


def test_true_and_one_are_not_the_same_request() -> None:
    one, true = (request("k", PIPELINE, inputs={"n": value}) for value in (1, True))

    assert not same_request(one, true)
    assert same_request(one, Event.model_validate_json(one.model_dump_json()))


def test_what_is_delivered_again_tells_nobody_again() -> None:
    told: list[str] = []

    class Topic:
        def publish(self, events: Sequence[Event]) -> None:
            told.extend(event.id for event in events)

    here = Scene(outcomes=Topic())
    here.publish(trigger())
    here.dispatcher.handle(event())
    here.workspace.end(here.record().attempt.job_name, "Completed")
    here.world.pass_time(60)
    here.tick.run()
    before = list(told)
    here.calls()
    for _ in range(3):
        here.dispatcher.handle(event())

    assert len(before) == 2
    assert told == before
    assert here.markers() == []


def test_what_is_delivered_again_does_not_ask_azureml(here: Scene) -> None:
    here.publish(trigger())
    here.dispatcher.handle(event())
    here.calls()
    here.dispatcher.handle(event())

    assert not {"GET", "PUT"} & set(here.calls())


def test_many_events_share_one_time_for_submitting(here: Scene) -> None:
    here.publish(trigger())
    here.world.after = lambda call: (
        setattr(here, "stopwatch", here.stopwatch + 4) if call.startswith("PUT") else None
    )
    here.dispatcher.handle(*(event(f"sales/north/{n}.csv") for n in range(6)))

    states = [
        json.loads(blob.data)["state"]
        for name, blob in here.blobs.stored.items()
        if name.startswith("ledger/")
    ]
    assert states.count(State.SUBMITTED) == 3
    assert states.count(State.SUBMITTING) == 3


def test_what_could_not_be_read_is_found_by_its_sender_s_id_and_not_tried_again(
    here: Scene,
) -> None:
    here.dispatcher.refuse(
        "no JSON", id="9@now", source="q", via="queue/q", at=World().now, why="w", message_id="m-1"
    )
    record = here.record(UNREADABLE_TRIGGER)

    assert record.event.message_id == "m-1"
    assert [marker.about for marker in here.ledger.open()] in ([about("m-1")], [])
    assert any(f"-{about('m-1')}-" in name for name in here.blobs.stored)
    with pytest.raises(Conflict, match="send it anew"):
        here.dispatcher.retry(UNREADABLE_TRIGGER, record.key)


def test_a_refusal_says_what_had_been_asked_before(here: Scene) -> None:
    here.publish(trigger(filters={"suffix": {"subject": ".txt"}}))
    here.dispatcher.handle(event())
    [decision] = here.decisions()

    assert decision["check"] == "filter suffix subject .txt"
    assert decision["passed"][0] == "uploaded to contosolake/landing"
    assert len(decision["passed"]) == 2
