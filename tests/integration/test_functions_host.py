"""The functions host: routes, keys, webhook, admin API and timers of a real small app."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.integration.basic_app import BasicApp
from tests.integration.waiting import eventually

WEBHOOK = "/runtime/webhooks/EventGrid"


def event(number: str = "1") -> dict[str, Any]:
    return {
        "id": number,
        "topic": "/subscriptions/x",
        "subject": "/blobServices/default/containers/landing/blobs/direct.csv",
        "eventType": "Microsoft.Storage.BlobCreated",
        # seven digits, as Azure writes them
        "eventTime": "2026-11-22T00:00:00.1234567Z",
        "data": {"api": "PutBlob"},
        "dataVersion": "",
    }


def notify(app: BasicApp, body: Any, **parameters: str) -> int:
    """Status of a notification with the right key and function, parts of it replaced."""
    query = {"functionName": "blob_uploads", "code": app.functions.keys.event_grid} | parameters
    answer = app.request(
        "POST", WEBHOOK, params=query, json=body, headers={"aeg-event-type": "Notification"}
    )
    return answer.status_code


def test_a_request_reaches_its_function_whole(basic_app: BasicApp) -> None:
    answer = basic_app.request(
        "POST",
        "/api/people/J%C3%B6rg?a=1&a=2&b=%26",
        content=b"\xc3\xa4",
        headers={"x-functions-key": basic_app.functions.keys.host},
    )
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "greeting": "hello",
        "person": "Jörg",
        "query": {"a": "1,2", "b": "&"},
        "body": "ä",
        "function": "greet",
    }


def test_the_app_answers_under_its_own_host_name(basic_app: BasicApp) -> None:
    host = basic_app.azure.topology.function_app_host
    answer = requests.get(
        f"https://{host}/api/people/ann?x=1%202",
        headers={"x-functions-key": basic_app.functions.keys.host},
        timeout=10,
    )
    assert answer.status_code == 201
    assert answer.json()["query"] == {"x": "1 2"}
    assert requests.get(f"https://{host}/api/people/ann", timeout=10).status_code == 401


@pytest.mark.parametrize(
    ("path", "opened_by"),
    [
        ("/api/open", {"nothing", "a guess", "event grid", "host", "master"}),
        ("/api/people/ann", {"host", "master"}),
        ("/api/vault", {"master"}),
        ("/admin/host/status", {"master"}),
    ],
)
def test_each_level_opens_for_its_keys_only(
    basic_app: BasicApp, path: str, opened_by: set[str]
) -> None:
    keys = basic_app.functions.keys
    given = {
        "nothing": {},
        "a guess": {"code": "guess"},
        "event grid": {"code": keys.event_grid},
        "host": {"code": keys.host},
        "master": {"code": keys.master},
    }
    statuses = {
        name: basic_app.request("GET", path, params=query).status_code
        for name, query in given.items()
    }
    assert {name for name, status in statuses.items() if status < 300} == opened_by
    assert {status for name, status in statuses.items() if name not in opened_by} <= {401}


def test_methods_and_paths_that_are_not_there(basic_app: BasicApp) -> None:
    assert basic_app.request("DELETE", "/api/people/ann").status_code == 405
    assert basic_app.request("GET", "/api/nowhere").status_code == 404


def test_synchronous_functions_run_at_the_same_time(basic_app: BasicApp) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: basic_app.request("GET", "/api/meet"), range(2)))
    assert [answer.text for answer in answers] == ["met", "met"]


def test_what_a_function_raises_is_a_500_and_in_the_log(basic_app: BasicApp) -> None:
    answer = basic_app.request("GET", "/api/broken")
    assert (answer.status_code, answer.text) == (500, "")
    log = basic_app.functions.log.read_text()
    assert "(Failed): ValueError: this is broken" in log
    assert '    raise ValueError("this is broken")' in log


def test_a_function_that_takes_too_long_is_given_up(basic_app: BasicApp) -> None:
    assert basic_app.request("GET", "/api/sleepy").status_code == 500
    assert "Timeout value of 3 s was exceeded by sleepy" in basic_app.functions.log.read_text()


def test_log_lines_carry_their_fields(basic_app: BasicApp) -> None:
    key = {"code": basic_app.functions.keys.host}
    basic_app.request("GET", "/api/people/lena", params=key)
    lines = basic_app.functions.log.read_text().splitlines()
    (line,) = [line for line in lines if "app.greetings" in line and '"lena"' in line]
    match = re.fullmatch(r"(\S+) INFO app\.greetings greeting (\{.*\})", line)
    assert match
    assert datetime.now(UTC) - datetime.fromisoformat(match[1]) < timedelta(minutes=5)
    fields = json.loads(match[2])
    assert fields["person"] == "lena"
    executed = [line for line in lines if fields["invocation"] in line and "Executed" in line]
    assert len(executed) == 1


def test_a_notification_calls_the_function_for_each_event(basic_app: BasicApp) -> None:
    assert notify(basic_app, [event("n1"), event("n2")]) == 202
    assert {call["id"] for call in basic_app.uploads("direct.csv")} >= {"n1", "n2"}


def test_a_cloud_event_or_single_event_is_understood(basic_app: BasicApp) -> None:
    assert notify(basic_app, event("n3")) == 202
    assert basic_app.uploads("direct.csv")[-1]["id"] == "n3"


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"code": "guess"}, 401),
        ({"functionName": "no_such"}, 404),
        ({"functionName": "greet"}, 404),
    ],
)
def test_a_notification_that_fits_no_function_is_refused(
    basic_app: BasicApp, parameters: dict[str, str], status: int
) -> None:
    before = len(basic_app.calls("blob_uploads"))
    assert notify(basic_app, [event()], **parameters) == status
    assert len(basic_app.calls("blob_uploads")) == before


def test_event_grid_may_be_opened_by_the_master_key_but_not_by_the_host_key(
    basic_app: BasicApp,
) -> None:
    keys = basic_app.functions.keys
    assert notify(basic_app, [event()], code=keys.master) == 202
    assert notify(basic_app, [event()], code=keys.host) == 401


def test_a_notification_that_is_no_event_is_a_400(basic_app: BasicApp) -> None:
    assert notify(basic_app, []) == 400
    assert notify(basic_app, ["text"]) == 400


def test_the_validation_handshake(basic_app: BasicApp) -> None:
    answer = basic_app.request(
        "POST",
        WEBHOOK,
        params={"functionName": "blob_uploads", "code": basic_app.functions.keys.event_grid},
        json=[{"id": "v", "data": {"validationCode": "512d38b6"}}],
        headers={"aeg-event-type": "SubscriptionValidation"},
    )
    assert answer.json() == {"validationResponse": "512d38b6"}


def run_now(app: BasicApp, name: str, *, key: str | None = None, body: Any = None) -> int:
    headers = {"x-functions-key": key or app.functions.master_key}
    return app.request(
        "POST", f"/admin/functions/{name}", headers=headers, json=body or {}
    ).status_code


def test_a_function_is_run_now_by_the_admin_api(basic_app: BasicApp) -> None:
    before = len(basic_app.calls("clock"))
    assert run_now(basic_app, "clock") == 202
    eventually(lambda: len(basic_app.calls("clock")) == before + 1)
    assert basic_app.calls("clock")[-1]["past_due"] is False
    assert run_now(basic_app, "blob_uploads", body={"input": json.dumps(event("admin"))}) == 202
    eventually(lambda: any(c["id"] == "admin" for c in basic_app.calls("blob_uploads")))


def test_the_admin_api_refuses_other_keys_and_unknown_functions(basic_app: BasicApp) -> None:
    assert run_now(basic_app, "clock", key=basic_app.functions.keys.host) == 401
    assert run_now(basic_app, "no_such") == 404


def test_the_host_tells_its_state(basic_app: BasicApp) -> None:
    key = {"x-functions-key": basic_app.functions.master_key}
    status = basic_app.request("GET", "/admin/host/status", headers=key).json()
    assert status["state"] == "Running"
    functions = basic_app.request("GET", "/admin/functions", headers=key).json()
    clock = next(f for f in functions if f["name"] == "clock")
    assert clock["config"]["bindings"][0]["schedule"] == "0 0 3 * * *"


def test_after_a_crash_the_host_has_the_same_address_and_keys(basic_app: BasicApp) -> None:
    functions = basic_app.functions
    url, keys, first = functions.url, functions.keys, functions.pid
    functions.kill()
    assert not functions.running
    functions.start()
    assert functions.running
    assert functions.pid != first
    assert (functions.url, functions.keys) == (url, keys)
    assert notify(basic_app, [event("after")]) == 202


def test_a_timer_missed_while_the_host_was_down_is_called_once_and_late(
    basic_app: BasicApp,
) -> None:
    status = basic_app.azure.state / "functions" / "timers" / "clock.json"
    eventually(status.exists)
    basic_app.functions.stop()
    late = [call for call in basic_app.calls("clock") if call["past_due"]]
    assert late == []
    missed = datetime.now(UTC) - timedelta(days=3)
    kept = json.loads(status.read_text()) | {"Next": missed.isoformat()}
    status.write_text(json.dumps(kept))

    basic_app.functions.start()
    eventually(lambda: [call for call in basic_app.calls("clock") if call["past_due"]])
    eventually(lambda: json.loads(status.read_text())["Last"] == missed.isoformat())
    basic_app.functions.stop()
    basic_app.functions.start()
    assert run_now(basic_app, "clock") == 202
    eventually(lambda: basic_app.calls("clock")[-1]["past_due"] is False)
    assert len([call for call in basic_app.calls("clock") if call["past_due"]]) == 1
