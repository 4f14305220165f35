"""Service Bus: a message came, in the queue or in the topic's subscription.

Returning completes the message, raising gives it back; what can never succeed is kept as a dead
letter of Signalbox and completed, so that the broker's own holds nothing but crashes.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import azure.functions as func

from shared import envelopes, telemetry
from shared.bootstrap import app
from shared.errors import EventInvalid
from shared.events import QUEUE, TOPIC

log = logging.getLogger(__name__)
#: Seconds. functionTimeout ends a call that waits longer.
LONGEST_WAIT = 60.0

bp = func.Blueprint()  # type: ignore[no-untyped-call]


@bp.function_name("queue_messages")
@bp.service_bus_queue_trigger(
    arg_name="message", queue_name="%SIGNALBOX_EVENTS_QUEUE%", connection="ServiceBusConnection"
)
async def queue_messages(message: func.ServiceBusMessage, context: func.Context) -> None:
    await _patiently(message, context, lambda: f"{QUEUE}{app().settings.events_queue}")


@bp.function_name("topic_messages")
@bp.service_bus_topic_trigger(
    arg_name="message",
    topic_name="%SIGNALBOX_EVENTS_TOPIC%",
    subscription_name="%SIGNALBOX_EVENTS_SUBSCRIPTION%",
    connection="ServiceBusConnection",
)
async def topic_messages(message: func.ServiceBusMessage, context: func.Context) -> None:
    def via() -> str:
        settings = app().settings
        return f"{TOPIC}{settings.events_topic}/{settings.events_subscription}"

    await _patiently(message, context, via)


async def _patiently(
    message: func.ServiceBusMessage, context: func.Context, via: Callable[[], str]
) -> None:
    """Take a message in, and give it back slowly when that fails.

    The broker delivers at once what was given back, and gives it up after ten times: without a
    pause, a second's outage would empty the queue into its dead-letter queue. The pause holds no
    thread, which uploads and the timer need.
    """
    try:
        with telemetry.continued(*_said(message), context.trace_context.trace_parent):
            await asyncio.to_thread(lambda: _take(message, via()))
    except Exception:
        await asyncio.sleep(min(2.0 ** (message.delivery_count or 1), LONGEST_WAIT))
        raise


def _said(message: func.ServiceBusMessage) -> list[object]:
    """The trace that its sender's SDK says it is part of, under the newer name and the older."""
    properties = message.application_properties or {}
    found = [properties.get(name) for name in ("traceparent", "Diagnostic-Id")]
    return [text.decode(errors="replace") if isinstance(text, bytes) else text for text in found]


def _take(message: func.ServiceBusMessage, via: str) -> None:
    body = message.get_body()
    number = int(message.sequence_number or 0)
    enqueued = message.enqueued_time_utc or datetime.now(UTC)
    enqueued = enqueued.replace(tzinfo=enqueued.tzinfo or UTC)
    try:
        events = envelopes.message(
            body,
            via=via,
            sequence_number=number,
            enqueued=enqueued,
            message_id=message.message_id,
            subject=message.label,
            properties=message.application_properties,
        )
    except EventInvalid as error:
        log.error("A message was refused: %s", error, extra={"action": "message_refused"})
        app().dispatcher.refuse(
            body.decode(errors="replace"),
            id=f"{number}@{enqueued.isoformat()}",
            source=f"servicebus:{via}",
            via=via,
            at=enqueued,
            why=str(error),
            message_id=message.message_id,
        )
        return
    app().dispatcher.handle(*events)
