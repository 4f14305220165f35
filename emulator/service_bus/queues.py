"""The messages of one queue, subscription or dead-letter queue: locks, counts, times.

Nothing here waits or knows a network: `now` is a function, and `advance` does what has become due.
"""

import heapq
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from emulator.service_bus.messages import Message


class State(StrEnum):
    ACTIVE = "active"
    LOCKED = "locked"
    SCHEDULED = "scheduled"
    GONE = "gone"


type Event = Literal["due", "cancel", "lock", "take", "expire", "complete", "return", "dead-letter"]

#: what may happen to a message, and what it is then
TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.SCHEDULED, "due"): State.ACTIVE,
    (State.SCHEDULED, "cancel"): State.GONE,
    (State.ACTIVE, "lock"): State.LOCKED,
    (State.ACTIVE, "take"): State.GONE,
    (State.ACTIVE, "expire"): State.GONE,
    (State.ACTIVE, "dead-letter"): State.GONE,
    (State.LOCKED, "complete"): State.GONE,
    (State.LOCKED, "return"): State.ACTIVE,
    (State.LOCKED, "dead-letter"): State.GONE,
}


class LockLostError(LookupError):
    """The lock has expired, or the message was settled already."""


class ScheduledNotFoundError(LookupError):
    """No message is scheduled under this sequence number."""


class NoDeadLetterQueueError(Exception):
    """The messages of a dead-letter queue can be completed, but not dead-lettered again."""


class Options(Protocol):
    """What a queue or subscription declares; see entities."""

    @property
    def lock_seconds(self) -> float: ...
    @property
    def max_delivery_count(self) -> int: ...
    @property
    def default_ttl_seconds(self) -> float | None: ...
    @property
    def dead_letter_on_expiration(self) -> bool: ...


@dataclass(kw_only=True, eq=False)
class Stored:
    """A message in a queue. Times are seconds since 1970."""

    message: Message
    sequence_number: int
    enqueued: float
    state: State
    delivery_count: int = 0
    ttl: float | None = None
    due: float | None = None
    lock_token: uuid.UUID | None = None
    locked_until: float = 0.0

    @property
    def expires(self) -> float | None:
        return None if self.ttl is None else self.enqueued + self.ttl

    def happens(self, event: Event) -> None:
        """Move to the next state; KeyError when the event cannot happen now."""
        self.state = TRANSITIONS[self.state, event]


class MessageQueue:
    """Messages in the order of their sequence numbers, and who has locked them.

    Without `dead_letters` it is a dead-letter queue: its messages neither expire nor run out of
    deliveries.
    """

    def __init__(
        self,
        options: Options,
        now: Callable[[], float],
        dead_letters: "MessageQueue | None" = None,
    ) -> None:
        self._options = options
        self._now = now
        self.dead_letters = dead_letters
        self._last_number = 0
        self._messages: dict[int, Stored] = {}
        self._active: list[int] = []
        self._locked: dict[uuid.UUID, Stored] = {}
        #: (time, sequence number) of lock ends, expiries and scheduled messages, some outdated
        self._times: list[tuple[float, int]] = []

    def __iter__(self) -> Iterator[Stored]:
        """Every message, by sequence number."""
        return iter(sorted(self._messages.values(), key=lambda stored: stored.sequence_number))

    def counts(self) -> dict[State, int]:
        found = dict.fromkeys((State.ACTIVE, State.LOCKED, State.SCHEDULED), 0)
        for stored in self._messages.values():
            found[stored.state] += 1
        return found

    def add(self, message: Message) -> int:
        """Enqueue it, or schedule it when it asks for that; its sequence number."""
        now = self._now()
        wishes = [
            ttl for ttl in (message.ttl, self._options.default_ttl_seconds) if ttl is not None
        ]
        stored = Stored(
            message=message,
            sequence_number=self._next_number(),
            enqueued=now,
            state=State.ACTIVE,
            ttl=min(wishes, default=None),
        )
        due = message.scheduled_for
        if due is not None and due > now:
            stored.state = State.SCHEDULED
            stored.due = due
            self._messages[stored.sequence_number] = stored
            self._at(due, stored)
        else:
            self._activate(stored)
        return stored.sequence_number

    def cancel(self, sequence_numbers: list[int]) -> None:
        """Forget scheduled messages; ScheduledNotFoundError, and nothing done, if one is not."""
        self.advance()
        found = [self._messages.get(number) for number in sequence_numbers]
        scheduled = [s for s in found if s is not None and s.state is State.SCHEDULED]
        if len(scheduled) < len(sequence_numbers):
            missing = set(sequence_numbers) - {s.sequence_number for s in scheduled}
            raise ScheduledNotFoundError(f"no scheduled message has the number {min(missing)}")
        for stored in scheduled:
            stored.happens("cancel")
            self._messages.pop(stored.sequence_number, None)

    def lock_next(self) -> Stored | None:
        """Lock the oldest active message."""
        if (stored := self._next_active()) is None:
            return None
        stored.happens("lock")
        stored.lock_token = uuid.uuid4()
        self._locked[stored.lock_token] = stored
        self._extend(stored)
        return stored

    def take_next(self) -> Stored | None:
        """Remove the oldest active message."""
        if (stored := self._next_active()) is None:
            return None
        stored.happens("take")
        del self._messages[stored.sequence_number]
        return stored

    def renew(self, lock_token: uuid.UUID) -> float:
        """Lock it for a full time from now; when that ends. LockLostError."""
        stored = self.locked(lock_token)
        self._extend(stored)
        return stored.locked_until

    def complete(self, lock_token: uuid.UUID) -> None:
        """Remove it. LockLostError."""
        stored = self._unlock(lock_token)
        stored.happens("complete")
        del self._messages[stored.sequence_number]

    def abandon(self, lock_token: uuid.UUID, *, failed: bool = True) -> None:
        """Give it back; with `failed` the delivery counts. LockLostError."""
        self._return(self._unlock(lock_token), failed=failed)

    def dead_letter(
        self, lock_token: uuid.UUID, reason: str | None, description: str | None
    ) -> None:
        """Move it to the dead-letter queue. LockLostError; NoDeadLetterQueueError."""
        if self.dead_letters is None:
            raise NoDeadLetterQueueError("a dead-letter queue has no dead-letter queue of its own")
        self._move(self._unlock(lock_token), reason, description)

    def advance(self) -> bool:
        """Do what is due: end locks, expire, enqueue scheduled ones. Whether anything was."""
        now, changed = self._now(), False
        while self._times and self._times[0][0] <= now:
            _, number = heapq.heappop(self._times)
            stored = self._messages.get(number)
            if stored is not None and self._end_of(stored, now):
                changed = True
        return changed

    def locked(self, lock_token: uuid.UUID) -> Stored:
        """The message of a lock that still holds; LockLostError."""
        self.advance()
        try:
            return self._locked[lock_token]
        except KeyError:
            raise LockLostError(
                f"the lock {lock_token} has expired, or its message was settled"
            ) from None

    def _end_of(self, stored: Stored, now: float) -> bool:
        """Whether one of the message's times is over; then its consequence is done."""
        if stored.state is State.SCHEDULED and stored.due is not None and stored.due <= now:
            del self._messages[stored.sequence_number]
            stored.happens("due")
            # it counts as enqueued now, and gets a new number for that
            stored.sequence_number, stored.enqueued = self._next_number(), now
            self._activate(stored)
            return True
        if stored.state is State.LOCKED and stored.locked_until <= now:
            self._locked.pop(_token(stored))
            self._return(stored, failed=True)
            return True
        mortal = self.dead_letters is not None and stored.state is State.ACTIVE
        if mortal and stored.expires is not None and stored.expires <= now:
            self._expire(stored)
            return True
        return False

    def _activate(self, stored: Stored) -> None:
        self._messages[stored.sequence_number] = stored
        heapq.heappush(self._active, stored.sequence_number)
        if self.dead_letters is not None and stored.expires is not None:
            self._at(stored.expires, stored)

    def _return(self, stored: Stored, *, failed: bool) -> None:
        stored.happens("return")
        stored.lock_token = None
        stored.delivery_count += failed
        attempts = self._options.max_delivery_count
        if self.dead_letters is not None and stored.delivery_count >= attempts:
            self._move(
                stored,
                "MaxDeliveryCountExceeded",
                f"Message could not be consumed after {attempts} delivery attempts.",
            )
        else:
            self._activate(stored)

    def _expire(self, stored: Stored) -> None:
        if self._options.dead_letter_on_expiration:
            description = "The message expired and was dead lettered."
            self._move(stored, "TTLExpiredException", description)
        else:
            stored.happens("expire")
            del self._messages[stored.sequence_number]

    def _move(self, stored: Stored, reason: str | None, description: str | None) -> None:
        assert self.dead_letters is not None
        stored.happens("dead-letter")
        del self._messages[stored.sequence_number]
        self.dead_letters.receive_dead(stored, reason, description)

    def receive_dead(self, stored: Stored, reason: str | None, description: str | None) -> None:
        """Take in what another queue has given up; it keeps its number, count and times."""
        kept = Stored(
            message=stored.message.dead_lettered(reason, description),
            sequence_number=stored.sequence_number,
            enqueued=stored.enqueued,
            state=State.ACTIVE,
            delivery_count=stored.delivery_count,
            ttl=stored.ttl,
        )
        self._activate(kept)

    def _next_active(self) -> Stored | None:
        self.advance()
        while self._active:
            stored = self._messages.get(heapq.heappop(self._active))
            if stored is not None and stored.state is State.ACTIVE:
                return stored
        return None

    def _unlock(self, lock_token: uuid.UUID) -> Stored:
        stored = self.locked(lock_token)
        del self._locked[lock_token]
        return stored

    def _extend(self, stored: Stored) -> None:
        stored.locked_until = self._now() + self._options.lock_seconds
        self._at(stored.locked_until, stored)

    def _at(self, time: float, stored: Stored) -> None:
        heapq.heappush(self._times, (time, stored.sequence_number))

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number


class Duplicates:
    """Message ids seen within a window of seconds."""

    def __init__(self, seconds: float | None, now: Callable[[], float]) -> None:
        self._seconds = seconds
        self._now = now
        self._seen: OrderedDict[object, float] = OrderedDict()

    def is_new(self, message_id: object) -> bool:
        """Whether the id was not seen; it is from now on. None is always new."""
        if self._seconds is None or message_id is None:
            return True
        now = self._now()
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        if message_id in self._seen:
            return False
        self._seen[message_id] = now + self._seconds
        return True


def _token(stored: Stored) -> uuid.UUID:
    assert stored.lock_token is not None
    return stored.lock_token
