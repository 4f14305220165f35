"""Messages of Service Bus as Azure's host hands them to the Python worker.

The names and types of the trigger's metadata are those of the extension's binding data
(Microsoft.Azure.WebJobs.Extensions.ServiceBus 5, in azure-sdk-for-net): what is null is left out,
numbers, times and dictionaries are JSON, and times in UTC carry no zone.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from emulator.functions_host.protos import Collection, TypedData

#: .NET's DateTime.MaxValue, which messages that never expire have
_NEVER = "9999-12-31T23:59:59.9999999"


class UnreadableBody(Exception):
    """A message whose body is no AMQP data; Azure's host cannot read those either."""


def one(message: ServiceBusReceivedMessage, *, binary: bool) -> TypedData:
    """The body as the trigger's data. Raises UnreadableBody.

    Text unless the binding's dataType is binary; bytes that are no UTF-8 are lost as in Azure.
    """
    body = _body(message)
    return TypedData(bytes=body) if binary else TypedData(string=_text(body))


def many(messages: Sequence[ServiceBusReceivedMessage], *, binary: bool) -> TypedData:
    """All bodies as the trigger's data. Raises UnreadableBody."""
    bodies = [_body(message) for message in messages]
    if binary:
        return TypedData(collection_bytes=Collection(bytes=bodies))
    # empty texts are left out, as by Azure's host
    texts = [text for text in map(_text, bodies) if text]
    return TypedData(collection_string=Collection(string=texts))


def metadata_of_one(message: ServiceBusReceivedMessage) -> dict[str, TypedData]:
    """What a function of cardinality "one" can know of its message."""
    found = {name: read(message) for name, read in _FIELDS.items()}
    return {
        name: TypedData(string=value) if isinstance(value, str) and name in _TEXTS else _json(value)
        for name, value in found.items()
        if value is not None
    }


def metadata_of_many(messages: Sequence[ServiceBusReceivedMessage]) -> dict[str, TypedData]:
    """What a function of cardinality "many" can know of its messages.

    As Azure's host does it, texts that are missing are left out of their array, so that the texts
    behind them move up.
    """
    arrays = {
        f"{name}Array": [read(message) for message in messages] for name, read in _FIELDS.items()
    }
    found: dict[str, TypedData] = {}
    for name, values in arrays.items():
        if name.removesuffix("Array") in _TEXTS:
            found[name] = TypedData(collection_string=Collection(string=[v for v in values if v]))
        elif name == "SequenceNumberArray":
            found[name] = TypedData(collection_sint64=Collection(sint64=values))
        else:
            found[name] = _json(values)
    return found


def metadata_of_text() -> dict[str, TypedData]:
    """For a call by the admin API, which has a text and no message."""
    return {
        "DeliveryCount": _json(0),
        "ApplicationProperties": _json({}),
        "UserProperties": _json({}),
    }


def _time(when: datetime | None) -> str | None:
    """A DateTime without a kind, as Newtonsoft writes it: no zone, no zeros at the end."""
    if when is None:
        return None
    text = when.astimezone(UTC).replace(tzinfo=None).isoformat()
    return text.rstrip("0") if "." in text else text


def _offset(when: datetime | None) -> str | None:
    text = _time(when)
    return f"{text}+00:00" if text else None


def _properties(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    """The sender's own properties; the client hands texts out as bytes."""
    return {_plain(k): _plain(v) for k, v in (message.application_properties or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return f"{_time(value)}Z"
    return value if isinstance(value, bool | int | float | str | None) else str(value)


_TEXTS = frozenset(
    {
        "LockToken",
        "DeadLetterSource",
        "MessageId",
        "ContentType",
        "ReplyTo",
        "To",
        "Subject",
        "Label",
        "CorrelationId",
        "SessionId",
        "ReplyToSessionId",
        "PartitionKey",
    }
)
_FIELDS: Mapping[str, Callable[[ServiceBusReceivedMessage], Any]] = {
    # the extension counts deliveries from 1, the Python client from 0
    "DeliveryCount": lambda m: (m.delivery_count or 0) + 1,
    "DeadLetterSource": lambda m: m.dead_letter_source,
    "LockToken": lambda m: str(m.lock_token) if m.lock_token else None,
    "ExpiresAtUtc": lambda m: _time(m.expires_at_utc) or _NEVER,
    "ExpiresAt": lambda m: _offset(m.expires_at_utc) or f"{_NEVER}+00:00",
    "EnqueuedTimeUtc": lambda m: _time(m.enqueued_time_utc),
    "EnqueuedTime": lambda m: _offset(m.enqueued_time_utc),
    "MessageId": lambda m: m.message_id,
    "ContentType": lambda m: m.content_type,
    "ReplyTo": lambda m: m.reply_to,
    "SequenceNumber": lambda m: m.sequence_number,
    "To": lambda m: m.to,
    "Subject": lambda m: m.subject,
    "Label": lambda m: m.subject,
    "CorrelationId": lambda m: m.correlation_id,
    "ApplicationProperties": _properties,
    "UserProperties": _properties,
    "SessionId": lambda m: m.session_id,
    "ReplyToSessionId": lambda m: m.reply_to_session_id,
    "PartitionKey": lambda m: m.partition_key,
}


def _json(value: Any) -> TypedData:
    return TypedData(json=json.dumps(value))


def _body(message: ServiceBusReceivedMessage) -> bytes:
    if message.body_type is not AmqpMessageBodyType.DATA:
        raise UnreadableBody(
            f"message {message.message_id}: bodies that are an AMQP "
            f"{message.body_type.name.lower()} are not implemented, only data"
        )
    parts: Iterable[bytes] = message.body
    return b"".join(parts)


def _text(body: bytes) -> str:
    return body.decode(errors="replace")
