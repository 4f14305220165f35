"""Requests: tokens on `$cbs`, and what `$management` of an entity does beside its links.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

import uuid
from collections.abc import Callable
from typing import Any

from emulator.service_bus.codec import Array, Int, MalformedError, Symbol, Timestamp
from emulator.service_bus.deliveries import milliseconds, stored_bytes
from emulator.service_bus.errors import (
    ARGUMENT_ERROR,
    MESSAGE_LOCK_LOST,
    MESSAGE_NOT_FOUND,
    NOT_ALLOWED,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    UNAUTHORIZED,
    AmqpError,
    not_implemented,
)
from emulator.service_bus.messages import Message, response
from emulator.service_bus.nodes import Node, Nodes, path_of
from emulator.service_bus.queues import (
    LockLostError,
    NoDeadLetterQueueError,
    ScheduledNotFoundError,
)

_STATUS = {
    ARGUMENT_ERROR: 400,
    NOT_ALLOWED: 400,
    UNAUTHORIZED: 401,
    NOT_FOUND: 404,
    MESSAGE_NOT_FOUND: 404,
    MESSAGE_LOCK_LOST: 410,
    NOT_IMPLEMENTED: 501,
}
_MOST_PEEKED = 250
#: operations that exist in Azure and not here, and the feature they belong to
_REFUSED = {
    "com.microsoft:receive-by-sequence-number": "deferred messages",
    "com.microsoft:renew-session-lock": "sessions",
    "com.microsoft:get-session-state": "sessions",
    "com.microsoft:set-session-state": "sessions",
    "com.microsoft:get-message-sessions": "sessions",
    "com.microsoft:add-rule": "subscription rules",
    "com.microsoft:remove-rule": "subscription rules",
    "com.microsoft:enumerate-rules": "subscription rules",
    "com.microsoft:batch-delete-messages": "batch deletions",
}


def put_token(nodes: Nodes, authorize: Callable[[str], None], request: Message) -> bytes:
    """The answer of `$cbs`; the token itself is not looked at."""
    properties = request.application_properties
    try:
        if properties.get("operation") != "put-token":
            raise AmqpError(ARGUMENT_ERROR, "$cbs only knows the operation put-token")
        audience = properties.get("name")
        if not isinstance(audience, str):
            raise AmqpError(ARGUMENT_ERROR, "put-token needs a name: what the token is for")
        authorize(nodes.find(audience).path if path_of(audience) else "")
        status, description = 202, "Accepted"
    except AmqpError as error:
        status, description = _STATUS[error.condition], error.description
    return response(
        correlation_id=request.message_id,
        application_properties={"status-code": Int(status), "status-description": description},
    )


def manage(node: Node, request: Message) -> bytes:
    """The answer of an entity's `$management`."""
    condition, value = None, None
    try:
        status, value = _execute(node, request)
        description = "OK" if status == 200 else "No messages"
    except AmqpError as error:
        status, description = _STATUS[error.condition], error.description
        condition = Symbol(error.condition)
    properties: dict[str, Any] = {"statusCode": Int(status), "statusDescription": description}
    if condition:
        properties["errorCondition"] = condition
    return response(
        correlation_id=request.message_id, application_properties=properties, value=value
    )


def _execute(node: Node, request: Message) -> tuple[int, Any]:
    operation = request.application_properties.get("operation")
    if operation in _REFUSED:
        raise not_implemented(_REFUSED[operation])
    if operation not in _OPERATIONS:
        raise AmqpError(NOT_IMPLEMENTED, f"the operation {operation!r} is not implemented")
    if not isinstance(request.value, dict):
        raise AmqpError(ARGUMENT_ERROR, f"{operation} needs a map as its body")
    try:
        return _OPERATIONS[operation](node, request.value)
    except LockLostError as error:
        raise AmqpError(MESSAGE_LOCK_LOST, str(error)) from error
    except ScheduledNotFoundError as error:
        raise AmqpError(MESSAGE_NOT_FOUND, str(error)) from error
    except NoDeadLetterQueueError as error:
        raise AmqpError(NOT_ALLOWED, str(error)) from error


def _peek(node: Node, body: dict[Any, Any]) -> tuple[int, Any]:
    first = _argument(body, "from-sequence-number", int)
    count = min(_argument(body, "message-count", int), _MOST_PEEKED)
    node.advance()
    found = [stored for stored in node.queue if stored.sequence_number >= first][:count]
    if not found:
        return 204, None
    return 200, {"messages": [{"message": stored_bytes(stored)} for stored in found]}


def _renew(node: Node, body: dict[Any, Any]) -> tuple[int, Any]:
    ends = [node.queue.renew(token) for token in _lock_tokens(body)]
    return 200, {"expirations": Array(tuple(Timestamp(milliseconds(end)) for end in ends))}


def _schedule(node: Node, body: dict[Any, Any]) -> tuple[int, Any]:
    node.check_sendable()
    messages = []
    for entry in _argument(body, "messages", list):
        data = entry.get("message") if isinstance(entry, dict) else None
        if not isinstance(data, bytes):
            raise AmqpError(ARGUMENT_ERROR, "an entry of messages holds no message")
        try:
            messages.append(Message.read(data))
        except MalformedError as error:
            raise AmqpError(ARGUMENT_ERROR, str(error)) from error
    return 200, {"sequence-numbers": Array(tuple(node.send(message) for message in messages))}


def _cancel(node: Node, body: dict[Any, Any]) -> tuple[int, Any]:
    node.check_sendable()
    numbers = _argument(body, "sequence-numbers", Array).items
    node.scheduled.cancel([number for number in numbers if isinstance(number, int)])
    return 200, None


def _settle(node: Node, body: dict[Any, Any]) -> tuple[int, Any]:
    status = _argument(body, "disposition-status", str)
    if status == "defered":
        raise not_implemented("deferred messages")
    if status not in ("completed", "abandoned", "suspended"):
        raise AmqpError(ARGUMENT_ERROR, f"there is no disposition {status!r}")
    queue, tokens = node.queue, _lock_tokens(body)
    for token in tokens:
        queue.locked(token)
    for token in tokens:
        if status == "completed":
            queue.complete(token)
        elif status == "abandoned":
            queue.abandon(token)
        else:
            reason, description = (body.get(f"deadletter-{key}") for key in _DEAD_LETTER_KEYS)
            queue.dead_letter(token, _text(reason), _text(description))
    return 200, None


_DEAD_LETTER_KEYS = ("reason", "description")
_OPERATIONS: dict[Any, Callable[[Node, dict[Any, Any]], tuple[int, Any]]] = {
    "com.microsoft:peek-message": _peek,
    "com.microsoft:renew-lock": _renew,
    "com.microsoft:schedule-message": _schedule,
    "com.microsoft:cancel-scheduled-message": _cancel,
    "com.microsoft:update-disposition": _settle,
}


def _argument[T](body: dict[Any, Any], name: str, kind: type[T]) -> T:
    value = body.get(name)
    if not isinstance(value, kind):
        raise AmqpError(ARGUMENT_ERROR, f"{name} is {value!r} and not a {kind.__name__}")
    return value


def _lock_tokens(body: dict[Any, Any]) -> list[uuid.UUID]:
    tokens = _argument(body, "lock-tokens", Array).items
    return [token for token in tokens if isinstance(token, uuid.UUID)]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
