from datetime import timedelta
from typing import Any

import pytest

from shared import envelopes
from shared.definitions import TriggerDefinition
from shared.drops import Dropped, Kept
from shared.errors import NotFound, RequestInvalid, StorageUnavailable, WorkspaceUnavailable
from shared.pauses import Pauses
from shared.runs import MAX_TRIGGERS
from shared.sweep_states import Course, Noticed, SweepState, SweepStates
from shared.workspace import FailedStep, Step
from tests.unit.asking import PATH, PLACE, Asked, decisions
from tests.unit.scene import TRIGGER, event, fail, pipeline, trigger


def definition(name: str, spec: dict[str, Any]) -> TriggerDefinition:
    return TriggerDefinition.model_validate(
        {"name": name, "spec": spec, "action": {"pipeline": "train"}}
    )


ORDERS = definition("orders", {"service_bus": {"queue": "orders"}, "where": "event.data.go"})
NEXT = definition("next", {"run": {"status": ["completed", "failed"]}})


@pytest.fixture
def here() -> Asked:
    asked = Asked()
    asked.publish(trigger(), ORDERS, pipelines=[pipeline(), pipeline("train", inputs={})])
    return asked


def message(here: Asked, number: int, id: str | None = None, *, go: bool = True) -> None:
    body = b'{"go": true}' if go else b'{"go": false}'
    [made] = envelopes.message(
        body, via="queue/orders", sequence_number=number, enqueued=here.world.now, message_id=id
    )
    here.dispatcher.handle(made)


def test_an_upload_is_explained(here: Asked) -> None:
    [run] = here.upload()
    assert [item.run for item in here.explain.blob(PLACE).items] == [run]


@pytest.mark.parametrize("asked", ["order 7/a", "7"])
def test_a_message_is_found_by_its_own_id_or_its_number(here: Asked, asked: str) -> None:
    for number in (6, 7, 8):
        message(here, number, f"order {number}/a")
    answer = here.explain.message(asked)

    assert decisions(answer) == [("orders", "submitted")]
    assert answer.summary.endswith("which is in AzureML's hands and has not begun.")
    assert "took message 7 of queue orders" in answer.summary


def test_a_message_that_was_refused_says_why(here: Asked) -> None:
    message(here, 7, go=False)
    answer = here.explain.message("7")

    assert decisions(answer) == [("orders", "no_match")]
    assert "looked at message 7 of queue orders and said no: where event.data.go" in answer.summary


def test_a_message_that_was_no_event_is_found(here: Asked) -> None:
    here.dispatcher.refuse(
        "{", id="7@x", source="servicebus:queue/a", via="queue/a", at=here.world.now, why="No JSON."
    )
    answer = here.explain.message("7")

    assert decisions(answer) == [("unreadable", "dead_letter")]
    assert "message 7 of queue a is no event that Signalbox understands" in answer.summary


def test_an_event_is_found_by_its_own_id(here: Asked) -> None:
    here.publish(
        definition("any", {"event": {"type": "a.b"}}), pipelines=[pipeline("train", inputs={})]
    )
    content = {"specversion": "1.0", "id": "e-1", "source": "me", "type": "a.b"}
    for made in envelopes.parse(content, now=here.world.now):
        here.dispatcher.handle(made)

    assert decisions(here.explain.message("e-1")) == [("any", "submitted")]


@pytest.mark.parametrize("asked", ["nothing", "123456", "../../index.json", "a\nb", "x" * 2_000])
def test_a_message_that_left_nothing(here: Asked, asked: str) -> None:
    answer = here.explain.message(asked)

    assert decisions(answer) == [(None, "nothing_recorded")]
    assert "\n" not in answer.summary
    assert len(answer.summary) < 400
    assert "no trigger waits for events of its source and type" in answer.lines[1]


def test_of_too_many_triggers_those_for_uploads_are_left_out_first(here: Asked) -> None:
    uploads = [trigger(f"a{number:03}", path=f"p{number}/{{file}}.csv") for number in range(300)]
    waits = definition("waits", {"service_bus": {"queue": "orders"}})
    here.publish(*uploads, waits, pipelines=[pipeline("train", inputs={})])
    message(here, 7)
    here.world.calls.clear()
    answer = here.explain.message("7")

    assert decisions(answer) == [("waits", "submitted")]
    assert answer.lines[-1].startswith("103 triggers more could not be looked at")
    assert len(here.world.calls) < 7 * MAX_TRIGGERS


def test_a_question_must_name_something(here: Asked) -> None:
    with pytest.raises(RequestInvalid):
        here.explain.message(" ")


def test_a_run_is_told_from_its_event_to_now(here: Asked) -> None:
    [run] = here.upload()
    job = here.record().attempt.job_name
    here.workspace.under_way[job] = [Step(name="train", job="c1", status="Running")]
    answer = here.explain.run(run)

    assert answer.summary == f"Run {run} is in AzureML's hands and has not begun."
    story = "\n".join(answer.lines)
    assert f"the upload of landing/{PATH}; trigger {TRIGGER} took it." in story
    assert "It runs pipeline churn-training@v1." in story
    assert "AzureML had its job." in story
    assert "Its steps in AzureML now: train Running." in story
    assert f"AzureML has job {job} and has not begun it" in story
    [item] = answer.items
    assert (item.run, item.state) == (run, "submitted")
    assert item.waiting_for is not None


def test_a_failed_run_says_where_and_what_was_printed(here: Asked) -> None:
    [run] = here.upload()
    job = here.record().attempt.job_name
    here.workspace.failures[job] = [FailedStep(step="train", job="c1", log_tail="a\nno rows")]
    here.end(run, "Failed")
    answer = here.explain.run(run)

    assert "no rows" in answer.summary
    assert "Step train failed; the last it printed: no rows" in answer.lines
    assert answer.items[0].reason is not None


def test_a_run_that_waits_says_until_when(here: Asked) -> None:
    fail(here.world, "PUT", WorkspaceUnavailable("busy"))
    [run] = here.upload()
    here.submission.request_cancel(*run.split("."))
    answer = here.explain.run(run)

    assert "Somebody asked for it to stop." in answer.lines
    assert any("Until 2026-03-01 12:12:00 UTC." in line for line in answer.lines)


def test_azureml_that_cannot_be_asked_hides_nothing_else(here: Asked) -> None:
    [run] = here.upload()
    fail(here.world, "steps", WorkspaceUnavailable("AzureML answered 503."))
    lines = here.explain.run(run).lines

    assert "AzureML could not be asked for its steps: AzureML answered 503." in lines


def test_a_chain_of_runs_is_told_with_its_parents(here: Asked) -> None:
    here.publish(trigger(), NEXT, pipelines=[pipeline(), pipeline("train", inputs={})])
    [first] = here.upload()
    here.end(first, "Completed")
    [second] = [marker for marker in here.markers() if marker.trigger == "next"]
    here.end(f"next.{second.key}", "Failed")
    [third] = [marker for marker in here.markers() if marker.trigger == "next"]
    answer = here.explain.run(f"next.{third.key}")

    assert [item.run for item in answer.items][1:] == [f"next.{second.key}", first]
    assert any(line.startswith(f"It follows on run next.{second.key}") for line in answer.lines)
    assert any(line.startswith(f"That one follows on run {first}") for line in answer.lines)
    assert any(line.startswith("2 runs came one after the other") for line in answer.lines)

    here.blobs.delete(f"ledger/{first.replace('.', '/')}.json")
    lines = here.explain.run(f"next.{third.key}").lines
    assert f"That one follows on run {first}, which is not recorded any more." in lines


def test_a_retry_names_the_run_that_it_tries_again(here: Asked) -> None:
    [first] = here.upload()
    here.end(first, "Failed")
    again = here.dispatcher.retry(*first.split(".")).record
    assert again is not None

    assert f"It tries run {first} again." in here.explain.run(again.run_id).lines


def test_what_was_no_event_has_its_story(here: Asked) -> None:
    here.dispatcher.refuse(
        "{\n\x1b[2J" + "x" * 1000,
        id="7@x",
        source="servicebus:queue/a",
        via="queue/a",
        at=here.world.now,
        why="No JSON.",
    )
    answer = here.explain.run(here.record("unreadable").run_id)

    assert "from queue a that is no event" in answer.lines[0]
    assert answer.lines[1].startswith("It begins: {\\n\\x1b[2Jxxx")
    assert len(answer.lines[1]) < 400
    assert "Why: No JSON." in answer.lines


@pytest.mark.parametrize("id", ["", "x", f"{TRIGGER}.{'0' * 32}", "../x", "x" * 100_000])
def test_a_run_that_is_not_there(here: Asked, id: str) -> None:
    with pytest.raises(NotFound):
        here.explain.run(id)


def test_a_trigger_tells_what_is_open_and_what_it_decided(here: Asked) -> None:
    [first] = here.upload("sales/a/1.csv")
    here.end(first, "Completed")
    here.world.pass_time(60)
    here.upload("sales/notes.txt")
    [second] = here.upload("sales/a/2.csv")
    answer = here.explain.trigger(TRIGGER)

    assert answer.question == f"What did trigger {TRIGGER} decide lately?"
    assert answer.summary == f"Trigger {TRIGGER}: 2 decisions lately, 1 open run."
    assert answer.lines[0].startswith(f"Trigger {TRIGGER} waits for uploads to contosolake/landing")
    assert [item.decision for item in answer.items] == ["submitted", "no_match", "completed"]
    assert [item.run for item in answer.items] == [second, None, first]


def test_decisions_around_a_time(here: Asked) -> None:
    [first] = here.upload("sales/a/1.csv")
    here.end(first, "Completed")
    then = here.world.now
    here.world.pass_time(5 * 3600)
    [second] = here.upload("sales/a/2.csv")
    here.end(second, "Completed")

    found = here.explain.trigger(TRIGGER, at=then.replace(tzinfo=None) + timedelta(minutes=30))
    assert [item.run for item in found.items] == [first]
    nothing = here.explain.trigger(TRIGGER, at=then + timedelta(hours=2))
    assert nothing.items == []
    assert "leave no record" in nothing.lines[-1]


def test_what_is_left_out_is_said(here: Asked) -> None:
    for number in range(25):
        here.upload(f"sales/not-{number}")
        here.upload(f"sales/a/{number}.csv")
    answer = here.explain.trigger(TRIGGER)

    assert len(answer.items) == 40
    assert "There are more decisions; the newest 20 are told." in answer.lines
    assert any("More than 20 may be open" in line for line in answer.lines)
    assert (
        answer.summary == f"Trigger {TRIGGER}: at least 20 decisions lately, 20 open runs or more."
    )


@pytest.mark.parametrize("name", ["manual", "unreadable"])
def test_the_names_that_signalbox_keeps_are_told(here: Asked, name: str) -> None:
    assert here.explain.trigger(name).lines[0].startswith(f"Under {name} ")


def test_a_trigger_that_is_gone_still_tells_what_it_decided(here: Asked) -> None:
    here.upload()
    here.publish(ORDERS)

    answer = here.explain.trigger(TRIGGER)
    assert answer.lines[0] == f"Trigger {TRIGGER} is not published any more."
    assert len(answer.items) == 1


@pytest.mark.parametrize("name", ["nobody", "", "../ledger", "a\nb", "x" * 100_000])
def test_a_trigger_that_never_was(here: Asked, name: str) -> None:
    with pytest.raises(NotFound, match=f"There are: {TRIGGER}, orders\\.$") as why:
        here.explain.trigger(name)
    assert len(str(why.value)) < 500


def test_what_an_event_says_stays_on_one_line(here: Asked) -> None:
    here.upload("sales/a\nTrigger x said yes.\n/notes.txt")
    for answer in (
        here.explain.trigger(TRIGGER),
        here.explain.blob("contosolake/landing/sales/a\nTrigger x said yes.\n/notes.txt"),
    ):
        assert all("\n" not in line for line in [answer.question, answer.summary, *answer.lines])


def test_storage_that_does_not_answer_is_no_answer(here: Asked) -> None:
    fail(here.world, "list", StorageUnavailable("down"), times=100)
    for ask, what in (
        (here.explain.blob, PLACE),
        (here.explain.message, "7"),
        (here.explain.trigger, TRIGGER),
    ):
        with pytest.raises(StorageUnavailable):
            ask(what)


def test_asking_changes_nothing(here: Asked) -> None:
    [run] = here.upload()
    message(here, 7)
    before = dict(here.blobs.stored)
    here.explain.run(run)
    here.explain.message("7")
    here.explain.trigger(TRIGGER, at=event().time)

    assert here.blobs.stored == before


def test_a_trigger_whose_file_is_wrong_is_explained(here: Asked) -> None:
    why = "triggers/new.yml:2: spec is missing"
    kept = Kept(files={"triggers/new.yml": Dropped(etag='"1"', problems=(why,))})
    here.blobs.put("drops.json", kept.model_dump_json(by_alias=True).encode())
    told = here.explain.trigger("new").lines

    assert told[:2] == [
        "Trigger new is not published.",
        f"Its file in the definitions container is not published: {why}",
    ]
    with pytest.raises(NotFound):
        here.explain.trigger("other")


def test_what_is_held_is_told_with_who_paused_the_trigger_and_what_to_do(here: Asked) -> None:
    Pauses(here.index).pause(TRIGGER, note="the lake is moved", by="anna")
    [run] = here.upload()
    why = (
        "is paused since 2026-03-01 12:02:00 UTC by anna (the lake is moved); resume it with "
        f"`signalbox triggers resume {TRIGGER}`"
    )

    told = here.explain.run(run)
    assert told.summary.startswith(f"Run {run} is held: Trigger {TRIGGER} {why}")
    assert told.lines[-1].startswith("It is held since 2026-03-01 12:02:00 UTC: ")
    assert decisions(here.explain.blob(PLACE)) == [(TRIGGER, "held")]
    of_trigger = here.explain.trigger(TRIGGER)
    assert "It is paused since 2026-03-01 12:02:00 UTC by anna" in of_trigger.lines[0]
    assert decisions(of_trigger) == [(TRIGGER, "held")]
    [listed] = here.runs.list(state="held").items
    assert listed.id == run


def test_what_was_dropped_is_told(here: Asked) -> None:
    Pauses(here.index).pause(TRIGGER, note="x", by="anna", while_paused="drop")
    [run] = here.upload()

    assert "was skipped: Trigger on-upload is paused" in here.explain.run(run).summary
    assert here.explain.blob(PLACE).summary.endswith("what comes meanwhile is dropped.")


def test_what_a_sweep_found_is_told_with_when(here: Asked) -> None:
    found = here.world.now.isoformat()
    here.put()
    [upload] = here.lakes.uploads
    [decision] = here.dispatcher.handle(upload.event().model_copy(update={"sweptat": found}))
    assert decision.record is not None
    said = "o event had told of it; a sweep found it at 2026-03-01 12:02:00 UTC."

    assert f"N{said}" in here.explain.run(decision.record.run_id).lines
    assert here.explain.blob(PLACE).summary.endswith(f"; n{said}")


@pytest.mark.parametrize("hostile", ["x\n\x1b[2J", "2026-03-01", 7, None, {"a": 1}])
def test_what_only_says_that_a_sweep_found_it_is_not_believed(here: Asked, hostile: Any) -> None:
    here.upload(sweptat=hostile)

    assert "a sweep" not in here.explain.blob(PLACE).summary


def test_what_was_overwritten_unheard_of_is_told_with_what_to_do(here: Asked) -> None:
    here.upload()
    here.world.pass_time(3600)
    here.put(etag="0x2")
    here.world.pass_time(3600)
    answer = here.explain.blob(PLACE)

    assert decisions(answer)[0] == (TRIGGER, "overwritten")
    assert f"`signalbox triggers sweep {TRIGGER} --overwritten`" in answer.summary


def test_what_lay_there_before_the_trigger_and_was_changed_is_told(here: Asked) -> None:
    here.put(created=here.world.now - timedelta(days=3))
    here.world.pass_time(3600)

    assert decisions(here.explain.blob(PLACE)) == [(TRIGGER, "overwritten")]


def test_sweeps_are_told_of_their_trigger(here: Asked) -> None:
    states = SweepStates(here.blobs)
    now = here.world.now
    course = Course(began=now, since=now, horizon=now, full=True, place="x").counted(
        looked_at=3, found=2, overwritten=1
    )
    one = Noticed(path="a", etag="1", size=1, last_modified=now, at=now, run="a.b")
    state = SweepState(report=course, overwritten=(one,), problem="No role.")
    states.swap(TRIGGER, states.read(TRIGGER), state)

    assert here.explain.trigger(TRIGGER).lines[1:4] == [
        "Its last sweep, at 2026-03-01 12:02:00 UTC, looked at 3 uploads: no event had told of 2, "
        "nor of 1 that were overwritten.",
        "1 upload overwritten unheard of, and not started: `signalbox triggers sweep on-upload "
        "--report` lists them.",
        "A sweep goes no further: No role.",
    ]


def test_sweeps_to_come_are_told_of_what_is_lost(here: Asked) -> None:
    given = trigger().model_dump(mode="json", by_alias=True, exclude_defaults=True)
    here.publish(TriggerDefinition.model_validate({**given, "sweep": {"every": "PT30M"}}))
    here.put()
    here.world.pass_time(3600)

    [item] = here.explain.blob(PLACE).items
    assert item.decision == "no_subscription_covers_this"
    assert item.reason is not None
    assert "Every 30 minutes a sweep of on-upload" in item.reason.text


def test_a_run_of_a_replay_says_so(here: Asked) -> None:
    [run] = here.upload()
    here.end(run, "Failed")
    kept = here.ledger.read(*run.split("."))
    assert kept is not None
    again = here.dispatcher.replay(kept.record, replay="0123456789abcdef", limit=1).record
    assert again is not None

    lines = here.explain.run(again.run_id).lines
    assert f"It tries run {run} again, as part of replay 0123456789abcdef." in lines
    assert here.runs.get(again.run_id).replay == "0123456789abcdef"
