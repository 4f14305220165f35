"""Triggers and pipelines over HTTP, and trying a trigger without consequences."""

from datetime import timedelta
from typing import Any

import pytest

from shared.drops import Dropped, Kept
from shared.lakes import Upload
from tests.fakes import World
from tests.unit.api_client import Api, everything
from tests.unit.scene import pipeline, trigger
from tests.unit.test_api import problem
from tests.unit.test_api_events import ORDER, UPLOAD


@pytest.fixture
def api() -> Api:
    return Api(everything())


def previews(api: Api, name: str, body: Any) -> list[Any]:
    before = dict(api.scene.blobs.stored)
    answer = api.post(f"/triggers/{name}/test", body)
    assert answer.status_code == 200, answer.text
    assert api.scene.blobs.stored == before
    assert api.scene.workspace.jobs == {}
    found: list[Any] = answer.json()["items"]
    return found


def test_triggers_are_listed_with_where_they_listen(api: Api) -> None:
    found = {item["name"]: item for item in api.get("/triggers").json()["items"]}

    assert {name: (item["source"], item["summary"]) for name, item in found.items()} == {
        "on-call": ("http", "POST /api/triggers/on-call/events"),
        "on-end": ("run", "runs started by on-call that are completed"),
        "on-event": ("event", "events of type shop.order, any subject"),
        "on-message": ("service_bus", "messages of queue orders"),
        "on-upload": ("blob", "uploads to contosolake/landing, sales/{region}/{file}.csv"),
    }
    assert all(item["problems"] == [] for item in found.values())


@pytest.mark.parametrize("noun", ["triggers", "pipelines"])
@pytest.mark.parametrize("limit", [1, 2, 5, 200])
def test_lists_by_name_are_told_page_by_page(api: Api, noun: str, limit: int) -> None:
    whole = [item["name"] for item in api.get(f"/{noun}").json()["items"]]
    found: list[str] = []
    cursor = None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        page = api.get(f"/{noun}?limit={limit}{more}").json()
        assert len(page["items"]) <= limit
        found += [item["name"] for item in page["items"]]
        if (cursor := page["cursor"]) is None:
            break
        assert len(page["items"]) == limit

    assert found == whole == sorted(whole)
    assert len(whole) == {"triggers": 5, "pipelines": 2}[noun]


@pytest.mark.parametrize("noun", ["triggers", "pipelines"])
def test_a_list_by_name_goes_on_where_a_name_is_gone_and_has_its_bounds(
    api: Api, noun: str
) -> None:
    assert [item["name"] for item in api.get(f"/{noun}?cursor=on-a").json()["items"]] == (
        ["on-call", "on-end", "on-event", "on-message", "on-upload"]
        if noun == "triggers"
        else ["scoring"]
    )
    assert api.get(f"/{noun}?cursor=z").json() == {"items": [], "cursor": None}
    for wrong in ("limit=0", "limit=201", "limit=x", "cursor=", "cursor=A%20b"):
        problem(api.get(f"/{noun}?{wrong}"), 422)


def test_of_many_triggers_fifty_are_told_at_once(api: Api) -> None:
    api.scene.publish(*[trigger(f"t{number:03}") for number in range(51)])
    page = api.get("/triggers").json()

    assert len(page["items"]) == 50
    assert page["cursor"] == "t049"


def test_a_trigger_is_shown_with_its_definition(api: Api) -> None:
    found = api.get("/triggers/on-call").json()

    assert found["definition"] == {
        "name": "on-call",
        "spec": {"http": {}},
        "action": {"pipeline": "churn-training", "inputs": {"data": "${{ event.data.file }}"}},
    }
    assert found["revision"] == "r1"


def test_a_trigger_is_paused_and_resumed(api: Api) -> None:
    assert api.get("/triggers/on-call").json()["paused"] is None

    paused = api.post("/triggers/on-call/pause", {"note": "the lake is moved"}).json()
    assert paused["paused"] == {
        "at": api.scene.world.now.isoformat().replace("+00:00", "Z"),
        "note": "the lake is moved",
        "by": "key",
        "while_paused": None,
    }
    assert api.get("/triggers/on-call").json() == paused
    assert api.post("/triggers/on-call/pause", {"note": "the lake is moved"}).json() == paused
    listed = {item["name"]: item["paused"] for item in api.get("/triggers").json()["items"]}
    assert [name for name, found in listed.items() if found] == ["on-call"]

    dropping = {"note": "other", "while_paused": "drop"}
    assert api.post("/triggers/on-call/pause", dropping).json()["paused"]["while_paused"] == "drop"
    for _ in range(2):
        assert api.post("/triggers/on-call/resume").json()["paused"] is None


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"note": ""},
        {"note": "x" * 501},
        {"note": "a\u0000b"},
        {"note": "a\nb"},
        {"note": 7},
        {"note": "x", "while_paused": "skip"},
        {"note": "x", "by": "somebody"},
    ],
)
def test_a_pause_says_why_on_one_line(api: Api, body: Any) -> None:
    problem(api.post("/triggers/on-call/pause", body), 422)
    assert api.get("/triggers/on-call").json()["paused"] is None


def test_what_a_pause_makes_of_events_is_what_it_says(api: Api) -> None:
    pause = {"note": "mended tomorrow", "while_paused": "drop"}
    api.post("/triggers/on-call/pause", pause)
    sent = api.post("/triggers/on-call/events", {"file": "azureml:a:1"}).json()["decisions"]
    api.post("/triggers/on-call/pause", {"note": "mended today"})
    held = api.post("/triggers/on-call/events", {"file": "azureml:a:1"}).json()["decisions"]

    assert [(item["state"], item["reason"]["code"]) for item in sent + held] == [
        ("skipped", "paused"),
        ("held", "paused"),
    ]
    assert "(mended today); resume it with" in held[0]["reason"]["text"]
    assert api.scene.workspace.jobs == {}


def test_what_is_wrong_with_a_published_trigger_is_told(api: Api) -> None:
    api.scene.publish(trigger("lost", pipeline="nowhere"))

    [problem_] = api.get("/triggers/lost").json()["problems"]
    assert "no pipeline is named 'nowhere'" in problem_


def test_a_pinned_pipeline_is_no_problem(api: Api) -> None:
    api.scene.published.write(pipeline(version="v0"))
    api.scene.publish(trigger("pinned", pipeline="churn-training@v0"))

    assert api.get("/triggers/pinned").json()["problems"] == []
    assert api.get("/pipelines/churn-training@v0").json()["version"] == "v0"


def test_unknown_names_are_told_with_those_there_are(api: Api) -> None:
    assert "on-call" in problem(api.get("/triggers/nowhere"), 404)["detail"]
    assert "scoring" in problem(api.get("/pipelines/nowhere"), 404)["detail"]
    problem(api.get("/pipelines/churn-training@v9"), 404)
    problem(api.post("/triggers/nowhere/pause", {"note": "x"}), 404)
    problem(api.post("/triggers/nowhere/resume"), 404)
    problem(api.post("/triggers/nowhere/test", {"blobs": {}}), 404)


def test_pipelines_are_shown_with_what_they_take_and_what_starts_them(api: Api) -> None:
    found = api.get("/pipelines").json()["items"]

    assert [item["name"] for item in found] == ["churn-training", "scoring"]
    assert found[0]["inputs"] == {
        "data": {
            "type": "uri_file",
            "default": None,
            "path": None,
            "required": True,
            "optional": False,
            "enum": [],
            "min": None,
            "max": None,
        }
    }
    assert "on-upload" in found[0]["triggers"]
    assert found[1]["triggers"] == []
    assert found[0] == api.get("/pipelines/churn-training").json()


def test_a_pipeline_tells_what_its_triggers_get_wrong(api: Api) -> None:
    changed = pipeline(inputs={"data": {"type": "uri_file"}, "more": {"type": "string"}})
    api.scene.publish(trigger(), pipelines=[changed])

    [said] = api.get("/pipelines/churn-training").json()["problems"]
    assert said.startswith("on-upload: ")
    assert "'more'" in said


def test_an_upload_is_tried(api: Api) -> None:
    later = (World().now + timedelta(minutes=1)).isoformat()

    [found] = previews(api, "on-upload", {"event": {**UPLOAD, "eventTime": later}})

    assert found["decision"] == "would_run"
    assert found["captures"] == {"region": "north", "file": "march"}
    assert found["pipeline"] == "churn-training@v1"


def test_an_event_of_another_kind_is_tried(api: Api) -> None:
    [found] = previews(api, "on-upload", {"event": ORDER})

    assert (found["decision"], found["check"]) == (
        "no_match",
        "uploaded to contosolake/landing",
    )


@pytest.mark.parametrize("name", ["on-message", "on-call"])
def test_triggers_of_messages_and_http_are_tried_with_data(api: Api, name: str) -> None:
    [good] = previews(api, name, {"event": {"data": {"file": "azureml:a:1"}}})
    [bad] = previews(api, name, {"event": {"data": {}}})

    assert good["decision"] == "would_run"
    assert bad["decision"] == "would_be_dead_letter"
    assert [item["place"] for item in bad["problems"]] == ["inputs.data"]


def test_the_end_of_a_run_is_tried(api: Api) -> None:
    data = {"trigger": "on-call", "status": "completed", "pipeline": "churn-training"}

    [good] = previews(api, "on-end", {"event": {"data": data}})
    [bad] = previews(api, "on-end", {"event": {"data": {**data, "status": "failed"}}})

    assert good["decision"] == "would_run"
    assert (bad["decision"], bad["check"]) == ("no_match", "status completed")
    for wrong in (7, {"depth": "x"}, {"depth": -1}, {"depth": True}):
        problem(api.post("/triggers/on-end/test", {"event": {"data": wrong}}), 422)


def test_blobs_that_lie_there_are_tried(api: Api) -> None:
    api.lakes.uploads = [
        Upload(
            account="contosolake",
            container="landing",
            path=path,
            etag="0x1",
            size=1,
            last_modified=World().now + timedelta(minutes=1),
        )
        for path in ("sales/north/a.csv", "sales/north/a.txt", "sales/south/b.csv")
    ]

    found = previews(api, "on-upload", {"blobs": {}})
    some = previews(api, "on-upload", {"blobs": {"limit": 1, "prefix": "sales/south/"}})

    assert [item["decision"] for item in found] == ["would_run", "no_match", "would_run"]
    assert len(some) == 1
    assert some[0]["event"]["subject"].endswith("sales/south/b.csv")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"event": ORDER, "blobs": {}},
        {"event": {"x": 1}},
        {"event": 7},
        {"blobs": {"limit": 0}},
        {"blobs": {"limit": 201}},
        {"blobs": {"limit": "20"}},
        {"blobs": {"depth": 1}},
    ],
)
def test_a_trial_says_one_thing_to_try(api: Api, body: Any) -> None:
    problem(api.post("/triggers/on-upload/test", body), 422)


def test_only_triggers_of_uploads_are_tried_with_blobs(api: Api) -> None:
    problem(api.post("/triggers/on-call/test", {"blobs": {}}), 422)


def dropped(api: Api, file: str, *problems: str) -> None:
    """What the tick keeps of a file in the definitions container."""
    kept = Kept(files={file: Dropped(etag='"1"', problems=problems)})
    api.scene.blobs.put("drops.json", kept.model_dump_json(by_alias=True).encode())


@pytest.mark.parametrize("kind", ["pipeline", "trigger"])
def test_what_is_wrong_with_a_file_in_the_definitions_container_is_told(
    api: Api, kind: str
) -> None:
    why = f"{kind}s/other.yml:3: is not YAML"
    dropped(api, f"{kind}s/other.yml", why)
    answer = api.get(f"/{kind}s/other")

    assert why in problem(answer, 404)["detail"]

    name = "churn-training" if kind == "pipeline" else "on-call"
    dropped(api, f"{kind}s/{name}.yml", why)
    assert api.get(f"/{kind}s/{name}").json()["problems"] == [why]
    listed = {item["name"]: item["problems"] for item in api.get("/pipelines").json()["items"]}
    assert listed.get(name, [why]) == [why]
