import pytest

from shared import answers
from shared.runs import Decided
from shared.summaries import brief
from shared.traces import Trace
from tests.fakes import World
from tests.unit.scene import TRIGGER, Scene, event, trigger


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(trigger())
    scene.dispatcher.handle(event())
    return scene


def test_a_run_is_told_in_a_sentence_and_as_an_item(here: Scene) -> None:
    record = here.record()
    told = answers.of_trace(Trace(trigger=TRIGGER, open=[record]))

    assert told.lines == [
        f"2026-03-01 12:02:00 UTC: trigger {TRIGGER} took the upload of "
        f"landing/sales/north/march.csv: run {record.run_id}, which is in AzureML's hands and has "
        "not begun."
    ]
    [item] = told.items
    assert (item.trigger, item.run, item.decision) == (TRIGGER, record.run_id, "submitted")
    assert item.waiting_for is not None


def test_a_no_is_told_in_a_sentence_and_as_an_item() -> None:
    no = Decided(
        trigger=TRIGGER,
        key="k",
        at=World().now,
        decision="no_match",
        check="path x/{y}",
        event=brief(event()),
    )
    told = answers.of_trace(Trace(trigger=TRIGGER, decided=[no]), "it")

    assert told.lines == [
        f"2026-03-01 12:00:00 UTC: trigger {TRIGGER} looked at it and said no: path x/{{y}} "
        "does not fit."
    ]
    assert (told.items[0].check, told.items[0].at) == ("path x/{y}", World().now)


def test_who_asked_by_name_and_what_was_no_event_have_no_trigger(here: Scene) -> None:
    line = answers.line_of(here.record())

    asked = answers.of_run(line.model_copy(update={"trigger": "manual"}))
    assert asked.startswith("a client asked for a pipeline by name: run ")
    kept = answers.of_run(line.model_copy(update={"trigger": "unreadable"}))
    assert "is no event that Signalbox understands" in kept


def test_what_was_not_looked_through_is_said() -> None:
    every = [Trace(trigger=f"t{number}", more=True) for number in range(7)]

    assert answers.cut([Trace(trigger="t")]) == []
    assert answers.cut(every[:1])[0].startswith("Of t0 only")
    assert "t4 and 2 other triggers" in answers.cut(every)[0]


def test_numbers_have_their_nouns() -> None:
    assert answers.count(1, "run") == "1 run"
    assert answers.count(12_000, "byte") == "12,000 bytes"
