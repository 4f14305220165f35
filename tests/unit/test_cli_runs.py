"""Starting, watching and listing runs from the command line."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.text import when
from tests.unit.fake_api import RUN_ID, FakeApi, detail, problem, run

CREATED = when("2026-03-01T12:00:05Z")
WAITING = {"text": "the timer looks every minute", "until": None}


@pytest.fixture
def signalbox() -> FakeApi:
    fake = FakeApi()
    fake.at("POST pipelines/churn/runs", httpx.Response(202, json=run()))
    return fake


def steps(**statuses: str) -> list[dict[str, str]]:
    return [{"name": name, "job": f"{name}-1", "status": s} for name, s in statuses.items()]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("true", True),
        ("3", 3),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ('"3"', "3"),
        ("north", "north"),
        ("007", "007"),
        ("NaN", "NaN"),
        ("null", "null"),
        ("[1]", "[1]"),
        ("", ""),
        ("a=b", "a=b"),
        ("9" * 5000, "9" * 5000),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_value_is_what_json_has_it_for_and_else_text(
    signalbox: FakeApi, text: str, sent: object
) -> None:
    assert signalbox("run", "churn", "--input", f"x={text}").exit_code == 0
    assert signalbox.body == {"inputs": {"x": sent}}
    assert type(signalbox.body["inputs"]["x"]) is type(sent)


def test_what_is_not_said_is_not_sent(signalbox: FakeApi) -> None:
    told = signalbox("run", "churn")

    assert told.exit_code == 0
    assert signalbox.body == {}
    assert RUN_ID in told.stdout
    assert "https://ml.azure.com/runs/retrain-1-a1" in told.stdout


def test_what_is_said_is_sent(signalbox: FakeApi) -> None:
    line = "--experiment e --compute c --tag a=1 --tag b=x=y --force-rerun --idempotency-key k-1"
    signalbox("run", "churn", *line.split())

    assert signalbox.body == {
        "experiment_name": "e",
        "compute": "c",
        "tags": {"a": "1", "b": "x=y"},
        "force_rerun": True,
    }
    assert signalbox.requests[0].headers["idempotency-key"] == "k-1"


def test_each_run_has_a_key_of_its_own(signalbox: FakeApi) -> None:
    signalbox("run", "churn")
    signalbox("run", "churn")
    one, other = (request.headers["idempotency-key"] for request in signalbox.requests)

    assert one != other


def test_a_version_and_whatever_stands_in_a_name_stay_one_part_of_the_address(
    signalbox: FakeApi,
) -> None:
    signalbox("run", "churn@1a")
    signalbox("run", "../runs?x=1")

    assert signalbox.asked == [
        "POST pipelines/churn%401a/runs",
        "POST pipelines/..%2Fruns%3Fx%3D1/runs",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("inputs.json", '{"share": 0.5, "kind": "a"}'),
        ("inputs.yml", "share: 0.5\nkind: a\n"),
    ],
)
def test_inputs_of_a_file_give_way_to_those_of_the_line(
    signalbox: FakeApi, tmp_path: Path, name: str, text: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    signalbox("run", "churn", "--inputs-file", str(file), "--input", "kind=b")

    assert signalbox.body == {"inputs": {"share": 0.5, "kind": "b"}}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '{\n "a": }', ":2: is not JSON"),
        ("a.yml", "a: 1\nb: [\n", ":3: is not YAML"),
        ("a.yml", "- 1\n", "must be a mapping"),
        ("a.yml", "day: 2026-03-01\n", "quote dates"),
        ("a.yml", "x: .nan\n", "that JSON has not"),
        ("a.yml", "a: \x00\n", "is not YAML"),
    ],
)
def test_a_file_that_holds_no_inputs_is_told_with_its_place(
    signalbox: FakeApi, tmp_path: Path, name: str, text: str, said: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    told = signalbox("run", "churn", "--inputs-file", str(file))

    assert told.exit_code == 1
    assert str(file) in told.stderr
    assert said in told.stderr
    assert signalbox.requests == []


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["run", "churn", "--input", "x"],
        ["run", "churn", "--input", "=1"],
        ["run", "churn", "--input", "x=1", "--input", "x=2"],
        ["run", "churn", "--tag", "x"],
        ["run", "churn", "--idempotency-key", "a\nb"],
        ["run", "churn", "--inputs-file", "/nowhere.yml"],
        ["runs", "--limit", "0"],
        ["runs", "--limit", "201"],
        ["runs", "shwo", "x"],
        ["runs", "show"],
    ],
)
def test_a_command_line_that_is_wrong_asks_nobody(signalbox: FakeApi, words: list[str]) -> None:
    assert signalbox(*words).exit_code == 2
    assert signalbox.requests == []


@pytest.mark.parametrize("answer", [httpx.ReadTimeout("slow"), problem(503, "Storage is down.")])
def test_whoever_gets_no_answer_is_told_how_to_ask_again(
    signalbox: FakeApi, answer: httpx.Response | Exception
) -> None:
    signalbox.at("POST pipelines/churn/runs", answer)
    told = signalbox("run", "churn")

    assert told.exit_code == 3
    assert f"--idempotency-key {signalbox.requests[0].headers['idempotency-key']}" in told.stderr


def test_a_run_that_is_dead_at_once_is_a_failure(signalbox: FakeApi) -> None:
    reason = {"code": "azureml_rejected", "text": "AzureML refused it."}
    signalbox.at("POST pipelines/churn/runs", run("dead_letter", reason=reason))
    told = signalbox("run", "churn")

    assert told.exit_code == 4
    assert "AzureML refused it." in told.stdout


def test_waiting_tells_each_step_once_and_how_it_ended(signalbox: FakeApi) -> None:
    signalbox.at(
        f"GET runs/{RUN_ID}",
        detail(steps=None, waiting_for=WAITING),
        detail("running", steps=steps(prepare="Running")),
        detail("running", steps=steps(prepare="Running")),
        detail("running", steps=steps(prepare="Completed", train="Running")),
        detail("completed", steps=steps(prepare="Completed", train="Completed"),
               outputs={"model": "azureml://model"}),
    )  # fmt: skip
    told = signalbox("run", "churn", "--wait")

    assert told.exit_code == 0
    lines = [" ".join(line.split()) for line in told.stdout.splitlines()]
    assert lines == [
        f"run {RUN_ID}",
        "run submitted",
        "the timer looks every minute",
        "run running",
        "prepare Running",
        "prepare Completed",
        "train Running",
        "train Completed",
        "run completed",
        f"run {RUN_ID} is completed",
        "model azureml://model",
        "studio https://ml.azure.com/runs/retrain-1-a1",
    ]


def test_a_terminal_shows_one_table_that_keeps_up(signalbox: FakeApi) -> None:
    signalbox.at(
        f"GET runs/{RUN_ID}",
        detail(waiting_for=WAITING),
        detail("running", steps=steps(**{"prepare\x1b[2J": "Running"})),
        detail("completed", steps=steps(prepare="Completed", train="Completed")),
    )
    told = signalbox("runs", "watch", RUN_ID, TTY_COMPATIBLE="1", TERM="xterm")

    assert told.exit_code == 0
    assert "prepare\\x1b[2J" in told.stdout
    assert "\x1b[2J" not in told.stdout
    # The last table stays.
    shown = told.stdout.rpartition("\x1b[2K")[2]
    assert "run is completed" in shown
    assert [line.split() for line in shown.splitlines() if "Completed" in line] == [
        ["prepare", "Completed"],
        ["train", "Completed"],
    ]


def test_an_id_is_whole_in_a_narrow_terminal(signalbox: FakeApi) -> None:
    signalbox.at("GET runs", {"items": [run()]})
    told = signalbox("runs", TTY_COMPATIBLE="1", TERM="xterm", COLUMNS="30")

    assert RUN_ID in told.stdout


@pytest.mark.parametrize("words", [["run", "churn", "--wait"], ["runs", "watch", RUN_ID]])
@pytest.mark.parametrize("state", ["failed", "canceled", "dead_letter"])
def test_a_run_that_did_not_complete_says_why(
    signalbox: FakeApi, words: list[str], state: str
) -> None:
    over = detail(
        state,
        reason={"code": "job_failed", "text": "Step train failed."},
        failed_steps=[{"step": "train", "job": "t-1", "log_tail": "epoch 1\nValueError: no\n"}],
    )
    signalbox.at(f"GET runs/{RUN_ID}", detail("running"), over)
    told = signalbox(*words)

    assert told.exit_code == 4
    assert "Step train failed." in told.stdout
    assert "step train failed (job t-1)" in told.stdout
    assert "  epoch 1\n  ValueError: no\n" in told.stdout


def test_waiting_for_json_leaves_standard_output_to_it(signalbox: FakeApi) -> None:
    over = detail("failed")
    signalbox.at(f"GET runs/{RUN_ID}", detail("running"), over)
    told = signalbox("run", "churn", "--wait", "--json")

    assert told.exit_code == 4
    assert json.loads(told.stdout) == over
    assert "running" in told.stderr


def test_ctrl_c_ends_the_watching_and_not_the_run(signalbox: FakeApi) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    signalbox.at(f"GET runs/{RUN_ID}", detail("running"))
    signalbox.between = interrupt
    told = signalbox("runs", "watch", RUN_ID)

    assert told.exit_code == 130
    assert "the run goes on" in told.stderr
    assert f"signalbox runs cancel {RUN_ID}" in told.stderr
    assert not any(asked.startswith("POST") for asked in signalbox.asked)


def test_watching_outlasts_a_short_outage(signalbox: FakeApi) -> None:
    down = problem(503, "Storage is down.")
    lost = httpx.ConnectError("refused")
    signalbox.at(
        f"GET runs/{RUN_ID}", detail("running"), down, lost, detail("running"), down,
        detail("completed"),
    )  # fmt: skip

    assert signalbox("runs", "watch", RUN_ID).exit_code == 0


def test_watching_gives_up_when_nothing_is_heard_for_long(signalbox: FakeApi) -> None:
    signalbox.at(f"GET runs/{RUN_ID}", detail("running"), problem(503, "Storage is down."))
    told = signalbox("runs", "watch", RUN_ID)

    assert told.exit_code == 3
    assert "Storage is down." in told.stderr
    assert 60 < signalbox.paused < 600


@pytest.mark.parametrize(
    ("answer", "code"), [(problem(404, "No such run."), 1), (problem(503, "Down."), 3)]
)
def test_a_run_that_cannot_be_seen_at_all_is_told_at_once(
    signalbox: FakeApi, answer: httpx.Response, code: int
) -> None:
    signalbox.at(f"GET runs/{RUN_ID}", answer)

    assert signalbox("runs", "watch", RUN_ID).exit_code == code
    assert signalbox.paused == 0


@pytest.mark.parametrize("list_", [[], ["list"]])
def test_runs_are_listed_with_what_was_asked(signalbox: FakeApi, list_: list[str]) -> None:
    long = "very/" * 40 + "long.csv"
    subject = f"/blobServices/default/containers/landing/blobs/{long}"
    failed = run("dead_letter", reason={"code": "input_missing", "text": "…"},
                 ended_at="2026-03-01T12:07:00Z", event={"subject": subject})  # fmt: skip
    signalbox.at("GET runs", {"items": [run(), failed], "cursor": "abc"})
    told = signalbox("runs", *list_, "--trigger", "retrain", "--state", "failed",
                     "--pipeline", "churn", "--limit", "7", "--cursor", "x")  # fmt: skip

    assert told.exit_code == 0
    assert signalbox.asked == [
        "GET runs?trigger=retrain&pipeline=churn&state=failed&limit=7&cursor=x"
    ]
    first, one, other = told.stdout.splitlines()
    assert first.split() == ["run", "state", "created", "ended", "event", "pipeline"]
    assert one.split() == [
        RUN_ID, "submitted", *CREATED.split(), "landing/north/2026.csv",
        "churn@16241775f2e0e725",
    ]  # fmt: skip
    assert "dead_letter (input_missing)" in other
    assert f"{CREATED}  {when('2026-03-01T12:07:00Z')}" in other
    assert f"landing/{long}" in other
    assert "--cursor abc" in told.stderr


def test_a_reason_that_is_the_state_again_is_told_in_its_sentence(signalbox: FakeApi) -> None:
    reason = {"code": "waiting_compute", "text": "compute gpu is on its way"}
    waits = run("waiting_compute", reason=reason)
    signalbox.at("GET runs", {"items": [waits]})
    signalbox.at(f"GET runs/{RUN_ID}", detail("waiting_compute", reason=reason))

    assert "  waiting_compute (compute gpu is on its way)  " in signalbox("runs").stdout
    shown = signalbox("runs", "show", RUN_ID).stdout
    assert "waiting_compute (" not in shown
    assert reason["text"] in shown


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is nine hours ahead."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_times_are_those_of_the_wall_clock_here(signalbox: FakeApi) -> None:
    signalbox.at("GET runs", {"items": [run()]})
    told = signalbox("runs", TZ="Asia/Tokyo")

    assert "2026-03-01 21:00:05 JST" in told.stdout


def test_no_runs_are_no_table(signalbox: FakeApi) -> None:
    signalbox.at("GET runs", {"items": [], "cursor": None})

    assert signalbox("runs").stdout == "no runs\n"


def test_a_page_may_be_empty_and_yet_not_the_last(signalbox: FakeApi) -> None:
    signalbox.at("GET runs", {"items": [], "cursor": "abc"})
    told = signalbox("runs", "--state", "failed")

    assert told.stdout == "no runs so far\n"
    assert "--cursor abc" in told.stderr


def test_dead_letters_have_their_reasons(signalbox: FakeApi) -> None:
    reason = {"code": "input_missing", "text": "The input rows was not bound."}
    signalbox.at("GET dead-letters", {"items": [run("dead_letter", reason=reason)]})
    told = signalbox("dead-letters", "--trigger", "unreadable")

    assert signalbox.asked == ["GET dead-letters?trigger=unreadable&limit=50"]
    assert "The input rows was not bound." in told.stdout


def test_dead_letters_that_were_not_looked_for_are_told(signalbox: FakeApi) -> None:
    signalbox.at("GET dead-letters", {"items": [], "cursor": None, "left_out": 12})
    told = signalbox("dead-letters")

    assert told.stdout == "no dead letters\n"
    assert "12 triggers were not looked at: --trigger NAME" in told.stderr


def test_a_run_is_shown_with_all_that_is_known(signalbox: FakeApi) -> None:
    signalbox.at(
        f"GET runs/{RUN_ID}",
        detail("running", steps=steps(train="Running") * 2, waiting_for=WAITING),
    )
    told = signalbox("runs", "show", RUN_ID)

    assert told.exit_code == 0
    for words in (
        f"landing/north/2026.csv, {when('2026-03-01T12:00:00Z')}",
        "the timer looks every minute",
        "share  0.5",
        "train #1  Running",
        "train #2  Running",
        f"{CREATED}  submitting",
    ):
        assert words in told.stdout


def test_what_was_no_event_is_shown_with_its_beginning_on_a_line(signalbox: FakeApi) -> None:
    data = {"text": "{\n\x1b[2J" + "x" * 1000}
    event = {"id": "7@x", "source": "servicebus:queue/a", "time": "2026-03-01T12:00:00Z"}
    over = detail("dead_letter", trigger="unreadable", event={**event, "data": data})
    signalbox.at(f"GET runs/{RUN_ID}", over)
    told = signalbox("runs", "show", RUN_ID)

    [line] = [line for line in told.stdout.splitlines() if line.startswith("text ")]
    assert line.split(maxsplit=1)[1].startswith("{\\n\\x1b[2Jxxx")
    assert len(line) < 400


def test_a_failed_run_that_is_shown_is_no_failure_of_the_command(signalbox: FakeApi) -> None:
    signalbox.at(f"GET runs/{RUN_ID}", detail("failed"))

    assert signalbox("runs", "show", RUN_ID).exit_code == 0


def test_cancel_says_that_it_was_asked(signalbox: FakeApi) -> None:
    signalbox.at(f"POST runs/{RUN_ID}/cancel", run("running", cancel_requested=True))
    told = signalbox("runs", "cancel", RUN_ID)

    assert told.exit_code == 0
    assert "running (cancel requested)" in told.stdout


def test_retry_tells_of_the_new_run_and_may_wait_for_it(signalbox: FakeApi) -> None:
    new = {"id": "retrain." + "f" * 32, "replay_of": RUN_ID}
    signalbox.at(f"POST runs/{RUN_ID}/retry", run(**new))
    signalbox.at(f"GET runs/{new['id']}", detail("completed", **new))

    assert f"again for  {RUN_ID}" in signalbox("runs", "retry", RUN_ID).stdout
    waited = signalbox("runs", "retry", RUN_ID, "--wait")
    assert waited.exit_code == 0
    assert f"run {new['id']} is completed" in waited.stdout


@pytest.mark.parametrize(
    ("words", "place", "answer"),
    [
        (["runs", "show", "a"], "GET runs/a", detail("failed")),
        (["runs", "cancel", "a"], "POST runs/a/cancel", run()),
        (["runs", "retry", "a"], "POST runs/a/retry", run()),
        (["run", "churn"], "POST pipelines/churn/runs", run()),
        (["dead-letters"], "GET dead-letters", {"items": [], "cursor": None}),
    ],
)
def test_json_is_the_answer(
    signalbox: FakeApi, words: list[str], place: str, answer: dict[str, Any]
) -> None:
    signalbox.at(place, answer)
    told = signalbox(*words, "--json")

    assert told.exit_code == 0
    assert json.loads(told.stdout) == answer


def test_what_was_not_run_again_is_shown_as_that(signalbox: FakeApi) -> None:
    [prepare], [train] = steps(prepare="Completed"), steps(train="Running")
    signalbox.at(
        f"GET runs/{RUN_ID}",
        detail("running", steps=[prepare | {"reused": True}, train | {"reused": False}]),
    )
    shown = signalbox("runs", "show", RUN_ID).stdout

    assert "Completed (reused)" in shown
    assert "Running (reused)" not in shown
    assert "force_rerun" not in shown


def test_a_run_that_takes_nothing_from_earlier_ones_says_so(signalbox: FakeApi) -> None:
    signalbox.at(
        f"GET runs/{RUN_ID}", detail("running", steps=steps(train="Running"), force_rerun=True)
    )

    assert "none, force_rerun is set" in signalbox("runs", "show", RUN_ID).stdout


@pytest.mark.parametrize(
    ("state", "code"), [("completed", 0), ("batched", 0), ("skipped", 4), ("missed", 4)]
)
def test_what_never_runs_is_not_watched_for_ever(signalbox: FakeApi, state: str, code: int) -> None:
    signalbox.at(f"GET runs/{RUN_ID}", detail(), detail(state))

    assert signalbox("runs", "watch", RUN_ID).exit_code == code
    assert len(signalbox.requests) == 2
