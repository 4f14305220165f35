"""The message store by itself, with a clock that only moves when it is told to."""

import uuid

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from emulator.service_bus.codec import Symbol, Timestamp, UInt
from emulator.service_bus.entities import Queue
from emulator.service_bus.messages import Message
from emulator.service_bus.queues import (
    Duplicates,
    LockLostError,
    MessageQueue,
    State,
    Stored,
)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def queue_of(clock: Clock, options: Queue) -> MessageQueue:
    return MessageQueue(options, clock, MessageQueue(options, clock))


def due_at(seconds: float) -> Message:
    when = Timestamp(int(seconds * 1000))
    return Message(annotations={Symbol("x-opt-scheduled-enqueue-time"): when})


def lock(queue: MessageQueue) -> Stored:
    stored = queue.lock_next()
    assert stored is not None
    assert stored.lock_token is not None
    return stored


def test_a_lock_ends_exactly_at_its_time() -> None:
    clock = Clock()
    queue = queue_of(clock, Queue(name="q", lock_seconds=10))
    queue.add(Message())
    stored = lock(queue)
    assert stored.lock_token is not None
    clock.time += 9.999
    assert not queue.advance()
    assert queue.lock_next() is None
    clock.time += 0.001
    with pytest.raises(LockLostError):
        queue.complete(stored.lock_token)
    assert lock(queue).delivery_count == 1


def test_a_released_message_keeps_its_place_and_its_count() -> None:
    queue = queue_of(Clock(), Queue(name="q"))
    first, _ = queue.add(Message()), queue.add(Message())
    stored = lock(queue)
    assert stored.lock_token is not None
    queue.abandon(stored.lock_token, failed=False)
    again = lock(queue)
    assert (again.sequence_number, again.delivery_count) == (first, 0)


def test_a_locked_message_expires_only_when_it_is_given_back() -> None:
    clock = Clock()
    queue = queue_of(clock, Queue(name="q", lock_seconds=60, default_ttl_seconds=5))
    queue.add(Message())
    stored = lock(queue)
    assert stored.lock_token is not None
    clock.time += 30
    assert not queue.advance()
    queue.abandon(stored.lock_token)
    assert queue.lock_next() is None
    assert list(queue) == []


def test_the_shorter_time_to_live_counts() -> None:
    clock = Clock()
    queue = queue_of(clock, Queue(name="q", default_ttl_seconds=100))
    queue.add(Message(header=(None, None, UInt(5000))))
    queue.add(Message(header=(None, None, UInt(500_000))))
    clock.time += 6
    queue.advance()
    assert [stored.sequence_number for stored in queue] == [2]
    clock.time += 95
    queue.advance()
    assert list(queue) == []


def test_a_schedule_in_the_past_is_now() -> None:
    clock = Clock()
    queue = queue_of(clock, Queue(name="q"))
    queue.add(due_at(clock.time - 5))
    assert queue.counts()[State.ACTIVE] == 1


def test_scheduled_messages_live_from_when_they_are_due() -> None:
    clock = Clock()
    queue = queue_of(clock, Queue(name="q", default_ttl_seconds=10))
    queue.add(due_at(clock.time + 100))
    clock.time += 105
    queue.advance()
    assert queue.counts()[State.ACTIVE] == 1
    clock.time += 10
    queue.advance()
    assert list(queue) == []


def test_message_ids_are_forgotten_after_the_window() -> None:
    clock = Clock()
    duplicates = Duplicates(10, clock)
    assert duplicates.is_new("a")
    clock.time += 9
    assert not duplicates.is_new("a")
    clock.time += 1
    assert duplicates.is_new("a")


class Store(RuleBasedStateMachine):
    """Whatever happens in whatever order, each message is in one place or was settled."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        options = Queue(name="q", lock_seconds=10, max_delivery_count=3)
        self.queue = queue_of(self.clock, options)
        self.added = self.settled = 0
        self.tokens: list[uuid.UUID] = []

    @rule(later=st.sampled_from([0, 5, 15]))
    def add(self, later: int) -> None:
        self.queue.add(due_at(self.clock.time + later) if later else Message())
        self.added += 1

    @rule()
    def lock(self) -> None:
        if (stored := self.queue.lock_next()) is not None:
            assert stored.lock_token is not None
            self.tokens.append(stored.lock_token)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), how=st.sampled_from(["complete", "abandon", "release", "dead", "renew"]))
    def settle(self, data: st.DataObject, how: str) -> None:
        token = data.draw(st.sampled_from(self.tokens))
        try:
            match how:
                case "complete":
                    self.queue.complete(token)
                    self.settled += 1
                case "abandon" | "release":
                    self.queue.abandon(token, failed=how == "abandon")
                case "dead":
                    self.queue.dead_letter(token, "reason", None)
                case "renew":
                    self.queue.renew(token)
                    return
        except LockLostError:
            pass
        self.tokens.remove(token)

    @rule(seconds=st.sampled_from([1, 6, 11]))
    def wait(self, seconds: int) -> None:
        self.clock.time += seconds
        self.queue.advance()

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        dead = self.queue.dead_letters
        assert dead is not None
        kept = len(list(self.queue)) + len(list(dead))
        assert kept + self.settled == self.added

    @invariant()
    def nobody_tries_too_often(self) -> None:
        assert all(stored.delivery_count < 3 for stored in self.queue)


Store.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_nothing_is_lost_whatever_happens = Store.TestCase
