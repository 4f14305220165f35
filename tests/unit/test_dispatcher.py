"""The way of an event, from its delivery to what is written down and what AzureML is asked."""

from datetime import timedelta
from typing import Any

import pytest

from shared import envelopes
from shared.definitions import TriggerDefinition
from shared.dispatcher import Decision
from shared.errors import (
    NotFound,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from shared.inputs import DataInput
from shared.ledger import State, job_name, run_key
from tests.unit import scene
from tests.unit.scene import (
    DEPLOYMENT,
    PIPELINE,
    TRIGGER,
    Scene,
    event,
    fail,
    pipeline,
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
