from typing import Any

import pytest

from shared import wording
from shared.definitions import TriggerDefinition
from shared.index import IndexedTrigger
from shared.ledger import Reason, State
from shared.summaries import EventBrief
from shared.triggers import Matcher, Near
from tests.fakes import World
from tests.unit.scene import event, trigger


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("path biopsies/{site}/{file}.csv", "path biopsies/{site}/{file}.csv does not fit"),
        ("subject a/{b}", "subject a/{b} does not fit"),
        ("filter exact type x", "filter exact type x does not hold"),
        ("where event.x (is false)", "where event.x (is false) is not true of it"),
        ("uploaded to a/b", "it was not uploaded to a/b"),
        ("came by queue/x", "it did not come by queue/x"),
        ("handed to it by HTTP", "it was not handed to it by HTTP"),
        ("the end of a run", "it is not the end of a run"),
        ("run of pipeline x", "it is not a run of pipeline x"),
        ("status failed or canceled", "it did not end with status failed or canceled"),
        ("type x", "it is not of type x"),
        ("source x", "it is not of source x"),
        ("something new", "something new does not hold"),
    ],
)
def test_a_check_reads_as_a_no(check: str, words: str) -> None:
    assert wording.refusal(check) == words


SPECS: list[dict[str, Any]] = [
    {"blob": {"account": "contosolake", "container": "landing", "path": "x/{y}"}},
    {"service_bus": {"queue": "orders"}},
    {"service_bus": {"topic": "news", "subscription": "ours"}},
    {"http": {}},
    {"run": {"pipeline": "train", "trigger": "t", "status": ["failed"]}},
    {"event": {"type": "a.b", "source": "me", "subject": "x/{y}"}},
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: next(iter(spec)))
def test_every_source_is_told_and_every_first_no_has_its_words(spec: dict[str, Any]) -> None:
    definition = TriggerDefinition.model_validate(
        {"name": "any", "spec": spec, "action": {"pipeline": "train"}}
    )
    indexed = IndexedTrigger(definition=definition, revision="1", effective_from=World().now)
    verdict = Matcher({"any": indexed}, {}).judge(indexed, event())

    assert wording.listening(definition).startswith("waits for ")
    assert isinstance(verdict, Near)
    assert wording.refusal(verdict.check) != f"{verdict.check} does not hold"


def test_an_upload_before_the_trigger_is_told_as_such() -> None:
    indexed = IndexedTrigger(definition=trigger(), revision="1", effective_from=World().now)
    early = event(eventTime="2026-02-01T00:00:00Z")
    verdict = Matcher({"any": indexed}, {}).judge(indexed, early)

    assert isinstance(verdict, Near)
    assert "before the trigger was first published" in wording.refusal(verdict.check)


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_words(state: State) -> None:
    why = Reason(code="x", text="no rows.\n")
    assert wording.standing(state, why).endswith(": no rows")
    assert wording.reached(state)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (None, "an event"),
        (
            {
                "type": "Microsoft.Storage.BlobCreated",
                "subject": "/blobServices/default/containers/landing/blobs/a/b\n.csv",
            },
            "the upload of landing/a/b\\n.csv",
        ),
        ({"id": "7@2026", "source": "servicebus:queue/orders"}, "message 7 of queue orders"),
        (
            {"id": "7@2026", "source": "servicebus:topic/news/ours"},
            "message 7 of subscription ours of topic news",
        ),
        ({"type": "signalbox.run.failed", "subject": "a.b"}, "the end of run a.b"),
        ({"id": "x", "type": "a.b"}, "event x of type a.b"),
    ],
)
def test_a_happening_is_told(event: dict[str, str] | None, words: str) -> None:
    given = {"id": "1", "source": "s", "type": "t", "subject": "", "time": World().now}
    brief = EventBrief.model_validate({**given, **event}) if event else None
    assert wording.happening(brief) == words


def test_no_text_from_outside_breaks_a_sentence() -> None:
    hostile = "a\nb" + "x" * 5_000 + "?sig=" + "s" * 40
    for told in (wording.refusal(f"path {hostile}"), wording.sentence(hostile)):
        assert "\n" not in told
        assert "ssss" not in told
        assert len(told) < 500
