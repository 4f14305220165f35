"""Asking for the events of batches, while they wait and after a batch took them."""

import pytest

from shared.errors import NotFound, RequestInvalid
from shared.ledger import State
from tests.unit.api_client import Api
from tests.unit.asking import Asked, decisions
from tests.unit.batching import batched, never, runs, upload
from tests.unit.scene import TRIGGER, event, pipeline

PATH = "contosolake/landing/sales/03-01/a.csv"


@pytest.fixture
def asked() -> Asked:
    scene = Asked()
    scene.publish(batched())
    return scene


def test_the_events_of_a_batch_are_listed_page_by_page(asked: Asked) -> None:
    for number in range(5):
        asked.world.pass_time(1)
        upload(asked, f"{number}.csv")
    upload(asked, "_SUCCESS")
    [run] = runs(asked)
    first = asked.members.list(run.run_id, limit=4)
    rest = asked.members.list(run.run_id, limit=4, cursor=first.cursor)

    found = [*first.items, *rest.items]
    subjects = [one.event.subject.rpartition("/")[2] for one in found if not one.releases]
    assert subjects == [f"{number}.csv" for number in range(5)]
    assert [one.state for one in found] == [State.BATCHED] * 6
    assert sum(one.releases for one in found) == 1
    assert (len(first.items), rest.cursor) == (4, None)


def test_a_page_that_is_none_is_refused(asked: Asked) -> None:
    upload(asked, "a.csv", "_SUCCESS")
    [run] = runs(asked)
    for limit in (0, 201):
        with pytest.raises(RequestInvalid):
            asked.members.list(run.run_id, limit)
    for cursor in ("x", "-1", "9999999", ""):
        with pytest.raises(RequestInvalid):
            asked.members.list(run.run_id, cursor=cursor)
    with pytest.raises(NotFound):
        asked.members.list(f"{TRIGGER}.{'0' * 32}")
    with pytest.raises(NotFound):
        asked.members.list("nonsense")


def test_a_run_of_one_event_has_no_members(asked: Asked) -> None:
    upload(asked, "a.csv", "_SUCCESS")
    [run] = runs(asked)
    member = run.members[0]

    assert asked.members.list(f"{TRIGGER}.{member}").items == []


def test_an_upload_that_waits_is_explained(asked: Asked) -> None:
    asked.upload("sales/03-01/a.csv")
    found = asked.explain.blob(PATH)

    assert decisions(found) == [(TRIGGER, "waiting_batch")]
    assert found.summary.startswith(
        f"Trigger {TRIGGER} took it: it waits for its batch: Its group is date=03-01; they are one "
        "run when nothing more came for 0:02:00, at the latest at 2026-03-01 12:32:00 UTC"
    )
    [item] = found.items
    assert item.waiting_for
    assert item.waiting_for.until
    assert item.waiting_for.until.isoformat() == "2026-03-01T12:32:00+00:00"


def test_an_upload_that_a_batch_took_leads_to_its_run(asked: Asked) -> None:
    asked.upload("sales/03-01/a.csv")
    upload(asked, "_SUCCESS")
    [run] = runs(asked)
    found = asked.explain.blob(PATH)

    assert found.summary == (
        f"Trigger {TRIGGER} took it into a batch: run {run.run_id}, which is in AzureML's hands "
        "and has not begun."
    )
    [item] = found.items
    assert (item.decision, item.run, item.state) == ("batched", run.run_id, "submitted")
    assert item.passed


def test_other_content_of_a_path_is_told_as_well(asked: Asked) -> None:
    asked.upload("sales/03-01/a.csv", etag="0x1")
    upload(asked, "_SUCCESS")
    asked.upload("sales/03-01/a.csv", etag="0x2")
    found = asked.explain.blob(PATH)

    assert decisions(found) == [(TRIGGER, "waiting_batch"), (TRIGGER, "batched")]
    assert any("other content of that path into a batch" in line for line in found.lines)
    # Also when it is there no more.
    asked.lakes.uploads = []
    gone = asked.explain.blob(PATH)
    assert sorted(decisions(gone)) == sorted(decisions(found))


def test_a_message_is_found_while_it_waits_and_after(asked: Asked) -> None:
    upload(asked, "a.csv")
    # What is no upload is asked for by its id.
    asked.publish(batched())
    of_queue = (
        asked.index.read()
        .snapshot.triggers[TRIGGER]
        .definition.model_validate(
            {
                "name": "orders",
                "spec": {"service_bus": {"queue": "orders"}},
                "action": {"pipeline": "churn-training", "inputs": {"data": "${{ manifest }}"}},
                "policies": {"batch": {}},
            }
        )
    )
    asked.publish(of_queue)
    message = event().model_copy(
        update={
            "id": "7@x",
            "type": "Microsoft.ServiceBus.Message",
            "source": "servicebus:queue/orders",
            "subject": "",
            "via": "queue/orders",
            "messageid": "m-4711",
        }
    )
    asked.dispatcher.handle(message)
    assert decisions(asked.explain.message("m-4711")) == [("orders", "waiting_batch")]
    asked.world.pass_time(200)
    asked.batches.seal_due(never)
    [run] = runs(asked, "orders")
    found = asked.explain.message("m-4711")

    assert decisions(found) == [("orders", "batched")]
    assert found.items[0].run == run.run_id
    # Also when its run is over.
    asked.workspace.end(run.attempt.job_name, "Completed")
    asked.tick.run()
    assert decisions(asked.explain.message("m-4711")) == [("orders", "batched")]


def test_a_run_of_a_batch_says_how_many_it_is_for(asked: Asked) -> None:
    upload(asked, "a.csv", "b.csv", "_SUCCESS")
    [run] = runs(asked)
    found = asked.explain.run(run.run_id)

    assert "3 events became the batch of date=03-01" in found.lines[0]
    detail = asked.runs.get(run.run_id)
    assert (detail.members, detail.batch) == (3, None)


def test_an_event_of_a_batch_says_which(asked: Asked) -> None:
    [waits] = upload(asked, "a.csv")
    before = asked.explain.run(waits.run_id)
    assert before.lines[-1].startswith("It waits for its batch: Its group is date=03-01;")
    upload(asked, "_SUCCESS")
    [run] = runs(asked)
    found = asked.explain.run(waits.run_id)

    assert found.lines[-1] == (
        f"Its batch is run {run.run_id}, which is in AzureML's hands and has not begun."
    )
    assert asked.runs.get(waits.run_id).batch == run.run_id


def test_a_trigger_says_how_many_wait(asked: Asked) -> None:
    upload(asked, "a.csv", "b.csv")
    upload(asked, "a.csv", day="03-02")

    assert "3 events wait for their batch, in 2 groups." in asked.explain.trigger(TRIGGER).lines


def test_over_http() -> None:
    scene = Asked()
    scene.publish(batched(), pipelines=[pipeline()])
    api = Api(scene)
    upload(scene, "a.csv", "_SUCCESS")
    [run] = runs(scene)
    found = api.get(f"/runs/{run.run_id}/members", params={"limit": 1})

    assert found.status_code == 200
    assert len(found.json()["items"]) == 1
    assert found.json()["cursor"] == "1"
    assert api.get(f"/runs/{run.run_id}").json()["members"] == 2
    assert api.get(f"/runs/{TRIGGER}.{'0' * 32}/members").status_code == 404
    member = run.members[0]
    assert api.get(f"/runs/{TRIGGER}.{member}").json()["batch"] == run.run_id


def test_what_waits_is_no_run_that_could_be_stopped() -> None:
    scene = Asked()
    scene.publish(batched(), pipelines=[pipeline()])
    api = Api(scene)
    [waits] = upload(scene, "a.csv")
    answer = api.post(f"/runs/{waits.run_id}/cancel")

    assert answer.status_code == 409
    assert "waits for its batch" in answer.json()["detail"]


def test_an_event_that_is_handed_over_is_told_to_wait() -> None:
    scene = Asked()
    scene.publish(batched(), pipelines=[pipeline()])
    sent = event("sales/03-01/a.csv")
    content = {**sent.content, "specversion": "1.0"}
    content.pop("via")
    [decided] = Api(scene).post("/events", json=content).json()["decisions"]

    assert (decided["decision"], decided["state"]) == ("waiting", "waiting_batch")
