"""Sweeps over HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from shared.lakes import Upload
from tests.unit.api_client import Api, everything
from tests.unit.test_api import problem


@pytest.fixture
def api() -> Api:
    made = Api(everything())
    made.lakes.uploads = [
        Upload(
            account="contosolake",
            container="landing",
            path=path,
            etag="0x1",
            size=1,
            last_modified=made.scene.world.now,
        )
        for path in ("sales/north/a.csv", "sales/north/a.txt")
    ]
    made.scene.world.pass_time(3600)
    return made


def test_a_sweep_is_asked_for_and_told(api: Api) -> None:
    before = api.get("/triggers/on-upload/sweep").json()
    assert (before["every"], before["lookback"], before["report"]) == (None, "P2D", None)

    answer = api.post("/triggers/on-upload/sweep")
    assert answer.status_code == 202
    found = answer.json()
    assert found["under_way"] is None
    report = found["report"]
    assert (report["listed"], report["looked_at"], report["found"]) == (2, 1, 1)
    assert (report["asked"], report["full"], report["dry_run"]) == (True, True, False)
    [upload] = found["found"]
    assert report["found_uploads"] == [upload]
    assert (upload["path"], upload["size"]) == ("sales/north/a.csv", 1)
    assert api.get(f"/runs/{upload['run']}").json()["event"]["sweptat"]
    assert api.get("/triggers/on-upload/sweep").json() == found


def test_a_dry_run_starts_nothing(api: Api) -> None:
    found = api.post("/triggers/on-upload/sweep", {"dry_run": True, "lookback": "P30D"}).json()

    assert found["report"]["found"] == 1
    assert found["found"] == []
    assert api.scene.workspace.jobs == {}


def test_what_a_lake_does_not_give_is_told(api: Api) -> None:
    wrong = everything().index.read().snapshot.triggers["on-upload"].definition
    blob = wrong.spec.blob
    assert blob is not None
    elsewhere = wrong.model_copy(
        update={
            "spec": wrong.spec.model_copy(
                update={"blob": blob.model_copy(update={"container": "nowhere"})}
            )
        }
    )
    api.scene.publish(elsewhere)
    found = api.post("/triggers/on-upload/sweep").json()

    assert "no container 'nowhere'" in found["problem"]
    assert found["under_way"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {"lookback": "PT1M"},
        {"lookback": "P31D"},
        {"lookback": "7 days"},
        {"lookback": 7},
        {"dry_run": 1},
        {"overwritten": "yes"},
        {"more": 1},
    ],
)
def test_what_is_no_sweep_is_refused(api: Api, body: Any) -> None:
    problem(api.post("/triggers/on-upload/sweep", body), 422)


def test_only_triggers_of_uploads_are_swept(api: Api) -> None:
    for answer in (api.get("/triggers/on-call/sweep"), api.post("/triggers/on-call/sweep")):
        [error] = problem(answer, 422)["errors"]
        assert error["message"] == "its source is http; sweeps are for uploads"
    problem(api.get("/triggers/nowhere/sweep"), 404)
    problem(api.post("/triggers/nowhere/sweep"), 404)


def test_a_published_sweep_says_when_it_is_due(api: Api) -> None:
    index = api.scene.index
    definition = index.read().snapshot.triggers["on-upload"].definition
    api.scene.publish(definition.model_validate({**definition.model_dump(), "sweep": {}}))
    api.app.sweeps.run_due(lambda: False)
    found = api.get("/triggers/on-upload/sweep").json()

    assert (found["every"], found["lookback"]) == ("PT1H", "P2D")
    began = api.scene.world.now
    assert found["last"] == began.isoformat().replace("+00:00", "Z")
    assert found["next"] == (began + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
