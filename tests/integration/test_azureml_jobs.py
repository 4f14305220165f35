"""Jobs through the official SDK: create, get, list, update, cancel, stream, download."""

import os
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.constants import ListViewType
from azure.ai.ml.entities import (
    CommandComponent,
    PipelineComponent,
    PipelineJob,
    PipelineJobSettings,
)
from azure.ai.ml.exceptions import JobException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from emulator.stack import LocalAzure
from tests.integration.workspace import (
    children,
    clear_requests,
    details,
    eventually,
    finished,
    inner_codes,
    log_of,
    output,
    pipeline,
    refusal,
    requests,
    run_to_end,
    unique,
)

_GREET = """
type: pipeline
display_name: Greetings
description: says hello
tags: {team: blue}
settings: {default_compute: "azureml:cpu-cluster"}
inputs: {who: world}
outputs: {card: {type: uri_folder}}
jobs:
  greet:
    type: command
    command: echo "hello ${{inputs.who}}" | tee ${{outputs.card}}/card.txt
    environment: azureml:plain:1
    inputs: {who: "${{parent.inputs.who}}"}
    outputs: {card: "${{parent.outputs.card}}"}
"""
_SLEEP = """
type: pipeline
jobs:
  sleep:
    type: command
    command: echo "pid $$"; sleep 60
    environment: azureml:plain:1
"""


@pytest.fixture(scope="module")
def greeting(ml: MLClient) -> Any:
    """A finished job, for the tests that only look."""
    return run_to_end(ml, _GREET)


@pytest.fixture(scope="module")
def greeting_component(ml: MLClient) -> str:
    """The ARM id of a registered pipeline component with one step."""
    step = ml.components.create_or_update(
        CommandComponent(
            name=unique("greet"),
            version="1",
            command='echo "hello ${{inputs.who}}" > ${{outputs.card}}/card.txt',
            environment="azureml:plain:1",
            inputs={"who": Input(type="string")},
            outputs={"card": Output(type="uri_folder")},
        )
    )
    node = step(who="${{parent.inputs.who}}")
    node.outputs.card = "${{parent.outputs.card}}"
    component = PipelineComponent(
        name=unique("greetings"),
        version="1",
        inputs={"who": Input(type="string", default="world")},
        outputs={"card": Output(type="uri_folder")},
        jobs={"greet": node},
    )
    return str(ml.components.create_or_update(component).id)


def test_inline_job_runs_to_completion(ml: MLClient, greeting: Any) -> None:
    assert greeting.status == "Completed"
    assert greeting.display_name == "Greetings"
    assert greeting.description == "says hello"
    assert greeting.tags == {"team": "blue"}
    assert greeting.experiment_name == "tests"
    assert greeting.settings.default_compute == "cpu-cluster"
    assert greeting.creation_context.created_at is not None
    assert ml.jobs.get(greeting.name).jobs["greet"].type == "command"


def test_children_of_a_job(ml: MLClient, greeting: Any) -> None:
    found = children(ml, greeting.name)
    assert list(found) == ["greet"]
    child = ml.jobs.get(str(found["greet"].name))
    assert child.status == "Completed"
    assert child.properties["azureml.pipelinerunid"] == greeting.name
    assert child.compute == "cpu-cluster"
    times = details(ml, child.name)
    assert times.start_time_utc <= times.end_time_utc
    assert times.error is None


def test_download_of_logs_and_of_a_named_output(
    ml: MLClient, greeting: Any, tmp_path: Path
) -> None:
    assert output(ml, greeting.name, "card", tmp_path) == {"card.txt": "hello world\n"}
    step = children(ml, greeting.name)["greet"]
    ml.jobs.download(str(step.name), download_path=tmp_path / "step", all=True)
    artifacts = tmp_path / "step" / "artifacts"
    assert (artifacts / "user_logs" / "std_log.txt").read_text() == "hello world\n"
    assert (tmp_path / "step" / "named-outputs" / "card" / "card.txt").exists()


def test_stream_prints_the_steps(
    ml: MLClient, greeting_component: str, capsys: pytest.CaptureFixture[str]
) -> None:
    job = PipelineJob(component=greeting_component, name=unique("job"), experiment_name="tests")
    ml.jobs.create_or_update(job)
    ml.jobs.stream(job.name)
    printed = capsys.readouterr().out
    assert "Streaming logs/azureml/executionlogs.txt" in printed
    assert "ended: Completed" in printed
    assert ml.jobs.get(job.name).status == "Completed"


def test_stream_of_a_failed_job_raises_its_error(ml: MLClient) -> None:
    job = ml.jobs.create_or_update(pipeline(_GREET.replace("echo", "exit 3; echo")))
    with pytest.raises(JobException, match="Failed nodes: /greet"):
        ml.jobs.stream(str(job.name))


def test_job_by_reference_is_one_request(
    ml: MLClient, local_azure: LocalAzure, greeting_component: str, tmp_path: Path
) -> None:
    job = PipelineJob(
        component=greeting_component,
        name=unique("job"),
        experiment_name="tests",
        inputs={"who": "you"},
        settings=PipelineJobSettings(default_compute="cpu-cluster"),
    )
    clear_requests(local_azure)
    made = ml.jobs.create_or_update(job)
    sent = requests(local_azure)
    assert [(r["method"], r["path"].rsplit("/", 2)[1:], r["status"]) for r in sent] == [
        ("PUT", ["jobs", job.name], 201)
    ]
    assert made.status == "Preparing"
    assert finished(ml, job.name).status == "Completed"
    assert output(ml, job.name, "card", tmp_path) == {"card.txt": "hello you\n"}


def test_output_goes_where_the_job_says(
    ml: MLClient, greeting_component: str, tmp_path: Path
) -> None:
    place = unique("cards")
    job = PipelineJob(
        component=greeting_component,
        name=unique("job"),
        outputs={
            "card": Output(
                type="uri_folder",
                path=f"azureml://datastores/workspaceblobstore/paths/{place}/${{{{name}}}}",
            )
        },
    )
    job.experiment_name = "tests"
    ml.jobs.create_or_update(job)
    done = finished(ml, job.name)
    assert f"/paths/{place}/" in done.outputs["card"].path
    assert output(ml, job.name, "card", tmp_path) == {"card.txt": "hello world\n"}


def test_command_job_without_a_pipeline(ml: MLClient, local_azure: LocalAzure) -> None:
    job = command(
        name=unique("job"),
        command="echo ${{inputs.count}} $COLOR",
        environment="azureml:plain:1",
        compute="cpu-cluster",
        experiment_name="tests",
        inputs={"count": 3},
        environment_variables={"COLOR": "blue"},
    )
    ml.jobs.create_or_update(job)
    assert finished(ml, job.name).status == "Completed"
    assert log_of(ml, local_azure, job.name) == "3 blue\n"


def test_list_is_newest_first_and_paged(ml: MLClient, local_azure: LocalAzure) -> None:
    tag = unique("tag")
    job = _SLEEP.replace("sleep 60", "true")
    names = []
    for number in range(12):
        made = pipeline(job)
        made.tags = {tag: str(number)}
        names.append(ml.jobs.create_or_update(made).name)
    clear_requests(local_azure)
    assert [found.name for found in ml.jobs.list(tag=tag)] == names[::-1]
    pages = [r for r in requests(local_azure) if r["path"].endswith("/jobs")]
    assert len(pages) == 2
    assert [found.name for found in ml.jobs.list(tag=f"{tag}=7")] == [names[7]]
    everything = [found.name for found in ml.jobs.list()]
    assert everything[:12] == names[::-1]
    for name in names:
        finished(ml, name)


def test_archived_jobs_are_listed_apart(ml: MLClient) -> None:
    job = run_to_end(ml, _SLEEP.replace("sleep 60", "true"), tags={"kind": unique("tag")})
    tag = f"kind={job.tags['kind']}"
    ml.jobs.archive(str(job.name))
    assert list(ml.jobs.list(tag=tag)) == []
    archived = ml.jobs.list(tag=tag, list_view_type=ListViewType.ARCHIVED_ONLY)
    assert [found.name for found in archived] == [job.name]
    ml.jobs.restore(str(job.name))
    assert [found.name for found in ml.jobs.list(tag=tag)] == [job.name]


def test_put_of_the_same_job_again_is_refused(ml: MLClient, greeting_component: str) -> None:
    job = PipelineJob(component=greeting_component, name=unique("job"), experiment_name="tests")
    ml.jobs.create_or_update(job)
    error = refusal(lambda: ml.jobs.create_or_update(job))
    assert error.status_code == 400
    assert error.error.code == "UserError"
    assert "A job with this name already exists." in error.message
    assert inner_codes(error) == ["Immutable", "JobPropertyImmutable"]


def test_put_of_another_job_under_the_same_name_is_refused(
    ml: MLClient, greeting_component: str
) -> None:
    job = PipelineJob(component=greeting_component, name=unique("job"), experiment_name="tests")
    ml.jobs.create_or_update(job)
    other = PipelineJob(
        component=greeting_component,
        name=job.name,
        experiment_name="tests",
        inputs={"who": "other"},
        settings=PipelineJobSettings(force_rerun=True),
    )
    with pytest.raises(HttpResponseError, match="job's Inputs, InputBindings, Settings cannot"):
        ml.jobs.create_or_update(other)


def test_tags_of_an_existing_job_can_be_added(ml: MLClient, greeting_component: str) -> None:
    job = PipelineJob(component=greeting_component, name=unique("job"), tags={"one": "1"})
    job.experiment_name = "tests"
    ml.jobs.create_or_update(job)
    job.tags = {"two": "2"}
    job.display_name = "Second thoughts"
    assert ml.jobs.create_or_update(job).tags == {"one": "1", "two": "2"}
    assert ml.jobs.get(str(job.name)).display_name == "Second thoughts"


def test_update_through_run_history(ml: MLClient, greeting: Any) -> None:
    updated = ml.jobs.update(str(greeting.name), tags={"seen": "yes"}, description="seen")
    assert updated.tags == {"team": "blue", "seen": "yes"}
    assert updated.description == "seen"


def test_cancel_ends_the_process(ml: MLClient, local_azure: LocalAzure) -> None:
    job = ml.jobs.create_or_update(pipeline(_SLEEP))

    def pid() -> int | None:
        step = children(ml, job.name).get("sleep")
        if step is None or "user_logs/std_log.txt" not in details(ml, step.name).log_files:
            return None
        words = log_of(ml, local_azure, step.name).split()
        return int(words[1]) if words else None

    process = eventually(pid, seconds=20, what="the step's first line")
    os.kill(process, 0)
    ml.jobs.begin_cancel(str(job.name)).result(timeout=20)
    assert ml.jobs.get(str(job.name)).status == "Canceled"
    assert children(ml, job.name)["sleep"].status == "Canceled"
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_cancel_of_an_ended_job_changes_nothing(ml: MLClient, greeting: Any) -> None:
    ml.jobs.begin_cancel(str(greeting.name)).result(timeout=5)
    assert ml.jobs.get(str(greeting.name)).status == "Completed"


def test_unknown_job(ml: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError, match="Job nothing not found"):
        ml.jobs.get("nothing")
    with pytest.raises(ResourceNotFoundError, match="Job nothing not found"):
        ml.jobs.begin_cancel("nothing")
