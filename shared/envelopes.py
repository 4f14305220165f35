"""From what arrives to events: CloudEvents 1.0, Event Grid's own schema, Service Bus messages.

Whoever has a key chooses what is said here, but not how much: shapes and sizes are checked, and
what an error shows of it is cut short.
"""

import base64
import binascii
import json
import re
import reprlib
from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from shared.errors import EventInvalid
from shared.events import BLOB_CREATED, MESSAGE, Event
from shared.inputs import redacted

#: Bytes. Event Grid's limit for one event, and Service Bus' for one message of its premium tier.
MAX_SIZE = 1 << 20
#: Event Grid delivers at most so many at once.
MAX_EVENTS = 5_000
_MAX_EXTENSIONS = 40
#: Values inside values; what is deeper nothing can write down again.
_MAX_DEPTH = 100
#: Characters of what an error says.
_MAX_MESSAGE = 500

#: The writes that finish a blob. Others (CreateFile, an empty FlushFile) raise the same event
#: before there is anything to read. Source: Azure Blob Storage as an Event Grid source.
_FINISHED_WRITES = frozenset({"PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"})

#: Source: CloudEvents 1.0.2, naming conventions.
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_ATTRIBUTES = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "data", "data_base64"}
)
#: Application properties of a message that carry a CloudEvent's attributes.
#: Source: CloudEvents AMQP binding, 3.1.3.1.
_AMQP_PREFIX = re.compile(r"cloudEvents[:_]")

_SHORT = reprlib.Repr(maxstring=200)
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)


def decode(body: bytes) -> Any:
    """JSON from outside. Raises EventInvalid."""
    if len(body) > MAX_SIZE:
        raise EventInvalid(f"The body is larger than {MAX_SIZE} bytes; send a reference to data.")
    try:
        return json.loads(body, parse_constant=_not_json)
    except RecursionError:
        raise EventInvalid("The body is nested too deeply.") from None
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise EventInvalid(f"The body is not JSON: {why}") from None


def is_enveloped(content: Any) -> bool:
    """Whether JSON says of itself that it is an event, or a list of events."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and (
        "specversion" in first or {"eventType", "eventTime", "subject"} <= first.keys()
    )


def parse(content: Any, *, via: str = "", now: datetime) -> list[Event]:
    """The events in JSON: one or a list, in CloudEvents' or Event Grid's schema.

    Writes to storage that are not finished yet are left out. `now` is the time of an event that
    says none. Raises EventInvalid.
    """
    items = content if isinstance(content, list) else [content]
    if not items or len(items) > MAX_EVENTS:
        raise EventInvalid(f"A body holds 1 to {MAX_EVENTS} events, this one {len(items)}.")
    found = [_event(item, via, now) for item in items]
    return [event for event in found if event is not None]


def binary(headers: Mapping[str, str], content: Any, *, via: str = "", now: datetime) -> Event:
    """A CloudEvent whose attributes are headers `ce-…` and whose data is the body.

    Raises EventInvalid. Source: CloudEvents HTTP binding, 3.1.
    """
    # Headers are ASCII, so other text is percent-encoded in them; 3.1.3.2.
    attributes = {
        name.lower().removeprefix("ce-"): unquote(value)
        for name, value in headers.items()
        if name.lower().startswith("ce-")
    }
    attributes.pop("data_base64", None)
    event = _event({**attributes, "data": content}, via, now)
    if event is None:
        raise EventInvalid("The write to storage that this event is about is not finished.")
    return event


def message(
    body: bytes,
    *,
    via: str,
    sequence_number: int,
    enqueued: datetime,
    message_id: str | None = None,
    subject: str | None = None,
    properties: Mapping[str, Any] | None = None,
) -> list[Event]:
    """The events in a Service Bus message: those its body holds, or the message itself.

    A message's own id is its place in the queue, as senders reuse theirs. Raises EventInvalid.
    """
    texts = {str(_text(name)): _text(value) for name, value in (properties or {}).items()}
    attributes = {
        _AMQP_PREFIX.sub("", name): str(value)
        for name, value in texts.items()
        if _AMQP_PREFIX.match(name)
    }
    content = decode(body)
    extra = {"messageid": message_id} if message_id else {}
    attributes.pop("data_base64", None)
    if "specversion" in attributes:
        content = {**attributes, "data": content}
    if is_enveloped(content):
        found = parse(content, via=via, now=enqueued)
        return [event.model_copy(update=extra) for event in found]
    fields: dict[str, Any] = {
        "id": f"{sequence_number}@{enqueued.isoformat()}",
        "source": f"servicebus:{via}",
        "type": MESSAGE,
        "subject": subject or "",
        "time": enqueued,
        "data": content,
        "via": via,
        "properties": {name: value for name, value in texts.items() if _is_scalar(value)},
        **extra,
    }
    return [_checked(fields)]


def request(
    content: Any, *, id: str, source: str, type: str, via: str, subject: str = "", now: datetime
) -> Event:
    """What a client of the API asks for, as an event. Raises EventInvalid."""
    return _checked(
        {
            "id": id,
            "source": source,
            "type": type,
            "subject": subject,
            "time": now,
            "data": content,
            "via": via,
        }
    )


def _event(item: Any, via: str, now: datetime) -> Event | None:
    if not isinstance(item, dict):
        raise EventInvalid(f"An event is a JSON object, not a {type(item).__name__}.")
    if "specversion" in item:
        event = _cloud_event(item, via, now)
    elif "eventType" in item:
        event = _event_grid_event(item, via, now)
    else:
        raise EventInvalid(
            "The body is no event: it has neither 'specversion' (CloudEvents 1.0) nor 'eventType' "
            "(Event Grid)."
        )
    if event.type != BLOB_CREATED:
        return event
    data, shown = event.data, _shown(event.id)
    if not isinstance(data, dict) or not isinstance(data.get("eTag"), str) or not event.etag:
        raise EventInvalid(f"Event {shown} has no data.eTag, which tells one upload from the next.")
    if str(data.get("api")) not in _FINISHED_WRITES:
        return None
    try:
        assert event.blob
    except EventInvalid as error:
        raise EventInvalid(redacted(str(error))[:_MAX_MESSAGE]) from None
    return event


def _cloud_event(item: Mapping[str, Any], via: str, now: datetime) -> Event:
    if item["specversion"] != "1.0":
        raise EventInvalid(
            f"CloudEvents {_shown(item['specversion'])} is not known here; send 1.0."
        )
    fields: dict[str, Any] = {
        name: value
        for name, value in item.items()
        if name not in _ATTRIBUTES and _EXTENSION.fullmatch(name) and _is_scalar(value)
    }
    if len(fields) > _MAX_EXTENSIONS:
        raise EventInvalid(f"An event has more than {_MAX_EXTENSIONS} extension attributes.")
    fields |= {name: item.get(name) for name in ("id", "source", "type")}
    fields |= {"subject": item.get("subject") or "", "time": _time(item.get("time"), now)}
    data = item.get("data")
    if "data_base64" in item:
        try:
            data = decode(base64.b64decode(str(item["data_base64"]), validate=True))
        except (binascii.Error, ValueError):
            raise EventInvalid("data_base64 is not base64; send data as JSON.") from None
    return _checked({**fields, "data": data, "via": via})


def _event_grid_event(item: Mapping[str, Any], via: str, now: datetime) -> Event:
    return _checked(
        {
            "id": item.get("id"),
            "source": item.get("topic"),
            "type": item.get("eventType"),
            "subject": item.get("subject") or "",
            # Unlike CloudEvents, Event Grid always says when.
            "time": _time(item.get("eventTime") or "", now),
            "data": item.get("data"),
            "via": via,
        }
    )


def _checked(fields: dict[str, Any]) -> Event:
    shown = _shown(fields.get("id"))
    if _is_deep(fields["data"]):
        raise EventInvalid(f"Event {shown} has data nested more than {_MAX_DEPTH} deep.")
    try:
        event = Event.model_validate(fields)
        again = Event.model_validate_json(event.model_dump_json())
    except ValidationError as error:
        wrong = ", ".join(sorted({str(item["loc"][0]) for item in error.errors()}))
        raise EventInvalid(f"Event {shown} has unusable attributes: {wrong}.") from None
    except (ValueError, RecursionError):
        # Valid JSON that nothing can write down again.
        raise EventInvalid(f"Event {shown} holds text that is not Unicode.") from None
    if again != event:
        raise EventInvalid(f"Event {shown} holds a number that is too large to be kept.")
    return event


def _time(value: Any, now: datetime) -> Any:
    """A stated time; one without a zone is UTC, as Event Grid means it."""
    if value is None:
        return now
    try:
        found = _TIME.validate_python(value, strict=False) if isinstance(value, str) else value
    except ValidationError:
        return value
    if isinstance(found, datetime) and found.tzinfo is None:
        return found.replace(tzinfo=now.tzinfo)
    return found


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | bool) or (isinstance(value, float) and isfinite(value))


def _shown(value: Any) -> str:
    return _SHORT.repr(redacted(value) if isinstance(value, str) else value)


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _not_json(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
