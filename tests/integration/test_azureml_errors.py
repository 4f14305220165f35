"""Every refusal: its status, its code, and that it names what is wrong."""

from typing import Any

import httpx
import pytest
from azure.ai.ml import Input, MLClient, Output
from azure.ai.ml.entities import CommandComponent, Environment, PipelineComponent, PipelineJob
from azure.core.credentials import AccessToken
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from tests.integration.workspace import (
    children,
    clear_requests,
    details,
    finished,
    inner_codes,
    refusal,
    requests,
    storage_http,
    unique,
)


class Rest:
    """Raw requests to the workspace, for what the SDK would not send."""

    def __init__(self, azure: LocalAzure, http: httpx.Client) -> None:
        self.workspace = azure.topology.workspace_id
        self._http = http
        scope = "https://management.azure.com/.default"
        self._token: AccessToken = DefaultAzureCredential().get_token(scope)

    def __call__(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> httpx.Response:
        """Send to `path` below the workspace, or to a whole path that begins with two slashes."""
        whole = path[1:] if path.startswith("//") else f"{self.workspace}{path}"
        token = self._token.token if token is None else token
        return self._http.request(
            method,
            f"https://management.azure.com{whole}?api-version=2024-01-01-preview",
            json=body,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )


@pytest.fixture(scope="module")
def rest(local_azure: LocalAzure, ml: MLClient) -> Any:
    assert ml
    with storage_http(local_azure) as http:
        yield Rest(local_azure, http)


@pytest.fixture(scope="module")
def echo(ml: MLClient) -> str:
    """The ARM id of a command component with typed inputs."""
    component = CommandComponent(
        name=unique("echo"),
        version="1",
        command="echo ${{inputs.text}} ${{inputs.count}}",
        environment="azureml:plain:1",
        inputs={
            "text": Input(type="string"),
            "count": Input(type="integer", default=1, min=1, max=9),
            "mode": Input(type="string", default="fast", enum=["fast", "slow"]),
            "data": Input(type="uri_file", optional=True),
        },
        outputs={"out": Output(type="uri_folder")},
    )
    return str(ml.components.create_or_update(component).id)


@pytest.fixture(scope="module")
def echo_pipeline(ml: MLClient, echo: str) -> str:
    """The ARM id of a pipeline component around `echo`."""
    component = PipelineComponent(
        name=unique("pipe"),
        version="1",
        inputs={
            "text": Input(type="string"),
            "data": Input(type="uri_file", optional=True),
            "where": Input(type="string", default="cpu-cluster"),
        },
        jobs={
            "say": ml.components.get(echo.split("/")[-3], "1")(
                text="${{parent.inputs.text}}", data="${{parent.inputs.data}}"
            )
        },
    )
    component.jobs["say"].compute = "${{parent.inputs.where}}"
    return str(ml.components.create_or_update(component).id)


def _job(component: str, **inputs: Any) -> PipelineJob:
    job = PipelineJob(component=component, name=unique("job"), inputs=inputs)
    job.experiment_name = "tests"
    return job


def _put(rest: Rest, jobs: dict[str, Any], **body: Any) -> httpx.Response:
    """PUT an inline pipeline job."""
    properties = {"jobType": "Pipeline", "jobs": jobs, **body}
    return rest("PUT", f"/jobs/{unique('job')}", {"properties": properties})


def _error(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


# --- jobs by reference ---


def test_missing_component(ml: MLClient, echo_pipeline: str) -> None:
    missing = echo_pipeline.replace("/versions/1", "/versions/2")
    error = refusal(lambda: ml.jobs.create_or_update(_job(missing)))
    assert (error.status_code, error.error.code) == (404, "UserError")
    assert inner_codes(error) == ["NotFound"]
    assert "with version '2'" in error.message


def test_missing_required_input(ml: MLClient, echo_pipeline: str) -> None:
    error = refusal(lambda: ml.jobs.create_or_update(_job(echo_pipeline)))
    assert (error.status_code, error.error.code) == (400, "UserError")
    assert inner_codes(error) == ["BadArgument", "MissingInput"]
    assert "Required input 'text'" in error.message


def test_unknown_input(ml: MLClient, echo_pipeline: str) -> None:
    error = refusal(lambda: ml.jobs.create_or_update(_job(echo_pipeline, text="a", txet="b")))
    assert error.status_code == 400
    assert inner_codes(error) == ["BadArgument", "UnknownInput"]
    assert "'txet'" in error.message
    assert "data, text, where" in error.message


def test_unknown_output(ml: MLClient, echo_pipeline: str) -> None:
    job = PipelineJob(
        component=echo_pipeline,
        name=unique("job"),
        inputs={"text": "a"},
        outputs={"card": Output(type="uri_folder")},
        experiment_name="tests",
    )
    error = refusal(lambda: ml.jobs.create_or_update(job))
    assert error.status_code == 400
    assert inner_codes(error) == ["BadArgument", "UnknownOutput"]


def test_data_for_a_literal_input(ml: MLClient, echo_pipeline: str) -> None:
    data = Input(type="uri_file", path="azureml://datastores/workspaceblobstore/paths/a")
    error = refusal(lambda: ml.jobs.create_or_update(_job(echo_pipeline, text=data)))
    assert error.status_code == 400
    assert "of type string, but is given data" in error.message


def test_unknown_promoted_compute(ml: MLClient, echo_pipeline: str) -> None:
    job = _job(echo_pipeline, text="a", where="gpu-cluster")
    error = refusal(lambda: ml.jobs.create_or_update(job))
    assert error.status_code == 400
    assert inner_codes(error) == ["NotFound", "ComputeNotFound"]
    assert "'gpu-cluster'" in error.message


def test_a_command_component_is_no_pipeline(ml: MLClient, echo: str) -> None:
    error = refusal(lambda: ml.jobs.create_or_update(_job(echo, text="a")))
    assert error.status_code == 400
    assert "is not a pipeline" in error.message


def test_a_refused_job_does_not_exist(ml: MLClient, echo_pipeline: str) -> None:
    job = _job(echo_pipeline)
    refusal(lambda: ml.jobs.create_or_update(job))
    assert refusal(lambda: ml.jobs.get(str(job.name))).status_code == 404


# --- inline jobs ---


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, "Required input 'text'"),
        ({"text": "a", "other": "b"}, "gives the input 'other'"),
        ({"text": "a", "count": "many"}, "'many' of input 'count' of node 'say' is not of type"),
        ({"text": "a", "count": "12"}, "above the maximum 9"),
        ({"text": "${{parent.inputs.nothing}}"}, "the input 'nothing'"),
        ({"text": "${{parent.jobs.nobody.outputs.out}}"}, "the node 'nobody'"),
        ({"text": "${{parent.jobs.say.outputs.none}}"}, "the output 'none' of node 'say'"),
        ({"text": "x ${{inputs.a}}"}, "has the expression '${{inputs.a}}'"),
        ({"text": "${{parent.jobs.say.outputs.out}}"}, "wait for each other"),
        ({"text": "a", "data": "literal"}, "of type uri_file, but is given a literal"),
    ],
)
def test_bad_node_inputs(rest: Rest, echo: str, inputs: dict[str, str], expected: str) -> None:
    given = {k: {"value": v, "job_input_type": "literal"} for k, v in inputs.items()}
    answer = _put(rest, {"say": {"type": "command", "componentId": echo, "inputs": given}})
    status, code, message = _error(answer)
    assert (status, code) == (400, "UserError")
    assert expected in message


def test_an_enum_refuses_nothing(rest: Rest, echo: str) -> None:
    given = {
        k: {"value": v, "job_input_type": "literal"} for k, v in {"text": "a", "mode": "7"}.items()
    }
    answer = _put(rest, {"say": {"type": "command", "componentId": echo, "inputs": given}})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("if_else", "If-else nodes (node 'say') are not implemented by the local AzureML"),
        ("do_while", "Do-while nodes"),
        ("parallel_for", "Parallel-for nodes"),
        ("telepathy", "'telepathy' nodes"),
    ],
)
def test_node_types_that_are_not_there(rest: Rest, kind: str, expected: str) -> None:
    status, code, message = _error(_put(rest, {"say": {"type": kind}}))
    assert (status, code) == (501, "NotImplemented")
    assert message.startswith(expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"distribution": {"distribution_type": "Mpi"}}, "Distributed jobs are not executed"),
        ({"resources": {"instance_count": 4}}, "Several instances (4 are asked for)"),
    ],
)
def test_node_fields_that_are_not_there_fail_the_step(
    ml: MLClient, rest: Rest, echo: str, fields: dict[str, Any], expected: str
) -> None:
    text = {"value": "a", "job_input_type": "literal"}
    node = {"type": "command", "componentId": echo, "inputs": {"text": text}, **fields}
    made = _put(rest, {"say": node})
    assert made.status_code == 201
    name = made.json()["name"]
    assert finished(ml, name).status == "Failed"
    assert details(ml, children(ml, name)["say"].name).error.error.message.startswith(expected)


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ({"jobs": {}}, 400, "has no jobs"),
        ({"jobType": "AutoML"}, 501, "AutoML jobs are not implemented"),
        ({"jobType": "Spark"}, 501, "Spark jobs are not implemented"),
        ({"settings": {"on_init": "a"}}, 501, "The setting 'on_init' of pipeline jobs"),
        ({"quota": {"cores": 4}}, 501, "The field 'quota' of pipeline jobs"),
        ({"settings": {"default_compute": "nowhere"}}, 400, "Unknown compute target 'nowhere'"),
        ({"inputs": {"a": {"jobInputType": "uri_file"}}}, 400, "The input 'a' of pipeline job"),
    ],
)
def test_bad_jobs(rest: Rest, echo: str, body: dict[str, Any], status: int, expected: str) -> None:
    node = {"type": "command", "componentId": echo, "inputs": {"text": "a"}}
    answer = _put(rest, **{"jobs": {"say": node}, **body})
    assert answer.status_code == status
    assert expected in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["with.dot", "with space", "a" * 256, "ä"])
def test_bad_job_name(rest: Rest, name: str) -> None:
    answer = rest("PUT", f"/jobs/{name}", {"properties": {"jobType": "Pipeline"}})
    status, code, message = _error(answer)
    assert (status, code) == (400, "UserError")
    assert f"The job name '{name}' is not valid" in message


def test_unknown_default_datastore(rest: Rest, echo: str) -> None:
    node = {"type": "command", "componentId": echo, "inputs": {"text": "a"}}
    answer = _put(rest, {"say": node}, settings={"default_datastore": "lake"})
    assert answer.status_code == 400
    assert "Unknown default datastore 'lake'" in answer.json()["error"]["message"]


def test_component_name_with_a_hyphen(rest: Rest) -> None:
    answer = rest("PUT", "/components/a-b/versions/1", {"properties": {"componentSpec": {}}})
    status, code, message = _error(answer)
    assert (status, code) == (400, "UserError")
    assert "'a-b' is not a valid name of a component" in message


def test_component_types_that_are_not_there(rest: Rest) -> None:
    spec = {"properties": {"componentSpec": {"type": "telepathic"}}}
    answer = rest("PUT", "/components/sparkling/versions/1", spec)
    assert answer.status_code == 501
    assert "Components of type 'telepathic'" in answer.json()["error"]["message"]


# --- the service itself ---


def test_unknown_routes_are_refused_by_name(rest: Rest) -> None:
    for method, path in [
        ("PUT", "/serverlessEndpoints/e"),
        ("GET", "/onlineEndpoints"),
        ("DELETE", "/jobs/a"),
        ("PUT", "/featuresets/m/versions/1"),
    ]:
        status, code, message = _error(rest(method, path, {}))
        assert (status, code) == (501, "NotImplemented")
        assert message.startswith(f"{method} {rest.workspace}{path} is not implemented")


def test_another_workspace_does_not_exist(rest: Rest) -> None:
    other = rest.workspace.replace("ml-local", "ml-other")
    for path in ("", "/jobs/a", "/components"):
        status, code, message = _error(rest("GET", f"/{other}{path}"))
        assert (status, code) == (404, "ResourceNotFound")
        assert "ml-other" in message
        assert "ml-local" in message


def test_paths_are_not_case_sensitive(rest: Rest) -> None:
    lower = rest.workspace.replace("resourceGroups", "resourcegroups")
    lower = lower.replace("Microsoft.MachineLearning", "microsoft.machinelearning")
    answer = rest("GET", f"/{lower}")
    assert answer.status_code == 200
    assert answer.json()["name"] == "ml-local"


@pytest.mark.parametrize("token", ["", "not-a-jwt"])
def test_no_token(rest: Rest, token: str) -> None:
    status, code, _ = _error(rest("GET", "/jobs", token=token))
    assert (status, code) == (401, "AuthenticationFailed")


def test_token_for_another_service(rest: Rest) -> None:
    token = DefaultAzureCredential().get_token("https://storage.azure.com/.default").token
    status, code, message = _error(rest("GET", "/jobs", token=token))
    assert (status, code) == (401, "AuthenticationFailed")
    assert "https://storage.azure.com" in message


def test_body_that_is_not_json(local_azure: LocalAzure, rest: Rest) -> None:
    assert local_azure
    status, code, message = _error(rest("PUT", "/jobs/a", ["a", "list"]))
    assert (status, code) == (400, "UserError")
    assert "JSON object" in message


def test_refusals_are_not_retried(local_azure: LocalAzure, ml: MLClient, rest: Rest) -> None:
    """A permanent refusal must not look like one that the SDK would try again."""
    assert rest
    patient = MLClient(
        DefaultAzureCredential(),
        ml.subscription_id,
        ml.resource_group_name,
        ml.workspace_name,
        enable_telemetry=False,
    )
    clear_requests(local_azure)
    environment = Environment(name=unique("env"), version="1", image="i", os_type="Windows")
    refusal(lambda: patient.environments.create_or_update(environment))
    assert [r["status"] for r in requests(local_azure)] == [501]
