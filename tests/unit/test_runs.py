import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.definitions import RESERVED, TriggerDefinition
from shared.errors import (
    NotFound,
    RecordUnreadable,
    RequestInvalid,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from shared.ledger import LEASE
from shared.runs import MAX_TRIGGERS, Runs
from shared.summaries import RunSummary
from shared.workspace import FailedStep, Step
from tests.unit.scene import TRIGGER, Scene, event, fail, pipeline, trigger

NO_RUN = f"{TRIGGER}.{'0' * 32}"


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(
        trigger(),
        trigger("scoring", path="scores/{file}.csv", pipeline="scoring"),
        pipelines=[pipeline(), pipeline("scoring")],
    )
    return scene


def runs(here: Scene, passed_over: int = 5_000) -> Runs:
    return Runs(
        ledger=here.ledger,
        history=here.history,
        workspace=here.workspace,
        index=here.index,
        passed_over=passed_over,
    )


def upload(here: Scene, path: str = "sales/north/march.csv", status: str = "", **more: Any) -> str:
    """A run, ended when a status is given; its id."""
    [decision] = here.dispatcher.handle(event(path, **more))
    assert decision.record is not None
    if status:
        here.workspace.end(decision.record.attempt.job_name, status)
        here.world.pass_time(60)
        here.submission.resume(decision.record.trigger, decision.record.key)
    return decision.record.run_id


def ids(items: list[RunSummary]) -> list[str]:
    return [run.id for run in items]


def pages(here: Scene, limit: int, **question: Any) -> list[RunSummary]:
    """All of them, page by page."""
    found, cursor = list[RunSummary](), None
    for _ in range(1000):
        page = runs(here).list(limit=limit, cursor=cursor, **question)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found
    raise AssertionError("the pages have no end")


def test_open_runs_come_first_and_then_what_ended_last(here: Scene) -> None:
    first = upload(here, "sales/a/1.csv", "Completed")
    second = upload(here, "scores/2.csv", "Failed")
    third = upload(here, "sales/a/3.csv", "Canceled")
    running = upload(here, "scores/4.csv")

    assert ids(runs(here).list().items) == [running, third, second, first]
    assert runs(here).list().cursor is None


def test_there_may_be_none(here: Scene) -> None:
    page = runs(here).list()
    assert (page.items, page.cursor) == ([], None)


def test_runs_are_found_by_trigger_state_and_pipeline(here: Scene) -> None:
    done = upload(here, "sales/a/1.csv", "Completed")
    failed = upload(here, "scores/2.csv", "Failed")
    open_one = upload(here, "scores/3.csv")

    def found(**question: Any) -> list[str]:
        return ids(runs(here).list(**question).items)

    assert found(trigger="scoring") == [open_one, failed]
    assert found(state="failed") == [failed]
    assert found(state="submitted") == [open_one]
    assert found(state="running") == []
    assert found(pipeline="churn-training") == [done]
    assert found(pipeline="churn-training@v1") == [done]
    assert found(pipeline="churn-training@v2") == found(pipeline="churn") == []
    assert found(trigger="scoring", state="completed") == []


def test_what_no_trigger_started_is_listed_too(here: Scene) -> None:
    here.dispatcher.refuse(
        "no json", id="7", source="servicebus:queue/x", via="queue/x", at=here.world.now, why="No."
    )
    [dead] = runs(here).list().items

    assert (dead.trigger, dead.state) == ("unreadable", "dead_letter")
    assert ids(runs(here).list(trigger="unreadable").items) == [dead.id]
    assert ids(runs(here).list(state="dead_letter").items) == [dead.id]
    assert runs(here).list(trigger="manual").items == []


def test_filtered_events_are_no_runs_and_are_not_read(here: Scene) -> None:
    for number in range(50):
        here.dispatcher.handle(event(f"sales/not-a-csv-{number}"))
    done = upload(here, "sales/a/1.csv", "Completed")
    assert len(here.decisions()) == 51
    here.world.calls.clear()

    assert ids(runs(here).list().items) == [done]
    reads = [call for call in here.world.calls if call.startswith("get ")]
    assert len(reads) == 1


def test_a_page_costs_one_read_for_each_row(here: Scene) -> None:
    for number in range(12):
        upload(here, f"sales/a/{number}.csv", "Completed" if number % 2 else "")
    here.world.calls.clear()
    page = runs(here).list(limit=10)

    assert len(page.items) == 10
    assert len([call for call in here.world.calls if call.startswith("get ")]) == 10


@given(
    st.lists(
        st.tuples(st.sampled_from(["sales/a", "scores"]), st.sampled_from(["", "Completed"])),
        max_size=12,
    ),
    st.integers(min_value=1, max_value=14),
    st.booleans(),
)
def test_every_run_is_on_exactly_one_page(
    uploads: list[tuple[str, str]], limit: int, by_pipeline: bool
) -> None:
    here = Scene()
    # Two triggers for the same uploads: their runs end at one moment under one key.
    here.publish(
        trigger(), trigger("scoring", path="scores/{x}.csv"), trigger("again", path="scores/{y}")
    )
    for number, (folder, status) in enumerate(uploads):
        for decision in here.dispatcher.handle(event(f"{folder}/{number}.csv")):
            if status and decision.record:
                here.workspace.end(decision.record.attempt.job_name, status)
        here.world.pass_time(number % 3)
        here.world.pass_time(60)
        here.tick.run()
    expected = {
        name.removeprefix("ledger/").removesuffix(".json").replace("/", ".")
        for name in here.blobs.stored
        if name.startswith("ledger/")
    }
    question = {"pipeline": "churn-training"} if by_pipeline else {}

    listed = ids(pages(here, limit, **question))
    assert len(listed) == len(set(listed))
    assert set(listed) == expected


def test_an_end_that_is_not_told_yet_is_listed_once(here: Scene) -> None:
    fail(here.world, "put history/", StorageUnavailable("down"))
    with pytest.raises(StorageUnavailable):
        upload(here, status="Completed")
    [untold] = pages(here, 1)
    assert untold.state == "completed"

    fail(here.world, "delete open/", StorageUnavailable("down"))
    with pytest.raises(StorageUnavailable):
        here.submission.resume(TRIGGER, here.record().key)
    assert len(here.markers()) == len(here.decisions()) == 1
    assert ids(pages(here, 1)) == [untold.id]


def test_one_record_that_cannot_be_read_does_not_hide_the_others(here: Scene) -> None:
    broken = upload(here, "sales/a/1.csv")
    whole = upload(here, "sales/a/2.csv")
    gone = upload(here, "sales/a/3.csv", "Completed")
    here.blobs.put(f"ledger/{broken.replace('.', '/')}.json", b"{}")
    [entry] = here.history.entries(TRIGGER)
    here.blobs.put(entry.name, b"{}", metadata={"decision": "completed"})
    here.blobs.delete(f"ledger/{gone.replace('.', '/')}.json")

    listed = ids(runs(here).list().items)
    assert whole in listed
    assert broken not in listed


@pytest.mark.parametrize("state", ["completed", "no_match"])
def test_one_decision_that_cannot_be_read_does_not_hide_the_others(here: Scene, state: str) -> None:
    upload(here, "sales/a/1.csv", "Completed")
    here.world.pass_time(600)
    whole = upload(here, "sales/a/2.csv", "Completed")
    *_, entry = here.history.entries(TRIGGER)
    odd = {"decision": state, "run": 7, "event": "none"}
    here.blobs.put(entry.name, json.dumps(odd).encode(), metadata={"decision": state})

    [found] = runs(here).decisions(TRIGGER).items
    assert found.run is not None
    assert found.run.id == whole
    assert ids(runs(here).list().items) == [whole]
    with pytest.raises(RecordUnreadable):
        runs(here).decided(entry)


def many(count: int) -> list[TriggerDefinition]:
    return [trigger(f"t{number:04}", path=f"p{number}/{{file}}.csv") for number in range(count)]


def test_with_too_many_triggers_one_must_be_named(here: Scene) -> None:
    room = MAX_TRIGGERS - len(RESERVED)
    here.publish(*many(room))
    assert runs(here).list().items == []

    here.publish(*many(2_000))
    for state in (None, "completed", "dead_letter"):
        here.world.calls.clear()
        with pytest.raises(RequestInvalid) as refused:
            runs(here).list(state=state)
        assert "there are 2,00" in refused.value.problems["trigger"]
        assert len(here.world.calls) < 5
    # What is open is one listing, and one trigger is one as well.
    here.dispatcher.handle(event("p7/a.csv"))
    assert [run.trigger for run in runs(here).list(state="submitted").items] == ["t0007"]
    assert [run.trigger for run in runs(here).list(trigger="t0007").items] == ["t0007"]


def test_a_list_that_is_cut_says_what_it_leaves_out(here: Scene) -> None:
    room = MAX_TRIGGERS - len(RESERVED)
    here.publish(*many(room + 3), pipelines=[])
    here.dispatcher.handle(event("p7/a.csv"))
    here.dispatcher.refuse(
        "no event", id="1", source="s", via="queue/q", at=here.world.now, why="it is none"
    )
    here.world.calls.clear()
    found = runs(here).list(state="dead_letter", cut=True)

    assert {run.trigger for run in found.items} == {"t0007", "unreadable"}
    assert found.left_out == 3
    assert len(here.world.calls) < MAX_TRIGGERS + 10
    assert runs(here).list(trigger="t0007", cut=True).left_out == 0


def test_a_page_looks_at_so_many_runs_and_says_where_to_go_on(here: Scene) -> None:
    for number in range(1100):
        upload(here, f"sales/a/{number}.csv")
    wanted = upload(here, "scores/1.csv")
    first = runs(here).list(pipeline="scoring")

    assert first.items == []
    assert first.cursor is not None
    assert ids(runs(here).list(pipeline="scoring", cursor=first.cursor).items) == [wanted]


def test_a_page_passes_over_so_many_other_decisions_and_says_where_to_go_on(here: Scene) -> None:
    done = upload(here, status="Completed")
    here.world.pass_time(60)
    for number in range(250):
        here.history.filtered(
            TRIGGER, f"k{number}", event().model_copy(update={"time": here.world.now}), "path x"
        )
    impatient = runs(here, passed_over=50)
    first = impatient.list(trigger=TRIGGER)
    assert first.items == []
    assert first.cursor is not None

    assert ids(impatient.list(trigger=TRIGGER, cursor=first.cursor).items) == [done]
    assert ids(runs(here).list(trigger=TRIGGER).items) == [done]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "?",
        "ü",
        "a" * 10_000,
        *(
            base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
            for content in (
                None,
                7,
                ["over", "../../index.json", "x"],
                ["over", 1, "x"],
                ["elsewhere", "a", "b"],
                ["open", "a", "b", "c"],
            )
        ),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(here: Scene, cursor: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        runs(here).list(cursor=cursor)
    assert list(refused.value.problems) == ["cursor"]


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_has_its_bounds(here: Scene, limit: int) -> None:
    with pytest.raises(RequestInvalid) as refused:
        runs(here).list(limit=limit, state="asleep")
    assert set(refused.value.problems) == {"limit", "state"}


@pytest.mark.parametrize("name", ["nobody", "../index", "", "a/b", "x" * 10_000])
def test_a_trigger_that_never_was_is_told_with_those_there_are(here: Scene, name: str) -> None:
    with pytest.raises(NotFound, match=f"There are: manual, {TRIGGER}, scoring, unreadable"):
        runs(here).list(trigger=name)


def test_a_trigger_that_is_gone_still_has_its_runs(here: Scene) -> None:
    done = upload(here, status="Completed")
    here.publish(trigger("other"))

    assert ids(runs(here).list(trigger=TRIGGER).items) == [done]


def test_one_run_with_its_steps_as_they_are_now(here: Scene) -> None:
    id = upload(here)
    job = here.record().attempt.job_name
    here.workspace.under_way[job] = [
        Step(name="prepare", job="child-0", status="Completed", reused=True),
        Step(name="train", job="child-1", status="Running"),
    ]
    found = runs(here).get(id)

    assert found.model_dump(mode="json")["steps"] == [
        {"name": "prepare", "job": "child-0", "status": "Completed", "reused": True},
        {"name": "train", "job": "child-1", "status": "Running", "reused": False},
    ]
    assert found.studio_url == f"https://ml.azure.com/runs/{job}"
    assert found.waiting_for is not None
    assert found.event.data["eTag"] == "0x1"


def test_a_run_is_shown_while_azureml_cannot_be_asked(here: Scene) -> None:
    id = upload(here)
    fail(here.world, "steps", WorkspaceUnavailable("AzureML answered 503"))
    found = runs(here).get(id)

    assert (found.steps, found.steps_error) == (None, "AzureML answered 503")


def test_a_run_without_a_job_has_no_steps_to_ask_for(here: Scene) -> None:
    fail(here.world, "PUT", WorkspaceUnavailable("busy"))
    id = upload(here)
    here.world.calls.clear()
    found = runs(here).get(id)

    assert (found.steps, found.steps_error, found.studio_url) == (None, None, None)
    assert found.waiting_for is not None
    assert found.waiting_for.until == here.world.now + LEASE
    assert not [call for call in here.world.calls if call.startswith("steps")]


def test_a_failed_run_says_which_step_and_what_it_printed_last(here: Scene) -> None:
    id = upload(here)
    job = here.record().attempt.job_name
    here.workspace.failures[job] = [FailedStep(step="train", job="c1", log_tail="no rows")]
    here.workspace.end(job, "Failed")
    here.tick.run()
    here.world.pass_time(100)
    here.tick.run()
    found = runs(here).get(id)

    assert [step.log_tail for step in found.failed_steps] == ["no rows"]
    assert found.waiting_for is None
    assert [moved.state for moved in found.transitions] == ["submitting", "submitted", "failed"]


@pytest.mark.parametrize(
    "id", [NO_RUN, "", "x", "../../index", f"a/b.{'0' * 32}", "x" * 100_000, "manual.\n"]
)
def test_a_run_that_is_not_there(here: Scene, id: str) -> None:
    with pytest.raises(NotFound) as refused:
        runs(here).get(id)
    assert len(str(refused.value)) < 600


def test_decisions_are_told_newest_first_with_what_was_filtered(here: Scene) -> None:
    done = upload(here, "sales/a/1.csv", "Completed")
    here.world.pass_time(600)
    later = (here.world.now).isoformat()
    here.dispatcher.handle(event("sales/not-a-csv", eventTime=later))
    told = runs(here).decisions(TRIGGER)

    assert [item.decision for item in told.items] == ["no_match", "completed"]
    assert told.items[0].check == "path sales/{region}/{file}.csv"
    assert told.items[0].event.subject.endswith("not-a-csv")
    assert told.items[1].run is not None
    assert told.items[1].run.id == done
    assert not told.more
    assert runs(here).decisions(TRIGGER, limit=1).more


def test_decisions_around_a_time(here: Scene) -> None:
    upload(here, "sales/a/1.csv", "Completed")
    early = here.world.now
    here.world.pass_time(7 * 3600)
    upload(here, "sales/a/2.csv", "Failed")

    def around(hours: float) -> list[str]:
        told = runs(here).decisions(TRIGGER, at=early + timedelta(hours=hours))
        return [item.decision for item in told.items]

    assert around(0.5) == ["completed"]
    assert around(3) == []
    assert around(7) == ["failed"]
