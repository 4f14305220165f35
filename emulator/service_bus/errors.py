"""What a client is told when something is refused."""

from typing import Any

from emulator.service_bus.codec import Symbol

DECODE_ERROR = "amqp:decode-error"
FRAMING_ERROR = "amqp:connection:framing-error"
CONNECTION_FORCED = "amqp:connection:forced"
INVALID_FIELD = "amqp:invalid-field"
ILLEGAL_STATE = "amqp:illegal-state"
NOT_ALLOWED = "amqp:not-allowed"
NOT_FOUND = "amqp:not-found"
NOT_IMPLEMENTED = "amqp:not-implemented"
RESOURCE_LIMIT = "amqp:resource-limit-exceeded"
UNATTACHED_HANDLE = "amqp:session:unattached-handle"
UNAUTHORIZED = "amqp:unauthorized-access"
MESSAGE_TOO_LARGE = "amqp:link:message-size-exceeded"
MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
SERVER_BUSY = "com.microsoft:server-busy"
ARGUMENT_ERROR = "com.microsoft:argument-error"


class AmqpError(Exception):
    """A refusal: a condition that programs read and a description for people."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(f"{condition}: {description}")
        self.condition = condition
        self.description = description

    def fields(self) -> list[Any]:
        """The error's list; the official SDK needs all three fields."""
        return [Symbol(self.condition), self.description, None]


class ConnectionFault(AmqpError):
    """What a client may not do at all: its connection is closed."""


def not_implemented(feature: str) -> AmqpError:
    return AmqpError(NOT_IMPLEMENTED, f"{feature} are not implemented in the local Service Bus")
