"""Replays and sweeps from the command line."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.unit.fake_api import RUN_ID, FakeApi, problem, run

ID = "0123456789abcdef"
REPLAY: dict[str, Any] = {
    "id": ID,
    "state": "running",
    "at": "2026-03-01T12:00:00Z",
    "by": "anna",
    "selection": {
        "trigger": "retrain",
        "outcomes": ["dead_letter"],
        "since": None,
        "until": "2026-03-01T12:00:00Z",
        "named": False,
    },
    "limit": 5,
    "total": 3,
    "position": 2,
    "started": 1,
    "not_started": 1,
    "ended": {},
    "active": [RUN_ID],
    "problems": [{"run": RUN_ID, "why": "its record has expired \x1b[2J"}],
    "cancel_requested": False,
    "waiting_for": None,
}
DONE = {**REPLAY, "state": "done", "position": 3, "active": [], "ended": {"completed": 2},
        "not_started": 0, "problems": []}  # fmt: skip
OUTLOOK: dict[str, Any] = {
    "items": [
        {
            "run": RUN_ID,
            "preview": {
                "event": run()["event"],
                "decision": "would_be_dead_letter",
                "pipeline": "churn@1",
                "problems": [{"place": "inputs.rows", "message": "is not bound"}],
            },
            "why_not": None,
        },
        {"run": "retrain." + "1" * 32, "preview": None, "why_not": "it has expired"},
    ],
    "total": 3,
    "selection": REPLAY["selection"],
    "cursor": None,
}
WORDS = ["replay", "--trigger", "retrain", "--outcome", "dead_letter"]


@pytest.fixture
def signalbox() -> FakeApi:
    made = FakeApi()
    made.at("POST replay-preview", OUTLOOK)
    made.at("POST replays", httpx.Response(202, json=REPLAY))
    return made


def test_a_replay_is_shown_before_somebody_says_yes(signalbox: FakeApi) -> None:
    told = signalbox(*WORDS, "--limit", "7", input="y\n")

    assert told.exit_code == 0, told.stderr
    assert signalbox.asked == ["POST replay-preview?limit=20", "POST replays"]
    assert "landing/north/2026.csv" in told.stdout
    assert "inputs.rows: is not bound" in told.stdout
    assert "it has expired" in told.stdout
    assert "Run 3 once more, 7 at a time?" in told.stdout
    # Exactly what was shown.
    assert signalbox.body == {
        "trigger": "retrain",
        "outcomes": ["dead_letter"],
        "until": "2026-03-01T12:00:00Z",
        "limit": 7,
    }
    assert signalbox.requests[-1].headers["idempotency-key"]
    assert "its record has expired \\x1b[2J" in told.stdout


def test_who_says_no_starts_nothing(signalbox: FakeApi) -> None:
    assert signalbox(*WORDS, input="n\n").exit_code == 1
    assert signalbox(*WORDS, input="").exit_code == 1

    assert "POST replays" not in signalbox.asked


def test_who_is_sure_is_not_asked(signalbox: FakeApi) -> None:
    told = signalbox(*WORDS, "--yes", "--idempotency-key", "k", "--json")

    assert json.loads(told.stdout) == REPLAY
    assert signalbox.asked == ["POST replays"]
    assert signalbox.requests[-1].headers["idempotency-key"] == "k"
    assert signalbox.body == {"trigger": "retrain", "outcomes": ["dead_letter"], "limit": 5}


def test_a_dry_run_only_looks(signalbox: FakeApi) -> None:
    signalbox.at("POST replay-preview", {**OUTLOOK, "cursor": RUN_ID})
    told = signalbox(*WORDS, "--dry-run", "--cursor", RUN_ID)

    assert signalbox.asked == [f"POST replay-preview?cursor={RUN_ID}"]
    assert "3 in all" in told.stdout
    assert f"--cursor {RUN_ID}" in told.stderr
    assert json.loads(signalbox(*WORDS, "--dry-run", "--json").stdout)["total"] == 3


def test_where_there_is_nothing_nobody_is_asked(signalbox: FakeApi) -> None:
    signalbox.at("POST replay-preview", {**OUTLOOK, "items": [], "total": 0})
    told = signalbox(*WORDS)

    assert told.exit_code == 0
    assert told.stdout == "nothing ended so in that time\n"


def test_times_are_those_of_this_machine(signalbox: FakeApi) -> None:
    times = ["--since", "2026-03-01T12:00+02:00", "--until", "2026-03-02T00:00"]
    signalbox(*WORDS, "--yes", *times)

    since, until = (datetime.fromisoformat(signalbox.body[name]) for name in ("since", "until"))
    assert since == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert until == datetime(2026, 3, 2).astimezone()


def test_runs_may_be_named(signalbox: FakeApi) -> None:
    signalbox("replay", "--run", RUN_ID, input="y\n")

    assert signalbox.body == {"runs": [RUN_ID], "limit": 5}


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["replay", "--outcome", "failed"],
        [*WORDS, "--limit", "0"],
        [*WORDS, "--limit", "101"],
        [*WORDS, "--since", "noon"],
        [*WORDS, "--cursor", RUN_ID],
    ],
)
def test_what_is_no_replay_asks_nobody(signalbox: FakeApi, words: list[str]) -> None:
    assert signalbox(*words).exit_code == 2
    assert signalbox.requests == []


def test_a_replay_is_followed_to_its_end(signalbox: FakeApi) -> None:
    signalbox.at(f"GET replays/{ID}", REPLAY, problem(503, "away"), REPLAY, DONE)
    told = signalbox(*WORDS, "--yes", "--follow")

    assert told.exit_code == 0
    assert told.stdout.count("is running") == 1
    assert f"replay {ID} is done, 3 of 3, 0 under way, 2 completed" in told.stdout


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (DONE, 0),
        ({**DONE, "ended": {"completed": 1, "failed": 1}}, 4),
        ({**DONE, "not_started": 1}, 4),
    ],
)
def test_who_follows_leaves_with_what_became_of_it(
    signalbox: FakeApi, end: dict[str, Any], code: int
) -> None:
    signalbox.at(f"GET replays/{ID}", end)

    assert signalbox("replays", "show", ID, "--follow").exit_code == code
    assert signalbox("replays", "show", ID).exit_code == 0


def test_replays_are_listed_shown_and_canceled(signalbox: FakeApi) -> None:
    signalbox.at("GET replays", {"items": [REPLAY, DONE], "cursor": ID})
    listed = signalbox("replays")
    assert "dead_letter of retrain" in listed.stdout
    assert "2 of 3" in listed.stdout
    assert f"--cursor {ID}" in listed.stderr

    signalbox.at("GET replays", {"items": [], "cursor": None})
    assert signalbox("replays", "list").stdout.startswith("no replays")

    paused = {**REPLAY, "waiting_for": "Trigger retrain is paused."}
    signalbox.at(f"GET replays/{ID}", paused)
    assert "Trigger retrain is paused." in signalbox("replays", "show", ID).stdout

    signalbox.at(f"POST replays/{ID}/cancel", httpx.Response(202, json=REPLAY))
    assert json.loads(signalbox("replays", "cancel", ID, "--json").stdout) == REPLAY


# Sweeps

UPLOAD = {
    "path": "north/lost \x1b[2J.csv",
    "etag": "0x1",
    "size": 12,
    "last_modified": "2026-03-01T11:00:00Z",
    "at": "2026-03-01T12:00:00Z",
    "run": RUN_ID,
}
COURSE: dict[str, Any] = {
    "began": "2026-03-01T12:00:00Z",
    "ended": "2026-03-01T12:00:05Z",
    "since": "2026-02-27T12:00:00Z",
    "full": True,
    "asked": True,
    "dry_run": False,
    "listed": 10,
    "looked_at": 3,
    "known": 1,
    "found": 1,
    "overwritten": 1,
    "young": 0,
    "unnameable": 0,
    "failed": 0,
    "found_uploads": [UPLOAD],
    "overwritten_uploads": [UPLOAD],
}
SWEPT: dict[str, Any] = {
    "trigger": "retrain",
    "every": "PT1H",
    "lookback": "P2D",
    "last": "2026-03-01T12:00:00Z",
    "next": "2026-03-01T13:00:00Z",
    "under_way": None,
    "report": COURSE,
    "found": [UPLOAD],
    "overwritten": [UPLOAD],
    "problem": None,
}
UNDER_WAY = {**SWEPT, "under_way": {**COURSE, "ended": None, "listed": 5}, "report": None}


def test_a_sweep_is_made_and_waited_for(signalbox: FakeApi) -> None:
    signalbox.at("POST triggers/retrain/sweep", httpx.Response(202, json=UNDER_WAY))
    signalbox.at("GET triggers/retrain/sweep", UNDER_WAY, SWEPT)
    told = signalbox("triggers", "sweep", "retrain", "--lookback", "P7D", "--overwritten")

    assert told.exit_code == 0, told.stderr
    assert json.loads(signalbox.requests[0].content) == {"lookback": "P7D", "overwritten": True}
    assert signalbox.asked == ["POST triggers/retrain/sweep"] + ["GET triggers/retrain/sweep"] * 2
    assert "every PT1H, P2D back" in told.stdout
    assert "north/lost \\x1b[2J.csv" in told.stdout
    assert "signalbox triggers sweep retrain --overwritten" in told.stdout


def test_the_report_of_sweeps_is_shown_without_making_one(signalbox: FakeApi) -> None:
    signalbox.at("GET triggers/retrain/sweep", {**SWEPT, "every": None, "problem": "No role."})
    told = signalbox("triggers", "sweep", "retrain", "--report")

    assert signalbox.asked == ["GET triggers/retrain/sweep"]
    assert "when asked to" in told.stdout
    assert "No role." in told.stdout
    assert signalbox("triggers", "sweep", "retrain", "--report", "--dry-run").exit_code == 2


def test_a_dry_run_of_a_sweep_tells_what_would_be_started(signalbox: FakeApi) -> None:
    dry = {**SWEPT, "report": {**COURSE, "dry_run": True}, "found": [], "overwritten": []}
    signalbox.at("POST triggers/retrain/sweep", httpx.Response(202, json=dry))
    told = signalbox("triggers", "sweep", "retrain", "--dry-run")

    assert signalbox.body == {"dry_run": True}
    assert "would be started" in told.stdout
    assert RUN_ID in told.stdout


def test_a_sweep_that_goes_no_further_is_told(signalbox: FakeApi) -> None:
    signalbox.at("POST triggers/retrain/sweep", {**UNDER_WAY, "problem": "Give it the role."})
    told = signalbox("triggers", "sweep", "retrain")
    assert (told.exit_code, "Give it the role." in told.stderr) == (3, True)

    signalbox.at("POST triggers/retrain/sweep", UNDER_WAY)
    signalbox.at("GET triggers/retrain/sweep", UNDER_WAY)
    told = signalbox("triggers", "sweep", "retrain")
    assert (told.exit_code, "--report" in told.stderr) == (3, True)
    assert signalbox.paused < 400
