"""Events as they come, and taking them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from shared import envelopes
from shared.errors import EventInvalid
from shared.events import BLOB_CREATED, Event

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: Only what CloudEvents asks for.
CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/orders",
    "type": "order.placed",
}


#: As Event Grid sends it.
GRID: dict[str, Any] = {
    "id": "g-1",
    "topic": "/subscriptions/s/topics/orders",
    "subject": "orders/7",
    "eventType": "order.placed",
    "eventTime": "2026-03-01T10:00:00Z",
    "data": {"amount": 7},
    "dataVersion": "1",
    "metadataVersion": "1",
}


UPLOAD: dict[str, Any] = {
    **GRID,
    "eventType": BLOB_CREATED,
    "subject": "/blobServices/default/containers/landing/blobs/sales/a.csv",
    "data": {
        "api": "PutBlockList",
        "eTag": "0x8D4BCC2E4835CD0",
        "url": "https://contosolake.blob.core.windows.net/landing/sales/a.csv",
    },
}


def parsed(content: Any, **how: Any) -> Event:
    [event] = envelopes.parse(content, now=NOW, **how)
    return event


def refused(content: Any) -> str:
    with pytest.raises(EventInvalid) as caught:
        envelopes.parse(content, now=NOW)
    return str(caught.value)


def received(body: Any, **how: Any) -> list[Event]:
    """The events in a message of the queue `inbox`."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return envelopes.message(
        raw, **{"via": "queue/inbox", "sequence_number": 7, "enqueued": NOW, **how}
    )


def one(body: Any, **how: Any) -> Event:
    [event] = received(body, **how)
    return event


def nested(depth: int) -> Any:
    value: Any = 1
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


# Binary mode of HTTP.


HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "A-1",
    "ce-source": "/orders",
    "ce-type": "order.placed",
}


properties = st.dictionaries(
    st.sampled_from([f"cloudEvents:{name}" for name in CLOUD] + ["cloudEvents_time", "x"])
    | st.text()
    | st.binary(),
    st.text() | st.binary() | st.integers() | st.floats() | st.none() | st.datetimes(),
    max_size=6,
)
