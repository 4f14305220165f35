"""Credit, with links on a channel that only notes what it is told."""

import pytest

from emulator.service_bus.codec import Described
from emulator.service_bus.deliveries import accepted
from emulator.service_bus.entities import Namespace, Queue
from emulator.service_bus.errors import ConnectionFault
from emulator.service_bus.links import CREDIT, IncomingLink, ReceiverLink, ResponseLink
from emulator.service_bus.messages import Message
from emulator.service_bus.nodes import Node, Nodes
from emulator.service_bus.performatives import RECEIVER, SENDER, Attach, Flow, Transfer
from emulator.service_bus.queues import Stored


class NotedChannel:
    def __init__(self) -> None:
        self.writable = True
        #: (delivery count, credit) as the client is told
        self.credits: list[tuple[int, int]] = []
        self.outcomes: list[int] = []
        self.sent = 0

    def send_credit(self, _: int, delivery_count: int, credit: int, *, drain: bool) -> None:
        assert isinstance(drain, bool)
        self.credits.append((delivery_count, credit))

    def send_outcome(self, delivery_id: int, _: Described) -> None:
        self.outcomes.append(delivery_id)

    def send_delivery(self, _: int, __: Node, ___: Stored, *, settled: bool) -> None:
        assert not settled
        self.sent += 1

    def send_payload(self, _: int, __: bytes, ___: bytes) -> None:
        self.sent += 1


def flow(delivery_count: int, credit: int, *, drain: bool = False) -> Flow:
    return Flow(
        incoming_window=1,
        next_outgoing_id=0,
        outgoing_window=1,
        handle=0,
        delivery_count=delivery_count,
        link_credit=credit,
        drain=drain,
    )


def receiver(channel: NotedChannel, messages: int) -> ReceiverLink:
    node = Nodes(Namespace(queues=(Queue(name="q"),)), lambda: 1000.0).find("q")
    for _ in range(messages):
        node.send(Message())
    return ReceiverLink(channel, Attach(name="r", handle=0, role=RECEIVER), node)


def test_a_receiver_gets_no_more_than_it_gave_credit_for() -> None:
    channel = NotedChannel()
    link = receiver(channel, 10)
    link.flow(flow(0, 3))
    assert channel.sent == 3
    # the client said this before it saw the three
    link.flow(flow(0, 3))
    assert channel.sent == 3
    link.flow(flow(2, 3))
    assert channel.sent == 5
    link.flow(flow(5, 1))
    assert channel.sent == 6


def test_drained_credit_is_used_up_and_told() -> None:
    channel = NotedChannel()
    link = receiver(channel, 2)
    link.flow(flow(0, 5, drain=True))
    assert channel.sent == 2
    assert channel.credits == [(5, 0)]


def test_answers_wait_for_credit() -> None:
    channel = NotedChannel()
    link = ResponseLink(channel, Attach(name="r", handle=0, role=RECEIVER))
    link.answer(b"one")
    link.answer(b"two")
    assert channel.sent == 0
    link.flow(flow(0, 1))
    assert channel.sent == 1
    link.flow(flow(1, 1))
    assert channel.sent == 2


def test_a_sender_is_given_new_credit_before_it_runs_out() -> None:
    channel = NotedChannel()
    link = IncomingLink(channel, Attach(name="s", handle=0, role=SENDER), lambda _, __: accepted())
    for number in range(2 * CREDIT):
        link.transfer(Transfer(handle=0, delivery_id=number), b"x")
    assert channel.outcomes == list(range(2 * CREDIT))
    half = CREDIT // 2
    assert channel.credits == [(count * half, CREDIT) for count in (1, 2, 3, 4)]


def test_an_aborted_delivery_leaves_nothing_behind() -> None:
    channel = NotedChannel()
    taken: list[bytes] = []

    def accept(_: int, data: bytes) -> Described:
        taken.append(data)
        return accepted()

    link = IncomingLink(channel, Attach(name="s", handle=0, role=SENDER), accept)
    link.transfer(Transfer(handle=0, delivery_id=0, more=True), b"lost")
    link.transfer(Transfer(handle=0, aborted=True), b"")
    link.transfer(Transfer(handle=0, delivery_id=1, more=True), b"ke")
    link.transfer(Transfer(handle=0), b"pt")
    assert taken == [b"kept"]
    assert channel.outcomes == [1]


def test_a_client_that_receives_cannot_send_on_the_same_link() -> None:
    with pytest.raises(ConnectionFault):
        receiver(NotedChannel(), 0).transfer(Transfer(handle=0, delivery_id=0), b"x")
