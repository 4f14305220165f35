"""What becomes of runs, as events: for the triggers that wait for them, and for everybody else.

The one room that sends to Service Bus; functions receive.
"""

import json
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError

from shared.errors import MessagingUnavailable
from shared.events import RUN, Event
from shared.inputs import DataInput
from shared.ledger import Record, State
from shared.service_bus import ServiceBus, topic_for_outcomes

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender

#: The states that others are told about.
TOLD = (
    State.SUBMITTED,
    State.COMPLETED,
    State.FAILED,
    State.CANCELED,
    State.DEAD_LETTER,
)
#: The states that other runs may follow on.
CHAINED = (State.COMPLETED, State.FAILED, State.CANCELED)

#: Seconds.
_TIMEOUT = 5.0
#: Seconds for which a topic that did not answer is left alone: a tick has many runs to look at.
_PAUSE = 45.0
#: Characters of one outcome; Service Bus takes 256 kB, of a batch as well.
_LONGEST = 50_000


class Outcomes(Protocol):
    """Where outcomes are published."""

    def publish(self, events: Sequence[Event]) -> None:
        """At least once. Raises MessagingUnavailable."""


def outcome(record: Record, state: State, deployment: str) -> Event:
    """`signalbox.run.<state>`: what a run came to. The same outcome always has the same id."""
    reached = next(t for t in reversed(record.transitions) if t.state is state)
    attempt = record.attempts[-1] if record.attempts else None
    pipeline, _, version = (record.pipeline or "").partition("@")
    body, reason = record.body, record.reason if state is record.state else None
    return Event(
        id=f"{record.run_id}.{attempt.number if attempt else 0}.{state}",
        source=f"/signalbox/{deployment}",
        type=f"signalbox.run.{state}",
        subject=record.run_id,
        time=reached.at,
        via=f"{RUN}{pipeline}",
        data={
            "run": record.run_id,
            "trigger": record.trigger,
            "pipeline": pipeline or None,
            "version": version or None,
            "status": state.value,
            "attempt": attempt.number if attempt else 0,
            "job": attempt.job_name if attempt else None,
            "depth": record.depth,
            # An earlier state that is told late has not the reason of the last one.
            "reason": reason.model_dump() if reason else None,
            "inputs": {
                name: value.path if isinstance(value, DataInput) else value
                for name, value in (body.inputs if body else {}).items()
            },
            "outputs": record.outputs,
            "event": {
                "id": record.event.id,
                "source": record.event.source,
                "type": record.event.type,
                "subject": record.event.subject,
            },
        },
    )


def untold(record: Record) -> list[State]:
    """The states that a record reached and nobody was told of yet, oldest first."""
    reached = dict.fromkeys(transition.state for transition in record.transitions)
    return [state for state in reached if state in TOLD and state not in record.announced]


def chained(record: Record, deployment: str) -> Event | None:
    """The event that other runs may follow on; None when this end is for nobody."""
    return outcome(record, record.state, deployment) if record.state in CHAINED else None


class ServiceBusOutcomes:
    """Outcomes in a topic, as CloudEvents in structured mode."""

    def __init__(
        self,
        topic: str,
        *,
        connection: str | None,
        namespace: str | None,
        credential: TokenCredential,
        monotonic: Callable[[], float],
    ) -> None:
        self._bus = ServiceBus(credential=credential, namespace=namespace, connection=connection)
        self._topic = topic_for_outcomes(topic)
        self._name = topic
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._open: tuple[ServiceBusClient, ServiceBusSender] | None = None

    def publish(self, events: Sequence[Event]) -> None:
        with self._lock:
            if self._monotonic() < self._away_until:
                raise MessagingUnavailable(
                    f"Service Bus did not answer lately; the {self._topic.what} is tried "
                    "again in a while"
                )
            try:
                # A new link costs half a second, so one is kept open.
                _, sender = self._open = self._open or self._connect()
                sender.send_messages([_message(event) for event in events], timeout=_TIMEOUT)
            except (AzureError, OSError, ValueError) as error:
                self._away_until = self._monotonic() + _PAUSE
                self._close()
                why = self._bus.refusal(error, self._topic)
                raise MessagingUnavailable(f"Outcomes could not be told. {why}") from error

    def _connect(self) -> "tuple[ServiceBusClient, ServiceBusSender]":
        client = self._bus.client()
        return client, client.get_topic_sender(self._name)

    def _close(self) -> None:
        if self._open is not None:
            client, _ = self._open
            self._open = None
            client.close()


def _message(event: Event) -> "ServiceBusMessage":
    from azure.servicebus import ServiceBusMessage

    content = {"specversion": "1.0", **event.model_dump(mode="json", exclude={"via"})}
    if len(json.dumps(content)) > _LONGEST:
        # What it was given may be as large as an event; who needs it finds it by the run's id.
        content["data"] = {**content["data"], "inputs": None, "outputs": None}
    return ServiceBusMessage(
        json.dumps(content),
        content_type="application/cloudevents+json",
        # A topic with duplicate detection drops what is told twice.
        message_id=event.id,
        subject=event.type,
        application_properties={
            "type": event.type,
            "trigger": event.data["trigger"],
            "pipeline": event.data["pipeline"] or "",
        },
    )
