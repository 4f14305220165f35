from datetime import timedelta

import pytest

from shared.errors import WorkspaceUnavailable
from shared.inputs import clean
from shared.ledger import GRACE, LEASE, Reason, Record, State
from shared.summaries import detail, shown, summary, told, waiting
from tests.unit.scene import TRIGGER, Scene, event, fail, trigger


def studio(job: str) -> str:
    return f"https://studio/{job}"


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(trigger())
    scene.dispatcher.handle(event())
    return scene


def end(here: Scene, status: str) -> Record:
    record = here.record()
    here.workspace.end(record.attempt.job_name, status)
    here.world.pass_time(60)
    here.submission.resume(TRIGGER, record.key)
    return here.record()


def test_a_run_on_one_line(here: Scene) -> None:
    record = here.record()
    line = summary(record, studio)

    assert line.model_dump(mode="json") == {
        "id": record.run_id,
        "trigger": TRIGGER,
        "pipeline": "churn-training@v1",
        "state": "submitted",
        "reason": None,
        "job": record.attempt.job_name,
        "studio_url": f"https://studio/{record.attempt.job_name}",
        "event": {
            "id": event().id,
            "source": event().source,
            "type": "Microsoft.Storage.BlobCreated",
            "subject": event().subject,
            "time": "2026-03-01T12:01:00Z",
        },
        "created_at": "2026-03-01T12:02:00Z",
        "ended_at": None,
        "attempt": 1,
        "cancel_requested": False,
        "replay_of": None,
        "replay": None,
        "depth": 0,
    }


@pytest.mark.parametrize("status", ["Completed", "Failed", "Canceled"])
def test_history_tells_the_same_of_a_run_as_its_record(here: Scene, status: str) -> None:
    record = end(here, status)
    [content] = here.decisions()

    assert told(content, studio) == summary(record, studio)


def test_a_dead_letter_has_no_job_in_studio() -> None:
    here = Scene()
    here.publish(trigger(), pipelines=[])
    here.dispatcher.handle(event())
    [content] = here.decisions()

    line = summary(here.record(), studio)
    assert (line.state, line.studio_url, line.job, line.attempt) == ("dead_letter", None, None, 0)
    assert told(content, studio) == line


@pytest.mark.parametrize("content", [{}, {"decision": "no_match"}, {"decision": 7, "event": []}])
def test_what_is_no_run_is_told_as_none(content: dict[str, object]) -> None:
    assert told(content, studio) is None


def test_a_run_in_full_shows_data_as_paths_and_hides_secrets() -> None:
    here = Scene()
    here.publish(trigger())
    signed = "https://x/y?sv=1&sig=" + "a" * 40
    here.dispatcher.handle(event(data={"note": [signed], "sure": True}))
    found = detail(here.record(), None, studio, None, "not asked")

    assert found.inputs == {
        "data": "https://contosolake.blob.core.windows.net/landing/sales/north/march.csv"
    }
    [note] = found.event.data["note"]
    assert note.startswith("https://x/y?sv=1[secret ")
    assert "aaaa" not in note
    assert found.event.data["sure"] is True
    assert found.tags["signalbox_trigger"] == TRIGGER
    assert (found.steps, found.steps_error) == (None, "not asked")


def test_names_in_an_event_s_data_hide_secrets_and_say_what_is_one() -> None:
    data = {
        "https://x/y?sig=" + "a" * 40: 1,
        "keys": [{"AccountKey": "a" * 40, "Authorization": "Basic " + "a" * 40}],
        "account": "a" * 40,
        "signature": {"AccountKey": 5},
    }

    assert clean(data) == {
        "https://x/y[secret]": 1,
        "keys": [{"AccountKey": "[secret]", "Authorization": "[secret]"}],
        "account": "a" * 40,
        "signature": {"AccountKey": 5},
    }


def unsubmitted(error: WorkspaceUnavailable) -> Scene:
    here = Scene()
    here.publish(trigger())
    fail(here.world, "PUT", error)
    here.dispatcher.handle(event())
    assert here.record().state is State.SUBMITTING
    return here


def test_what_is_being_submitted_waits_for_its_lease() -> None:
    here = unsubmitted(WorkspaceUnavailable("busy"))
    record, at = here.record(), here.world.now
    found = waiting(record, None)

    assert found is not None
    assert "attempt 1" in found.text
    assert found.until == at + LEASE
    taken = waiting(record.taken_over(at + LEASE), None)
    assert taken is not None
    assert "taken over" in taken.text
    assert taken.until == at + LEASE * 2


def test_a_service_that_asked_for_time_is_waited_for() -> None:
    here = unsubmitted(WorkspaceUnavailable("busy", retry_after=1800))
    record = here.record()
    found = waiting(record, here.ledger.marker(TRIGGER, record.key))

    assert found is not None
    assert found.until == here.world.now + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "has not begun it"),
        ({"cancel_requested": True}, "is to stop"),
        ({"state": State.RUNNING}, "is running job"),
    ],
)
def test_what_azureml_has_waits_for_azureml(
    here: Scene, changes: dict[str, object], words: str
) -> None:
    found = waiting(here.record().model_copy(update=changes), None)

    assert found is not None
    assert words in found.text
    assert found.until is None


def test_a_job_that_is_not_seen_is_waited_for(here: Scene) -> None:
    since = here.world.now
    found = waiting(here.record().model_copy(update={"missing_since": since}), None)

    assert found is not None
    assert found.until == since + GRACE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"given_up": Reason(code="azureml_rejected", text="No such compute.")}, "No such compute"),
        ({"cancel_requested": True}, "asked to stop before"),
    ],
)
def test_a_submission_that_is_not_wanted_any_more_waits_for_proof(
    here: Scene, changes: dict[str, object], words: str
) -> None:
    record = here.record().model_copy(update={"state": State.SUBMITTING, **changes})
    found = waiting(record, None)

    assert found is not None
    assert words in found.text
    assert found.until == record.attempt.submitting_at + GRACE


def test_what_is_over_waits_for_nothing(here: Scene) -> None:
    assert waiting(end(here, "Completed"), None) is None


def test_text_from_outside_stays_on_one_short_line_without_secrets() -> None:
    assert shown("a\nb") == "a\\nb"
    assert len(shown("x" * 10_000)) < 400
    assert "aaaa" not in shown("https://x/y?sig=" + "a" * 40)
