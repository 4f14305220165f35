"""From a job that is submitted with the official SDK to the function that hears of its runs."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Environment
from azure.identity import DefaultAzureCredential

from tests.integration.basic_app import MESSAGING, BasicApp, running_app
from tests.integration.conftest import exported
from tests.integration.messaging_topology import MESSAGING_TOPOLOGY
from tests.integration.waiting import eventually
from tests.integration.workspace import children, pipeline, run_to_end
from tests.loopback import loopback

PROVIDER = "Microsoft.MachineLearningServices"
STATUS_CHANGED = f"{PROVIDER}.RunStatusChanged"
COMPLETED = f"{PROVIDER}.RunCompleted"
ONE_STEP = """
type: pipeline
tags: {team: sales}
properties: {origin: test}
jobs:
  only:
    type: command
    command: %s
    environment: azureml:plain:1
"""


def client(app: BasicApp) -> MLClient:
    topology = app.azure.topology
    client = MLClient(
        DefaultAzureCredential(),
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        enable_telemetry=False,
        show_progress=False,
        retry_total=0,
    )
    client.environments.create_or_update(Environment(name="plain", version="1", image="python"))
    return client


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BasicApp]:
    folder = tmp_path_factory.mktemp("runs")
    with (
        running_app(MESSAGING, folder, topology=MESSAGING_TOPOLOGY) as running,
        exported(running.azure),
    ):
        yield running


@pytest.fixture(scope="module")
def workspace(app: BasicApp) -> MLClient:
    return client(app)


def events(app: BasicApp, run: str, kind: str) -> list[dict[str, Any]]:
    """What the function was told of one run, as it came."""
    return [
        call
        for call in app.calls("run_events")
        if call["type"] == kind and call["data"]["runId"] == run
    ]


def statuses(app: BasicApp, run: str) -> list[str]:
    """Statuses of a run in the order in which the workspace raised them."""
    found = loopback.get(f"{app.azure.control_url}/deliveries").json()
    return [
        delivery["event"]["data"]["runStatus"]
        for delivery in found
        if delivery["event"]["eventType"] == STATUS_CHANGED
        and delivery["event"]["data"]["runId"] == run
    ]


def test_a_job_and_its_steps_tell_every_status_in_order(app: BasicApp, workspace: MLClient) -> None:
    job = run_to_end(workspace, ONE_STEP % "'true'")
    assert job.status == "Completed"
    step = children(workspace, job.name)["only"].name
    for run in (job.name, step):
        eventually(lambda run=run: events(app, run, COMPLETED))  # type: ignore[misc]
    assert statuses(app, job.name) == ["Preparing", "Running", "Finalizing", "Completed"]
    expected = ["Queued", "Preparing", "Running", "Finalizing", "Completed"]
    assert statuses(app, step) == expected
    # Event Grid keeps no order
    eventually(lambda: len(events(app, step, STATUS_CHANGED)) == 5)
    told = events(app, step, STATUS_CHANGED)
    assert {event["data"]["runStatus"] for event in told} == set(expected)


def test_the_events_have_the_documented_shape(app: BasicApp, workspace: MLClient) -> None:
    job = run_to_end(workspace, ONE_STEP % "'true'")
    (event,) = eventually(lambda: events(app, job.name, COMPLETED))
    data = event["data"]
    assert event["topic"] == app.azure.topology.workspace_id
    assert event["subject"] == f"experiments/{data['experimentId']}/runs/{job.name}"
    uuid.UUID(data["experimentId"])
    uuid.UUID(event["id"])
    assert data == {
        "experimentId": data["experimentId"],
        "experimentName": "tests",
        "runId": job.name,
        "runType": "azureml.PipelineRun",
        "runTags": {"team": "sales"},
        "runProperties": data["runProperties"],
    }
    assert data["runProperties"]["origin"] == "test"
    assert "azureml.pipelinerunid" not in data["runProperties"]

    step = children(workspace, job.name)["only"].name
    (of_step,) = eventually(lambda: events(app, step, COMPLETED))
    assert of_step["data"]["runType"] == "azureml.StepRun"
    assert of_step["data"]["experimentId"] == data["experimentId"]
    assert of_step["data"]["runProperties"]["azureml.pipelinerunid"] == job.name


def test_a_failed_run_changes_its_status_and_does_not_complete(
    app: BasicApp, workspace: MLClient
) -> None:
    job = run_to_end(workspace, ONE_STEP % "exit 3")
    assert job.status == "Failed"
    step = children(workspace, job.name)["only"].name
    for run in (job.name, step):
        eventually(lambda run=run: statuses(app, run)[-1:] == ["Failed"])  # type: ignore[misc]
        assert events(app, run, COMPLETED) == []


def test_a_canceled_run_tells_so(app: BasicApp, workspace: MLClient) -> None:
    job = workspace.jobs.create_or_update(pipeline(ONE_STEP % "sleep 60"))
    eventually(lambda: statuses(app, str(job.name))[-1:] == ["Running"])
    workspace.jobs.begin_cancel(job.name).wait(20)
    eventually(lambda: statuses(app, str(job.name))[-2:] == ["CancelRequested", "Canceled"])
    assert events(app, str(job.name), COMPLETED) == []


def test_a_change_of_tags_is_seen_in_later_events(app: BasicApp, workspace: MLClient) -> None:
    job = workspace.jobs.create_or_update(pipeline(ONE_STEP % "sleep 2"))
    job.tags["added"] = "later"
    workspace.jobs.create_or_update(job)
    (event,) = eventually(lambda: events(app, str(job.name), COMPLETED))
    assert event["data"]["runTags"] == {"team": "sales", "added": "later"}


def test_a_function_app_that_is_down_holds_up_no_job_and_is_told_later(
    app: BasicApp, workspace: MLClient
) -> None:
    app.functions.stop()
    job = run_to_end(workspace, ONE_STEP % "'true'")
    assert job.status == "Completed"
    app.functions.start()
    eventually(lambda: events(app, job.name, COMPLETED), seconds=30)


def test_an_app_without_the_function_is_left_alone(basic_app: BasicApp) -> None:
    job = run_to_end(client(basic_app), ONE_STEP % "'true'")

    def deliveries() -> list[dict[str, Any]]:
        found = loopback.get(f"{basic_app.azure.control_url}/deliveries").json()
        return [d for d in found if job.name in d["event"]["subject"]]

    eventually(lambda: deliveries() and {d["state"] for d in deliveries()} == {"dropped"})
    assert {d["attempts"] for d in deliveries()} == {1}
    log = (basic_app.azure.logs / "services.log").read_text()
    assert log.count("the app has no function run_events") == 1
    assert "was not accepted" not in log
