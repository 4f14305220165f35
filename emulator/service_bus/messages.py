"""A message: its sections, what the broker reads of them and what it adds.

http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-messaging-v1.0-os.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from emulator.service_bus.codec import (
    Described,
    MalformedError,
    Symbol,
    Timestamp,
    UInt,
    ULong,
    decode,
    encode,
)

#: message format of a transfer whose data sections are messages themselves
BATCH = 0x80013700
HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES = range(0x70, 0x75)
DATA, SEQUENCE, VALUE, FOOTER = range(0x75, 0x79)
#: sections that are passed on as they came
_KEPT = (PROPERTIES, DATA, SEQUENCE, VALUE, FOOTER)

SCHEDULED_TIME = Symbol("x-opt-scheduled-enqueue-time")
REASON, DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"
#: types that a section's value may have
_SECTION_TYPES: dict[int, tuple[type, ...]] = {
    HEADER: (list,),
    DELIVERY_ANNOTATIONS: (dict,),
    ANNOTATIONS: (dict,),
    PROPERTIES: (list,),
    APPLICATION_PROPERTIES: (dict,),
    DATA: (bytes,),
    SEQUENCE: (list,),
    FOOTER: (dict,),
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as it was sent. What the broker knows of it beyond that is in a `Stored`."""

    header: tuple[Any, ...] = ()
    annotations: Mapping[Any, Any] = field(default_factory=dict)
    properties: tuple[Any, ...] = ()
    application_properties: Mapping[Any, Any] = field(default_factory=dict)
    #: data, sequence or value sections
    body: tuple[Any, ...] = ()
    #: sections that are passed on as they came: descriptor and bytes
    sections: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def read(cls, data: bytes) -> Self:
        """The message of these bytes; MalformedError when there is none."""
        values: dict[int, Any] = {}
        body, sections, at = [], [], 0
        while at < len(data):
            start = at
            section, at = decode(data, at)
            if not isinstance(section, Described):
                raise MalformedError("a message has a section without a descriptor")
            code, value = section.descriptor, section.value
            if type(code) is not ULong or not HEADER <= code <= FOOTER:
                raise MalformedError(f"{code!r} is no section of a message")
            if code in _SECTION_TYPES and type(value) not in _SECTION_TYPES[code]:
                raise MalformedError(f"section 0x{code:02x} is a {type(value).__name__}")
            if code in _KEPT:
                sections.append((int(code), data[start:at]))
            if DATA <= code <= VALUE:
                body.append(value)
            else:
                values[code] = value
        return cls(
            header=tuple(values.get(HEADER, ())),
            annotations=values.get(ANNOTATIONS, {}),
            properties=tuple(values.get(PROPERTIES, ())),
            application_properties=values.get(APPLICATION_PROPERTIES, {}),
            body=tuple(body),
            sections=tuple(sections),
        )

    @property
    def message_id(self) -> Any:
        return self._property(0)

    @property
    def subject(self) -> str | None:
        return _text_or_none(self._property(3))

    @property
    def ttl(self) -> float | None:
        """Seconds, as the sender wishes; None: as long as the entity allows."""
        value = self.header[2] if len(self.header) > 2 else None
        return value / 1000 if isinstance(value, UInt) else None

    @property
    def scheduled_for(self) -> float | None:
        """Seconds since 1970."""
        value = self.annotations.get(SCHEDULED_TIME)
        return value / 1000 if isinstance(value, Timestamp) else None

    @property
    def value(self) -> Any:
        """The body of a request: one value section."""
        return self.body[0] if self.body else None

    def text(self) -> str:
        """The body for people."""
        if all(isinstance(part, bytes) for part in self.body):
            return b"".join(self.body).decode(errors="replace")
        return str(self.body[0] if len(self.body) == 1 else list(self.body))

    def dead_lettered(self, reason: str | None, description: str | None) -> "Message":
        """The same with why it was given up, as application properties."""
        added = {REASON: reason, DESCRIPTION: description}
        given = {key: value for key, value in added.items() if value is not None}
        return replace(self, application_properties={**self.application_properties, **given})

    def encode(
        self, *, delivery_count: int, ttl: float | None, annotations: Mapping[Symbol, Any]
    ) -> bytes:
        """The message with the broker's header and annotations."""
        durable, priority = (*self.header[:2], None, None)[:2]
        milliseconds = None if ttl is None else UInt(min(int(ttl * 1000), 2**32 - 1))
        header = [durable, priority, milliseconds, None, UInt(delivery_count)]
        parts = [_section(HEADER, header)]
        parts.append(_section(ANNOTATIONS, {**self.annotations, **annotations}))
        parts += [data for code, data in self.sections if code == PROPERTIES]
        if self.application_properties:
            parts.append(_section(APPLICATION_PROPERTIES, dict(self.application_properties)))
        parts += [data for code, data in self.sections if code != PROPERTIES]
        return b"".join(parts)

    def _property(self, index: int) -> Any:
        return self.properties[index] if len(self.properties) > index else None


def read_messages(message_format: int, payload: bytes) -> list[Message]:
    """The messages of one transfer; MalformedError when a part of it is none."""
    if message_format != BATCH:
        return [Message.read(payload)]
    return [Message.read(part) for part in Message.read(payload).body if isinstance(part, bytes)]


def response(
    *, correlation_id: Any, application_properties: dict[str, Any], value: Any = None
) -> bytes:
    """The answer to a request."""
    properties = [None, None, None, None, None, correlation_id]
    return (
        _section(PROPERTIES, properties)
        + _section(APPLICATION_PROPERTIES, application_properties)
        + _section(VALUE, value)
    )


def _section(code: int, value: Any) -> bytes:
    return encode(Described(ULong(code), value))


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
