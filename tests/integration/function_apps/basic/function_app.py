"""A small function app that the tests of the local functions host run."""

# ruff: noqa: ARG001 (a trigger's parameter is declared whether it is used or not)

import json
import logging
import os
import threading
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

#: Where the functions write what they were called with; set by the test.
CALLS = Path(os.environ.get("CALLS_FILE", os.devnull))
#: While this file exists the event function fails.
FAILING = Path(os.environ.get("FAILING_FILE", "/nonexistent"))

_lock = threading.Lock()
_meeting = threading.Barrier(2)


def _note(**call: object) -> None:
    with _lock, CALLS.open("a") as file:
        file.write(json.dumps(call) + "\n")


@app.function_name("blob_uploads")
@app.event_grid_trigger(arg_name="event")
def blob_uploads(event: func.EventGridEvent) -> None:
    failing = FAILING.exists() and event.subject.endswith("unlucky.csv")
    _note(
        function="blob_uploads",
        id=event.id,
        topic=event.topic,
        subject=event.subject,
        type=event.event_type,
        data=event.get_json(),
        failing=failing,
    )
    if failing:
        raise RuntimeError("told to fail")


@app.function_name("clock")
@app.timer_trigger(arg_name="timer", schedule="%TIMER_SCHEDULE%")
def clock(timer: func.TimerRequest) -> None:
    _note(function="clock", past_due=timer.past_due)


@app.function_name("greet")
@app.route(route="people/{name}", methods=["GET", "POST"])
def greet(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    logging.getLogger("app.greetings").info("greeting", extra={"person": req.route_params["name"]})
    body = {
        "greeting": os.environ["GREETING"],
        "person": req.route_params["name"],
        "query": dict(req.params),
        "body": req.get_body().decode(),
        "function": context.function_name,
    }
    return func.HttpResponse(json.dumps(body), mimetype="application/json", status_code=201)


@app.function_name("open_door")
@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
async def open_door(req: func.HttpRequest) -> str:
    return "come in"


@app.function_name("vault")
@app.route(route="vault", auth_level=func.AuthLevel.ADMIN)
def vault(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(status_code=204)


@app.function_name("meet")
@app.route(route="meet", auth_level=func.AuthLevel.ANONYMOUS)
def meet(req: func.HttpRequest) -> str:
    """Answers only when two calls are here at the same time."""
    _meeting.wait(timeout=10)
    return "met"


@app.function_name("broken")
@app.route(route="broken", auth_level=func.AuthLevel.ANONYMOUS)
def broken(req: func.HttpRequest) -> str:
    raise ValueError("this is broken")


@app.function_name("sleepy")
@app.route(route="sleepy", auth_level=func.AuthLevel.ANONYMOUS)
def sleepy(req: func.HttpRequest) -> str:
    """Runs longer than host.json allows."""
    threading.Event().wait(timeout=6)
    return "late"
