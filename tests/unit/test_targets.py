"""What Azure says of computes, in our words."""

from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from shared.compute_definitions import ComputeDefinition
from shared.errors import WorkspaceUnavailable
from shared.targets import AzureTargets, target

CPU = ComputeDefinition.kept({"name": "cpu", "type": "amlcompute", "size": "Standard_DS3_v2"})


class _Refusing:
    """A client whose computes may not be touched."""

    def __getattr__(self, name: str) -> Any:
        return self if name == "compute" else self._refuse

    def _refuse(self, *_: Any, **__: Any) -> Any:
        response: Any = SimpleNamespace(
            status_code=403, reason="Forbidden", headers={}, text=lambda: "{}"
        )
        raise HttpResponseError("not authorized", response=response)


@pytest.mark.parametrize("call", ["find", "start"])
def test_a_missing_role_is_named(call: str) -> None:
    targets = AzureTargets(_Refusing)

    with pytest.raises(WorkspaceUnavailable, match="role AzureML Compute Operator") as told:
        getattr(targets, call)("cpu")
    assert str(told.value).startswith(
        "AzureML answered 403 for compute 'cpu': not authorized. Give"
    )


def test_a_missing_role_to_create_is_named() -> None:
    with pytest.raises(WorkspaceUnavailable, match="role AzureML Compute Operator"):
        AzureTargets(_Refusing).create(CPU)


@pytest.mark.parametrize(
    ("errors", "problem"),
    [
        (None, None),
        ("ClusterCoreQuotaReached", "ClusterCoreQuotaReached"),
        ([{"error": {"code": "x", "message": "no cores"}}], "no cores"),
        ([SimpleNamespace(error=SimpleNamespace(message="no cores"))], "no cores"),
    ],
)
def test_why_provisioning_failed_is_found(errors: Any, problem: str | None) -> None:
    found = SimpleNamespace(
        type="AmlCompute", provisioning_state="Failed", provisioning_errors=errors
    )
    seen = target(found, {"size": "D2", "tags": None})

    assert seen.problem == problem
    assert (seen.type, seen.provisioning, seen.state) == ("amlcompute", "Failed", None)
    assert seen.settings == {"size": "D2"}


@pytest.mark.parametrize(
    ("last", "problem"),
    [
        ({"operationName": "Start", "operationStatus": "StartFailed"}, "StartFailed"),
        ({"operationName": "Start", "operationStatus": "Succeeded"}, None),
        (None, None),
    ],
)
def test_why_an_instance_is_still_stopped_is_found(last: Any, problem: str | None) -> None:
    found = SimpleNamespace(
        type="ComputeInstance", provisioning_state="Succeeded", state="Stopped", last_operation=last
    )

    assert target(found, {}).problem == problem
