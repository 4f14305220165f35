"""`/runtime/webhooks/EventGrid`: how Event Grid calls a function.

Handshake and schemas: https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema
"""

import asyncio
import json
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emulator.functions_host.http_routes import key_of
from emulator.functions_host.keys import Keys
from emulator.functions_host.protos import TypedData
from emulator.functions_host.worker import Worker

EVENT_GRID = "/runtime/webhooks/EventGrid"
#: how the answer to a call of a function that is not there begins
UNKNOWN_FUNCTION = "cannot find function"


def webhook_routes(worker: Worker, keys: Keys) -> list[Route]:
    """The Event Grid webhook, opened by its system key or the master key."""

    async def event_grid(request: Request) -> Response:
        given = key_of(request).encode()
        if not any(
            secrets.compare_digest(given, k.encode()) for k in (keys.event_grid, keys.master)
        ):
            return Response(status_code=401)
        name = request.query_params.get("functionName", "")
        function = worker.functions.get(name)
        if function is None or function.kind != "eventGridTrigger":
            return PlainTextResponse(f"{UNKNOWN_FUNCTION}: '{name}'", status_code=404)
        try:
            events = _events(await request.body())
        except (ValueError, RecursionError) as error:
            return PlainTextResponse(f"the body is no event or list of events: {error}", 400)
        match request.headers.get("aeg-event-type", ""):
            case "SubscriptionValidation":
                code = events[0].get("data", {}).get("validationCode", "")
                return JSONResponse({"validationResponse": code})
            case "Notification":
                outcomes = await asyncio.gather(
                    *(
                        worker.invoke(
                            function,
                            TypedData(json=json.dumps(event)),
                            reason=f"EventGrid trigger, event {event.get('id')}",
                        )
                        for event in events
                    )
                )
                failed = [outcome for outcome in outcomes if not outcome.succeeded]
                if failed:
                    # anything else would make Event Grid give the events up
                    return PlainTextResponse(failed[0].error, status_code=500)
                return Response(status_code=202)
            case "Unsubscribe":
                return Response(status_code=202)
            case other:
                return PlainTextResponse(f"aeg-event-type {other!r} is not known", status_code=400)

    return [Route(EVENT_GRID, event_grid, methods=["POST"])]


def _events(body: bytes) -> list[dict[str, Any]]:
    parsed = json.loads(body)
    events = parsed if isinstance(parsed, list) else [parsed]
    if not events or not all(isinstance(event, dict) for event in events):
        raise ValueError("expected one or more JSON objects")
    return events
