"""The functions host while its broker is not there, goes away, and comes back."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from emulator.child_process import ChildProcess
from emulator.ports import ReservedPorts, answers, listens
from emulator.service_bus.broker import Broker
from emulator.service_bus.entities import Namespace, Queue
from emulator.topology import Addresses
from tests.integration.waiting import eventually
from tests.loopback import loopback

APP = """
import azure.functions as func
app = func.FunctionApp()

@app.service_bus_queue_trigger(arg_name="message", queue_name="work", connection="C")
def work(message: func.ServiceBusMessage) -> None:
    print("worked on", message.get_body().decode(), flush=True)

@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
def open_door(req: func.HttpRequest) -> str:
    return "come in"
"""


class RunningBroker:
    """A broker in a thread of its own, forgetting its messages when it is stopped."""

    def __init__(self, port: int, *queues: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._namespace = Namespace(queues=tuple(Queue(name=queue) for queue in queues))
        self._thread = threading.Thread(
            target=lambda: self._loop.run_until_complete(self._serve(port))
        )
        self._thread.start()
        eventually(lambda: listens(port))

    async def _serve(self, port: int) -> None:
        async with Broker(self._namespace, port=port):
            await self._stop.wait()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._loop.close()


class Host:
    """A functions host with one queue function, and the port where its broker should be."""

    def __init__(self, folder: Path) -> None:
        (folder / "host.json").write_text('{"version": "2.0"}')
        (folder / "function_app.py").write_text(APP)
        self._ports = ReservedPorts()
        port, self.broker_port = self._ports.take(), self._ports.take()
        addresses = Addresses(
            front_door=0,
            azure=0,
            control=0,
            storage=0,
            functions=(port,),
            service_bus=self.broker_port,
        )
        [self.url], self.connection = addresses.functions_urls, addresses.service_bus_connection
        self._brokers: list[RunningBroker] = []
        self.process = ChildProcess(
            "host",
            [
                *(sys.executable, "-m", "emulator.functions_host"),
                *(f"--app={folder}", f"--state={folder / 'state'}", f"--port={port}"),
            ],
            environment={**os.environ, "C": self.connection},
            folder=Path(__file__).resolve().parents[2],
            log=folder / "host.log",
        )
        self.process.start()

    @property
    def is_ready(self) -> bool:
        return answers(f"{self.url}/admin/host/ping")

    def log(self, words: str) -> list[str]:
        """Lines of the log with these words."""
        return [line for line in self.process.log.read_text().splitlines() if words in line]

    def broker(self, *queues: str) -> RunningBroker:
        self._brokers.append(RunningBroker(self.broker_port, *queues))
        return self._brokers[-1]

    def send(self, body: str) -> None:
        with (
            ServiceBusClient.from_connection_string(self.connection) as client,
            client.get_queue_sender("work") as sender,
        ):
            sender.send_messages(ServiceBusMessage(body))

    def end(self) -> None:
        self.process.stop()
        for broker in self._brokers:
            broker.stop()
        self._ports.release()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.end()


def test_without_a_broker_it_serves_http_says_so_once_and_is_not_ready(host: Host) -> None:
    door = f"{host.url}/api/open"
    eventually(lambda: answers(door))
    assert loopback.get(door).text == "come in"
    eventually(lambda: host.log("cannot receive from work, and keeps trying"))
    assert not host.is_ready
    ping = loopback.get(f"{host.url}/admin/host/ping")
    assert ping.status_code == 503

    host.broker("work")
    eventually(lambda: host.is_ready)
    host.send("first")
    eventually(lambda: host.log("worked on first"))
    assert len(host.log("cannot receive")) == 1


def test_when_the_broker_comes_back_messages_are_received_again(host: Host) -> None:
    broker = host.broker("work")
    eventually(lambda: host.is_ready)
    for number in range(3):
        broker.stop()
        eventually(lambda number=number: len(host.log("cannot receive")) == number + 1)  # type: ignore[misc]
        broker = host.broker("work")
        host.send(f"after outage {number}")
        eventually(lambda number=number: host.log(f"worked on after outage {number}"))  # type: ignore[misc]
        assert len(host.log("cannot receive")) == number + 1
        assert len(host.log("listens to work")) == number + 2
    # a lost broker is a few lines, not a traceback for each attempt
    assert host.log("Traceback") == []
    assert len(host.process.log.read_text().splitlines()) < 40


def test_a_host_whose_queue_does_not_exist_is_not_ready(host: Host) -> None:
    host.broker("other")
    eventually(lambda: host.log("cannot receive from work, and keeps trying"))
    assert not host.is_ready


def test_a_host_that_waits_for_its_broker_can_be_stopped(host: Host) -> None:
    eventually(lambda: host.log("cannot receive from work"))
    host.process.stop()
    assert host.process.ending == "ended with exit code 0"
