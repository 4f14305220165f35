"""The way of an event, from its delivery to what is written down and what AzureML is asked."""

from datetime import timedelta
from typing import Any

import pytest

from shared.dispatcher import SUBMIT_BUDGET
from shared.errors import JobRejected, StorageUnavailable, WorkspaceUnavailable
from shared.inputs import DataInput
from shared.ledger import LEASE, State, job_name, run_key
from tests.unit import scene
from tests.unit.scene import DEPLOYMENT, TRIGGER, Scene, event, fail, interject, pipeline, trigger

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
