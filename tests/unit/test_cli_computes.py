"""Computes from the command line."""

import json
from typing import Any

import pytest

from tests.unit.fake_api import FakeApi, problem

CPU: dict[str, Any] = {
    "name": "cpu-cluster",
    "type": "amlcompute",
    "state": "ready",
    "since": "2026-03-01T12:00:00Z",
    "problem": None,
    "drift": [
        {"setting": "max_instances", "wanted": 4, "actual": 2},
        {"setting": "tags", "wanted": {"team": "blue"}, "actual": None},
    ],
    "not_compared": ["setup_scripts"],
    "settings": {"name": "cpu-cluster", "type": "amlcompute", "max_instances": 4},
}
DESK: dict[str, Any] = {
    **CPU,
    "name": "desk",
    "type": "computeinstance",
    "state": "failed",
    "problem": "Azure could not make compute 'desk' ready: quota",
    "drift": [],
    "not_compared": [],
}


@pytest.fixture
def signalbox() -> FakeApi:
    return FakeApi()


@pytest.mark.parametrize("words", [["computes"], ["computes", "list"]])
def test_computes_are_listed_with_what_differs_and_what_is_wrong(
    signalbox: FakeApi, words: list[str]
) -> None:
    signalbox.at("GET computes", {"items": [CPU, DESK]})
    told = signalbox(*words)

    assert told.exit_code == 0
    assert told.stdout.splitlines() == [
        "compute      type             state   differs",
        "cpu-cluster  amlcompute       ready   max_instances, tags",
        "desk         computeinstance  failed",
        "! desk: Azure could not make compute 'desk' ready: quota",
    ]


def test_no_computes_is_told_with_what_to_do(signalbox: FakeApi) -> None:
    signalbox.at("GET computes", {"items": []})

    assert "define them in computes/<name>.yml and publish" in signalbox("computes").stdout


def test_a_compute_is_shown_setting_by_setting(signalbox: FakeApi) -> None:
    signalbox.at("GET computes/cpu-cluster", CPU)
    told = signalbox("computes", "show", "cpu-cluster")

    assert told.exit_code == 0
    assert "not compared  setup_scripts" in told.stdout
    assert "problem" not in told.stdout
    lines = [line.split() for line in told.stdout.splitlines()]
    assert ["max_instances", "2", "4"] in lines
    assert ["tags", "(not", "set)", '{"team":', '"blue"}'] in lines
    assert "as its definition says" not in told.stdout


@pytest.mark.parametrize(("state", "said"), [("ready", True), ("missing", False)])
def test_a_compute_that_is_as_it_should_be_says_so(
    signalbox: FakeApi, state: str, said: bool
) -> None:
    signalbox.at("GET computes/desk", {**DESK, "state": state, "problem": None})
    told = signalbox("computes", "show", "desk")

    assert ("as its definition says" in told.stdout) is said


@pytest.mark.parametrize("words", [["list"], ["show", "desk"]])
def test_json_is_what_the_api_answered(signalbox: FakeApi, words: list[str]) -> None:
    answer = {"items": [DESK]} if words == ["list"] else DESK
    signalbox.at("GET computes", answer)
    signalbox.at("GET computes/desk", answer)
    told = signalbox("computes", *words, "--json")

    assert json.loads(told.stdout) == answer


def test_a_compute_that_nobody_defined_is_an_error(signalbox: FakeApi) -> None:
    signalbox.at("GET computes/gpu", problem(404, "There is no definition of a compute 'gpu'"))
    told = signalbox("computes", "show", "gpu")

    assert told.exit_code == 1
    assert "no definition of a compute 'gpu'" in told.stderr
