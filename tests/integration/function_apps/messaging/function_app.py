"""A small function app with everything that is not in the basic one: messages, run events, ASGI."""

# ruff: noqa: ARG001 (a trigger's parameter is declared whether it is used or not)
# ruff: noqa: UP006 UP035 (the worker does not understand list[…] as a parameter's type)

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, List

import azure.functions as func
from web import web  # type: ignore[import-not-found]

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

#: Where the functions write what they were called with; set by the test.
CALLS = Path(os.environ.get("CALLS_FILE", os.devnull))

_middleware: Any = func.AsgiMiddleware
adapter = _middleware(web)

_lock = threading.Lock()
_running = 0


def _note(**call: object) -> None:
    with _lock, CALLS.open("a") as file:
        file.write(json.dumps(call) + "\n")


def _seen(message: func.ServiceBusMessage) -> dict[str, Any]:
    """A message as the function sees it, with the types of what is not text."""
    enqueued = message.enqueued_time_utc
    return {
        "body": message.get_body().decode("latin-1"),
        "message_id": message.message_id,
        "content_type": message.content_type,
        "correlation_id": message.correlation_id,
        "subject": message.subject,
        "label": message.label,
        "to": message.to,
        "reply_to": message.reply_to,
        "partition_key": message.partition_key,
        "sequence_number": message.sequence_number,
        "delivery_count": message.delivery_count,
        "application_properties": message.application_properties,
        "user_properties": message.user_properties,
        "enqueued": enqueued and enqueued.isoformat(),
        "enqueued_is_aware": enqueued is not None and enqueued.tzinfo is not None,
        "unknown": [message.time_to_live, message.locked_until, message.state],
    }


@app.function_name("work")
@app.service_bus_queue_trigger(
    arg_name="message", queue_name="%QUEUE%", connection="ServiceBusConnection"
)
def work(message: func.ServiceBusMessage) -> None:
    global _running
    seen = _seen(message)
    with _lock:
        _running += 1
        beside = _running
    failing = seen["body"] == "doomed" or (
        seen["body"] == "stumbles" and message.delivery_count == 1
    )
    _note(function="work", beside=beside, failing=failing, **seen)
    try:
        if seen["body"].startswith("slow "):
            time.sleep(float(seen["body"].split()[1]))
            _note(function="slow_ended", message_id=seen["message_id"])
        if failing:
            raise RuntimeError("told to fail")
    finally:
        with _lock:
            _running -= 1


@app.function_name("buried")
@app.service_bus_queue_trigger(
    arg_name="message", queue_name="work/$DeadLetterQueue", connection="ServiceBusConnection"
)
def buried(message: func.ServiceBusMessage) -> None:
    _note(function="buried", **_seen(message))


@app.function_name("bytes")
@app.service_bus_queue_trigger(
    arg_name="message",
    queue_name="bytes",
    connection="ServiceBusConnection",
    data_type=func.DataType.BINARY,
)
async def raw(message: func.ServiceBusMessage) -> None:
    _note(function="bytes", **_seen(message))


@app.function_name("news")
@app.service_bus_topic_trigger(
    arg_name="message",
    topic_name="company-news",
    subscription_name="signalbox",
    connection="ServiceBusConnection",
)
async def news(message: func.ServiceBusMessage) -> None:
    _note(function="news", **_seen(message))


@app.function_name("batches")
@app.service_bus_queue_trigger(
    arg_name="messages",
    queue_name="batches",
    connection="ServiceBusConnection",
    cardinality=func.Cardinality.MANY,
)
def batches(messages: List[func.ServiceBusMessage]) -> None:
    _note(function="batches", messages=[_seen(message) for message in messages])


@app.function_name("off")
@app.service_bus_queue_trigger(
    arg_name="message", queue_name="off", connection="ServiceBusConnection"
)
def off(message: func.ServiceBusMessage) -> None:
    _note(function="off", **_seen(message))


@app.function_name("run_events")
@app.event_grid_trigger(arg_name="event")
def run_events(event: func.EventGridEvent) -> None:
    _note(
        function="run_events",
        id=event.id,
        topic=event.topic,
        subject=event.subject,
        type=event.event_type,
        data=event.get_json(),
    )


@app.function_name("open_door")
@app.route(route="open", methods=["GET"])
async def open_door(req: func.HttpRequest) -> str:
    return "come in"


@app.function_name("everything")
@app.route(route="{*path}")
async def everything(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    answer: func.HttpResponse = await adapter.handle_async(req, context)
    return answer
