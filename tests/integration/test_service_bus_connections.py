"""Connections that break, idle, talk nonsense or ask for what is not there; and the aio client."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import (
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from emulator.service_bus.codec import Described, Symbol, ULong
from emulator.service_bus.entities import Namespace, Queue, Subscription, Topic
from emulator.service_bus.frames import AMQP, AMQP_HEADER, HEAD, SASL, SASL_HEADER, frame
from emulator.service_bus.performatives import (
    COORDINATOR,
    RECEIVER,
    SENDER,
    SOURCE,
    TARGET,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    Performative,
    Transfer,
)
from tests.integration.service_bus import RawClient, RunningBroker, running_broker, terminus
from tests.integration.waiting import eventually

NAMES = ("sends", "dies", "cut", "refused", "aio", "sessions")


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    topics = (Topic(name="topic", subscriptions=(Subscription(name="one"),)),)
    queues = tuple(Queue(name=name) for name in NAMES)
    with running_broker(Namespace(queues=queues, topics=topics)) as running:
        yield running


@pytest.fixture
def client(broker: RunningBroker) -> Iterator[ServiceBusClient]:
    with broker.client() as client:
        yield client


def error_of(performative: Performative | None) -> tuple[str, str]:
    """Condition and description of a detach or close."""
    assert isinstance(performative, Detach | Close)
    assert performative.error is not None
    condition, description, _ = performative.error.value
    return condition, description


def ends(raw: RawClient) -> Performative | None:
    """The last frame before the broker hangs up."""
    last = None
    while True:
        try:
            last = raw.receive() or last
        except (EOFError, ConnectionResetError):
            return last


def still_works(broker: RunningBroker) -> bool:
    before = broker.entity("sends")["active"]
    with broker.client() as client, client.get_queue_sender("sends") as sender:
        sender.send_messages(ServiceBusMessage("x"))
    return bool(broker.entity("sends")["active"] == before + 1)


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    AMQP_HEADER + b"\x00" * 8,
    SASL_HEADER + b"\xff" * 64,
    SASL_HEADER + frame(SASL, 0, b"\x00\x53\x41\xc0"),
    SASL_HEADER + frame(SASL, 0, b""),
    SASL_HEADER + frame(AMQP, 0, Open(container_id="early").encode()),
    SASL_HEADER + b"\x00\x00\x00\x04",
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_bytes_that_are_no_amqp_end_their_connection_only(
    broker: RunningBroker, data: bytes
) -> None:
    with RawClient(broker.port) as raw:
        raw.socket.sendall(data)
        raw.socket.shutdown(socket.SHUT_WR)
        while raw.socket.recv(4096):
            pass
    assert broker.entity("sends") is not None


ATTACH = Attach(name="l", handle=0, role=SENDER, target=terminus(TARGET, "$cbs"))
MISTAKES: list[tuple[str, list[Any]]] = [
    ("amqp:session:unattached-handle", [Transfer(handle=9, delivery_id=0)]),
    (
        "amqp:session:unattached-handle",
        [Flow(incoming_window=1, next_outgoing_id=0, outgoing_window=1, handle=3, link_credit=1)],
    ),
    ("amqp:resource-limit-exceeded", [ATTACH, ATTACH]),
    ("amqp:invalid-field", [ATTACH, Transfer(handle=0)]),
    ("amqp:invalid-field", [Disposition(role=RECEIVER, first=5, last=2)]),
    ("amqp:not-allowed", [Open(container_id="twice")]),
    (
        "amqp:resource-limit-exceeded",
        [Begin(next_outgoing_id=0, incoming_window=1, outgoing_window=1)],
    ),
    ("amqp:decode-error", [b"\x00\x53\x12\xc0\x05\x01"]),
    ("amqp:decode-error", [b"\x00\x53\x77\x45"]),
    ("amqp:decode-error", [b"\xa1\x03abc"]),
]


@pytest.mark.parametrize(("condition", "frames"), MISTAKES)
def test_what_a_client_may_not_do_closes_its_connection_with_the_reason(
    broker: RunningBroker,
    caplog: pytest.LogCaptureFixture,
    condition: str,
    frames: list[Performative | bytes],
) -> None:
    with RawClient(broker.port) as raw:
        raw.open()
        for one in frames:
            if isinstance(one, bytes):
                raw.socket.sendall(frame(AMQP, 0, one))
            else:
                raw.send(one)
        assert error_of(ends(raw))[0] == condition
    [line] = [record for record in caplog.records if record.name.startswith("emulator")]
    assert condition in line.getMessage()


def test_a_session_that_never_began_closes_the_connection(broker: RunningBroker) -> None:
    with RawClient(broker.port) as raw:
        raw.open()
        raw.send(End(), channel=7)
        assert error_of(ends(raw)) == ("amqp:illegal-state", "no session on channel 7")


def test_a_frame_larger_than_agreed_closes_the_connection(broker: RunningBroker) -> None:
    with RawClient(broker.port) as raw:
        raw.open()
        raw.socket.sendall(HEAD.pack(2**31, 2, AMQP, 0))
        assert error_of(ends(raw))[0] == "amqp:decode-error"


def test_random_changes_of_real_frames_never_stop_the_broker(broker: RunningBroker) -> None:
    real = b"".join(
        frame(AMQP, 0, performative.encode())
        for performative in (
            Attach(name="c", handle=0, role=SENDER, target=terminus(TARGET, "$cbs")),
            Attach(name="d", handle=1, role=RECEIVER, source=terminus(SOURCE, "$cbs")),
            Flow(incoming_window=9, next_outgoing_id=0, outgoing_window=9, handle=1, link_credit=5),
            Transfer(handle=0, delivery_id=0, delivery_tag=b"1", settled=False),
        )
    )
    chance = random.Random(7)
    for _ in range(60):
        changed = bytearray(real)
        for _ in range(chance.randrange(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        with RawClient(broker.port) as raw:
            raw.open()
            with contextlib.suppress(OSError):
                # the broker may have hung up before everything is sent
                raw.socket.sendall(bytes(changed))
                raw.send(Close())
                raw.socket.shutdown(socket.SHUT_WR)
            ends(raw)
    assert still_works(broker)


def refusal(raw: RawClient, attach: Attach) -> tuple[str, str]:
    raw.open()
    raw.send(attach)
    answer = raw.receive()
    assert isinstance(answer, Attach)
    assert answer.source is None or answer.target is None
    return error_of(raw.receive())


def test_transactions_are_refused_by_name(broker: RunningBroker) -> None:
    with RawClient(broker.port) as raw:
        attach = Attach(name="t", handle=0, role=SENDER, target=terminus(COORDINATOR))
        assert refusal(raw, attach) == (
            "amqp:not-implemented",
            "transactions are not implemented in the local Service Bus",
        )


def test_a_link_without_a_token_is_refused(broker: RunningBroker) -> None:
    with RawClient(broker.port) as raw:
        attach = Attach(name="t", handle=0, role=SENDER, target=terminus(TARGET, "sends"))
        expected = ("amqp:unauthorized-access", "no token was put for sends")
        assert refusal(raw, attach) == expected


def test_sessions_are_refused_by_name(client: ServiceBusClient) -> None:
    with (
        pytest.raises(ServiceBusError, match="sessions are not implemented"),
        client.get_queue_receiver("sessions", session_id="s"),
    ):
        pass


def test_subscription_filters_of_links_are_no_sessions(client: ServiceBusClient) -> None:
    with client.get_subscription_receiver("topic", "one") as receiver:
        assert receiver.receive_messages(max_wait_time=0.1) == []


def test_a_message_that_is_no_message_is_rejected(broker: RunningBroker) -> None:
    with RawClient(broker.port) as raw:
        raw.open()
        raw.send(Attach(name="c", handle=0, role=SENDER, target=terminus(TARGET, "$cbs")))
        assert isinstance(raw.receive(), Attach)
        assert isinstance(raw.receive(), Flow)
        raw.send(Transfer(handle=0, delivery_id=0, delivery_tag=b"1", settled=False), b"\x01\x02")
        answer = raw.receive()
        assert isinstance(answer, Disposition)
        assert answer.settled
        assert answer.state is not None
        [error] = answer.state.value
        assert isinstance(error, Described)
        assert error.descriptor == ULong(0x1D)
        assert error.value[0] == Symbol("amqp:decode-error")


def test_a_client_that_wants_heartbeats_gets_them(broker: RunningBroker) -> None:
    with RawClient(broker.port) as raw:
        raw.open(idle_milliseconds=200)
        assert raw.receive() is None
        assert raw.receive() is None


def test_a_silent_client_is_given_up() -> None:
    with running_broker(Namespace(), idle_seconds=0.3) as broker, RawClient(broker.port) as raw:
        raw.open()
        condition, description = error_of(ends(raw))
        assert condition == "amqp:connection:forced"
        assert "inactive for more than the allowed 300 milliseconds" in description


def test_a_client_that_sends_heartbeats_is_kept() -> None:
    # longer in all than the idle time, and each pause much shorter: a busy machine may stall
    with running_broker(Namespace(), idle_seconds=2) as broker, RawClient(broker.port) as raw:
        raw.open(idle_milliseconds=400)
        for _ in range(12):
            assert raw.receive() is None
            raw.socket.sendall(frame(AMQP, 0, b""))


def test_what_a_dead_client_had_locked_stays_locked_until_the_lock_ends(
    broker: RunningBroker, client: ServiceBusClient
) -> None:
    with client.get_queue_sender("dies") as sender:
        sender.send_messages(ServiceBusMessage("orphan"))
    dying = broker.client()
    receiver = dying.get_queue_receiver("dies")
    [message] = receiver.receive_messages(max_wait_time=5)
    # as when the process ends: nothing is detached, settled or closed
    handler: Any = receiver._handler
    handler._connection._transport.sock.close()
    assert str(message) == "orphan"
    with client.get_queue_receiver("dies") as other:
        assert other.receive_messages(max_wait_time=0.3) == []
        assert broker.entity("dies")["locked"] == 1
        broker.pass_time(61)
        [message] = other.receive_messages(max_wait_time=5)
        assert (str(message), message.delivery_count) == ("orphan", 1)
        other.complete_message(message)
    receiver.close()
    dying.close()


def test_connections_can_be_cut(broker: RunningBroker, client: ServiceBusClient) -> None:
    with client.get_queue_sender("cut") as sender:
        sender.send_messages(ServiceBusMessage("before"))
        # the SDK forgets to close the socket of a connection that has failed
        handler: Any = sender._handler
        severed = handler._connection._transport.sock
        assert broker.faults(cut_connections=True).status_code == 204
        with pytest.raises(ServiceBusConnectionError):
            sender.send_messages(ServiceBusMessage("lost"))
        severed.close()
    with client.get_queue_sender("cut") as sender:
        sender.send_messages(ServiceBusMessage("after"))
    assert [message["body"] for message in broker.entity("cut")["messages"]] == ["before", "after"]


def test_sends_can_be_refused(broker: RunningBroker, client: ServiceBusClient) -> None:
    with client.get_queue_sender("refused") as sender:
        broker.faults(refuse_sends=1)
        with pytest.raises(ServiceBusServerBusyError, match="was told to refuse this"):
            sender.send_messages(ServiceBusMessage("no"))
        sender.send_messages(ServiceBusMessage("yes"))
    assert [message["body"] for message in broker.entity("refused")["messages"]] == ["yes"]


def test_an_unknown_fault_is_refused(broker: RunningBroker) -> None:
    assert broker.faults(refuse_everything=True).status_code == 400


def test_clients_are_told_when_the_broker_ends() -> None:
    with running_broker(Namespace()) as broker:
        raw = RawClient(broker.port)
        raw.open()
    with raw:
        assert error_of(ends(raw)) == ("amqp:connection:forced", "the local Service Bus has ended")


def test_the_aio_client_sends_and_its_receivers_compete(broker: RunningBroker) -> None:
    seen: list[str] = []

    async def consume(client: Any, done: asyncio.Event) -> None:
        async with client.get_queue_receiver("aio", prefetch_count=5) as receiver:
            while not done.is_set():
                for message in await receiver.receive_messages(5, max_wait_time=0.2):
                    seen.append(str(message))
                    await receiver.complete_message(message)
                    if len(seen) >= 100:
                        done.set()

    async def produce_and_consume() -> None:
        async with broker.async_client() as client:
            done = asyncio.Event()
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(consume(client, done))
                async with client.get_queue_sender("aio") as sender:
                    for start in range(0, 100, 10):
                        await sender.send_messages(
                            [ServiceBusMessage(str(start + number)) for number in range(10)]
                        )

    asyncio.run(produce_and_consume())
    assert sorted(seen, key=int) == [str(number) for number in range(100)]
    assert eventually(lambda: broker.entity("aio")["messages"] == [])


def test_a_client_that_reads_nothing_does_not_keep_the_broker_from_ending() -> None:
    namespace = Namespace(queues=(Queue(name="q"),))
    with contextlib.ExitStack() as unread, running_broker(namespace) as broker:
        with broker.client() as client, client.get_queue_sender("q") as sender:
            for _ in range(60):
                sender.send_messages(ServiceBusMessage(b"x" * 200_000))
        raw = RawClient(broker.port)
        unread.enter_context(raw)
        raw.receive_from("q", credit=60)
        assert eventually(lambda: broker.entity("q")["locked"] > 0)
        # what the sockets cannot take is not locked for nothing
        assert broker.entity("q")["active"] > 0
