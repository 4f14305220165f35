"""Signalbox's one room for AzureML, against the local workspace: requests, answers, threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Data
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobClient

from emulator.stack import LocalAzure
from shared.errors import JobExists, JobRejected, NotFound, WorkspaceUnavailable
from shared.inputs import DataInput
from shared.workspace import AzureWorkspace, JobBody
from tests.integration.workspace import clear_requests, eventually, requests, unique
from tests.loopback import loopback

#: Arms a fault for so many PUTs of a job.
Fault = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def workspace(local_azure: LocalAzure) -> AzureWorkspace:
    return _workspace(local_azure)


def _workspace(local_azure: LocalAzure) -> AzureWorkspace:
    topology = local_azure.topology
    return AzureWorkspace(
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        DefaultAzureCredential(),
    )


@pytest.fixture(scope="module")
def component(workspace: AzureWorkspace, ml: MLClient) -> str:
    """ARM id of a registered pipeline of two steps that prints `text` and ends with `code`."""
    assert ml.environments.get("plain", "1")
    step, pipeline = unique("say"), unique("saying")
    workspace.register(
        {
            "type": "command",
            "name": step,
            "version": "1",
            "inputs": {"text": {"type": "string"}, "code": {"type": "integer", "default": 0}},
            "command": "seq 30; echo ${{inputs.text}}; exit ${{inputs.code}}",
            "environment": "azureml:plain:1",
        }
    )
    node = {"type": "command", "component": f"azureml:{step}:1"}
    text = "${{parent.inputs.text}}"
    workspace.register(
        {
            "type": "pipeline",
            "name": pipeline,
            "version": "1",
            "inputs": {
                "text": {"type": "string"},
                "code": {"type": "integer", "default": 0},
            },
            "jobs": {
                "first": {**node, "inputs": {"text": text}},
                "second": {
                    **node,
                    "inputs": {"text": text, "code": "${{parent.inputs.code}}"},
                },
            },
        }
    )
    return workspace.component_id(pipeline, "1")


@pytest.fixture
def fault(local_azure: LocalAzure) -> Fault:
    @contextmanager
    def armed(action: dict[str, Any], *, times: int = 1) -> Iterator[None]:
        url = f"{local_azure.control_url}/faults"
        fault = {"method": "PUT", "path_contains": "/jobs/", "times": times, "action": action}
        loopback.post(url, json=fault).raise_for_status()
        try:
            yield
        finally:
            loopback.delete(url).raise_for_status()

    return armed


def _body(component: str, **inputs: Any) -> JobBody:
    return JobBody(
        component_id=component,
        inputs={"text": "hello", **inputs},
        settings={"default_compute": "cpu-cluster"},
        experiment_name="tests",
        display_name="A test",
        tags={"signalbox_run": "trigger.key"},
    )


def _puts(local_azure: LocalAzure, job: str) -> list[int | None]:
    """Statuses of the PUTs of a job; None for one without an answer."""
    return [
        request["status"]
        for request in requests(local_azure)
        if request["method"] == "PUT" and request["path"].endswith(f"/jobs/{job}")
    ]


def _ended(workspace: AzureWorkspace, job: str) -> str:
    def look() -> str | None:
        found = workspace.find(job)
        assert found
        return found.status if found.status in ("Completed", "Failed", "Canceled") else None

    return eventually(look, seconds=60, what=f"the end of {job}")


def test_where_a_datastore_keeps_its_data(
    workspace: AzureWorkspace, local_azure: LocalAzure
) -> None:
    found = workspace.datastore("workspaceblobstore")

    emulated = local_azure.topology.workspace
    assert (found.account, found.container) == (
        emulated.storage_account,
        emulated.datastore_container,
    )
    with pytest.raises(NotFound, match="no datastore 'elsewhere'"):
        workspace.datastore("elsewhere")


def test_a_job_is_one_request_and_is_found_with_what_it_was_given(
    workspace: AzureWorkspace, local_azure: LocalAzure, ml: MLClient, component: str
) -> None:
    job = unique("job")
    clear_requests(local_azure)
    workspace.submit(job, _body(component))
    assert [r["method"] for r in requests(local_azure) if r["path"].endswith(job)] == ["PUT"]
    assert len(requests(local_azure)) == 1

    found = ml.jobs.get(job)
    assert found.experiment_name == "tests"
    assert found.display_name == "A test"
    assert found.tags == {"signalbox_run": "trigger.key"}
    assert found.settings.default_compute == "cpu-cluster"
    assert _ended(workspace, job) == "Completed"
    assert workspace.failed_steps(job) == []


def test_false_zero_and_data_reach_the_job(
    workspace: AzureWorkspace, ml: MLClient, tmp_path: Path
) -> None:
    step, pipeline, job = unique("look"), unique("looking"), unique("job")
    inputs = {
        "zero": {"type": "integer", "default": 7},
        "no": {"type": "boolean", "default": True},
        "data": {"type": "uri_folder"},
    }
    workspace.register(
        {
            "type": "command",
            "name": step,
            "version": "1",
            "inputs": inputs,
            "outputs": {"seen": {"type": "uri_folder"}},
            "command": "echo '${{inputs.zero}} ${{inputs.no}}'"
            " > ${{outputs.seen}}/seen.txt; ls ${{inputs.data}} >> ${{outputs.seen}}/seen.txt",
            "environment": "azureml:plain:1",
        }
    )
    workspace.register(
        {
            "type": "pipeline",
            "name": pipeline,
            "version": "1",
            "inputs": inputs,
            "outputs": {"seen": {"type": "uri_folder"}},
            "jobs": {
                "look": {
                    "type": "command",
                    "component": f"azureml:{step}:1",
                    "inputs": {name: f"${{{{parent.inputs.{name}}}}}" for name in inputs},
                    "outputs": {"seen": "${{parent.outputs.seen}}"},
                }
            },
        }
    )
    place = "azureml://datastores/workspaceblobstore/paths"
    BlobClient(
        "https://mllocalstore.blob.core.windows.net",
        "azureml-blobstore-local",
        f"{job}/in/a.txt",
        credential=DefaultAzureCredential(),
    ).upload_blob(b"x")
    workspace.submit(
        job,
        JobBody(
            component_id=workspace.component_id(pipeline, "1"),
            inputs={
                "zero": 0,
                "no": False,
                "data": DataInput(type="uri_folder", path=f"{place}/{job}/in/"),
            },
            outputs={"seen": DataInput(type="uri_folder", path=f"{place}/{job}/out/")},
            settings={"default_compute": "serverless"},
            display_name="A test",
        ),
    )
    assert _ended(workspace, job) == "Completed"
    ml.jobs.download(job, download_path=tmp_path, output_name="seen")
    seen = (tmp_path / "named-outputs" / "seen" / "seen.txt").read_text()
    assert seen == "0 False\na.txt\n"


def test_a_second_put_is_proof_that_the_job_exists(
    workspace: AzureWorkspace, component: str
) -> None:
    job = unique("job")
    workspace.submit(job, _body(component))
    for again in (_body(component), _body(component, text="something else")):
        with pytest.raises(JobExists, match=job):
            workspace.submit(job, again)
    found = workspace.find(job)
    assert found
    assert found.name == job
    assert found.tags == {"signalbox_run": "trigger.key"}


def test_a_job_that_is_not_there_is_none(workspace: AzureWorkspace) -> None:
    assert workspace.find(unique("never")) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"component_id": "no_such_component"}, "no_such_component"),
        ({"settings": {"default_compute": "no-such-cluster"}}, "no-such-cluster"),
        ({"inputs": {"text": "x", "colour": "blue"}}, "colour"),
        ({"inputs": {}}, "text"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_can_never_run_is_rejected_with_azureml_s_code_and_words(
    workspace: AzureWorkspace, component: str, change: dict[str, Any], words: str
) -> None:
    job = unique("job")
    if "component_id" in change:
        change = {"component_id": workspace.component_id(change["component_id"], "1")}
    with pytest.raises(JobRejected) as caught:
        workspace.submit(job, _body(component).model_copy(update=change))
    assert caught.value.code
    assert words in caught.value.message
    assert workspace.find(job) is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_workspace_is_asked_once(
    workspace: AzureWorkspace, local_azure: LocalAzure, component: str, fault: Fault, status: int
) -> None:
    job = unique("job")
    clear_requests(local_azure)
    with (
        fault({"status": status, "headers": {"Retry-After": "7"}}, times=9),
        pytest.raises(WorkspaceUnavailable) as caught,
    ):
        workspace.submit(job, _body(component))
    assert caught.value.retry_after == 7
    assert _puts(local_azure, job) == [status]


@pytest.mark.parametrize("lost", ["drop", "apply_then_drop"])
def test_a_lost_connection_is_nothing_known_and_is_not_tried_again(
    workspace: AzureWorkspace, local_azure: LocalAzure, component: str, fault: Fault, lost: str
) -> None:
    job = unique("job")
    clear_requests(local_azure)
    with fault({lost: True}, times=9), pytest.raises(WorkspaceUnavailable) as caught:
        workspace.submit(job, _body(component))
    assert caught.value.retry_after is None
    assert _puts(local_azure, job) == [None]
    assert (workspace.find(job) is not None) == (lost == "apply_then_drop")


def test_a_label_stands_for_what_was_registered_last(
    workspace: AzureWorkspace, local_azure: LocalAzure, ml: MLClient
) -> None:
    name = unique("sales")
    path = "azureml://datastores/workspaceblobstore/paths/sales.csv"
    for version in ("1", "2"):
        ml.data.create_or_update(Data(name=name, version=version, type="uri_file", path=path))
    clear_requests(local_azure)

    assert workspace.labelled("data", name, "latest") == "2"
    assert len(requests(local_azure)) == 2
    for kind in ("data", "model", "component", "environment"):
        assert workspace.labelled(kind, unique("nothing"), "latest") is None
    assert workspace.labelled("data", name, "newest") is None


@pytest.mark.parametrize("kind", ["data", "model"])
def test_a_workspace_that_is_not_there_is_not_one_without_data(
    local_azure: LocalAzure, kind: str
) -> None:
    topology = local_azure.topology
    mistyped = AzureWorkspace(
        topology.subscription_id, topology.resource_group, "mistyped", DefaultAzureCredential()
    )
    with pytest.raises(WorkspaceUnavailable, match="no such AzureML workspace"):
        mistyped.labelled(kind, "sales", "latest")


def test_a_failed_step_has_its_name_and_the_end_of_its_log(
    workspace: AzureWorkspace, component: str
) -> None:
    job = unique("job")
    workspace.submit(job, _body(component, text="it broke", code=4))
    assert _ended(workspace, job) == "Failed"
    (step,) = workspace.failed_steps(job)
    assert step.step == "second"
    lines = step.log_tail.splitlines()
    assert len(lines) == 20
    assert "it broke" in lines
    assert "30" in lines
    assert "1" not in lines
    assert workspace.find(step.job)


def test_a_job_is_canceled(workspace: AzureWorkspace, ml: MLClient) -> None:
    step, pipeline, job = unique("wait"), unique("waiting"), unique("job")
    workspace.register(
        {
            "type": "command",
            "name": step,
            "version": "1",
            "command": "sleep 60",
            "environment": "azureml:plain:1",
        }
    )
    workspace.register(
        {
            "type": "pipeline",
            "name": pipeline,
            "version": "1",
            "jobs": {"wait": {"type": "command", "component": f"azureml:{step}:1"}},
        }
    )
    workspace.submit(
        job, _body(workspace.component_id(pipeline, "1")).model_copy(update={"inputs": {}})
    )
    workspace.cancel(job)
    assert _ended(workspace, job) == "Canceled"
    # once more, when it is over: the tick does not know yet
    workspace.cancel(job)
    assert str(ml.jobs.get(job).status.value) == "Canceled"


def test_registering_the_same_again_changes_nothing(
    workspace: AzureWorkspace, ml: MLClient, tmp_path: Path
) -> None:
    name = unique("twice")
    (tmp_path / "run.py").write_text("print('twice')\n")
    document = {
        "type": "command",
        "name": name,
        "version": "1",
        "code": str(tmp_path),
        "command": "python run.py",
        "environment": {"image": "python"},
    }
    workspace.register(document)
    first = ml.components.get(name, "1")
    workspace.register(document)
    again = ml.components.get(name, "1")
    assert again.code == first.code
    assert [component.version for component in ml.components.list(name)] == ["1"]


def test_a_flow_is_registered_though_the_sdk_cannot_read_the_answer(
    workspace: AzureWorkspace, local_azure: LocalAzure, tmp_path: Path
) -> None:
    name = unique("flow")
    for file, text in {
        "flow.dag.yaml": "$schema: https://azuremlschemas.azureedge.net/promptflow/latest/Flow.schema.json\n",
        "ask.py": "",
        ".promptflow/flow.tools.json": "{}",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    document = {"name": name, "version": "1", "flow": str(tmp_path / "flow.dag.yaml")}
    assert not workspace.registered(name, "1")
    spec = {"type": "promptflow_parallel", "name": name, "version": "1"}
    action = {"status": 200, "body": {"properties": {"componentSpec": spec}}}
    url = f"{local_azure.control_url}/faults"
    fault = {"path_contains": f"/components/{name}/versions/1", "times": 2, "action": action}
    loopback.post(url, json=fault).raise_for_status()

    workspace.register(document)
    assert workspace.registered(name, "1")


def test_a_component_that_azureml_refuses(workspace: AzureWorkspace) -> None:
    with pytest.raises(JobRejected) as caught:
        workspace.register(
            {
                "type": "command",
                "name": unique("wrong"),
                "version": "1",
                "command": "true",
                "environment": "azureml:no_such_environment:1",
            }
        )
    assert "no_such_environment" in str(caught.value)


def test_many_threads_share_one_workspace(local_azure: LocalAzure, component: str) -> None:
    # new, so that the threads also race for its client
    workspace = _workspace(local_azure)
    names = [unique("job") for _ in range(8)]
    clear_requests(local_azure)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: workspace.submit(name, _body(component, text=name)), names))
        found = list(pool.map(workspace.find, names))
    assert [job and job.name for job in found] == names
    assert [_puts(local_azure, name) for name in names] == [[201]] * 8
    for name in names:
        workspace.cancel(name)
