"""Events over HTTP: for whichever trigger, for one, in every schema, and what was decided."""

import json
from typing import Any

import pytest

from tests.fakes import World
from tests.unit.api_client import Api, everything
from tests.unit.test_api import problem

ORDER = {
    "specversion": "1.0",
    "id": "order-1",
    "source": "/shop",
    "type": "shop.order",
    "data": {"file": "azureml:a:1"},
}
UPLOAD: dict[str, Any] = {
    "id": "u-1",
    "topic": "/subscriptions/s",
    "eventType": "Microsoft.Storage.BlobCreated",
    "subject": "/blobServices/default/containers/landing/blobs/sales/north/march.csv",
    "eventTime": World().now.isoformat(),
    "data": {
        "api": "PutBlob",
        "eTag": "0x1",
        "url": "https://contosolake.blob.core.windows.net/landing/sales/north/march.csv",
    },
}
CALL = "/triggers/on-call/events"


@pytest.fixture
def api() -> Api:
    return Api(everything())


def decisions(answer: Any) -> list[Any]:
    assert answer.status_code == 202, answer.text
    found: list[Any] = answer.json()["decisions"]
    return found


def test_an_event_starts_a_run_and_again_is_a_duplicate(api: Api) -> None:
    [first], [second] = (decisions(api.post("/events", ORDER)) for _ in range(2))

    assert (first["event"], first["trigger"], first["decision"]) == ("order-1", "on-event", "run")
    assert (second["decision"], second["run"]) == ("duplicate", first["run"])
    assert len(api.scene.workspace.jobs) == 1


def test_an_upload_in_event_grid_s_schema_is_taken(api: Api) -> None:
    [decision] = decisions(api.post("/events", [UPLOAD]))

    assert (decision["trigger"], decision["decision"]) == ("on-upload", "run")


def test_a_check_that_said_no_is_told(api: Api) -> None:
    elsewhere = UPLOAD["subject"].replace("march.csv", "march.txt")
    url = "https://contosolake.blob.core.windows.net/landing/sales/north/march.txt"
    data = {**UPLOAD["data"], "url": url}

    [decision] = decisions(api.post("/events", {**UPLOAD, "subject": elsewhere, "data": data}))

    assert decision["decision"] == "no_match"
    assert decision["check"] == "path sales/{region}/{file}.csv"
    assert decision["run"] is None


def test_an_event_for_nobody_is_decided_by_nobody(api: Api) -> None:
    assert decisions(api.post("/events", {**ORDER, "type": "other"})) == []


def test_a_batch_is_taken_event_by_event(api: Api) -> None:
    batch = [{**ORDER, "id": f"order-{number}"} for number in range(3)]
    headers = {"content-type": "application/cloudevents-batch+json"}

    found = decisions(
        api.request("POST", "/events", content=json.dumps(batch).encode(), headers=headers)
    )

    assert [decision["event"] for decision in found] == ["order-0", "order-1", "order-2"]


def test_a_batch_is_taken_whole_or_not_at_all(api: Api) -> None:
    problem(api.post("/events", [ORDER, {"specversion": "0.3"}]), 400)
    problem(api.post("/events", [{**ORDER, "id": str(number)} for number in range(101)]), 400)

    assert api.scene.workspace.jobs == {}


def test_a_cloud_event_comes_in_headers_as_well(api: Api) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "order%201",
        "ce-source": "/shop",
        "ce-type": "shop.order",
    }

    [decision] = decisions(api.post("/events", ORDER["data"], headers=headers))

    assert (decision["event"], decision["trigger"]) == ("order 1", "on-event")


@pytest.mark.parametrize(
    "content",
    [None, {}, [], 7, {"specversion": "1.0"}, {**ORDER, "time": "yesterday"}, {**ORDER, "id": ""}],
)
def test_what_is_no_event_is_refused(api: Api, content: Any) -> None:
    problem(api.post("/events", content), 400)


def test_no_sender_may_stand_in_for_requests_of_the_api(api: Api) -> None:
    problem(api.post("/events", {**ORDER, "source": "/http/key"}), 422)
    problem(api.post(CALL, {**ORDER, "source": "/http/key"}), 422)


def test_event_grid_s_question_is_answered(api: Api) -> None:
    asked = {
        "id": "1",
        "topic": "/t",
        "subject": "",
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
        "eventTime": World().now.isoformat(),
        "data": {"validationCode": "512d38b6"},
    }

    answer = api.post("/events", [asked])

    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "512d38b6"})


def test_a_sender_of_cloud_events_is_welcome(api: Api) -> None:
    headers = {"webhook-request-origin": "eventgrid.azure.net"}

    answer = api.request("OPTIONS", "/events", headers=headers)

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["webhook-allowed-origin"] == "eventgrid.azure.net"
    assert answer.headers["webhook-allowed-rate"] == "*"


@pytest.mark.parametrize("origin", [None, "", "a b", "a\r\nb: c", "<x>"])
def test_a_sender_without_a_name_is_not_welcome(api: Api, origin: str | None) -> None:
    headers = {} if origin is None else {"webhook-request-origin": origin}

    problem(api.request("OPTIONS", "/events", headers=headers), 400)


def test_any_json_is_an_event_for_a_trigger_of_http(api: Api) -> None:
    [decision] = decisions(api.post(CALL, {"file": "azureml:a:1"}))

    run = api.get(f"/runs/{decision['run']}").json()
    assert decision["decision"] == "run"
    assert run["event"]["source"] == "/http/key"
    assert run["event"]["type"] == "signalbox.http"
    assert run["inputs"] == {"data": "azureml:a:1"}


def test_a_request_with_a_key_is_one_event(api: Api) -> None:
    headers = {"idempotency-key": "k"}

    [first] = decisions(api.post(CALL, {"file": "azureml:a:1"}, headers=headers))
    [second] = decisions(api.post(CALL, {"file": "azureml:a:1"}, headers=headers))
    [other] = decisions(api.post(CALL, {"file": "azureml:a:1"}))

    assert (second["decision"], second["run"]) == ("duplicate", first["run"])
    assert other["run"] != first["run"]
    problem(api.post(CALL, {"file": "azureml:b:1"}, headers=headers), 422)


def test_what_can_start_nothing_is_a_dead_letter(api: Api) -> None:
    [decision] = decisions(api.post(CALL, {"no": "file"}))

    assert (decision["decision"], decision["state"]) == ("dead_letter", "dead_letter")
    assert decision["reason"]["code"] == "input_missing"


def test_a_cloud_event_for_a_trigger_of_http_keeps_its_own_name(api: Api) -> None:
    [first], [second] = (decisions(api.post(CALL, ORDER)) for _ in range(2))

    assert (first["event"], first["trigger"], first["decision"]) == ("order-1", "on-call", "run")
    assert second["decision"] == "duplicate"


def test_an_event_for_one_trigger_reaches_no_other(api: Api) -> None:
    [decision] = decisions(api.post("/triggers/on-upload/events", ORDER))

    assert (decision["trigger"], decision["decision"]) == ("on-upload", "no_match")


def test_plain_json_is_no_event_for_other_triggers(api: Api) -> None:
    problem(api.post("/triggers/on-upload/events", {"file": "x"}), 400)


def test_an_unknown_trigger_is_told_with_those_there_are(api: Api) -> None:
    assert "on-call" in problem(api.post("/triggers/nowhere/events", {}), 404)["detail"]
