"""Schedules and backfills over HTTP."""

from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import WorkspaceUnavailable
from tests.unit.api_client import Api
from tests.unit.scene import Scene, fail, pipeline, trigger
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
    run = asked.json()["run"]
    assert asked.headers["location"] == f"/api/runs/{run['id']}"
    api.post("/backfills", {**FEBRUARY, "limit": 2})
    found = api.get("/schedules/nightly").json()

    assert found["definition"]["spec"]["schedule"]["cron"] == ["0 6 * * *"]
    [now, *past] = found["occurrences"]
    assert (now["run"], now["state"], now["replay"]) == (run["id"], "submitted", None)
    assert [each["prompted"] for each in found["occurrences"]] == [True, False, False, False]
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

    for wrong in ("count=0", "count=201", "count=x", "number=1"):
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
    assert (first["engine"], first["job"]) == ("signalbox", first["run"]["job"])

    again = api.post("/schedules/nightly/trigger", {}, **ask).json()
    assert (again["run"]["id"], again["job"]) == (first["run"]["id"], first["job"])
    other = api.post("/schedules/nightly/trigger").json()
    assert other["run"]["id"] != first["run"]["id"]
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


@pytest.fixture
def native() -> Api:
    """AzureML has its schedule as it was published."""
    scene = Scene()
    inputs = {"data": {"type": "uri_file"}, "size": {"type": "integer", "default": 1}}
    action = {"pipeline": "churn-training", "inputs": {"data": "azureml:rows:1"}}
    spec = {"schedule": {"cron": "0 6 * * *", "engine": "azureml"}}
    kept = TriggerDefinition.model_validate({"name": "kept", "spec": spec, "action": action})
    scene.publish(kept, schedule(), pipelines=[pipeline(inputs=inputs)])
    made = Api(scene)
    made.app.native.reconcile()
    return made


def test_what_azureml_keeps_says_how_it_is_there(native: Api) -> None:
    [kept, nightly] = native.get("/schedules").json()["items"]
    assert (kept["engine"], nightly["engine"]) == ("azureml", "signalbox")
    assert kept["in_azureml"] == "is in AzureML as it should be"
    assert nightly["in_azureml"] is None
    diff = native.get("/schedules/kept/diff").json()
    assert (diff["there"], diff["enabled"], diff["drift"], diff["action"]) == (
        True,
        True,
        [],
        "keep",
    )

    del native.job_schedules.there["kept"]
    assert native.get("/schedules/kept/diff").json()["there"] is False
    assert "will be created" in native.get("/schedules/kept").json()["in_azureml"]
    problem(native.get("/schedules/nightly/diff"), 409)
    problem(native.get("/schedules/nowhere/diff"), 404)


@pytest.mark.parametrize("way", ["show", "pause", "resume"])
def test_one_schedule_costs_azureml_the_same_however_many_there_are(native: Api, way: str) -> None:
    native.scene.world.calls.clear()
    kept = native.get("/schedules/kept") if way == "show" else None
    kept = kept or native.post(f"/schedules/kept/{way}", {"note": "x"} if way == "pause" else {})

    assert kept.json()["in_azureml"] == "is in AzureML as it should be"
    assert "schedules" not in native.scene.world.calls
    # Following a pause, and telling how it is there.
    looks = native.scene.world.calls.count("schedule GET kept")
    assert looks == (1 if way == "show" else 2)


def test_schedules_are_listed_while_azureml_is_away(native: Api) -> None:
    fail(native.scene.world, "schedules", WorkspaceUnavailable("It is down"))
    [kept, _] = native.get("/schedules").json()["items"]

    assert kept["in_azureml"] == "AzureML could not be asked: It is down"


@pytest.mark.parametrize("noun", ["schedules", "triggers"])
def test_pausing_disables_it_in_azureml(native: Api, noun: str) -> None:
    native.post(f"/{noun}/kept/pause", {"note": "x"})
    assert native.job_schedules.there["kept"].enabled is False
    native.post(f"/{noun}/kept/resume")

    assert native.job_schedules.there["kept"].enabled is True


def test_what_azureml_keeps_is_run_now_by_it_or_with_inputs_from_here(native: Api) -> None:
    answer = native.post("/schedules/kept/trigger")
    assert answer.status_code == 202
    made = answer.json()
    assert (made["engine"], made["run"]) == ("azureml", None)
    assert native.job_schedules.started == ["kept"]
    assert made["job"] in made["studio_url"]

    ask = {"headers": {"Idempotency-Key": "k"}}
    given = native.post("/schedules/kept/trigger", {"inputs": {"size": 3}}, **ask).json()
    assert native.scene.workspace.bodies[given["job"]].inputs["size"] == 3
    problem(native.post("/schedules/kept/trigger", {"inputs": {"size": 3}}, **ask), 409)
    problem(native.post("/schedules/kept/trigger", {"inputs": {"sizes": 3}}), 422)
    native.post("/schedules/kept/pause", {"note": "x"})
    assert "is paused" in problem(native.post("/schedules/kept/trigger"), 409)["detail"]


def test_what_azureml_keeps_is_not_backfilled(native: Api) -> None:
    told = problem(native.post("/backfills", {**FEBRUARY, "trigger": "kept"}), 422)

    assert "engine: signalbox" in told["errors"][0]["message"]


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


def test_a_time_is_explained_by_the_schedule_s_own_clock(api: Api) -> None:
    for at in ("2026-03-02T06:00", "2026-03-02T05:00:00Z", "2026-03-02T06:00:00%2B01:00"):
        [item] = api.get(f"/explain?schedule=nightly&at={at}").json()["items"]
        assert item["decision"] == "to_come"
    [item] = api.get("/explain?schedule=nightly&at=2026-03-02").json()["items"]
    assert item["decision"] == "not_due"
    assert api.get("/explain?schedule=nightly").status_code == 200

    problem(api.get("/explain?schedule=nowhere"), 404)
    problem(api.get("/explain?at=2026-03-02"), 422)
    problem(api.get("/explain?schedule=nightly&trigger=nightly"), 422)


@pytest.mark.parametrize(
    ("since", "said"), [("0900-01-01", "is not within 1970 to 2200"), ("soon", "is no time; write")]
)
def test_what_a_time_cannot_be_is_told(api: Api, since: str, said: str) -> None:
    told = problem(api.post("/backfills", {**FEBRUARY, "since": since}), 422)

    assert told["errors"][0]["place"] == "since"
    assert told["errors"][0]["message"].startswith(said)


def test_a_schedule_takes_no_events_and_says_what_to_do(api: Api) -> None:
    told = problem(api.post("/triggers/nightly/test", {"event": {"data": {}}}), 422)

    assert "signalbox schedules next nightly" in told["errors"][0]["message"]


def test_what_was_skipped_or_missed_is_replayed(api: Api) -> None:
    api.post("/schedules/nightly/trigger")
    skipped = api.post("/schedules/nightly/trigger").json()["run"]
    assert skipped["state"] == "skipped"
    asked = {"trigger": "nightly", "outcomes": ["skipped", "missed"]}
    [item] = api.post("/replay-preview", asked).json()["items"]

    assert (item["run"], item["preview"]["decision"]) == (skipped["id"], "would_run")
    assert api.post("/replays", asked).json()["started"] == 1
