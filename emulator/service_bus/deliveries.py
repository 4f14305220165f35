"""Messages on their way to a client, and what the client makes of them."""

import uuid
from typing import Any

from emulator.service_bus.codec import Described, Int, Symbol, Timestamp, ULong
from emulator.service_bus.errors import (
    ILLEGAL_STATE,
    MESSAGE_LOCK_LOST,
    NOT_ALLOWED,
    AmqpError,
    not_implemented,
)
from emulator.service_bus.messages import DESCRIPTION, REASON
from emulator.service_bus.performatives import (
    ACCEPTED,
    ERROR,
    MODIFIED,
    REJECTED,
    RELEASED,
    composite,
)
from emulator.service_bus.queues import (
    LockLostError,
    MessageQueue,
    NoDeadLetterQueueError,
    State,
    Stored,
)

#: x-opt-message-state, as the SDK counts
_STATES = {State.SCHEDULED: Int(2)}


def milliseconds(time: float) -> int:
    return round(time * 1000)


def stored_bytes(stored: Stored) -> bytes:
    """The message as a receiver gets it."""
    annotations: dict[Symbol, Any] = {
        Symbol("x-opt-sequence-number"): stored.sequence_number,
        Symbol("x-opt-enqueued-time"): Timestamp(milliseconds(stored.enqueued)),
        Symbol("x-opt-message-state"): _STATES.get(stored.state, Int(0)),
    }
    if stored.lock_token is not None:
        annotations[Symbol("x-opt-locked-until")] = Timestamp(milliseconds(stored.locked_until))
    return stored.message.encode(
        delivery_count=stored.delivery_count, ttl=stored.ttl, annotations=annotations
    )


def accepted() -> Described:
    return Described(ULong(ACCEPTED), [])


def rejected(error: AmqpError) -> Described:
    return Described(ULong(REJECTED), [error_value(error)])


def error_value(error: AmqpError) -> Described:
    return Described(ULong(ERROR), error.fields())


def settle(queue: MessageQueue, token: uuid.UUID, state: Any) -> Described:
    """Do what the receiver's outcome asks for; the outcome it is told."""
    try:
        return _settle(queue, token, state)
    except LockLostError as error:
        return rejected(AmqpError(MESSAGE_LOCK_LOST, str(error)))
    except NoDeadLetterQueueError as error:
        return rejected(AmqpError(NOT_ALLOWED, str(error)))
    except AmqpError as error:
        return rejected(error)


def _settle(queue: MessageQueue, token: uuid.UUID, state: Any) -> Described:
    if composite(state, ACCEPTED) is not None:
        queue.complete(token)
        return accepted()
    if composite(state, RELEASED) is not None:
        queue.abandon(token, failed=False)
        return Described(ULong(RELEASED), [])
    if (fields := composite(state, MODIFIED)) is not None:
        failed, elsewhere, *_ = (*fields, None, None)
        if elsewhere:
            raise not_implemented("deferred messages")
        queue.abandon(token, failed=bool(failed))
        return Described(ULong(MODIFIED), fields)
    if (fields := composite(state, REJECTED)) is not None:
        queue.dead_letter(token, *_reasons(fields))
        # an error here would tell the SDK that the rejection itself has failed
        return Described(ULong(REJECTED), [])
    raise AmqpError(ILLEGAL_STATE, "a delivery can be accepted, released, modified or rejected")


def _reasons(fields: list[Any]) -> tuple[str | None, str | None]:
    error = composite(fields[0], ERROR) if fields else None
    info = error[2] if error and len(error) > 2 else None
    given = info if isinstance(info, dict) else {}
    reason, description = given.get(REASON), given.get(DESCRIPTION)
    return (
        reason if isinstance(reason, str) else None,
        description if isinstance(description, str) else None,
    )
