"""Event Grid delivers at least once, and anyone with the key may post: one event, one run."""

import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.running_signalbox import Json, RunningSignalbox, subject_of

_LAKE = "https://contosolake.blob.core.windows.net"


@pytest.fixture(scope="module")
def accepted(signalbox: RunningSignalbox) -> Json:
    """An event that has become a run."""
    path = "letters/chur/once.txt"
    signalbox.upload(path)
    signalbox.record(path, "submitted")
    return signalbox.delivered(path)


def _like(event: Json, **changes: Any) -> Json:
    """Another event of its kind, with an ETag of its own; `data` is merged."""
    data = {**event["data"], "eTag": f"0x{uuid.uuid4().hex[:15].upper()}"}
    data |= changes.pop("data", {})
    return {**event, "id": str(uuid.uuid4()), **changes, "data": data}


def _about(event: Json, path: str, url: str | None = None) -> Json:
    """An event about another blob of the landing container."""
    data = {"url": url or f"{_LAKE}/landing/{path}"}
    return _like(event, subject=subject_of(path), data=data)


@pytest.mark.parametrize("new_id", [False, True], ids=["the very same", "under another id"])
def test_an_event_that_is_delivered_again_changes_nothing(
    signalbox: RunningSignalbox, accepted: Json, new_id: bool
) -> None:
    path = "letters/chur/once.txt"
    signalbox.clear_requests()
    again = {**accepted, "id": str(uuid.uuid4())} if new_id else accepted
    assert signalbox.post([again]).status_code == 202
    (record,) = signalbox.records(path)
    assert record["event"]["id"] == accepted["id"]
    assert len(record["attempts"]) == 1
    assert signalbox.puts(record["attempts"][0]["job_name"]) == []
    assert len(signalbox.jobs(path)) == 1


def test_parallel_deliveries_of_one_event_make_one_run(
    signalbox: RunningSignalbox, accepted: Json
) -> None:
    path = "letters/chur/crowd.txt"
    signalbox.clear_requests()
    event = _about(accepted, path)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(signalbox.post, [[event]] * 10))
    assert [answer.status_code for answer in answers] == [202] * 10
    (record,) = signalbox.records(path)
    assert signalbox.puts(record["attempts"][0]["job_name"]) == [201]
    assert len(signalbox.jobs(path)) == 1
    assert record["attempts"][0]["takeovers"] == 0


def test_a_subscription_may_use_the_cloud_events_schema(
    signalbox: RunningSignalbox, accepted: Json
) -> None:
    path = "letters/chur/cloud.txt"
    event = _about(accepted, path)
    cloud = {
        "specversion": "1.0",
        "id": event["id"],
        "source": event["topic"],
        "type": event["eventType"],
        "subject": event["subject"],
        "time": event["eventTime"],
        "data": event["data"],
    }
    assert signalbox.post(cloud).status_code == 202
    assert signalbox.post([event]).status_code == 202
    (record,) = signalbox.records(path)
    assert record["event"]["source"] == event["topic"]
    assert len(signalbox.jobs(path)) == 1


def test_one_request_may_carry_several_events(signalbox: RunningSignalbox, accepted: Json) -> None:
    paths = [f"letters/chur/sheaf-{number}.txt" for number in range(3)]
    events = [_about(accepted, path) for path in paths]
    assert signalbox.post(events).status_code == 202
    assert [len(signalbox.records(path)) for path in paths] == [1, 1, 1]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b'"text"',
        b"[1, null]",
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_event_is_refused(signalbox: RunningSignalbox, body: bytes) -> None:
    before = signalbox.written()
    assert signalbox.post(body).status_code == 400
    assert signalbox.written() <= before


#: Changes to a good event, and a word that its one log line must have.
_UNUSABLE: dict[str, tuple[Callable[[Json], Json], str]] = {
    "an empty object": (lambda _: {}, "unusable attributes: id, source"),
    "no eTag": (lambda e: _like(e, data={"eTag": None}), "no data.eTag"),
    "an eTag that is a number": (lambda e: _like(e, data={"eTag": 7}), "no data.eTag"),
    "no data": (lambda e: {**e, "data": None}, "no data.eTag"),
    "data that is a list": (lambda e: {**e, "data": [1]}, "no data.eTag"),
    "no subject": (lambda e: _like(e, subject=None), "subject"),
    "a subject of no blob": (lambda e: _like(e, subject="/x"), "names no blob"),
    "no topic": (lambda e: _like(e, topic=None), "source"),
    "no time": (lambda e: _like(e, eventTime=None), "time"),
    "an id that is a list": (lambda e: _like(e, id=["x"]), "id"),
    "a very long id": (lambda e: _like(e, id="x" * 100_000), "id"),
    "url and subject disagree": (
        lambda e: _about(e, "letters/chur/a.txt", f"{_LAKE}/landing/secret/b.txt"),
        "another in its url",
    ),
    "another container in the url": (
        lambda e: _about(e, "letters/chur/a.txt", f"{_LAKE}/other/letters/chur/a.txt"),
        "another in its url",
    ),
    "a url with a signature": (
        lambda e: _about(e, "letters/chur/a.txt", f"{_LAKE}/landing/letters/chur/a.txt?sig=x"),
        "not a plain blob address",
    ),
    "a url of another host": (
        lambda e: _about(
            e, "letters/chur/a.txt", "https://evil.example/landing/letters/chur/a.txt"
        ),
        "not a plain blob address",
    ),
    "a url without encryption": (
        lambda e: _about(
            e, "letters/chur/a.txt", f"{_LAKE}/landing/letters/chur/a.txt".replace("https", "http")
        ),
        "not a plain blob address",
    ),
    "a url that cannot be parsed": (
        lambda e: _about(e, "letters/chur/a.txt", "https://[::1/landing/letters/chur/a.txt"),
        "not a plain blob address",
    ),
    "a path out of its folder": (
        lambda e: _about(e, "letters/../secret.txt"),
        "letters/../secret.txt",
    ),
    "an encoded path out of its folder": (
        lambda e: _about(e, "letters/../secret.txt", f"{_LAKE}/landing/letters/%2e%2e/secret.txt"),
        "letters/../secret.txt",
    ),
    "half a character in the path": (lambda e: _about(e, "letters/chur/\ud800.txt"), "Unicode"),
    "half a character in the data": (lambda e: _like(e, data={"note": "\ud800"}), "Unicode"),
    "data of many levels": (lambda e: _like(e, data={"note": _nested(400)}), "nested more than"),
}


def _nested(levels: int) -> Any:
    found: Any = "x"
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize("case", _UNUSABLE)
def test_an_unusable_event_is_answered_and_said_in_one_line(
    signalbox: RunningSignalbox, accepted: Json, case: str
) -> None:
    change, words = _UNUSABLE[case]
    before, said = signalbox.written(), len(signalbox.log())
    answer = signalbox.post([change(accepted)])
    # an error would be delivered again for a day and never get better
    assert answer.status_code == 202, answer.text
    (kept,) = [n for n in signalbox.written() - before if n.startswith("ledger/")]
    record = signalbox.read(kept)
    assert record["trigger"] == "unreadable"
    assert record["reason"]["code"] == "event_invalid"
    assert words in record["reason"]["text"]
    assert len(json.dumps(record)) < 8000
    # Meanwhile the timer and the host may tell of other tests' runs; the function speaks once.
    (line,) = [
        line
        for line in signalbox.log()[said:].splitlines()
        if " functions.event_grid " in line or "(Failed): " in line
    ]
    assert "ERROR functions.event_grid An event was refused: " in line
    assert words in line
    assert len(line) < 3000


@pytest.mark.parametrize(
    "path",
    [
        "letters/chur/%2e%2e.txt",
        "letters/chur/%252e%252e%252fsecret.txt",
        "letters/chur/{{x}} (1)*?~.txt",
        "letters/ärger/naïve ☂.txt",
        "letters/chur/.txt.txt",
    ],
)
def test_a_strange_path_is_a_path_like_any_other(
    signalbox: RunningSignalbox, accepted: Json, path: str
) -> None:
    event = _about(accepted, path, f"{_LAKE}/landing/{quote(path)}")
    assert signalbox.post([event]).status_code == 202
    (record,) = signalbox.records(path)
    assert record["body"]["inputs"]["town"] == path.split("/")[1]
    assert record["body"]["inputs"]["letter"]["path"] == f"{_LAKE}/landing/{quote(path)}"
    (job,) = signalbox.jobs(path)
    assert job.name == record["attempts"][0]["job_name"]


@pytest.mark.parametrize(
    "path",
    [
        "letters/chur/new\nline.txt",
        "letters/chur/<script>alert(1)<\\script>'\"{{x}}${{event}}.txt",
        "letters/$(id)/a.txt",
        "letters/'\"$(id -un)\"'/a.txt",
    ],
)
def test_a_path_on_which_a_shell_would_act_starts_nothing(
    signalbox: RunningSignalbox, accepted: Json, path: str
) -> None:
    event = _about(accepted, path, f"{_LAKE}/landing/{quote(path)}")
    assert signalbox.post([event]).status_code == 202
    (record,) = signalbox.records(path)
    assert record["state"] == "dead_letter"
    assert "on which a shell would act" in record["reason"]["text"]
    assert signalbox.jobs(path) == []
    # no line of the log is made up by the path
    assert not [line for line in signalbox.log().splitlines() if line.startswith("line.txt")]


def test_an_event_of_a_megabyte_is_taken_whole(signalbox: RunningSignalbox, accepted: Json) -> None:
    path = "letters/chur/heavy.txt"
    event = _about(accepted, path)
    event["data"]["ballast"] = "x" * 1_000_000
    assert signalbox.post([event]).status_code == 202
    (record,) = signalbox.records(path)
    assert len(signalbox.jobs(path)) == 1
    assert len(record["event"]["data"]["ballast"]) == 1_000_000
    # what goes to AzureML does not grow with the event
    assert len(json.dumps(record["body"])) < 3000
