"""Schedules and backfills from the command line."""

import json
from typing import Any

import httpx
import pytest

from tests.unit.fake_api import RUN_ID, FakeApi, problem, run
from tests.unit.test_cli_replays import DONE, ID, REPLAY

NEXT: dict[str, Any] = {
    "scheduled_time": "2026-03-29T01:00:00Z",
    "local_time": "2026-03-29T03:00:00+02:00",
    "fires_at": "2026-03-29T01:00:00Z",
    "note": "stands for 02:30, which clocks skip on that day",
}
LAST: dict[str, Any] = {
    "scheduled_time": "2026-03-28T01:30:00Z",
    "local_time": "2026-03-28T02:30:00+01:00",
    "run": RUN_ID,
    "state": "skipped",
    "reason": {"code": "overlap_skipped", "text": "As many as may be are under way \x1b[2J."},
    "ended_at": "2026-03-28T01:30:01Z",
    "replay": None,
    "replay_of": None,
    "prompted": False,
}
SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "engine": "signalbox",
    "summary": "30 2 * * * (Europe/Berlin)",
    "time_zone": "Europe/Berlin",
    "pipeline": "churn",
    "next": NEXT,
    "paused": None,
    "last": LAST,
    "since": "2026-01-01T00:00:00Z",
    "revision": "r1",
    "problems": [],
}
DETAIL = {
    **SCHEDULE,
    "definition": {"name": "nightly", "spec": {"schedule": {"cron": ["30 2 * * *"]}}},
    "occurrences": [
        LAST,
        {**LAST, "state": "completed", "reason": None, "replay": ID},
        {**LAST, "state": "failed", "reason": None, "prompted": True},
    ],
}
PAUSED = {
    **DETAIL,
    "next": None,
    "paused": {"note": "moved \x1b[2J", "at": "2026-03-01T12:00:00Z", "by": "anna"},
}


@pytest.fixture
def signalbox() -> FakeApi:
    return FakeApi()


def test_schedules_are_listed_with_what_is_next_and_what_was_last(signalbox: FakeApi) -> None:
    over = {**SCHEDULE, "name": "over", "next": None, "last": None, "problems": ["no input"]}
    items = [SCHEDULE, {**PAUSED, "name": "kept"}, over]
    signalbox.at("GET schedules", {"items": items, "cursor": "over"})
    told = signalbox("schedules")

    assert told.exit_code == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[1].split("  ")[0] == "nightly"
    assert "2026-03-29 03:00:00 +02:00" in lines[1]
    assert "skipped (overlap_skipped), 2026-03-28 02:30:00 +01:00" in lines[1]
    assert "paused" in lines[2]
    assert "never" in lines[3]
    assert "! kept is paused since" in told.stdout
    assert "moved \\x1b[2J" in told.stdout
    assert "! over: no input" in told.stdout
    assert "--cursor over" in told.stderr

    signalbox.at("GET schedules", {"items": [], "cursor": None})
    assert signalbox("schedules", "list").stdout.startswith("no schedules")


def test_one_schedule_is_shown_with_its_last_times(signalbox: FakeApi) -> None:
    signalbox.at("GET schedules/nightly", DETAIL)
    told = signalbox("schedules", "show", "nightly")

    assert "30 2 * * * (Europe/Berlin)" in told.stdout
    assert "cron:" in told.stdout
    *_, heading, skipped, completed, failed = told.stdout.splitlines()
    assert heading.split() == ["Europe/Berlin", "state", "run", "why"]
    assert " skipped (overlap_skipped) " in skipped
    assert RUN_ID in skipped
    assert skipped.endswith("under way \\x1b[2J.")
    assert f"completed, by {ID}" in completed
    assert "failed, asked for" in failed
    assert json.loads(signalbox("schedules", "show", "nightly", "--json").stdout) == DETAIL


def test_next_times_are_told_by_both_clocks(signalbox: FakeApi) -> None:
    later = {**NEXT, "note": None, "fires_at": "2026-03-29T01:04:07Z"}
    answer = {"time_zone": "Europe/Berlin", "paused": None, "items": [NEXT, later]}
    signalbox.at("GET schedules/nightly/next", answer)
    told = signalbox("schedules", "next", "nightly", "--count", "2")

    assert signalbox.asked == ["GET schedules/nightly/next?count=2"]
    heading, first, second = told.stdout.splitlines()
    assert heading.split() == ["Europe/Berlin", "UTC", "begins"]
    assert first.split("  ")[:2] == ["2026-03-29 03:00:00 +02:00", "2026-03-29 01:00:00"]
    assert first.endswith("stands for 02:30, which clocks skip on that day")
    assert second.endswith("2026-03-29 01:04:07")

    plain = {**answer, "items": [{**NEXT, "note": None}]}
    signalbox.at("GET schedules/nightly/next", {**plain, "time_zone": "UTC"})
    told = signalbox("schedules", "next", "nightly")
    assert told.stdout == "UTC\n2026-03-29 01:00:00\n"
    signalbox.at("GET schedules/nightly/next", {**answer, "items": []})
    assert "no time to come" in signalbox("schedules", "next", "nightly").stdout
    signalbox.at("GET schedules/nightly/next", {**answer, "paused": PAUSED["paused"]})
    assert "! nightly is paused" in signalbox("schedules", "next", "nightly").stdout
    assert signalbox("schedules", "next", "nightly", "--count", "0").exit_code == 2


def test_a_schedule_is_paused_and_resumed(signalbox: FakeApi) -> None:
    signalbox.at("POST schedules/nightly/pause", PAUSED)
    told = signalbox("schedules", "pause", "nightly", "--note", "moved", "--while-paused", "hold")
    assert signalbox.body == {"note": "moved", "while_paused": "hold"}
    assert told.stdout.startswith("! nightly is paused since")

    signalbox.at("POST schedules/nightly/resume", DETAIL)
    told = signalbox("schedules", "resume", "nightly")
    assert told.stdout == "nightly goes on, next at 2026-03-29 03:00:00 +02:00\n"
    signalbox.at("POST schedules/nightly/resume", {**DETAIL, "next": None})
    assert signalbox("schedules", "resume", "nightly").stdout == "nightly goes on\n"
    assert signalbox("schedules", "pause", "nightly").exit_code == 2


def prompted(run: dict[str, Any]) -> dict[str, Any]:
    return {"engine": "signalbox", "job": run["job"], "studio_url": run["studio_url"], "run": run}


def test_a_schedule_is_run_now(signalbox: FakeApi) -> None:
    signalbox.at("POST schedules/nightly/trigger", httpx.Response(202, json=prompted(run())))
    told = signalbox("schedules", "trigger", "nightly", "--idempotency-key", "k")

    assert (told.exit_code, RUN_ID in told.stdout) == (0, True)
    assert signalbox.body == {}
    assert signalbox.requests[-1].headers["idempotency-key"] == "k"
    told = signalbox("schedules", "trigger", "nightly", "--json")
    assert json.loads(told.stdout) == prompted(run())
    signalbox("schedules", "trigger", "nightly", "--input", "epochs=3")
    assert signalbox.body == {"inputs": {"epochs": 3}}

    skipped = run("skipped", reason={"code": "overlap_skipped", "text": "One is under way."})
    signalbox.at("POST schedules/nightly/trigger", httpx.Response(202, json=prompted(skipped)))
    told = signalbox("schedules", "trigger", "nightly")
    assert (told.exit_code, "One is under way." in told.stdout) == (4, True)
    assert signalbox("schedules", "trigger", "nightly", "--json").exit_code == 4


def test_what_azureml_runs_now_is_a_job_of_its_own(signalbox: FakeApi) -> None:
    answer = {"engine": "azureml", "job": "nightly-1", "studio_url": "https://ml/1", "run": None}
    signalbox.at("POST schedules/nightly/trigger", httpx.Response(202, json=answer))
    told = signalbox("schedules", "trigger", "nightly")

    assert (told.exit_code, "nightly-1" in told.stdout, "https://ml/1" in told.stdout) == (0, 1, 1)
    assert json.loads(signalbox("schedules", "trigger", "nightly", "--json").stdout) == answer


def test_what_differs_in_azureml_is_told(signalbox: FakeApi) -> None:
    found = {
        "there": True,
        "enabled": False,
        "state": "Succeeded",
        "drift": ["enabled is no, and is to be yes \x1b[2J"],
        "action": "enable",
        "problem": None,
    }
    signalbox.at("GET schedules/nightly/diff", found)
    told = signalbox("schedules", "diff", "nightly")
    assert "the timer   enables it" in told.stdout
    assert "! enabled is no, and is to be yes \\x1b[2J" in told.stdout
    assert json.loads(signalbox("schedules", "diff", "nightly", "--json").stdout) == found

    gone = {**found, "there": False, "drift": [], "problem": "No role.", "action": "create"}
    signalbox.at("GET schedules/nightly/diff", gone)
    assert "! No role." in signalbox("schedules", "diff", "nightly").stdout
    items = [
        {**SCHEDULE, "in_azureml": "is in AzureML as it should be"},
        {**SCHEDULE, "name": "other", "in_azureml": "will be changed in AzureML: cron is 1"},
    ]
    signalbox.at("GET schedules", {"items": items, "cursor": None})
    listed = signalbox("schedules").stdout
    assert "! other will be changed in AzureML: cron is 1" in listed
    assert "as it should be" not in listed


# Backfills

OUTLOOK: dict[str, Any] = {
    "items": [
        {**LAST, "note": None, "state": None, "run": None, "preview": {"decision": "would_run"}},
        {
            **NEXT,
            "run": RUN_ID,
            "state": "missed",
            "preview": {
                "decision": "would_be_dead_letter",
                "problems": [{"place": "inputs.rows", "message": "is not bound"}],
            },
        },
    ],
    "total": 2,
    "time_zone": "Europe/Berlin",
    "selection": {
        "trigger": "nightly",
        "since": "2026-03-27T23:00:00Z",
        "until": "2026-03-29T22:00:00Z",
        "newest_first": False,
    },
    "cursor": None,
}
BACKFILL = {
    **REPLAY,
    "selection": {
        **REPLAY["selection"],
        "trigger": "nightly",
        "outcomes": [],
        "occurrences": True,
        "newest_first": False,
    },
    "problems": [{"run": None, "scheduled_time": "2026-03-28T01:30:00Z", "why": "it is none"}],
}
WORDS = ["backfill", "nightly", "--since", "2026-03-28"]


@pytest.fixture
def filling(signalbox: FakeApi) -> FakeApi:
    signalbox.at("POST backfill-preview", OUTLOOK)
    signalbox.at("POST backfills", httpx.Response(202, json=BACKFILL))
    return signalbox


def test_a_backfill_is_shown_before_somebody_says_yes(filling: FakeApi) -> None:
    told = filling(*WORDS, "--limit", "3", input="y\n")

    assert told.exit_code == 0, told.stderr
    assert filling.asked == ["POST backfill-preview?limit=20", "POST backfills"]
    heading, first, second, total, *_ = told.stdout.splitlines()
    assert heading.split() == ["Europe/Berlin", "UTC", "so", "far", "would", "be"]
    assert first.split()[:5] == ["2026-03-28", "02:30:00", "+01:00", "2026-03-28", "01:30:00"]
    assert first.endswith("would run")
    assert "missed" in second
    assert second.endswith("inputs.rows: is not bound")
    assert total == "2 in all, oldest first"
    assert "Run 2 times of nightly, 3 at once?" in told.stdout
    # Exactly what was shown; a time without an offset is the schedule's.
    assert filling.body == {
        "trigger": "nightly",
        "since": "2026-03-28T00:00:00",
        "until": "2026-03-29T22:00:00Z",
        "limit": 3,
    }
    assert "backfill of nightly" in told.stdout
    assert "! 2026-03-28T01:30:00Z: it is none" in told.stdout


def test_who_says_no_backfills_nothing(filling: FakeApi) -> None:
    assert filling(*WORDS, input="n\n").exit_code == 1
    assert "POST backfills" not in filling.asked


def test_who_is_sure_is_not_asked(filling: FakeApi) -> None:
    words = ["backfill", "nightly", "--from", "2026-03-28T06:00+01:00", "--until", "2026-03-30"]
    told = filling(*words, "--newest-first", "--yes", "--json", "--idempotency-key", "k")

    assert json.loads(told.stdout) == BACKFILL
    assert filling.asked == ["POST backfills"]
    assert filling.body == {
        "trigger": "nightly",
        "since": "2026-03-28T06:00:00+01:00",
        "until": "2026-03-30T00:00:00",
        "newest_first": True,
        "limit": 1,
    }


def test_a_dry_run_only_tells_the_times(filling: FakeApi) -> None:
    filling.at("POST backfill-preview", {**OUTLOOK, "cursor": "2026-03-29T01:00:00Z"})
    told = filling(*WORDS, "--dry-run")

    assert filling.asked == ["POST backfill-preview"]
    assert "stands for 02:30" not in told.stdout
    assert "--cursor 2026-03-29T01:00:00Z" in told.stderr
    assert json.loads(filling(*WORDS, "--dry-run", "--json").stdout)["total"] == 2


def test_a_backfill_is_followed_to_its_end(filling: FakeApi) -> None:
    filling.at(f"GET replays/{ID}", BACKFILL, {**DONE, "selection": BACKFILL["selection"]})
    told = filling(*WORDS, "--yes", "--follow")

    assert told.exit_code == 0
    assert "is done, 3 of 3" in told.stdout


def test_what_the_api_refuses_is_told_with_its_place(filling: FakeApi) -> None:
    refusal = problem(422, "This cannot be backfilled", ("since", "is not over yet"))
    filling.at("POST backfill-preview", refusal)
    told = filling(*WORDS)

    assert (told.exit_code, "since: is not over yet" in told.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        ["backfill"],
        ["backfill", "nightly"],
        ["backfill", "nightly", "--since", "noon"],
        [*WORDS, "--until", "later"],
        [*WORDS, "--limit", "101"],
        [*WORDS, "--cursor", "2026-03-29T01:00:00Z"],
    ],
)
def test_what_is_no_backfill_asks_nobody(filling: FakeApi, words: list[str]) -> None:
    assert filling(*words).exit_code == 2
    assert filling.requests == []
