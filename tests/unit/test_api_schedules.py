"""Schedules and backfills over HTTP."""

from typing import Any

import pytest

from tests.unit.api_client import Api
from tests.unit.scene import Scene, pipeline, trigger
from tests.unit.test_api import problem
from tests.unit.test_backfills import schedule

FEBRUARY = {"trigger": "nightly", "since": "2026-02-01", "until": "2026-02-04"}


@pytest.fixture
def api() -> Api:
    scene = Scene()
    scene.publish(
        trigger(),
        schedule(),
        schedule("hourly", every="PT1H", start_time="2026-03-01T00:30:00Z", jitter="PT5M"),
        schedule("over", cron="0 6 * * *", end_time="2026-01-01T00:00:00Z"),
        pipelines=[pipeline()],
    )
    return Api(scene)


def test_schedules_are_listed_with_their_next_time(api: Api) -> None:
    found = api.get("/schedules").json()
    assert found["cursor"] is None
    [hourly, nightly, over] = found["items"]

    assert (nightly["name"], nightly["engine"]) == ("nightly", "signalbox")
    assert nightly["summary"] == "0 6 * * * (Europe/Berlin)"
    assert nightly["next"] == {
        "scheduled_time": "2026-03-02T05:00:00Z",
        "local_time": "2026-03-02T06:00:00+01:00",
        "fires_at": "2026-03-02T05:00:00Z",
        "note": None,
    }
    assert (nightly["paused"], nightly["last"], nightly["problems"]) == (None, None, [])
    assert hourly["next"]["scheduled_time"] < hourly["next"]["fires_at"]
    assert over["next"] is None
    page = api.get("/schedules?limit=2").json()
    assert (len(page["items"]), page["cursor"]) == (2, "nightly")
    assert api.get("/schedules?cursor=nightly").json()["items"] == [over]


def test_one_schedule_has_its_definition_and_its_last_times(api: Api) -> None:
    asked = api.post("/schedules/nightly/trigger", headers={"Idempotency-Key": "k"})
    assert asked.status_code == 202
    run = asked.json()
    assert asked.headers["location"] == f"/api/runs/{run['id']}"
    api.post("/backfills", {**FEBRUARY, "limit": 2})
    found = api.get("/schedules/nightly").json()

    assert found["definition"]["spec"]["schedule"]["cron"] == ["0 6 * * *"]
    [now, *past] = found["occurrences"]
    assert (now["run"], now["state"], now["replay"]) == (run["id"], "submitted", None)
    assert now["local_time"].endswith("+01:00")
    assert [each["scheduled_time"] for each in past] == [
        f"2026-02-0{day}T05:00:00Z" for day in (3, 2, 1)
    ]
    assert {each["replay"] for each in past} == {api.get("/replays").json()["items"][0]["id"]}
    assert found["last"] == now


def test_next_times_are_told_by_both_clocks_with_a_note(api: Api) -> None:
    found = api.get("/schedules/nightly/next?count=28").json()
    assert (found["time_zone"], found["paused"], len(found["items"])) == ("Europe/Berlin", None, 28)
    assert [item["local_time"] for item in found["items"][26:]] == [
        "2026-03-28T06:00:00+01:00",
        "2026-03-29T06:00:00+02:00",
    ]
    api.scene.publish(schedule(cron="30 2 * * *", time_zone="Europe/Berlin"))
    notes = [item["note"] for item in api.get("/schedules/nightly/next?count=28").json()["items"]]
    assert notes == [None] * 27 + ["stands for 02:30, which clocks skip on that day"]

    for wrong in ("count=0", "count=1001", "count=x", "number=1"):
        problem(api.get(f"/schedules/nightly/next?{wrong}"), 422)


def test_a_schedule_is_paused_and_resumed(api: Api) -> None:
    paused = api.post("/schedules/nightly/pause", {"note": "the lake is moved"}).json()
    assert (paused["paused"]["note"], paused["next"]) == ("the lake is moved", None)
    assert api.get("/schedules/nightly/next").json()["paused"]["by"] == "key"
    assert api.get("/triggers/nightly").json()["paused"]["note"] == "the lake is moved"

    resumed = api.post("/schedules/nightly/resume").json()
    assert (resumed["paused"], resumed["next"] is None) == (None, False)
    problem(api.post("/schedules/nightly/pause", {}), 422)


def test_the_same_key_runs_it_once(api: Api) -> None:
    ask = {"headers": {"Idempotency-Key": "k"}}
    first = api.post("/schedules/nightly/trigger", **ask).json()

    assert api.post("/schedules/nightly/trigger", {}, **ask).json()["id"] == first["id"]
    assert api.post("/schedules/nightly/trigger").json()["id"] != first["id"]
    told = problem(api.post("/schedules/nightly/trigger", {"inputs": {"data": "x"}}), 422)
    assert [error["place"] for error in told["errors"]] == ["inputs"]


@pytest.mark.parametrize("name", ["nowhere", "on-upload"])
def test_what_is_no_schedule_is_told_with_those_there_are(api: Api, name: str) -> None:
    answers = [
        api.get(f"/schedules/{name}"),
        api.get(f"/schedules/{name}/next"),
        api.post(f"/schedules/{name}/pause", {"note": "x"}),
        api.post(f"/schedules/{name}/resume"),
        api.post(f"/schedules/{name}/trigger"),
    ]

    for answer in answers:
        assert "hourly, nightly, over" in problem(answer, 404)["detail"]
    assert api.get("/triggers/on-upload").json()["paused"] is None


def test_a_backfill_is_tried_asked_for_followed_and_listed(api: Api) -> None:
    stored = dict(api.scene.blobs.stored)
    outlook = api.post("/backfill-preview?limit=2", FEBRUARY).json()
    assert (outlook["total"], outlook["time_zone"]) == (3, "Europe/Berlin")
    [first, second] = outlook["items"]
    assert (first["scheduled_time"], first["local_time"]) == (
        "2026-02-01T05:00:00Z",
        "2026-02-01T06:00:00+01:00",
    )
    assert first["preview"]["decision"] == "would_run"
    assert outlook["cursor"] == second["scheduled_time"]
    more = api.post(f"/backfill-preview?cursor={outlook['cursor']}", FEBRUARY).json()
    assert (len(more["items"]), more["cursor"]) == (1, None)
    # The wall clock's midnight.
    assert outlook["selection"] == {
        "trigger": "nightly",
        "outcomes": [],
        "since": "2026-01-31T23:00:00Z",
        "until": "2026-02-03T23:00:00Z",
        "named": False,
        "occurrences": True,
        "newest_first": False,
    }
    assert api.scene.blobs.stored == stored

    answer = api.post("/backfills", FEBRUARY, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202
    begun = answer.json()
    assert answer.headers["location"] == f"/api/replays/{begun['id']}"
    assert (begun["total"], begun["limit"], begun["position"]) == (3, 1, 2)
    again = api.post("/backfills", FEBRUARY, headers={"Idempotency-Key": "k"}).json()
    assert again["id"] == begun["id"]
    other = {**FEBRUARY, "newest_first": True}
    problem(api.post("/backfills", other, headers={"Idempotency-Key": "k"}), 422)
    asked = {"trigger": "nightly", "outcomes": ["failed"]}
    problem(api.post("/replays", asked, headers={"Idempotency-Key": "k"}), 422)

    assert api.get("/replays").json()["items"] == [begun]
    canceled = api.post(f"/replays/{begun['id']}/cancel").json()
    assert canceled["state"] == "canceling"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "trigger"),
        ({**FEBRUARY, "trigger": "On Call"}, "trigger"),
        ({**FEBRUARY, "trigger": "on-upload"}, "trigger"),
        ({**FEBRUARY, "since": "yesterday"}, "since"),
        ({**FEBRUARY, "since": 7}, "since"),
        ({**FEBRUARY, "since": "0001-01-01"}, "since"),
        ({**FEBRUARY, "since": "2027-01-01"}, "since"),
        ({**FEBRUARY, "until": "2027-01-01"}, "until"),
        ({**FEBRUARY, "until": "2026-01-01"}, "until"),
        ({**FEBRUARY, "limit": 0}, "limit"),
        ({**FEBRUARY, "limit": 101}, "limit"),
        ({**FEBRUARY, "order": "newest"}, "order"),
        ({"trigger": "over", "since": "2026-02-01"}, "since"),
    ],
)
def test_what_is_no_backfill_is_refused_with_its_place(api: Api, body: Any, place: str) -> None:
    told = problem(api.post("/backfills", body), 422)

    assert place in [error["place"] for error in told["errors"]]
    assert api.get("/replays").json()["items"] == []


def test_a_backfill_of_nothing_known_is_not_found(api: Api) -> None:
    problem(api.post("/backfills", {**FEBRUARY, "trigger": "nowhere"}), 404)
    problem(api.post("/backfill-preview?cursor=x", FEBRUARY), 422)
    problem(api.post("/backfill-preview?cursor=2026-02-09T05:00:00Z", FEBRUARY), 422)
