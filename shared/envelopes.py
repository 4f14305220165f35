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
from typing import Any, NoReturn
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from shared.errors import EventInvalid
from shared.events import BLOB_CREATED, MESSAGE, Event
from shared.inputs import clean, redacted, seal

#: Bytes. Event Grid's limit for one event, and Service Bus' for one message of its premium tier.
MAX_SIZE = 1 << 20
#: So many a function can record well before its source loses patience.
MAX_EVENTS = 100
_MAX_EXTENSIONS = 40
#: Lists and objects inside one another.
MAX_DEPTH = 50
#: Every number is smaller, so that it has few digits and is none of infinity and NaN.
_LARGEST = 10**309
#: Characters of what an error says.
_MAX_MESSAGE = 500

#: The writes that finish a blob. Others (CreateFile, an empty FlushFile) raise the same event
#: before there is anything to read. Source: Azure Blob Storage as an Event Grid source.
FINISHED_WRITES = frozenset({"PutBlob", "PutBlockList", "CopyBlob", "FlushWithClose"})

#: Source: CloudEvents 1.0.2, naming conventions.
_EXTENSION = re.compile(r"[a-z0-9]{1,20}")
_ATTRIBUTES = frozenset(
    {"specversion", "id", "source", "type", "subject", "time", "data", "data_base64"}
)
#: Application properties of a message that carry a CloudEvent's attributes.
#: Source: CloudEvents AMQP binding, 3.1.3.1.
_AMQP_PREFIX = re.compile(r"cloudEvents[:_]")

#: What is validated as text, or is a time.
_TEXTS = frozenset({"id", "source", "type", "subject", "time", "via"})

_SHORT = reprlib.Repr(maxstring=200)
_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)


def decode(body: bytes) -> Any:
    """JSON from outside, which nothing that reads it later understands differently.

    Raises EventInvalid.
    """
    if len(body) > MAX_SIZE:
        raise EventInvalid(f"The body is larger than {MAX_SIZE} bytes; send a reference to data.")
    try:
        # Given bytes, json would take UTF-16 as well.
        text = body.decode("utf-8-sig")
        content = json.loads(text, parse_constant=_not_json, object_pairs_hook=_object)
    except RecursionError:
        raise EventInvalid("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise EventInvalid("The body is not JSON: it is not UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise EventInvalid(f"The body is not JSON: {error.msg} at {where}.") from None
    except ValueError:
        # What Python would not make a number of.
        raise EventInvalid("The body holds a number that is too large to be kept.") from None
    if wrong := _unfit(content):
        raise EventInvalid(f"The body {wrong}.")
    return content


def bounded(content: Any) -> Any:
    """What somebody else has read of JSON, unless it is larger than `decode` would have taken.

    Raises EventInvalid.
    """
    try:
        # As short as it may have been written.
        text = json.dumps(content, default=str, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError):
        raise EventInvalid("The event is nested too deeply.") from None
    if len(text.encode(errors="replace")) > MAX_SIZE:
        raise EventInvalid(f"The event is larger than {MAX_SIZE} bytes; send a reference to data.")
    return content


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
    extra = {"messageid": clean(message_id, seal)} if message_id else {}
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
    if str(data.get("api")) not in FINISHED_WRITES:
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
    # Not everything has passed `decode`: Event Grid's events come as the worker read them.
    for name, value in fields.items():
        if name not in _TEXTS and (wrong := _unfit(value)):
            raise EventInvalid(f"Event {shown} {wrong}.")
    # A secret is kept nowhere, so nothing that reads the event later can tell it.
    kept = {
        name: value if name in ("time", "via") else clean(value, seal)
        for name, value in fields.items()
    }
    try:
        return Event.model_validate(kept)
    except ValidationError as error:
        wrong = ", ".join(sorted({str(item["loc"][0]) for item in error.errors()}))
        raise EventInvalid(f"Event {shown} has unusable attributes: {wrong}.") from None


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


def _unfit(content: Any) -> str | None:
    """Why JSON cannot be written down and read again as it is; None when it can."""
    level = [content]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str):
                if not _is_unicode(value):
                    return "holds half of a surrogate pair, which is not Unicode"
            elif isinstance(value, int | float) and not -_LARGEST < value < _LARGEST:
                return "holds a number that is too large to be kept"
        if not inner:
            return None
        level = inner
    return f"is nested more than {MAX_DEPTH} deep"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | bool) or (isinstance(value, float) and isfinite(value))


def _shown(value: Any) -> str:
    return _SHORT.repr(redacted(value) if isinstance(value, str) else value)


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _not_json(name: str) -> NoReturn:
    raise EventInvalid(f"The body is not JSON: {name} is not JSON.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EventInvalid("The body has an object with one name twice.")
    return found
