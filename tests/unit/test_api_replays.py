"""Replays over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from shared.ledger import ABSENT
from tests.unit.api_client import Api, everything
from tests.unit.test_api import problem

DEAD = {"trigger": "on-call", "outcomes": ["dead_letter"]}
RUN = "on-call." + "0" * 32


@pytest.fixture
def api() -> Api:
    made = Api(everything())
    for number in range(3):
        sent = made.post("/triggers/on-call/events", {"number": number}).json()["decisions"]
        assert [decision["decision"] for decision in sent] == ["dead_letter"]
        made.scene.world.pass_time(1)
    return made


def test_a_replay_is_tried_asked_for_followed_and_listed(api: Api) -> None:
    stored = dict(api.scene.blobs.stored)
    outlook = api.post("/replay-preview?limit=2", DEAD).json()
    assert (outlook["total"], len(outlook["items"])) == (3, 2)
    assert outlook["items"][0]["preview"]["decision"] == "would_be_dead_letter"
    more = api.post(f"/replay-preview?limit=2&cursor={outlook['cursor']}", DEAD).json()
    assert (len(more["items"]), more["cursor"]) == (1, None)
    assert api.scene.blobs.stored == stored

    exactly = {**DEAD, "until": outlook["selection"]["until"]}
    answer = api.post("/replays", exactly, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202
    replay = answer.json()
    assert answer.headers["location"] == f"/api/replays/{replay['id']}"
    assert (replay["total"], replay["position"], replay["limit"]) == (3, 3, 5)
    assert replay["by"] == "key"
    again = api.post("/replays", exactly, headers={"Idempotency-Key": "k"}).json()
    assert again["id"] == replay["id"]

    api.app.replays.run_due(lambda: False)
    found = api.get(f"/replays/{replay['id']}").json()
    assert (found["state"], found["ended"]) == ("done", {"dead_letter": 3})
    assert api.get("/replays").json() == {"items": [found], "cursor": None}
    problem(api.post(f"/replays/{replay['id']}/cancel"), 409)


def test_the_same_key_for_another_replay_is_refused(api: Api) -> None:
    api.post("/replays", DEAD, headers={"Idempotency-Key": "k"})

    problem(api.post("/replays", {**DEAD, "limit": 6}, headers={"Idempotency-Key": "k"}), 422)
    assert api.post("/replays", DEAD).json()["id"] != api.post("/replays", DEAD).json()["id"]


def test_a_replay_is_canceled(api: Api) -> None:
    api.post("/triggers/on-call/pause", {"note": "x"})
    replay = api.post("/replays", DEAD).json()
    assert (replay["state"], replay["position"]) == ("running", 0)
    assert "is paused" in replay["waiting_for"]

    canceled = api.post(f"/replays/{replay['id']}/cancel")
    assert canceled.status_code == 202
    # Until nobody can have started more of it before.
    assert canceled.json()["state"] == "canceling"
    api.scene.world.pass_time((ABSENT + timedelta(seconds=1)).total_seconds())
    api.app.replays.run_due(lambda: False)
    assert api.get(f"/replays/{replay['id']}").json()["state"] == "canceled"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"outcomes": ["failed"]}, "trigger"),
        ({"trigger": "on-call"}, "outcomes"),
        ({"trigger": "On Call", "outcomes": ["failed"]}, "trigger"),
        ({"trigger": "on-call", "outcomes": "failed"}, "outcomes"),
        ({"trigger": "on-call", "outcomes": ["no_match"]}, "outcomes"),
        ({"trigger": "on-call", "outcomes": ["failed"]}, "outcomes"),
        ({**DEAD, "since": "yesterday"}, "since"),
        ({**DEAD, "since": 7}, "since"),
        ({**DEAD, "since": "0001-01-01"}, "since"),
        ({**DEAD, "since": "2026-03-02", "until": "2026-03-01"}, "since"),
        ({**DEAD, "runs": [RUN]}, "runs"),
        ({"runs": ["x"]}, "runs"),
        ({"runs": [7]}, "runs.0"),
        ({"runs": [f"a.{n:032x}" for n in range(10_001)]}, "runs"),
        ({**DEAD, "limit": 0}, "limit"),
        ({**DEAD, "limit": 101}, "limit"),
        ({**DEAD, "more": 1}, "more"),
    ],
)
def test_what_is_no_replay_is_refused_with_its_place(api: Api, body: Any, place: str) -> None:
    told = problem(api.post("/replays", body), 422)

    assert [error["place"] for error in told["errors"]] == [place]
    assert api.get("/replays").json()["items"] == []


def test_times_without_a_zone_are_utc(api: Api) -> None:
    found = api.post("/replay-preview", {**DEAD, "since": "2026-03-01"}).json()

    assert found["selection"]["since"] == "2026-03-01T00:00:00Z"
    assert found["total"] == 3


def test_what_is_not_there_is_a_problem(api: Api) -> None:
    problem(api.get(f"/replays/{'0' * 16}"), 404)
    problem(api.post(f"/replays/{'0' * 16}/cancel"), 404)
    problem(api.get("/replays/x"), 422)
    problem(api.get(f"/replays?cursor={'0' * 16}"), 422)
    problem(api.post(f"/replay-preview?cursor={RUN}", DEAD), 422)
    problem(api.post("/replays", {"trigger": "nowhere", "outcomes": ["failed"]}), 404)
