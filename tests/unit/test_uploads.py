from datetime import timedelta
from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import NotFound, RequestInvalid, StorageUnavailable
from tests.unit.asking import PATH, PLACE, Asked, decisions
from tests.unit.scene import TRIGGER, event, trigger

SIGNED = f"https://contosolake.blob.core.windows.net/landing/{PATH}?sv=1&sig=" + "s" * 40


@pytest.fixture
def here() -> Asked:
    asked = Asked()
    asked.publish(trigger())
    return asked


def test_an_upload_that_became_a_run(here: Asked) -> None:
    [run] = here.upload()
    answer = here.explain.blob(PLACE)

    assert answer.question == f"What became of the upload of {PLACE}?"
    assert answer.summary == (
        f"Trigger {TRIGGER} took it: run {run}, which is in AzureML's hands and has not begun."
    )
    [item] = answer.items
    assert (item.trigger, item.decision, item.run) == (TRIGGER, "submitted", run)
    assert item.passed == [
        "uploaded to contosolake/landing",
        "path sales/{region}/{file}.csv",
        "not before 2026-03-01T12:00:00+00:00",
    ]
    assert item.waiting_for is not None


def test_a_signature_is_not_told_again(here: Asked) -> None:
    here.upload()
    answer = here.explain.blob(SIGNED)

    assert "sig" not in answer.model_dump_json().replace("signalbox", "").replace("Signalbox", "")
    assert [item.decision for item in answer.items] == ["submitted"]


def test_an_upload_that_a_trigger_looked_at_and_refused(here: Asked) -> None:
    here.upload("sales/notes.txt")
    answer = here.explain.blob("contosolake/landing/sales/notes.txt")

    assert answer.summary == (
        f"Trigger {TRIGGER} looked at it and said no: path sales/{{region}}/{{file}}.csv "
        "does not fit."
    )
    [item] = answer.items
    assert (item.decision, item.check) == ("no_match", "path sales/{region}/{file}.csv")
    assert item.at is not None


def test_an_upload_that_no_trigger_could_be_for_is_judged_now(here: Asked) -> None:
    here.upload("elsewhere/x.csv")
    answer = here.explain.blob("contosolake/landing/elsewhere/x.csv")

    assert here.decisions() == []
    assert answer.summary == (
        f"Trigger {TRIGGER} is not for it: path sales/{{region}}/{{file}}.csv does not fit."
    )
    assert decisions(answer) == [(TRIGGER, "no_match")]
    assert answer.items[0].at is None


def test_a_trigger_that_was_changed_since_would_say_yes_now(here: Asked) -> None:
    here.upload("sales/notes.txt")
    here.publish(trigger(path="sales/{file}.txt"))
    answer = here.explain.blob("contosolake/landing/sales/notes.txt")

    assert "would say yes; upload it again" in answer.summary
    assert decisions(answer) == [(TRIGGER, "no_match")]


def test_a_blob_that_fits_and_left_nothing_is_covered_by_no_subscription(here: Asked) -> None:
    here.put()
    here.world.pass_time(3600)
    answer = here.explain.blob(PLACE)

    assert decisions(answer) == [(TRIGGER, "no_subscription_covers_this")]
    assert "no Event Grid subscription covers contosolake/landing" in answer.summary
    assert answer.items[0].reason is not None
    assert answer.items[0].reason.code == "no_subscription_covers_this"


def test_an_event_may_still_be_on_its_way(here: Asked) -> None:
    here.put()
    here.world.pass_time(61)

    assert (
        "61 seconds ago, so the event may still be on its way" in here.explain.blob(PLACE).summary
    )


def test_records_may_have_expired(here: Asked) -> None:
    here.put()
    here.world.pass_time(31 * 24 * 3600)

    assert "the record has expired" in here.explain.blob(PLACE).summary


def test_a_blob_from_before_the_trigger_is_not_its_business(here: Asked) -> None:
    here.put(last_modified=here.world.now - timedelta(days=2))
    answer = here.explain.blob(PLACE)

    assert decisions(answer) == [(TRIGGER, "no_match")]
    assert "before the trigger was first published" in answer.summary


def test_a_dead_letter_says_why(here: Asked) -> None:
    here.publish(trigger(), pipelines=[])
    here.upload()
    answer = here.explain.blob(PLACE)

    assert "which is a dead letter: No pipeline named 'churn-training' is published" in (
        answer.summary
    )


def test_earlier_uploads_of_the_path_are_told(here: Asked) -> None:
    [first] = here.upload()
    here.end(first, "Failed")
    [second] = here.upload(etag="0x2")
    here.upload(etag="0x3")
    answer = here.explain.blob(PLACE)

    assert [item.run for item in answer.items][1:] == [second, first]
    assert any("took other content of that path" in line and first in line for line in answer.lines)


def test_a_retry_is_told_as_such(here: Asked) -> None:
    [first] = here.upload()
    here.end(first, "Failed")
    again = here.dispatcher.retry(*first.split(".")).record
    assert again is not None
    answer = here.explain.blob(PLACE)

    assert f"run {first} of other content" not in "".join(answer.lines)
    assert any(f"{first}" in line and "tried again" in line for line in answer.lines)
    assert answer.summary.startswith(f"Trigger {TRIGGER} took it: run {first}")


def test_what_is_gone_is_told_with_what_was_recorded(here: Asked) -> None:
    [run] = here.upload()
    here.lakes.uploads = []
    answer = here.explain.blob(PLACE)

    assert answer.lines[0] == "There is no such blob now."
    assert [item.run for item in answer.items] == [run]
    assert "1 decision on uploads of that path" in answer.summary


@pytest.mark.parametrize(
    ("path", "decision"), [(PATH, "nothing_recorded"), ("sales/notes.txt", "no_match")]
)
def test_what_never_was_is_judged_by_its_path(here: Asked, path: str, decision: str) -> None:
    answer = here.explain.blob(f"contosolake/landing/{path}")

    assert decisions(answer) == [(TRIGGER, decision)]
    assert answer.lines[0] == "There is no such blob now."


@pytest.mark.parametrize("trouble", [StorageUnavailable("403. Give the role."), NotFound("Gone.")])
def test_without_access_the_record_is_told_all_the_same(here: Asked, trouble: Exception) -> None:
    [run] = here.upload()
    here.lakes.trouble = trouble
    answer = here.explain.blob(PLACE)

    assert str(trouble) in answer.lines[0]
    assert [item.run for item in answer.items] == [run]


def test_a_place_that_no_trigger_waits_for_is_not_looked_at(here: Asked) -> None:
    answer = here.explain.blob("otherlake/secret/x.csv")

    assert decisions(answer) == [(None, "no_candidate")]
    assert "No trigger waits for uploads to otherlake/secret" in answer.summary
    assert "contosolake/landing" in answer.lines[1]
    assert here.lakes.looks == []


def test_every_trigger_for_the_place_is_judged_and_others_are_counted(here: Asked) -> None:
    here.publish(
        trigger(),
        trigger("more", path="sales/{region}/{file}.csv"),
        trigger("scoring", path="scores/{file}.csv"),
        trigger("elsewhere", container="other"),
    )
    here.upload()
    answer = here.explain.blob(PLACE)

    assert decisions(answer) == [
        ("more", "submitted"),
        (TRIGGER, "submitted"),
        ("scoring", "no_match"),
    ]
    assert answer.summary.startswith("It became 2 runs: more.")
    assert "1 other trigger waits for something else." in answer.lines


def test_a_trigger_for_events_of_uploads_is_asked_too(here: Asked) -> None:
    source = event().source
    spec: dict[str, Any] = {"event": {"type": "Microsoft.Storage.BlobCreated", "source": source}}
    any_upload = TriggerDefinition.model_validate(
        {"name": "any", "spec": spec, "action": {"pipeline": "churn-training"}}
    )
    here.publish(any_upload)
    here.put()

    assert decisions(here.explain.blob(PLACE)) == [("any", "no_subscription_covers_this")]


def test_what_cannot_be_read_hides_nothing_else(here: Asked) -> None:
    [run] = here.upload()
    here.blobs.put(f"ledger/{run.replace('.', '/')}.json", b"{}")
    answer = here.explain.blob(PLACE)

    assert decisions(answer) == [(TRIGGER, "record_unreadable")]
    assert "cannot be read" in answer.summary
    here.lakes.uploads = []
    assert decisions(here.explain.blob(PLACE)) == [(TRIGGER, "nothing_recorded")]


def test_asking_changes_nothing(here: Asked) -> None:
    here.upload()
    here.put(etag="0x2")
    before = dict(here.blobs.stored)
    here.explain.blob(PLACE)

    assert here.blobs.stored == before


def test_a_question_that_names_no_blob(here: Asked) -> None:
    with pytest.raises(RequestInvalid):
        here.explain.blob("https://evil.com/a/b")
