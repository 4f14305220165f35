"""How much of anything is taken, by every way in; and that the page of limits says the same."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import azure.functions as func
import pytest
from pydantic import BaseModel

from functions.event_grid import events_of
from shared import documents, drops, envelopes, events, expressions
from shared.api import bodies, door
from shared.definitions import UNREADABLE_TRIGGER
from shared.errors import EventInvalid
from shared.ledger import State
from shared.replays import MOST_AT_ONCE
from shared.selections import MOST
from tests.unit.api_client import Api, everything
from tests.unit.pages import page
from tests.unit.scene import Scene

NOW = datetime(2026, 3, 14, tzinfo=UTC)
MIB = 1 << 20
JSON = {"content-type": "application/json"}

API = Api(everything())
_PATHS = API.get("/openapi.json").json()["paths"]
OPERATIONS = [
    pytest.param(method.upper(), path.removeprefix("/api"), id=f"{method.upper()} {path}")
    for path, item in _PATHS.items()
    for method in item
]
WITH_BODY = [
    one
    for one in OPERATIONS
    if "requestBody" in _PATHS[f"/api{one.values[1]}"][str(one.values[0]).lower()]
]


def at(path: str, **given: str) -> str:
    """An operation's address; what is not given is a name that could be one."""
    return re.sub(r"\{(\w+)\}", lambda found: given.get(found[1], "on-upload"), path)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_operation_takes_more_than_a_mebibyte(method: str, path: str) -> None:
    content = b'"' + b"x" * MIB + b'"'
    answer = API.request(method, at(path), content=content, headers=JSON)

    assert answer.status_code == 413
    assert "send a reference" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_comes_in_pieces_and_hides_its_size_is_no_other(method: str, path: str) -> None:
    async def pieces() -> Any:
        for _ in range(17):
            yield b"x" * 65_536

    assert API.request(method, at(path), content=pieces(), headers=JSON).status_code == 413


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize("depth", [envelopes.MAX_DEPTH + 1, 100_000])
def test_no_body_is_nested_without_end(method: str, path: str, depth: int) -> None:
    content = b"[" * depth + b"]" * depth
    answer = API.request(method, at(path), content=content, headers=JSON)

    assert answer.status_code == 400
    assert "deep" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "parameter"),
    [
        pytest.param(method.upper(), path.removeprefix("/api"), one, id=f"{path} {one['name']}")
        for path, item in _PATHS.items()
        for method, operation in item.items()
        for one in operation.get("parameters", [])
    ],
)
def test_no_name_filter_or_header_is_of_any_length(
    method: str, path: str, parameter: dict[str, Any]
) -> None:
    long, name, where = "x" * 30_000, parameter["name"], parameter["in"]
    options: dict[str, Any] = {"headers": {name: long}} if where == "header" else {}
    options |= {"params": {name: long}} if where == "query" else {}
    given = {name: long} if where == "path" else {}
    answer = API.request(method, at(path, **given), **options)

    assert answer.status_code in (400, 422)
    assert len(answer.text) < 3_000


def test_an_idempotency_key_has_a_length() -> None:
    for length, status in ((200, 202), (201, 400)):
        body = {"inputs": {"data": "azureml:a:1"}}
        headers = {"idempotency-key": "k" * length}
        answer = API.post("/pipelines/churn-training/runs", body, headers=headers)
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize("attribute", ["id", "source", "type", "subject"])
def test_an_attribute_has_a_length(attribute: str) -> None:
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    envelopes.parse({**cloud, attribute: "x" * 2048}, now=NOW)
    with pytest.raises(EventInvalid, match=attribute):
        envelopes.parse({**cloud, attribute: "x" * 2049}, now=NOW)


# Event Grid: the worker has read the JSON before anybody could look at its size.


def delivered(data: Any, id: str = "g-1") -> func.EventGridEvent:
    return func.EventGridEvent(
        id=id,
        data=data,
        topic="/subscriptions/s",
        subject="/blobServices/default/containers/landing/blobs/a.csv",
        event_type="Microsoft.Storage.BlobCreated",
        event_time=NOW,
        data_version="",
    )


def nested(depth: int) -> Any:
    content: Any = []
    for _ in range(depth):
        content = [content]
    return content


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"api": "PutBlob", "more": "x" * MIB}, "larger than 1048576 bytes"),
        ({"api": "PutBlob", "more": "ü" * (MIB // 2)}, "larger than 1048576 bytes"),
        ({"api": "PutBlob", "more": nested(60)}, "deep"),
        ({"api": "PutBlob", "more": nested(200_000)}, "deep"),
    ],
)
def test_an_event_that_is_too_much_is_a_dead_letter(data: Any, why: str) -> None:
    here = Scene()
    assert events_of(delivered(data), here.dispatcher) == []

    record = here.record(UNREADABLE_TRIGGER)
    assert record.state is State.DEAD_LETTER
    assert record.reason is not None
    assert why in record.reason.text
    # What is kept of it is small, so that nobody fills the ledger with it.
    assert len(record.model_dump_json()) < 10_000


# Service Bus: 256 kB of the standard tier, 1 MB of premium, 100 MB where that is turned on.


def message(size: int) -> Any:
    body = b'{"file": "' + b"x" * (size - 12) + b'"}'
    assert len(body) == size
    return envelopes.message(body, via="queue/q", sequence_number=1, enqueued=NOW)


@pytest.mark.parametrize("size", [256_000, MIB])
def test_a_message_of_standard_and_of_premium_is_taken(size: int) -> None:
    [event] = message(size)
    assert len(event.data["file"]) == size - 12


def test_a_larger_one_is_refused() -> None:
    with pytest.raises(EventInvalid, match="larger than 1048576 bytes; send a reference to data"):
        message(MIB + 1)


def test_what_is_refused_is_not_read_through_to_its_end() -> None:
    """Where Service Bus is told to take 100 MB, looking for secrets in all of it took a minute."""
    here, begun = Scene(), time.process_time()
    here.dispatcher.refuse(
        "x" * (100 << 20), id="1", source="s", via="queue/q", at=here.world.now, why="too large"
    )

    assert time.process_time() - begun < 10
    assert len(here.record(UNREADABLE_TRIGGER).model_dump_json()) < 10_000


# The page.


def test_the_page_says_what_the_code_does() -> None:
    said = {row[0]: row[1] for row in page("docs/security.md").table(*_HEADER)}

    assert said == {
        "a request's body, an event, a message's body": _size(door.MAX_BODY, envelopes.MAX_SIZE),
        "lists and objects inside one another": f"{envelopes.MAX_DEPTH}",
        "events in one body": f"{envelopes.MAX_EVENTS}",
        "`id`, `source`, `type` and `subject` of an event": f"{_TEXT:,} characters",
        "extension attributes of an event": f"{envelopes._MAX_EXTENSIONS}",
        "`inputs` of a call, `tags` of a run": (
            f"{_longest(bodies.RunRequest, 'inputs')}, {_longest(bodies.RunRequest, 'tags')}"
        ),
        "`Idempotency-Key`": "200 printable ASCII characters",
        "names in addresses, filters, cursors": "each a form and a length",
        "runs in one replay, times in one backfill": f"{MOST:,}; {MOST_AT_ONCE} at once",
        "a definition's file": _size(documents.MAX_SIZE),
        "values in it, each alias counted where it is used": f"{documents.MAX_VALUES:,}",
        "files in the definitions container": f"{drops.MAX_FILES}, of 128 KiB each",
        "an expression": f"{expressions.MAX_LENGTH} characters",
    }
    assert drops.MAX_BYTES == 128 * 1024


_HEADER = ("what", "at most", "what is more")


def _longest(model: type[BaseModel], field: str) -> int:
    """What a model bounds a field by."""
    bounds = model.model_fields[field].metadata
    return next(int(each.max_length) for each in bounds if hasattr(each, "max_length"))


_TEXT = _longest(events.Event, "id")


def _size(*sizes: int) -> str:
    assert set(sizes) == {MIB}
    return "1 MiB"
