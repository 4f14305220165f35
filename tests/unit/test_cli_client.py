"""How the command finds the API, and what its errors are to a person."""

import json

import httpx
import pytest

from cli.text import shown, visible
from tests.unit.fake_api import KEY, FakeApi, problem, run

ESCAPE = "\x1b]0;owned\x07\x9b31m\u202egpj.exe\nstate completed\r"


@pytest.fixture
def signalbox() -> FakeApi:
    return FakeApi()


def test_the_key_goes_along(signalbox: FakeApi) -> None:
    signalbox.at("GET runs", {"items": [], "cursor": None})
    told = signalbox("runs", SIGNALBOX_URL="https://app.example/")

    assert told.exit_code == 0
    [request] = signalbox.requests
    assert request.headers["x-functions-key"] == KEY
    assert str(request.url) == "https://app.example/api/runs?limit=50"


@pytest.mark.parametrize(
    ("url", "key", "named"),
    [
        ("", "k", {"SIGNALBOX_URL"}),
        ("https://app.example", "", {"SIGNALBOX_KEY"}),
        (None, None, {"SIGNALBOX_URL", "SIGNALBOX_KEY"}),
    ],
)
def test_a_setting_that_is_missing_is_named_with_its_remedy(
    signalbox: FakeApi, url: str | None, key: str | None, named: set[str]
) -> None:
    told = signalbox("runs", SIGNALBOX_URL=url, SIGNALBOX_KEY=key)

    assert told.exit_code == 1
    assert {name for name in ("SIGNALBOX_URL", "SIGNALBOX_KEY") if name in told.stderr} == named
    assert "make run" in told.stderr
    assert ".local/env" in told.stderr
    assert told.stdout == ""


@pytest.mark.parametrize("url", ["http://app.example", "app.example", "ftp://app.example"])
def test_the_key_is_sent_to_nobody_who_could_be_overheard(signalbox: FakeApi, url: str) -> None:
    told = signalbox("runs", SIGNALBOX_URL=url)

    assert told.exit_code == 1
    assert "https://" in told.stderr
    assert signalbox.requests == []


def test_this_machine_needs_no_https(signalbox: FakeApi) -> None:
    signalbox.at("GET runs", {"items": []})

    assert signalbox("runs", SIGNALBOX_URL="http://127.0.0.1:7071").exit_code == 0


@pytest.mark.parametrize("key", ["clé", "a\nb"])
def test_a_key_that_is_none_is_refused_unsaid(signalbox: FakeApi, key: str) -> None:
    told = signalbox("runs", SIGNALBOX_KEY=key)

    assert told.exit_code == 1
    assert "SIGNALBOX_KEY" in told.stderr
    assert key not in told.stderr


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (problem(404, "There is no such run."), 1, "There is no such run."),
        (problem(409, "It is over."), 1, "It is over."),
        (problem(429, "Too often."), 3, "Too often."),
        (problem(503, "Storage is down."), 3, "Storage is down."),
        (httpx.Response(401), 1, "Check SIGNALBOX_KEY"),
        (httpx.Response(403, text="<html>"), 1, "Check SIGNALBOX_KEY"),
        (httpx.Response(404, text="<html>"), 1, "Is SIGNALBOX_URL right?"),
        (httpx.Response(302, headers={"location": "https://x"}), 1, "Is SIGNALBOX_URL right?"),
        (httpx.Response(502, text="<html>"), 3, "answered 502; try again"),
        (httpx.Response(200, text="<html>"), 3, "not Signalbox's"),
        (httpx.Response(200, text="[1]"), 3, "not Signalbox's"),
        (httpx.ReadTimeout("slow"), 3, "took too long to answer"),
        (httpx.ConnectError("[Errno 111] Connection refused"), 3, "Could not connect to https"),
    ],
)
def test_an_error_has_its_exit_code_and_its_words(
    signalbox: FakeApi, answer: httpx.Response | Exception, code: int, said: str
) -> None:
    signalbox.at("GET runs", answer)
    told = signalbox("runs")

    assert told.exit_code == code
    assert said in told.stderr
    assert told.stdout == ""
    assert "Traceback" not in told.stderr


def test_every_place_that_is_wrong_is_told(signalbox: FakeApi) -> None:
    wrong = (("inputs.share", "must be a number"), ("inputs.sahre", "there is no such input"))
    signalbox.at("POST pipelines/churn/runs", problem(422, "Two inputs do not fit.", *wrong))
    told = signalbox("run", "churn")

    assert told.exit_code == 1
    assert told.stderr.splitlines() == [
        "Two inputs do not fit.",
        "  inputs.share: must be a number",
        "  inputs.sahre: there is no such input",
    ]


def test_an_error_on_the_server_s_side_is_told_with_its_instance(signalbox: FakeApi) -> None:
    signalbox.at(
        "GET runs", httpx.Response(500, json={"detail": "A mistake.", "instance": "urn:uuid:7"})
    )

    assert "A mistake. (urn:uuid:7)" in signalbox("runs").stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain/ä/日本 {x}.csv", "plain/ä/日本 {x}.csv"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\u202efdp", "\\u202efdp"),
        ("\x9b0m\x7f\x00", "\\x9b0m\\x7f\\x00"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_act_on_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (True, "true"), (0.5, "0.5"), (None, ""), ({"ä": ["\x9b"]}, '{"ä": ["\\x9b"]}')],
)
def test_values_are_shown_as_json_has_them(value: object, text: str) -> None:
    assert shown(value) == text


def harmless(text: str) -> bool:
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.mark.parametrize(
    ("place", "answer", "words"),
    [
        ("GET runs", {"items": [run(event={"subject": ESCAPE})], "cursor": ESCAPE}, ["runs"]),
        ("GET runs/a", run(reason={"code": ESCAPE, "text": ESCAPE}), ["runs", "show", "a"]),
        (
            "GET runs/a",
            run(
                "failed",
                failed_steps=[{"step": ESCAPE, "job": ESCAPE, "log_tail": ESCAPE}],
                inputs={ESCAPE: ESCAPE},
                steps=[{"name": ESCAPE, "status": ESCAPE}],
                steps_error=ESCAPE,
                transitions=[{"state": ESCAPE, "at": ESCAPE}],
            ),
            ["runs", "watch", "a"],
        ),
        ("GET explain", {"summary": ESCAPE, "lines": [ESCAPE]}, ["explain", "a/b/c"]),
        (
            "GET triggers/a",
            {"name": ESCAPE, "definition": {ESCAPE: [ESCAPE]}, "problems": [ESCAPE]},
            ["triggers", "show", "a"],
        ),
        (
            "POST triggers/a/test",
            {
                "items": [
                    {
                        "event": {"subject": ESCAPE},
                        "decision": ESCAPE,
                        "passed": [ESCAPE],
                        "check": ESCAPE,
                        "inputs": {ESCAPE: ESCAPE},
                        "problems": [{"place": ESCAPE, "message": ESCAPE}],
                    }
                ]
            },
            ["triggers", "test", "a", "--blobs"],
        ),
        ("GET pipelines", {"items": [{"name": ESCAPE, "triggers": [ESCAPE]}]}, ["pipelines"]),
        (
            "GET health",
            {"status": ESCAPE, "checks": {ESCAPE: {"status": ESCAPE, "detail": ESCAPE}}},
            ["health"],
        ),
        ("GET runs", problem(400, ESCAPE, (ESCAPE, ESCAPE)), ["runs"]),
    ],
)
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_nothing_that_comes_from_elsewhere_writes_on_the_screen(
    signalbox: FakeApi,
    place: str,
    answer: dict[str, object] | httpx.Response,
    words: list[str],
    json: list[str],
) -> None:
    signalbox.at(place, answer)
    told = signalbox(*words, *json)

    assert "owned" in told.output
    assert isinstance(told.exception, SystemExit | None)
    assert harmless(told.stdout), ascii(told.stdout)
    assert harmless(told.stderr), ascii(told.stderr)


@pytest.mark.parametrize("text", ["[bold]x[/]", "[/red]", ":smile:", "[link=https://x]y[/link]"])
def test_nothing_that_comes_from_elsewhere_is_markup(signalbox: FakeApi, text: str) -> None:
    signalbox.at("GET runs", {"items": [run(event={"subject": text})]})
    signalbox.at("GET explain", {"summary": text, "lines": [text]})

    assert text in signalbox("runs").stdout
    assert text in signalbox("explain", "a/b/c").stdout


def test_json_is_exactly_what_the_api_says(signalbox: FakeApi) -> None:
    answer = {"items": [run(event={"subject": ESCAPE + "é \ud83d\ude00"})], "extra": [1.0, 2**60]}
    signalbox.at("GET runs", httpx.Response(200, content=json.dumps(answer)))
    told = signalbox("runs", "--json")

    assert told.exit_code == 0
    assert json.loads(told.stdout) == answer | {"items": [run(event={"subject": ESCAPE + "é 😀"})]}
