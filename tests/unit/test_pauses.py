from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import NotFound, RequestInvalid
from shared.index import Index, Paused
from shared.pauses import NOTE_LENGTH, Pauses
from tests.unit.scene import PIPELINE, TRIGGER, Scene, trigger


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(trigger(), trigger("other"))
    return scene


def paused(here: Scene, name: str = TRIGGER) -> Paused | None:
    return Index(here.blobs).read().snapshot.triggers[name].paused


def test_a_trigger_is_paused_and_goes_on(here: Scene) -> None:
    pauses = Pauses(here.index)
    pauses.pause(TRIGGER, note=" the lake is moved ", by="key")

    assert paused(here) == Paused(note="the lake is moved", at=here.world.now, by="key")
    assert paused(here, "other") is None

    assert pauses.resume(TRIGGER).paused is None
    assert paused(here) is None


def test_whoever_wants_to_is_told_of_every_pause_and_its_end(here: Scene) -> None:
    told: list[bool] = []
    pauses = Pauses(here.index, lambda trigger: told.append(trigger.paused is not None))
    pauses.pause(TRIGGER, note="one", by="key")
    # Said again, it is done again: the first time may have come to nothing.
    pauses.pause(TRIGGER, note="one", by="key")
    pauses.resume(TRIGGER)
    pauses.resume(TRIGGER)

    assert told == [True, True, False, False]


def test_pausing_again_changes_nothing_but_the_note(here: Scene) -> None:
    pauses, began = Pauses(here.index), here.world.now
    pauses.pause(TRIGGER, note="one", by="anna")
    stored = here.blobs.stored["index.json"]
    here.world.pass_time(60)
    pauses.pause(TRIGGER, note="one", by="bert")
    assert here.blobs.stored["index.json"] is stored

    pauses.pause(TRIGGER, note="two", by="bert", while_paused="drop")
    assert paused(here) == Paused(note="two", at=began, by="bert", while_paused="drop")

    pauses.resume(TRIGGER)
    stored = here.blobs.stored["index.json"]
    pauses.resume(TRIGGER)
    assert here.blobs.stored["index.json"] is stored


def nightly(**schedule: Any) -> TriggerDefinition:
    content = {"name": "nightly", "spec": {"schedule": {"cron": "0 6 * * *", **schedule}}}
    return TriggerDefinition.model_validate(content | {"action": {"pipeline": PIPELINE}})


def test_the_pause_of_a_schedule_is_kept_for_what_fired_then(here: Scene) -> None:
    here.publish(nightly(), trigger())
    pauses, began = Pauses(here.index), here.world.now
    for name in ("nightly", TRIGGER):
        pauses.pause(name, note="one", by="key")
    here.world.pass_time(3600)
    pauses.resume(TRIGGER)

    [past] = pauses.resume("nightly").pauses
    assert (past.paused.at, past.until) == (began, here.world.now)
    assert pauses.resume("nightly").pauses == (past,)
    assert here.index.read().snapshot.triggers[TRIGGER].pauses == ()
    here.publish(nightly(engine="azureml"))
    pauses.pause("nightly", note="one", by="key")
    assert pauses.resume("nightly").pauses == ()


@pytest.mark.parametrize(
    "note", ["", "  ", "a\nb", "a\x1b[2Jb", "\u202egnp.exe", "x" * 501, "\ud800"]
)
def test_a_note_that_cannot_be_shown_is_refused(here: Scene, note: str) -> None:
    with pytest.raises(RequestInvalid) as caught:
        Pauses(here.index).pause(TRIGGER, note=note, by="key")

    assert caught.value.problems.keys() == {"note"}
    assert paused(here) is None


def test_a_note_is_kept_without_the_secrets_in_it(here: Scene) -> None:
    note = f"see https://x.blob.core.windows.net/c/a?sig={'s' * 40}"
    Pauses(here.index).pause(TRIGGER, note=note, by="key")
    Pauses(here.index).pause("other", note="x" * NOTE_LENGTH, by="key")

    found = paused(here)
    assert found is not None
    assert "ssss" not in found.note


def test_a_trigger_that_is_not_there_is_told_with_those_there_are(here: Scene) -> None:
    with pytest.raises(NotFound, match="on-upload, other"):
        Pauses(here.index).pause("nowhere", note="x", by="key")
    with pytest.raises(NotFound, match="on-upload, other"):
        Pauses(here.index).resume("nowhere")


def test_two_who_pause_at_once_are_one_after_the_other(here: Scene) -> None:
    other = Pauses(Index(here.blobs))

    def interject(call: str) -> None:
        if call.startswith("swap index.json"):
            here.world.before = lambda _call: None
            other.pause("other", note="mine", by="anna")

    here.world.before = interject
    Pauses(here.index).pause(TRIGGER, note="yours", by="bert")

    assert paused(here) is not None
    assert paused(here, "other") is not None


@pytest.mark.parametrize(
    ("by", "note", "text"),
    [
        (None, "", "since 2026-03-01 12:00:00 UTC"),
        ("key", "x", "since 2026-03-01 12:00:00 UTC by a holder of a key (x)"),
        ("anna", "x", "since 2026-03-01 12:00:00 UTC by anna (x)"),
    ],
)
def test_a_pause_is_told_within_a_sentence(by: str | None, note: str, text: str) -> None:
    assert Paused(note=note, at=Scene().world.now, by=by).text == text
