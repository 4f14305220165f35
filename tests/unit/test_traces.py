from datetime import datetime

import pytest

from shared.runs import Runs
from shared.traces import NAMES, Trace, Traces
from tests.unit.scene import TRIGGER, Scene, event, trigger


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(trigger(), trigger("more", path="sales/{file}.txt"))
    return scene


def of(here: Scene, names: int = NAMES) -> Traces:
    runs = Runs(
        ledger=here.ledger, history=here.history, workspace=here.workspace, index=here.index
    )
    return Traces(ledger=here.ledger, history=here.history, runs=runs, names=names)


def about(
    here: Scene, path: str, near: datetime | None = None, names: int = NAMES
) -> dict[str, Trace]:
    found = of(here, names).about([TRIGGER, "more"], event(path).about, near)
    return {trace.trigger: trace for trace in found}


def test_finds_what_is_open_and_what_is_over_of_one_thing_alone(here: Scene) -> None:
    for etag in ("0x1", "0x2"):
        here.dispatcher.handle(event("sales/a/1.csv", etag=etag))
    here.dispatcher.handle(event("sales/a/2.csv"))
    here.dispatcher.handle(event("sales/notes.txt"))

    first = about(here, "sales/a/1.csv")
    assert len(first[TRIGGER].open) == 2
    assert [item.decision for item in first[TRIGGER].decided] == []
    assert [item.decision for item in first["more"].decided] == ["no_match", "no_match"]
    notes = about(here, "sales/notes.txt")
    assert len(notes["more"].open) == 1
    assert [item.decision for item in notes[TRIGGER].decided] == ["no_match"]


def test_a_listing_reads_nothing_that_it_does_not_tell(here: Scene) -> None:
    for number in range(50):
        here.dispatcher.handle(event(f"sales/a/{number}.csv"))
    here.world.calls.clear()
    about(here, "sales/a/7.csv")

    assert len([call for call in here.world.calls if call.startswith("get ")]) == 2


def test_a_run_that_just_ended_is_told_once(here: Scene) -> None:
    here.dispatcher.handle(event("sales/a/1.csv"))
    record = here.record()
    here.workspace.end(record.attempt.job_name, "Completed")
    here.submission.resume(TRIGGER, record.key)
    here.ledger.mark_open(TRIGGER, record.key, event("sales/a/1.csv"))
    found = about(here, "sales/a/1.csv")[TRIGGER]

    assert [item.decision for item in found.decided] == ["completed"]
    assert found.open == []


def test_what_is_older_is_found_near_its_time(here: Scene) -> None:
    old = here.world.now
    here.dispatcher.handle(event("sales/old.csv", eventTime=old.isoformat()))
    here.world.pass_time(7200)
    for number in range(20):
        here.dispatcher.handle(event(f"sales/{number}.csv", eventTime=here.world.now.isoformat()))

    unseen = about(here, "sales/old.csv", names=5)[TRIGGER]
    assert (unseen.decided, unseen.more) == ([], True)
    seen = about(here, "sales/old.csv", near=old, names=5)[TRIGGER]
    assert [item.decision for item in seen.decided] == ["no_match"]


def test_only_so_much_is_told_of_one_thing(here: Scene) -> None:
    for number in range(15):
        here.dispatcher.handle(event("sales/a/1.csv", etag=f"0x{number}"))
    found = about(here, "sales/a/1.csv")[TRIGGER]

    assert len(found.open) == 10
    assert found.more


def test_a_decision_that_cannot_be_read_hides_no_other(here: Scene) -> None:
    for path in ("sales/notes.md", "sales/notes.md"):
        here.dispatcher.handle(event(path, etag=path + str(len(here.decisions()))))
    broken, _ = [name for name in here.blobs.stored if name.startswith(f"history/{TRIGGER}/")]
    here.blobs.put(broken, b"[]", metadata={"decision": "no_match"})

    assert len(about(here, "sales/notes.md")[TRIGGER].decided) == 1
