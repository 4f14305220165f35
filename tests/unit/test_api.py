"""What holds for every operation: problems, sizes, callers, headers, health, the description."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import pytest
from azure.core.credentials import AccessToken
from pydantic import Field, TypeAdapter, ValidationError

from shared.api import problems
from shared.api.application import create_app
from shared.bootstrap import App
from shared.broker import Broker
from shared.errors import (
    MessagingUnavailable,
    RecordUnreadable,
    SettingsInvalid,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from tests.unit.api_client import Api, everything
from tests.unit.scene import fail, trigger

#: A secret by its form.
SECRET = "AccountKey=abcdefgh0123456789"
RUNS = "/pipelines/churn-training/runs"
CHECKS = {"storage", "index", "messaging", "workspace", "timer"}


class Nobody:
    """Never asked."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        raise AssertionError(scopes)


@pytest.fixture
def api() -> Api:
    return Api(everything())


def problem(answer: Any, status: int) -> dict[str, Any]:
    """The problem that an answer is, with what all of them have in common."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert found["type"] == "about:blank"
    assert found["title"]
    assert found["detail"]
    return found


def test_an_unknown_path_is_a_problem(api: Api) -> None:
    for path in ("/nowhere", "/runs/", "/pipelines/..%2f..%2fsecrets", "/runs/a%2Fb"):
        assert "/api/openapi.json" in problem(api.get(path), 404)["detail"]


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(api: Api) -> None:
    answer = api.request("DELETE", "/events")

    problem(answer, 405)
    assert answer.headers["allow"] == "OPTIONS, POST"
    problem(api.request("PUT", "/runs"), 405)


@pytest.mark.parametrize("path", ["/runs/x", "/runs/a.b", "/pipelines/A", "/triggers/a.b"])
def test_names_have_a_form(api: Api, path: str) -> None:
    [error] = problem(api.get(path), 422)["errors"]

    assert error["place"].startswith("path.")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/runs/nonsense", "is no run id: <trigger>.<32 hexadecimal digits>"),
        ("/explain?run=nonsense", "is no run id: <trigger>.<32 hexadecimal digits>"),
        ("/triggers/A", "is no name: lower-case letters"),
        ("/pipelines/a@", "is no pipeline: name, or name@version"),
        ("/computes/1", "is no compute's name: letters, digits"),
        ("/runs?pipeline=A", "is no pipeline: name, or name@version"),
    ],
)
def test_a_form_is_told_in_words(api: Api, path: str, said: str) -> None:
    [error] = problem(api.get(path), 422)["errors"]

    assert error["message"].startswith(said)


def test_every_form_there_is_has_words(api: Api) -> None:
    found = {
        kind["pattern"]
        for item in api.get("/openapi.json").json()["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
        for kind in (parameter["schema"], *parameter["schema"].get("anyOf", []))
        if parameter["in"] != "header" and "pattern" in kind
    }
    assert len(found) == 6
    for pattern in found:
        form: Any = Annotated[str, Field(pattern=pattern)]
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(form).validate_python("!")
        assert problems.places(caught.value)[0].message.startswith("is no "), pattern


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        ("2026-03-01", "2026-03-01 00:00"),
        ("2026-03-01T12:30", "2026-03-01 12:30"),
        ("2026-03-01T12:30:00%2B02:00", "2026-03-01 10:30"),
    ],
)
def test_a_time_without_a_zone_is_utc_and_a_date_its_midnight(
    api: Api, at: str, moment: str
) -> None:
    answer = api.get(f"/explain?trigger=on-upload&at={at}")

    assert answer.status_code == 200, answer.text
    assert f"around {moment}" in answer.json()["question"]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("limit=0", "query.limit"),
        ("limit=201", "query.limit"),
        ("limit=many", "query.limit"),
        ("state=lost", "query.state"),
        ("trigger=A", "query.trigger"),
        ("triger=a", "query.triger"),
        ("limit=1&limit=2", "query.limit"),
    ],
)
def test_a_query_is_taken_as_it_is_documented_or_not_at_all(
    api: Api, query: str, place: str
) -> None:
    [error] = problem(api.get(f"/runs?{query}"), 422)["errors"]

    assert error["place"] == place


def test_a_key_in_the_query_is_the_host_s_and_goes_no_further(api: Api) -> None:
    assert api.get("/runs?code=k&limit=1&clientId=c").status_code == 200
    assert "codes" in problem(api.get("/runs?codes=k"), 422)["errors"][0]["place"]


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"{", 400, "not JSON"),
        (b'{"tags": {"a": NaN}}', 400, "NaN"),
        (b'{"inputs": {"data": 1e999}}', 400, "too large"),
        (b'{"inputs": {"data": ' + b"9" * 5000 + b"}}", 400, "too large"),
        (b'{"inputs": {}, "inputs": {}}', 400, "twice"),
        (b"[" * 100_000, 400, "deep"),
        (b'{"inputs": ' + b"[" * 60 + b"]" * 60 + b"}", 400, "deep"),
        (b'{"inputs": {"data": "\\ud800"}}', 400, "surrogate"),
        (b'{"inputs": {"\\ud800": "x"}}', 400, "surrogate"),
        (b"\xff\xfe", 400, "UTF-8"),
        (b" " * 1_048_577, 413, "1048576"),
        (b"[]", 422, "not as it should be"),
        (b"null", 422, "not as it should be"),
        (b'{"input": {}}', 422, "not as it should be"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused(
    api: Api, body: bytes, status: int, why: str
) -> None:
    headers = {"content-type": "application/json"}

    assert (
        why in problem(api.request("POST", RUNS, content=body, headers=headers), status)["detail"]
    )
    assert api.scene.workspace.jobs == {}


def test_a_body_of_a_megabyte_is_read(api: Api) -> None:
    padded = b'{"inputs": {"data": "azureml:a:1"}' + b" " * 1_048_000 + b"}"

    answer = api.request("POST", RUNS, content=padded, headers={"content-type": "text/json"})

    assert answer.status_code == 202


def test_a_body_of_another_kind_is_refused(api: Api) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}

    problem(api.request("POST", RUNS, content=b"a=b", headers=headers), 415)


def test_what_was_sent_is_not_said_again(api: Api) -> None:
    body = {"inputs": {"data": [SECRET]}, "tags": {"a": [SECRET]}}

    answer = api.post(RUNS, {**body, "force_rerun": SECRET})

    places = {error["place"] for error in problem(answer, 422)["errors"]}
    assert places == {"inputs.data", "tags.a", "force_rerun"}
    assert "abcdefgh" not in answer.text
    assert "abcdefgh" not in api.post(RUNS, {"inputs": {"data": SECRET}}).text
    assert "abcdefgh" not in api.post(RUNS, {SECRET: 1}).text


def test_answers_are_never_markup_and_never_kept(api: Api) -> None:
    script = "<script>alert(1)</script>"
    answers = [
        api.get("/runs"),
        api.get("/nowhere"),
        api.get(f"/runs?{script}=1"),
        api.post("/events", {"specversion": "1.0", "id": script, "source": "s", "type": "t"}),
    ]

    for answer in answers:
        assert "json" in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (StorageUnavailable("Storage sleeps"), 503, "5"),
        (WorkspaceUnavailable("AzureML throttles", retry_after=7.2), 503, "8"),
        (RecordUnreadable(f"not a record: {SECRET} xyzzy"), 500, None),
        (ZeroDivisionError(f"{SECRET} xyzzy"), 500, None),
    ],
)
def test_failures_inside_are_told_as_far_as_a_client_can_use_them(
    api: Api, error: Exception, status: int, retry_after: str | None, caplog: Any
) -> None:
    fail(api.scene.world, "get", error, times=10)

    answer = api.get("/runs")

    found = problem(answer, status)
    assert answer.headers.get("retry-after") == retry_after
    assert "xyzzy" not in answer.text + caplog.text
    assert "Traceback" not in answer.text + caplog.text
    if status == 500:
        assert found["instance"].removeprefix("urn:signalbox:request:") in caplog.text
        assert type(error).__name__ in caplog.text


def test_settings_that_are_missing_are_named() -> None:
    def broken() -> App:
        raise SettingsInvalid("SIGNALBOX_WORKSPACE: Field required")

    api = Api()
    api.asgi = create_app(broken, new_id=lambda: "id", now=lambda: api.scene.world.now)

    for path in ("/health", "/openapi.json", "/nowhere"):
        assert "SIGNALBOX_WORKSPACE" in problem(api.get(path), 503)["detail"]


PLATFORM = {"SIGNALBOX_PLATFORM_AUTHENTICATION": "true", "WEBSITE_AUTH_ENABLED": "True"}


def source(api: Api, headers: dict[str, str]) -> str:
    answer = api.post(RUNS, {"inputs": {"data": "azureml:a:1"}}, headers=headers)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["event"]["source"]
    return found


def test_a_principal_counts_only_where_the_platform_vouches_for_it() -> None:
    forged = {"x-ms-client-principal-id": "somebody@else", "x-ms-client-principal": "e30="}

    assert source(Api(everything()), forged) == "/http/key"
    assert source(Api(everything(), **PLATFORM), forged) == "/http/somebody%40else"


@pytest.mark.parametrize("named", [None, "", "a,b", "a b", "x" * 201, "\xe4"])
def test_with_platform_authentication_nobody_is_let_in_unnamed(named: str | None) -> None:
    api = Api(everything(), **PLATFORM)
    headers = {} if named is None else {"x-ms-client-principal-id": named.encode("latin-1")}

    for path in ("/health", "/openapi.json", "/runs", "/nowhere"):
        answer = api.get(path, headers=headers)
        problem(answer, 401)
        assert "www-authenticate" in answer.headers


def test_health_says_what_works(api: Api) -> None:
    api.scene.tick.run()
    answer = api.get("/health")

    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "ok"
    assert answer.json()["checks"].keys() == CHECKS
    assert answer.json()["checks"]["messaging"]["detail"] == "No Service Bus is configured."
    assert "triggers: 5" in answer.json()["checks"]["index"]["detail"]
    assert "none" in answer.json()["checks"]["index"]["detail"]


def test_health_says_what_does_not_and_names_the_triggers_with_problems(api: Api) -> None:
    api.scene.publish(trigger("lost", pipeline="nowhere"), trigger())
    fail(api.scene.world, "GET", WorkspaceUnavailable("AzureML is away"), times=99)

    answer = api.get("/health")

    assert answer.status_code == 503
    assert answer.json()["checks"]["workspace"] == {
        "status": "failing",
        "detail": "AzureML is away",
    }
    assert answer.json()["checks"]["storage"]["status"] == "ok"
    assert "with problems: lost." in answer.json()["checks"]["index"]["detail"]


def timer(api: Api) -> dict[str, str]:
    api.scene.world.now += timedelta(seconds=11)
    answer = api.get("/health")
    found: dict[str, str] = answer.json()["checks"]["timer"]
    assert answer.status_code == (200 if found["status"] == "ok" else 503)
    return found


def test_health_says_when_the_timer_last_ended_and_that_it_does_not(api: Api) -> None:
    assert "has not ended yet" in timer(api)["detail"]

    api.scene.tick.run()
    ended = f"{api.scene.world.now:%H:%M:%S}"
    assert ended in timer(api)["detail"]
    api.scene.world.pass_time(270)
    assert timer(api)["status"] == "ok"
    api.scene.world.pass_time(20)
    late = timer(api)
    assert late["status"] == "failing"
    assert ended in late["detail"]
    assert "disabled" in late["detail"]


def test_health_says_what_the_timer_could_not_look_at(api: Api) -> None:
    fail(api.scene.world, "list slots/", StorageUnavailable("Blob storage is away"))
    with pytest.raises(StorageUnavailable):
        api.scene.tick.run()

    assert "could not look at the slots." in timer(api)["detail"]
    api.scene.tick.run()
    assert timer(api)["status"] == "ok"


def test_health_says_that_the_broker_is_away_and_nothing_else_is(api: Api) -> None:
    class Away(Broker):
        def look(self) -> str:
            raise MessagingUnavailable(f"Service Bus is away: {SECRET}")

    api.app = replace(api.app, broker=Away(api.app.settings, Nobody()))
    api.scene.tick.run()
    checks = api.get("/health").json()["checks"]

    assert checks.pop("messaging")["detail"] == "Service Bus is away: [secret]"
    assert {check["status"] for check in checks.values()} == {"ok"}


def test_asking_for_health_is_no_load(api: Api) -> None:
    api.scene.tick.run()

    def asked() -> int:
        api.scene.world.calls.clear()
        assert api.get("/health").status_code == 200
        return len(api.scene.world.calls)

    assert asked() > 0
    assert [asked(), asked()] == [0, 0]
    api.scene.world.now += timedelta(seconds=11)
    assert asked() > 0


def test_the_description_needs_no_other_site(api: Api) -> None:
    text = api.get("/openapi.json").text

    assert json.loads(text)["openapi"].startswith("3.1")
    assert "http://" not in text
    assert "https://" not in text.replace("https://…", "")
    problem(api.get("/docs"), 404)
