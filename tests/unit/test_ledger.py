import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import RecordUnreadable
from shared.ledger import (
    ABSENT,
    FUNCTION_TIMEOUT,
    GRACE,
    LEASE,
    TRANSITIONS,
    Attempt,
    Ledger,
    Reason,
    Record,
    State,
    Transition,
    job_name,
    run_key,
)
from shared.workspace import JobBody
from tests.fakes import MemoryBlobs
from tests.unit import scene

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(**changes: Any) -> Record:
    given: dict[str, Any] = {
        "trigger": "on-upload",
        "key": "k1",
        "state": State.SUBMITTING,
        "event": scene.event(),
        "pipeline": "churn-training@v1",
        "body": JobBody(component_id="/components/churn", display_name="churn"),
        "attempts": (Attempt(number=1, job_name="on-upload-a1", submitting_at=NOW),),
        "transitions": (Transition(state=State.SUBMITTING, at=NOW),),
        **changes,
    }
    return Record(**given)


def test_every_state_can_be_reached_and_final_ones_have_no_way_out() -> None:
    reached = {
        State.WAITING_BATCH,
        State.HELD,
        State.SUBMITTING,
        State.DEAD_LETTER,
        State.MISSED,
    }
    while more := {state for known in reached for state in TRANSITIONS[known]} - reached:
        reached |= more

    assert TRANSITIONS.keys() == set(State)
    assert reached == set(State)
    assert {state for state in State if state.final} == {
        State.COMPLETED,
        State.FAILED,
        State.CANCELED,
        State.DEAD_LETTER,
        State.SKIPPED,
        State.MISSED,
        State.BATCHED,
    }
    # Whatever is not final can still end.
    assert all(
        any(after.final for after in TRANSITIONS[state]) for state in State if not state.final
    )


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_only_declared_ways_are_gone(before: State, after: State) -> None:
    start = record(state=before, transitions=(Transition(state=before, at=NOW),))
    later = NOW + timedelta(minutes=1)
    reason = Reason(code="why", text="because")
    if after in TRANSITIONS[before]:
        moved = start.moved(after, later, reason)
        assert (moved.state, moved.reason) == (after, reason)
        assert moved.transitions == (*start.transitions, Transition(state=after, at=later))
        assert start.state is before
    else:
        with pytest.raises(AssertionError, match=f"{before} -> {after} is not declared"):
            start.moved(after, later)


def test_a_reason_belongs_to_its_state() -> None:
    submitted = record().moved(State.SUBMITTED, NOW, Reason(code="x", text="x"))

    assert submitted.moved(State.RUNNING, NOW).reason is None


def test_taking_over_keeps_the_attempt_and_begins_a_lease() -> None:
    first = Attempt(number=1, job_name="a1", submitting_at=NOW)
    second = Attempt(number=2, job_name="a2", submitting_at=NOW, takeovers=1)
    later = NOW + LEASE
    taken = record(attempts=(first, second)).taken_over(later)

    assert taken.attempts == (
        first,
        Attempt(number=2, job_name="a2", submitting_at=later, takeovers=2),
    )
    assert taken.state is State.SUBMITTING


def test_the_times_are_in_the_order_the_protocol_needs() -> None:
    assert LEASE < FUNCTION_TIMEOUT < ABSENT
    # A job may come as late as the longest call that sends it, and be seen later still.
    assert FUNCTION_TIMEOUT + timedelta(minutes=1) < GRACE


names = st.from_regex(r"[a-z][a-z0-9_-]{0,62}", fullmatch=True)
deployments = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)
identities = st.tuples(deployments, names, st.text(), st.integers(1, 99))


@given(identities)
def test_a_job_name_is_legal_and_always_the_same(identity: tuple[str, str, str, int]) -> None:
    name = job_name(*identity)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name)
    assert name == job_name(*identity)


@given(identities, identities)
def test_two_attempts_never_share_a_job_name(
    one: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    assert (job_name(*one) == job_name(*other)) == (one == other)


@pytest.mark.parametrize("part", range(4))
def test_every_part_of_an_identity_is_in_the_job_name(part: int) -> None:
    # Alike in everything a name shows: the first 40 characters and the attempt.
    long = "t" * 50
    one: list[Any] = ["test", long + "a", "key", 1]
    other = list(one)
    other[part] = {0: "prod", 1: long + "b", 2: "yek", 3: 2}[part]

    assert job_name(*one) != job_name(*other)


def test_a_run_key_tells_deployments_and_events_apart() -> None:
    event = scene.event()
    key = run_key("test", event)

    assert re.fullmatch(r"[0-9a-f]{32}", key)
    assert key == run_key("test", scene.event(id="delivered again"))
    assert key != run_key("prod", event)
    assert key != run_key("test", scene.event(etag="0x2"))
    assert key != run_key("test", scene.event("sales/north/april.csv"))


reasons = st.builds(Reason, code=st.text(), text=st.text())
moments = st.datetimes(timezones=st.just(UTC))
literals = (
    st.text()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, width=32).filter(lambda value: abs(value) != float("inf"))
)
bodies = st.builds(
    JobBody,
    component_id=st.text(),
    inputs=st.dictionaries(st.text(), literals, max_size=3),
    display_name=st.text(),
    tags=st.dictionaries(st.text(), st.text(), max_size=2),
)
records = st.builds(
    record,
    state=st.sampled_from(State),
    reason=st.none() | reasons,
    body=st.none() | bodies,
    attempts=st.lists(
        st.builds(Attempt, number=st.integers(1), job_name=st.text(), submitting_at=moments),
        max_size=2,
    ).map(tuple),
    cancel_requested=st.booleans(),
    given_up=st.none() | reasons,
    transitions=st.lists(
        st.builds(Transition, state=st.sampled_from(State), at=moments), max_size=3
    ).map(tuple),
)


@given(records)
def test_a_record_reads_as_it_was_written(written: Record) -> None:
    read = Record.model_validate_json(written.model_dump_json(by_alias=True))

    assert read == written
    if read.body and written.body:
        for name, value in written.body.inputs.items():
            assert type(read.body.inputs[name]) is type(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


def full_record() -> dict[str, Any]:
    body = JobBody(
        component_id="c",
        display_name="d",
        inputs={"data": {"type": "uri_file", "path": "https://x"}, "rate": 0.5},
        outputs={"model": {"type": "uri_folder"}},
    )
    written = record(
        reason=Reason(code="c", text="t"), given_up=Reason(code="c", text="t"), body=body
    )
    found: dict[str, Any] = json.loads(written.model_dump_json(by_alias=True))
    return found


#: Every object of a record that a newer version might write more into.
PLACES: list[tuple[str | int, ...]] = [
    (),
    ("reason",),
    ("given_up",),
    ("event",),
    ("body",),
    ("attempts", 0),
    ("transitions", 0),
    ("body", "inputs", "data"),
    ("body", "outputs", "model"),
]


@pytest.mark.parametrize("place", PLACES)
@given(value=json_values)
def test_fields_of_a_newer_version_survive(place: tuple[str | int, ...], value: Any) -> None:
    stored = full_record()
    inner: Any = stored
    for step in place:
        inner = inner[step]
    inner["newer"] = value

    read = Record.model_validate_json(json.dumps(stored))
    changed = read.moved(State.SUBMITTED, NOW).model_copy(update={"reason": read.reason})
    after: Any = json.loads(changed.model_dump_json(by_alias=True))
    for step in place:
        after = after[step]

    assert after["newer"] == value


#: A record as the first version wrote it: only what every version has, and what is not known now.
OLD: dict[str, Any] = {
    "schema": 1,
    "trigger": "on-upload",
    "key": "k1",
    "state": "submitted",
    "event": {
        "id": "e1",
        "source": "/subscriptions/s/storage",
        "type": "Microsoft.Storage.BlobCreated",
        "subject": "/blobServices/default/containers/landing/blobs/a.csv",
        "time": "2026-03-01T12:00:00Z",
        "via": "eventgrid",
        "data": {"url": "https://contosolake.blob.core.windows.net/landing/a.csv", "eTag": "0x1"},
    },
    "pipeline": "churn-training@v1",
    "body": {"component_id": "/components/churn", "display_name": "churn"},
    "attempts": [
        {"number": 1, "job_name": "on-upload-a1", "submitting_at": "2026-03-01T12:00:00Z"}
    ],
    "transitions": [
        {"state": "submitting", "at": "2026-03-01T12:00:00Z"},
        {"state": "submitted", "at": "2026-03-01T12:00:01Z"},
    ],
    "lease_holder": "worker-7",
}


def test_a_record_of_an_older_version_goes_on_and_keeps_what_is_not_known_now(
    ledger: Ledger, blobs: MemoryBlobs
) -> None:
    blobs.put("ledger/on-upload/k1.json", json.dumps(OLD).encode())

    kept = ledger.read("on-upload", "k1")
    assert kept is not None
    swapped = ledger.swap(kept, kept.record.moved(State.COMPLETED, NOW))
    assert swapped is not None

    after: Any = json.loads(blobs.stored["ledger/on-upload/k1.json"].data)
    assert covers(after, OLD | {"state": "completed", "transitions": after["transitions"]})
    assert after["transitions"][:2] == OLD["transitions"]


def covers(after: Any, before: Any) -> bool:
    """Whether everything that was there is there still."""
    if isinstance(before, dict):
        return all(name in after and covers(after[name], value) for name, value in before.items())
    if isinstance(before, list):
        return len(after) >= len(before) and all(map(covers, after, before))
    return bool(after == before)


def test_a_record_carries_its_schema() -> None:
    assert full_record()["schema"] == 1


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def ledger(blobs: MemoryBlobs) -> Ledger:
    return Ledger(blobs)


def test_a_record_is_created_once(ledger: Ledger) -> None:
    first = ledger.create(record())

    assert first is not None
    assert first.at == NOW
    assert ledger.create(record(pipeline="another")) is None
    assert ledger.read("on-upload", "k1") == first


def test_a_record_that_is_not_there_is_nothing(ledger: Ledger) -> None:
    assert ledger.read("on-upload", "k1") is None


def test_a_swap_needs_the_record_as_it_was_read(ledger: Ledger) -> None:
    kept = ledger.create(record())
    assert kept is not None
    submitted = ledger.swap(kept, kept.record.moved(State.SUBMITTED, NOW))
    assert submitted is not None

    assert ledger.swap(kept, kept.record.moved(State.CANCELED, NOW)) is None
    assert ledger.read("on-upload", "k1") == submitted
    assert ledger.swap(submitted, submitted.record.moved(State.RUNNING, NOW)) is not None


def test_only_final_records_may_expire(ledger: Ledger, blobs: MemoryBlobs) -> None:
    kept = ledger.create(record())
    assert kept is not None
    assert blobs.stored["ledger/on-upload/k1.json"].tags == {}
    ledger.swap(kept, kept.record.moved(State.CANCELED, NOW))

    assert blobs.stored["ledger/on-upload/k1.json"].tags == {"state": "final"}


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b'{"state": "from-the-future"}'])
def test_a_record_that_cannot_be_read_says_which(
    ledger: Ledger, blobs: MemoryBlobs, data: bytes
) -> None:
    blobs.put("ledger/on-upload/k1.json", data)
    with pytest.raises(RecordUnreadable, match=r"run on-upload\.k1 cannot be read"):
        ledger.read("on-upload", "k1")


def test_a_record_that_cannot_be_read_shows_nothing_of_what_it_holds(
    ledger: Ledger, blobs: MemoryBlobs
) -> None:
    content = record().model_dump(mode="json", by_alias=True)
    content |= {"state": "xyzzy", "transitions": [{"state": "plugh", "at": "plover"}]}
    blobs.put("ledger/on-upload/k1.json", json.dumps(content).encode())
    with pytest.raises(RecordUnreadable) as raised:
        ledger.read("on-upload", "k1")

    said = str(raised.value)
    assert said.endswith("3 errors, at state, transitions.0.state, transitions.0.at")
    assert not re.search("xyzzy|plugh|plover", said)


def test_a_reason_says_only_so_much() -> None:
    assert Reason(code="c", text="x" * 2_000).text == "x" * 2_000
    assert Reason(code="c", text="x" * 900_000).text == "x" * 1_999 + "…"
    assert Reason.model_validate({"code": "c", "text": "x" * 2_001}).text == "x" * 1_999 + "…"


def test_open_lists_what_is_marked_until_it_is_closed(ledger: Ledger) -> None:
    for trigger, key in [("b", "2"), ("a", "1"), ("a-b", "3")]:
        assert ledger.mark_open(trigger, key, scene.event()) == NOW
    ledger.close("b", "2")
    ledger.close("never", "there")

    assert [(marker.trigger, marker.key) for marker in ledger.open()] == [("a-b", "3"), ("a", "1")]


def test_a_fresh_marker_wants_to_be_looked_at(ledger: Ledger) -> None:
    ledger.mark_open("a", "1", scene.event())
    [marker] = ledger.open()

    assert marker.next_check == marker.last_modified == NOW


def test_a_marker_says_when_to_look_again(ledger: Ledger) -> None:
    ledger.mark_open("a", "1", scene.event())
    ledger.check_again(record(trigger="a", key="1"), NOW + LEASE)
    [marker] = ledger.open()

    assert marker.next_check == NOW + LEASE


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("soon", NOW),
        ("", NOW),
        ("2026-03-01T13:00:00", datetime(2026, 3, 1, 13, tzinfo=UTC)),
        ("2026-03-01T15:00:00+02:00", datetime(2026, 3, 1, 13, tzinfo=UTC)),
    ],
)
def test_a_hint_that_cannot_be_read_is_none(
    ledger: Ledger, blobs: MemoryBlobs, hint: str, expected: datetime
) -> None:
    blobs.put("open/a/1", metadata={"next_check": hint})
    [marker] = ledger.open()

    assert marker.next_check == expected


def test_a_hint_never_brings_a_marker_back(ledger: Ledger) -> None:
    ledger.mark_open("a", "1", scene.event())
    ledger.close("a", "1")
    ledger.check_again(record(trigger="a", key="1"), NOW)

    assert list(ledger.open()) == []


def test_a_marker_that_was_touched_is_not_discarded(ledger: Ledger) -> None:
    ledger.mark_open("a", "1", scene.event())
    [seen] = ledger.open()
    ledger.mark_open("a", "1", scene.event())
    ledger.discard(seen)
    [touched] = ledger.open()
    assert touched.etag != seen.etag
    ledger.discard(touched)

    assert list(ledger.open()) == []


def test_the_states_of_a_run_come_in_the_order_they_were_reached() -> None:
    run = record()
    for minutes, state in enumerate([State.SUBMITTED, State.RUNNING, State.FAILED], start=1):
        run = run.moved(state, NOW + timedelta(minutes=minutes))

    assert [transition.state for transition in run.transitions][-1] is run.state
    assert all(one.at < other.at for one, other in pairwise(run.transitions))
    assert run.run_id == "on-upload.k1"
