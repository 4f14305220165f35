"""Computes over HTTP: what is kept of them, without asking Azure."""

from dataclasses import replace

import pytest

from shared.compute_definitions import ComputeDefinition
from shared.errors import WorkspaceUnavailable
from tests.unit.api_client import Api, everything

PASSWORD = "correct-horse-battery"
CPU = ComputeDefinition.kept(
    {
        "name": "cpu-cluster",
        "type": "amlcompute",
        "size": "Standard_DS3_v2",
        "max_instances": 4,
        "ssh_settings": {"admin_username": "ann", "admin_password": PASSWORD},
        "setup_scripts": {},
    }
)
DESK = ComputeDefinition.kept({"name": "desk", "type": "computeinstance", "size": "D2"})


@pytest.fixture
def api() -> Api:
    api = Api(everything())
    api.scene.computes.adopt([DESK, CPU], lambda _line: None)
    return api


def test_computes_are_listed_by_name_as_they_were_found(api: Api) -> None:
    api.scene.targets.ready("cpu-cluster")
    api.scene.computes.check()
    asked = len(api.scene.world.calls)
    found = api.get("/computes").json()["items"]

    assert [(each["name"], each["type"], each["state"]) for each in found] == [
        ("cpu-cluster", "amlcompute", "ready"),
        ("desk", "computeinstance", "changing"),
    ]
    # Azure is not asked: what the timer found is told.
    assert [c for c in api.scene.world.calls[asked:] if "compute" in c] == [
        "get_if_changed computes.json"
    ]


def test_a_compute_says_what_differs_and_what_nobody_compares(api: Api) -> None:
    api.scene.targets.ready("cpu-cluster")
    there = api.scene.targets.there["cpu-cluster"]
    smaller = {**there.settings, "max_instances": 2, "ssh_settings": {"admin_username": "bob"}}
    api.scene.targets.there["cpu-cluster"] = replace(there, settings=smaller)
    api.scene.computes.check()
    found = api.get("/computes/cpu-cluster").json()

    assert found["problem"] is None
    assert found["drift"] == [
        {"setting": "max_instances", "wanted": 4, "actual": 2},
        {"setting": "ssh_settings.admin_username", "wanted": "ann", "actual": "bob"},
    ]
    assert found["not_compared"] == ["setup_scripts", "ssh_settings (all but admin_username)"]
    assert found["settings"]["max_instances"] == 4


def test_no_answer_holds_a_password(api: Api) -> None:
    for path in ("/computes", "/computes/cpu-cluster"):
        answer = api.get(path)
        assert "ann" in answer.text
        assert PASSWORD not in answer.text


def test_a_compute_that_cannot_be_looked_at_says_why(api: Api) -> None:
    api.scene.targets.trouble = WorkspaceUnavailable("403: it needs AzureML Compute Operator")
    api.scene.computes.check()
    found = api.get("/computes/desk").json()

    assert (found["state"], found["problem"]) == (
        "changing",
        "403: it needs AzureML Compute Operator",
    )
    api.scene.targets.trouble = None
    api.scene.computes.check()
    assert api.get("/computes/desk").json()["problem"] is None


def test_a_compute_that_nobody_defined_is_not_found_and_told_which_are(api: Api) -> None:
    answer = api.get("/computes/gpu")

    assert answer.status_code == 404
    assert "there are: cpu-cluster, desk" in answer.json()["detail"]
    assert "there are: none" in Api(everything()).get("/computes/gpu").json()["detail"]
