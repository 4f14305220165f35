"""What AzureML's answers mean. The requests themselves are tested against the local workspace."""

import json
from typing import Any

import pytest
from azure.ai.ml.exceptions import MlException
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseTimeoutError,
)
from azure.identity import CredentialUnavailableError

from shared.errors import JobExists, JobRejected, SignalboxError, WorkspaceUnavailable
from shared.inputs import DataInput
from shared.workspace import AzureWorkspace, JobBody, require_workspace
from shared.workspace import translated as translating


class Answer:
    """As much of an HTTP response as azure-core's errors read."""

    def __init__(
        self, status: int, body: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        self.status_code = status
        self.reason = "the reason"
        self.headers = headers or {}
        self.request: Any = None
        self._text = body if isinstance(body, str) else json.dumps(body)

    def text(self, encoding: str | None = None) -> str:  # noqa: ARG002
        return self._text


def user_error(message: str, *inner: str, **more: Any) -> dict[str, Any]:
    """An error body as Azure Resource Manager sends AzureML's."""
    error: dict[str, Any] = {"code": "UserError", "message": message, **more}
    nested: dict[str, Any] | None = None
    for code in reversed(inner):
        nested = {"code": code, "innerError": nested}
    return {"error": {**error, "innerError": nested}}


IMMUTABLE = user_error(
    "A job with this name already exists. If you are trying to create a new job, use a different "
    "name. If you are trying to update an existing job, the existing job's Inputs cannot be "
    "changed. Only description, tags, displayName, properties, and isArchived can be updated.",
    "Immutable",
    "JobPropertyImmutable",
)


def translated(error: Exception) -> SignalboxError:
    with pytest.raises(SignalboxError) as caught, translating("job 'a1'"):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


def answered(
    status: int, body: Any = None, headers: dict[str, str] | None = None
) -> SignalboxError:
    return translated(HttpResponseError(response=Answer(status, body, headers)))


@pytest.mark.parametrize("status", [400, 409])
def test_an_existing_job_is_proof_that_it_exists(status: int) -> None:
    assert isinstance(answered(status, IMMUTABLE), JobExists)


@pytest.mark.parametrize(
    "body",
    [
        user_error("A job with this name already exists."),
        user_error("Some other words.", "Immutable", "JobPropertyImmutable"),
        user_error("Some other words.", "Immutable"),
        {"code": "UserError", "message": "x", "innererror": {"code": "JobPropertyImmutable"}},
    ],
)
def test_words_or_codes_say_that_it_exists(body: Any) -> None:
    assert isinstance(answered(400, body), JobExists)


def test_the_sdk_s_own_class_for_a_conflict_says_so_too() -> None:
    error = ResourceExistsError(response=Answer(409, IMMUTABLE))

    assert isinstance(translated(error), JobExists)


def test_the_job_that_exists_is_named() -> None:
    assert str(answered(400, IMMUTABLE)) == "AzureML already has job 'a1'"


@pytest.mark.parametrize("status", [408, 409, 412, 423, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("body", [None, "", "<html>Bad Gateway</html>", {"error": "odd"}, [1]])
def test_what_may_pass_is_worth_another_try(status: int, body: Any) -> None:
    found = answered(status, body)

    assert isinstance(found, WorkspaceUnavailable)
    assert f"AzureML answered {status} for job 'a1'" in str(found)
    assert found.retry_after is None
    # Of any other nobody knows whether it did something.
    assert found.refused == (status == 429)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "-1"}, None),
        ({}, None),
    ],
)
def test_the_service_s_wish_to_wait_is_kept(headers: dict[str, str], seconds: float | None) -> None:
    found = answered(429, user_error("Too many requests."), headers)

    assert isinstance(found, WorkspaceUnavailable)
    assert found.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (400, user_error("Bad input."), "UserError", "Bad input."),
        (400, user_error("Bad name.", "BadArgument", "ArgumentInvalid"), "ArgumentInvalid", "name"),
        (
            404,
            {"error": {"code": "ResourceNotFound", "message": "no such component"}},
            "ResourceNotFound",
            "no such component",
        ),
        (400, {"code": "Top", "message": "no wrapping error"}, "Top", "no wrapping error"),
        (405, "<html>", "405", "the reason"),
        (400, {"error": {"code": 5, "message": None}}, "400", ""),
    ],
)
def test_what_repeating_cannot_change_is_rejected_with_code_and_cause(
    status: int, body: Any, code: str, message: str
) -> None:
    found = answered(status, body)

    assert isinstance(found, JobRejected)
    assert found.code == code
    assert message in found.message
    assert code in str(found)


def test_a_missing_component_is_a_rejection_of_the_job() -> None:
    body = {"error": {"code": "NotFound", "message": "Component churn:1 was not found."}}
    found = translated(ResourceNotFoundError(response=Answer(404, body)))

    assert isinstance(found, JobRejected)
    assert "Component churn:1 was not found." in str(found)


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_permission_is_not_the_job_s_fault(status: int) -> None:
    body = {"error": {"code": "AuthorizationFailed", "message": "… does not have authorization"}}

    assert isinstance(answered(status, body), WorkspaceUnavailable)


@pytest.mark.parametrize(
    "message",
    [
        "The Resource 'Microsoft.MachineLearningServices/workspaces/ml/components/churn' "
        "under resource group 'rg' was not found.",
        "Component churn:1 was not found.",
    ],
)
def test_what_is_missing_in_a_workspace_is_not_the_workspace(message: str) -> None:
    body = {"error": {"code": "ResourceNotFound", "message": message}}

    assert isinstance(answered(404, body), JobRejected)


@pytest.mark.parametrize(
    "error",
    [
        ServiceRequestError("Failed to establish a new connection"),
        ServiceResponseTimeoutError("Read timed out."),
        HttpResponseError("Connection aborted"),
        ClientAuthenticationError("no token"),
        CredentialUnavailableError("no identity"),
    ],
)
def test_no_answer_is_worth_another_try(error: Exception) -> None:
    found = translated(error)

    assert isinstance(found, WorkspaceUnavailable)
    assert "job 'a1'" in str(found)


def test_what_the_sdk_itself_refuses_is_rejected() -> None:
    found = translated(
        MlException(message="inputs.x: Not a valid number.", no_personal_data_message="-")
    )

    assert isinstance(found, JobRejected)
    assert "inputs.x: Not a valid number." in str(found)


def test_an_error_of_the_sdk_s_own_says_nothing_of_the_request() -> None:
    found = translated(KeyError("mode"))

    assert isinstance(found, WorkspaceUnavailable)
    assert "KeyError" in str(found)


@pytest.mark.parametrize("status", [None, 400, 401])
def test_who_cannot_sign_in_is_told_so(status: int | None) -> None:
    response: Any = Answer(status, {}) if status else None
    found = translated(ClientAuthenticationError("AADSTS700211", response=response))

    assert isinstance(found, WorkspaceUnavailable)
    assert "Could not sign in" in str(found)
    assert "AZURE_CLIENT_ID" in str(found)


@pytest.mark.parametrize(
    ("action", "role"),
    [
        ("jobs/write", "AzureML Data Scientist on"),
        ("components/versions/write", "AzureML Data Scientist on"),
        ("data/versions/read", "AzureML Data Scientist on"),
        ("computes/write", "AzureML Compute Operator on"),
        ("computes/start/action", "AzureML Compute Operator on"),
    ],
)
def test_a_refusal_names_the_role_that_has_the_action(action: str, role: str) -> None:
    provider = "Microsoft.MachineLearningServices"
    message = (
        "The client 'c' with object id 'o' does not have authorization to perform action "
        f"'{provider}/workspaces/{action}' over scope '/subscriptions/s' or the scope is invalid."
    )
    found = answered(403, {"error": {"code": "AuthorizationFailed", "message": message}})

    assert isinstance(found, WorkspaceUnavailable)
    assert f"the role {role}" in str(found)
    assert action in str(found)


def test_a_component_s_id_is_its_address_in_the_workspace() -> None:
    workspace = AzureWorkspace("s-1", "rg", "ml", credential=None)  # type: ignore[arg-type]

    assert workspace.component_id("churn", "v1") == (
        "/subscriptions/s-1/resourceGroups/rg/providers/Microsoft.MachineLearningServices"
        "/workspaces/ml/components/churn/versions/v1"
    )


@pytest.mark.parametrize("value", [True, False, 0, 1, 1.0, 0.5, "", "true", "1", "azureml:x"])
def test_a_body_s_values_keep_their_types_through_the_ledger(value: Any) -> None:
    body = JobBody(component_id="c", display_name="d", inputs={"x": value})
    read = JobBody.model_validate_json(body.model_dump_json())

    assert read.inputs["x"] == value
    assert type(read.inputs["x"]) is type(value)


def test_a_body_tells_data_from_values() -> None:
    data = DataInput(type="uri_file", path="https://x", mode="download")
    body = JobBody(component_id="c", display_name="d", inputs={"x": data})

    assert JobBody.model_validate_json(body.model_dump_json()).inputs["x"] == data


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {
                "code": "ResourceNotFound",
                "message": "The Resource 'Microsoft.MachineLearningServices/workspaces/ml-typo' "
                "under resource group 'rg' was not found.",
            }
        },
        {"error": {"code": "ResourceGroupNotFound", "message": "Resource group 'x' not found."}},
        {"error": {"code": "SubscriptionNotFound", "message": "The subscription was not found."}},
        {"error": {"code": "ParentResourceNotFound", "message": "Can not perform operation."}},
    ],
)
def test_a_workspace_that_is_not_there_is_no_property_of_the_job(body: Any) -> None:
    found = answered(404, body)

    assert isinstance(found, WorkspaceUnavailable)
    assert "SIGNALBOX_WORKSPACE" in str(found)
    missing = ResourceNotFoundError(response=Answer(404, body))
    with pytest.raises(ResourceNotFoundError):
        require_workspace(missing)


def test_a_job_that_is_not_there_is_absent() -> None:
    body = user_error("Job a1 not found.", "NotFound")
    require_workspace(ResourceNotFoundError(response=Answer(404, body)))
