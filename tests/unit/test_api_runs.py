"""Runs over HTTP: start, list, look, stop, run once more."""

from typing import Any

import pytest

from shared.errors import StorageUnavailable
from tests.unit.api_client import Api, everything
from tests.unit.scene import event, fail, pipeline
from tests.unit.test_api import RUNS, problem

DATA = {"inputs": {"data": "azureml:a:1"}}
NOBODY_S = "manual." + 32 * "0"


@pytest.fixture
def api() -> Api:
    return Api(everything())


def started(api: Api, body: Any = DATA, key: str | None = None, path: str = RUNS) -> Any:
    answer = api.post(path, body, headers={"idempotency-key": key} if key else {})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/api/runs/{answer.json()['id']}"
    return answer.json()


def test_a_run_is_started_and_found_where_the_answer_says(api: Api) -> None:
    run = started(api, {**DATA, "tags": {"asked.by-whom": "me"}, "experiment_name": "trial"})

    found = api.get(f"/runs/{run['id']}").json()
    [job] = api.scene.workspace.bodies.values()
    assert (run["trigger"], run["pipeline"]) == ("manual", "churn-training@v1")
    assert run["event"]["id"] == "made-1"
    assert found["state"] == "submitted"
    assert found["inputs"] == {"data": "azureml:a:1"}
    assert found["event"]["data"] == {
        **DATA,
        "tags": {"asked.by-whom": "me"},
        "experiment_name": "trial",
    }
    assert (job.experiment_name, job.tags["asked.by-whom"]) == ("trial", "me")


def test_values_keep_their_types(api: Api) -> None:
    types = {"text": "string", "count": "integer", "rate": "number", "on": "boolean"}
    inputs = {name: {"type": kind, "default": "x"} for name, kind in types.items()}
    api.scene.publish(pipelines=[pipeline(inputs=inputs)])
    values = {"text": "0", "count": 0, "rate": 0.5, "on": False}

    run = started(api, {"inputs": values})

    assert api.get(f"/runs/{run['id']}").json()["inputs"] == values


def test_a_pinned_version_is_run(api: Api) -> None:
    run = started(api, path="/pipelines/churn-training@v1/runs")

    assert run["pipeline"] == "churn-training@v1"


def test_without_a_key_each_request_is_a_run_of_its_own(api: Api) -> None:
    assert started(api)["id"] != started(api)["id"]


def test_the_same_request_again_is_answered_with_the_same_run(api: Api) -> None:
    first, second = started(api, key="march"), started(api, key="march")

    assert first["id"] == second["id"]
    assert len(api.scene.workspace.jobs) == 1


def test_saying_a_default_aloud_is_the_same_request(api: Api) -> None:
    spoken = {**DATA, "tags": {}, "force_rerun": None}

    assert started(api, DATA, "k")["id"] == started(api, spoken, "k")["id"]


def test_a_key_is_for_one_request_only(api: Api) -> None:
    started(api, key="march")
    other = {"inputs": {"data": "azureml:b:1"}}

    answer = api.post(RUNS, other, headers={"idempotency-key": "march"})
    assert "Idempotency-Key" in problem(answer, 422)["detail"]
    answer = api.post("/pipelines/scoring/runs", DATA, headers={"idempotency-key": "march"})
    problem(answer, 422)


@pytest.mark.parametrize("key", ["", "a,b", "x" * 201, "\xe4", "a\tb"])
def test_a_malformed_key_is_refused(api: Api, key: str) -> None:
    headers = {"idempotency-key": key.encode("latin-1")}

    assert "Idempotency-Key" in problem(api.post(RUNS, DATA, headers=headers), 400)["detail"]


def test_a_key_that_comes_twice_is_refused(api: Api) -> None:
    headers = [("idempotency-key", "a"), ("idempotency-key", "a")]

    problem(api.post(RUNS, DATA, headers=headers), 400)


def test_an_unknown_pipeline_is_told_with_those_there_are(api: Api) -> None:
    detail = problem(api.post("/pipelines/nowhere/runs", {}), 404)["detail"]

    assert "churn-training, scoring" in detail


def test_everything_that_does_not_fit_is_told_at_once(api: Api) -> None:
    found = problem(api.post(RUNS, {"inputs": {"data": "x", "extra": 1}}), 422)

    assert [error["place"] for error in found["errors"]] == ["inputs.data", "inputs.extra"]
    assert [name for name in api.scene.blobs.stored if not name.startswith("index")] == []


@pytest.mark.parametrize("name", ["", "a.b", 'a"b', "${{x}}", "ä", "a" * 256])
def test_names_of_inputs_are_names(api: Api, name: str) -> None:
    problem(api.post(RUNS, {"inputs": {name: "x"}}), 422)


def test_an_expression_in_a_value_is_no_expression(api: Api) -> None:
    api.scene.publish(pipelines=[pipeline(inputs={"text": {"type": "string"}})])

    answer = api.post(RUNS, {"inputs": {"text": "${{ settings.stage }}"}})

    # A shell would act on it, so that it is refused; evaluated it would have been "dev".
    assert "dev" not in problem(answer, 422)["errors"][0]["message"]


def test_an_outage_before_the_run_is_recorded_asks_to_come_again(api: Api) -> None:
    fail(api.scene.world, "create ledger", StorageUnavailable("Storage sleeps"))

    problem(api.post(RUNS, DATA, headers={"idempotency-key": "k"}), 503)

    assert started(api, key="k")["state"] == "submitting"


def test_runs_are_listed_page_by_page(api: Api) -> None:
    ids = {started(api)["id"] for _ in range(3)}

    first = api.get("/runs?limit=2").json()
    rest = api.get("/runs", params={"limit": "2", "cursor": first["cursor"]}).json()

    assert len(first["items"]) == 2
    assert {run["id"] for run in first["items"] + rest["items"]} == ids
    assert api.get("/runs?pipeline=scoring").json()["items"] == []
    assert len(api.get("/runs?state=submitted&trigger=manual").json()["items"]) == 3


def test_a_cursor_of_nobody_is_refused(api: Api) -> None:
    problem(api.get("/runs?cursor=nonsense"), 422)


def test_dead_letters_are_listed(api: Api) -> None:
    api.post("/triggers/on-call/events", {"no": "file"})

    [dead] = api.get("/dead-letters").json()["items"]
    assert (dead["state"], dead["reason"]["code"]) == ("dead_letter", "input_missing")
    assert len(api.get("/dead-letters?trigger=on-call").json()["items"]) == 1
    assert api.get("/dead-letters?trigger=on-upload").json()["items"] == []


def test_a_run_that_is_not_there_is_told(api: Api) -> None:
    problem(api.get(f"/runs/{NOBODY_S}"), 404)
    problem(api.post(f"/runs/{NOBODY_S}/cancel"), 404)
    problem(api.post(f"/runs/{NOBODY_S}/retry"), 404)


def test_a_run_is_asked_to_stop_once_and_again(api: Api) -> None:
    run = started(api)["id"]

    for _ in range(2):
        answer = api.post(f"/runs/{run}/cancel")
        assert answer.status_code == 202
        assert answer.json()["cancel_requested"] is True
    assert api.scene.record("manual").cancel_requested


def test_what_is_over_cannot_be_stopped(api: Api) -> None:
    [dead] = api.post("/triggers/on-call/events", {}).json()["decisions"]

    assert "dead_letter" in problem(api.post(f"/runs/{dead['run']}/cancel"), 409)["detail"]


def test_a_dead_letter_is_run_once_more_with_what_is_there_now(api: Api) -> None:
    api.scene.publish(*_triggers(api), pipelines=[])
    [decision] = api.scene.dispatcher.handle(event())
    assert decision.record
    api.scene.publish(*_triggers(api))

    answers = [api.post(f"/runs/{decision.record.run_id}/retry") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (answer.json() for answer in answers)
    assert first["id"] == second["id"] != decision.record.run_id
    assert first["replay_of"] == decision.record.run_id
    assert answers[0].headers["location"] == f"/api/runs/{first['id']}"


def test_what_is_under_way_is_not_run_once_more(api: Api) -> None:
    problem(api.post(f"/runs/{started(api)['id']}/retry"), 409)


def _triggers(api: Api) -> list[Any]:
    snapshot = api.scene.index.read().snapshot
    return [trigger.definition for trigger in snapshot.triggers.values()]
