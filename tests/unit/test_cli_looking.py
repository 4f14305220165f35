"""Triggers, pipelines, explanations and health from the command line."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from tests.unit.fake_api import RUN_ID, FakeApi, problem, run

TRIGGER = {
    "name": "retrain",
    "source": "blob",
    "summary": "uploads to lake/landing, {region}.csv",
    "pipeline": "churn",
    "effective_from": "2026-03-01T12:00:00Z",
    "revision": "28cfc16060d44ecf",
    "problems": [],
}
PIPELINE = {
    "name": "churn",
    "version": "16241775f2e0e725",
    "component_id": "/subscriptions/2/components/churn/versions/16241775f2e0e725",
    "inputs": {
        "rows": {"type": "uri_file", "default": None, "path": None, "required": True},
        "share": {"type": "number", "default": 0.5, "path": None, "required": False},
        "note": {"type": "string", "default": None, "required": False, "optional": True},
    },
    "outputs": {"model": {"type": "uri_folder", "path": None}},
    "settings": {},
    "experiment_name": "churn",
    "description": None,
    "triggers": ["retrain"],
    "problems": ["its compute is gone"],
}
PREVIEW = {
    "event": run()["event"],
    "decision": "would_be_dead_letter",
    "passed": ["path {region}.csv"],
    "check": None,
    "captures": {},
    "pipeline": "churn@1",
    "inputs": {"share": 0.5},
    "problems": [{"place": "inputs.rows", "message": "is not bound"}],
    "run": None,
}
EXPLANATION = {
    "question": "blob lake/landing/a.csv",
    "summary": "It started a run.",
    "lines": ["It came at noon.", "retrain took it."],
    "items": [],
}


@pytest.fixture
def signalbox() -> FakeApi:
    return FakeApi()


@pytest.mark.parametrize("words", [["triggers"], ["triggers", "list"]])
def test_triggers_are_listed_with_what_is_wrong_with_them(
    signalbox: FakeApi, words: list[str]
) -> None:
    broken = {**TRIGGER, "name": "other", "problems": ["churn has no input 'x'"]}
    signalbox.at("GET triggers", {"items": [TRIGGER, broken]})
    told = signalbox(*words)

    assert told.exit_code == 0
    assert "uploads to lake/landing, {region}.csv" in told.stdout
    assert "! other: churn has no input 'x'" in told.stdout
    assert "! retrain" not in told.stdout


@pytest.mark.parametrize(
    ("noun", "item"),
    [("triggers", TRIGGER), ("pipelines", PIPELINE)],
    ids=["triggers", "pipelines"],
)
def test_lists_by_name_are_asked_for_page_by_page(
    signalbox: FakeApi, noun: str, item: dict[str, Any]
) -> None:
    signalbox.at(f"GET {noun}", {"items": [item], "cursor": "next"})
    told = signalbox(noun, "--limit", "1", "--cursor", "before")

    assert signalbox.asked == [f"GET {noun}?limit=1&cursor=before"]
    assert told.exit_code == 0
    assert "There may be more: --cursor next" in told.stderr
    assert "--cursor" not in told.stdout


def test_a_trigger_is_shown_as_it_was_written(signalbox: FakeApi) -> None:
    definition = {"name": "retrain", "spec": {"http": {}}, "action": {"pipeline": "churn"}}
    signalbox.at("GET triggers/retrain", {**TRIGGER, "definition": definition})
    told = signalbox("triggers", "show", "retrain")

    assert "  action:\n    pipeline: churn\n" in told.stdout


PAUSED = {
    "note": "the lake is moved",
    "at": "2026-03-01T12:00:00Z",
    "by": "anna",
    "while_paused": None,
}


def test_a_trigger_is_paused_with_a_note_and_resumed(signalbox: FakeApi) -> None:
    signalbox.at("POST triggers/retrain/pause", {**TRIGGER, "paused": PAUSED})
    told = signalbox("triggers", "pause", "retrain", "--note", "the lake is moved")
    assert signalbox.body == {"note": "the lake is moved"}
    assert told.stdout.startswith("! retrain is paused since 2026-03-01")
    assert "by anna: the lake is moved" in told.stdout

    signalbox("triggers", "pause", "retrain", "--note", "x", "--while-paused", "drop")
    assert signalbox.body == {"note": "x", "while_paused": "drop"}

    signalbox.at("POST triggers/retrain/resume", {**TRIGGER, "paused": None})
    assert signalbox("triggers", "resume", "retrain").stdout == "retrain goes on\n"


def test_a_trigger_is_not_paused_without_saying_why(signalbox: FakeApi) -> None:
    assert signalbox("triggers", "pause", "retrain").exit_code == 2
    assert signalbox.requests == []


def test_that_a_trigger_is_paused_is_told_wherever_it_is_shown(signalbox: FakeApi) -> None:
    dropping = {**PAUSED, "note": "hostile \x1b[2J", "while_paused": "drop"}
    signalbox.at("GET triggers", {"items": [TRIGGER, {**TRIGGER, "name": "b", "paused": dropping}]})
    signalbox.at("GET triggers/b", {**TRIGGER, "name": "b", "paused": dropping, "definition": {}})
    listed, shown = signalbox("triggers"), signalbox("triggers", "show", "b")

    assert "! retrain is paused" not in listed.stdout
    for told in (listed, shown):
        assert "by anna, what comes is dropped: hostile \\x1b[2J" in told.stdout


def test_a_trigger_is_tested_with_an_event(signalbox: FakeApi, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text('{"data": {"a": 1}}')
    signalbox.at("POST triggers/retrain/test", {"items": [PREVIEW]})
    told = signalbox("triggers", "test", "retrain", "--event", str(file))

    assert told.exit_code == 0
    assert signalbox.body == {"event": {"data": {"a": 1}}}
    assert "landing/north/2026.csv: would be dead letter" in told.stdout
    assert "yes  path {region}.csv" in told.stdout
    assert "! inputs.rows: is not bound" in told.stdout


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ([], {}),
        (["--prefix", "north/"], {"prefix": "north/"}),
        (["--limit", "5"], {"limit": 5}),
    ],
)
def test_a_trigger_is_tested_with_the_blobs_that_lie_there(
    signalbox: FakeApi, words: list[str], sent: dict[str, Any]
) -> None:
    signalbox.at("POST triggers/retrain/test", {"items": []})
    told = signalbox("triggers", "test", "retrain", "--blobs", *words)

    assert signalbox.body == {"blobs": sent}
    assert told.stdout == "no blobs lie there\n"


@pytest.mark.parametrize(
    "words",
    [
        ["triggers", "test", "retrain"],
        ["triggers", "test", "retrain", "--blobs", "--event", "-"],
        ["triggers", "test", "retrain", "--event", "-", "--limit", "3"],
        ["triggers", "send", "retrain"],
        ["explain"],
        ["explain", "word"],
        ["explain", "a/b/c", "--message", "1"],
        ["explain", "a/b/c", "--blob", "d/e/f"],
        ["explain", "a/b/c", "--at", "2026-03-01"],
        ["explain", "--trigger", "retrain", "--at", "noon"],
        ["explain", "--trigger", "retrain", "--schedule", "nightly"],
        ["explain", "--schedule", "nightly", "--at", "noon"],
    ],
)
def test_a_question_that_is_none_asks_nobody(signalbox: FakeApi, words: list[str]) -> None:
    assert signalbox(*words, input="{}").exit_code == 2
    assert signalbox.requests == []


@pytest.mark.parametrize(("text", "said"), [("{\n,", "standard input:2"), ("[1]", "JSON object")])
def test_an_event_that_is_none_is_told_with_its_place(
    signalbox: FakeApi, text: str, said: str
) -> None:
    told = signalbox("triggers", "test", "retrain", "--event", "-", input=text)

    assert told.exit_code == 1
    assert said in told.stderr
    assert signalbox.requests == []


def decision(kind: str, **more: Any) -> dict[str, Any]:
    return {"event": "e", "trigger": "retrain", "decision": kind, "check": None, "run": None,
            "state": None, "reason": None, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("made", "code", "said"),
    [
        ([decision("run", run=RUN_ID, state="submitted")], 0, RUN_ID),
        ([decision("no_match", check="where `false`")], 0, "where `false`"),
        ([decision("dead_letter", reason={"code": "x", "text": "No rows."})], 4, "No rows."),
        ([], 0, "no trigger was concerned"),
    ],
)
def test_an_event_is_sent_as_it_is_and_the_decision_told(
    signalbox: FakeApi, made: list[dict[str, Any]], code: int, said: str
) -> None:
    signalbox.at("POST triggers/retrain/events", httpx.Response(202, json={"decisions": made}))
    text = '{"a": 1.50, "b": "é"}'
    told = signalbox("triggers", "send", "retrain", "--data", "-", "--idempotency-key", "k",
                     input=text)  # fmt: skip

    assert told.exit_code == code
    assert said in told.stdout
    [request] = signalbox.requests
    assert request.content == text.encode()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "k"


def test_pipelines_are_listed(signalbox: FakeApi) -> None:
    signalbox.at("GET pipelines", {"items": [PIPELINE]})
    told = signalbox("pipelines")

    assert told.stdout.splitlines()[1].split() == ["churn", "16241775f2e0e725", "retrain"]
    assert "! churn: its compute is gone" in told.stdout


def test_a_pipeline_is_shown_with_what_it_takes(signalbox: FakeApi) -> None:
    signalbox.at("GET pipelines/churn", PIPELINE)
    rows = [line.split() for line in signalbox("pipelines", "show", "churn").stdout.splitlines()]

    assert ["rows", "uri_file", "(required)"] in rows
    assert ["share", "number", "0.5"] in rows
    assert ["note", "string", "(optional)"] in rows
    assert ["model", "uri_folder"] in rows


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["lake/landing/a b.csv"], {"blob": "lake/landing/a b.csv"}),
        (["https://lake.blob.core.windows.net/x/y"],
         {"blob": "https://lake.blob.core.windows.net/x/y"}),
        (["--blob", "odd"], {"blob": "odd"}),
        ([RUN_ID], {"run": RUN_ID}),
        (["--run", "x"], {"run": "x"}),
        (["--message", "42"], {"message": "42"}),
        (["--trigger", "retrain"], {"trigger": "retrain"}),
        (["--trigger", "retrain", "--at", "2026-03-01T12:00:00+02:00"], {"trigger": "retrain"}),
    ],
)  # fmt: skip
def test_the_question_is_known_by_its_form(
    signalbox: FakeApi, words: list[str], asked: dict[str, str]
) -> None:
    signalbox.at("GET explain", EXPLANATION)
    told = signalbox("explain", *words)

    assert told.stdout == "It started a run.\n  It came at noon.\n  retrain took it.\n"
    query = {k: v[0] for k, v in parse_qs(signalbox.requests[0].url.query.decode()).items()}
    if at := query.pop("at", None):
        assert datetime.fromisoformat(at) == datetime.fromisoformat("2026-03-01T10:00:00+00:00")
    assert (at is None) == ("--at" not in words)
    assert query == asked


@pytest.mark.parametrize(
    ("at", "sent"),
    [
        ("2026-03-01T06:00", "2026-03-01T06:00:00"),
        ("2026-03-01T06:00+01:00", "2026-03-01T06:00:00+01:00"),
    ],
)
def test_the_time_of_a_schedule_is_by_its_own_clock(signalbox: FakeApi, at: str, sent: str) -> None:
    signalbox.at("GET explain", EXPLANATION)
    assert signalbox("explain", "--schedule", "nightly", "--at", at).exit_code == 0

    query = parse_qs(signalbox.requests[0].url.query.decode())
    assert query == {"schedule": ["nightly"], "at": [sent]}


def test_a_line_that_is_the_summary_is_told_once(signalbox: FakeApi) -> None:
    signalbox.at("GET explain", {"summary": "It runs.", "lines": ["It runs.", "Since noon."]})

    assert signalbox("explain", "a/b/c").stdout == "It runs.\n  Since noon.\n"


@pytest.mark.parametrize(("status", "http", "code"), [("ok", 200, 0), ("unhealthy", 503, 3)])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_health_says_what_is_reached(
    signalbox: FakeApi, status: str, http: int, code: int, as_json: list[str]
) -> None:
    answer = {"status": status, "checks": {"storage": {"status": status, "detail": "It said 42."}}}
    signalbox.at("GET health", httpx.Response(http, json=answer))
    told = signalbox("health", *as_json)

    assert told.exit_code == code
    assert "It said 42." in told.stdout
    if as_json:
        assert json.loads(told.stdout) == answer


def test_health_that_cannot_be_asked_is_an_error(signalbox: FakeApi) -> None:
    signalbox.at("GET health", problem(401, "No."))

    assert signalbox("health").exit_code == 1


@pytest.mark.parametrize(
    ("words", "place", "answer"),
    [
        (["triggers"], "GET triggers", {"items": [TRIGGER]}),
        (["triggers", "show", "a"], "GET triggers/a", TRIGGER),
        (["triggers", "test", "a", "--blobs"], "POST triggers/a/test", {"items": [PREVIEW]}),
        (["pipelines"], "GET pipelines", {"items": [PIPELINE]}),
        (["pipelines", "show", "a"], "GET pipelines/a", PIPELINE),
        (["explain", "a/b/c"], "GET explain", EXPLANATION),
    ],
)
def test_json_is_the_answer(
    signalbox: FakeApi, words: list[str], place: str, answer: dict[str, Any]
) -> None:
    signalbox.at(place, answer)

    assert json.loads(signalbox(*words, "--json").stdout) == answer
