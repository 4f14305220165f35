"""What ten thousand triggers cost an event that is for one of them, beside what ten cost."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from shared import envelopes
from shared.definitions import TriggerDefinition
from shared.events import Event, blob_subject
from shared.index import IndexedTrigger, Snapshot
from shared.triggers import Match, Matcher
from tests.benchmarks.timing import Figure, compared

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
#: Events in one measurement.
_EVENTS = 200
FEW, MANY = 10, 10_000


def figures() -> Iterator[Figure]:
    for kind in ("blob", "message", "cloud event"):
        few, many = _matcher(kind, FEW), _matcher(kind, MANY)
        event = _event(kind)
        for matcher in (few, many):
            assert len([v for v in matcher.match(event) if isinstance(v, Match)]) == 1
        yield compared(
            f"match {_EVENTS} events ({kind}), {MANY:,} triggers beside {FEW}: ms",
            lambda many=many, event=event: _match(many, event),  # type: ignore[misc]
            lambda few=few, event=event: _match(few, event),  # type: ignore[misc]
        )
    text = _snapshot("blob", MANY).model_dump_json(by_alias=True)
    little = _snapshot("blob", FEW).model_dump_json(by_alias=True)
    yield compared(
        f"read a changed index and arrange it, {MANY:,} triggers beside {FEW}: ms",
        lambda: Matcher(Snapshot.model_validate_json(text).triggers, {}),
        lambda: Matcher(Snapshot.model_validate_json(little).triggers, {}),
        rounds=5,
    )


def _match(matcher: Matcher, event: Event) -> None:
    for _ in range(_EVENTS):
        list(matcher.match(event))


def _matcher(kind: str, count: int) -> Matcher:
    return Matcher(_snapshot(kind, count).triggers, {})


def _snapshot(kind: str, count: int) -> Snapshot:
    return Snapshot(
        triggers={
            f"trigger-{number}": IndexedTrigger(
                definition=TriggerDefinition.model_validate(
                    {
                        "name": f"trigger-{number}",
                        "spec": _spec(kind, number),
                        "action": {"pipeline": "train", "inputs": {"data": "${{ event.id }}"}},
                    }
                ),
                revision="1",
                effective_from=_NOW,
            )
            for number in range(count)
        }
    )


def _spec(kind: str, number: int) -> dict[str, Any]:
    match kind:
        case "blob":
            path = f"customers/{number:05}/{{day}}/{{file}}.csv"
            return {"blob": {"account": "lake", "container": "landing", "path": path}}
        case "message":
            # As an app listens to one queue, all triggers share it.
            wanted = {"exact": {"subject": f"shops/{number:05}"}}
            return {"service_bus": {"queue": "inbox"}, "filter": wanted}
        case _:
            return {"event": {"type": "com.contoso.sold", "subject": f"shops/{number:05}/{{item}}"}}


def _event(kind: str) -> Event:
    if kind == "message":
        [event] = envelopes.message(
            b'{"x": 1}',
            via="queue/inbox",
            sequence_number=1,
            enqueued=_NOW,
            subject="shops/00007",
        )
        return event
    path = "customers/00007/monday/sales.csv"
    content: dict[str, Any] = {
        "specversion": "1.0",
        "id": "1",
        "source": "/here",
        "type": "com.contoso.sold",
        "subject": "shops/00007/apples",
        "data": {},
    }
    if kind == "blob":
        content |= {
            "type": "Microsoft.Storage.BlobCreated",
            "subject": blob_subject("landing", path),
            "data": {
                "api": "PutBlob",
                "eTag": "0x1",
                "url": f"https://lake.blob.core.windows.net/landing/{path}",
            },
        }
    [event] = envelopes.parse(content, now=_NOW)
    return event
