"""The broker's part of the emulator's control address: what is where, and what is to go wrong."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator.service_bus.faults import FaultRequest
from emulator.service_bus.messages import DESCRIPTION, REASON
from emulator.service_bus.nodes import Node, Nodes
from emulator.service_bus.queues import State, Stored

_PLAIN = (str, int, float, bool, type(None))


def control_routes(nodes: Nodes, on_fault: Callable[[FaultRequest], None]) -> list[Route]:
    """GET /service_bus, or /service_bus/counts; POST /service_bus/faults with a FaultRequest."""

    async def show(_: Request) -> Response:
        nodes.advance()
        return JSONResponse({node.path: _describe(node) for node in nodes if node.receivable})

    async def count(_: Request) -> Response:
        nodes.advance()
        return JSONResponse({node.path: _counts(node) for node in nodes if node.receivable})

    async def fault(request: Request) -> Response:
        try:
            on_fault(FaultRequest.model_validate_json(await request.body()))
        except ValidationError as error:
            return JSONResponse({"message": str(error)}, status_code=400)
        return Response(status_code=204)

    return [
        Route("/service_bus", show, methods=["GET"]),
        Route("/service_bus/counts", count, methods=["GET"]),
        Route("/service_bus/faults", fault, methods=["POST"]),
    ]


def _describe(node: Node) -> dict[str, Any]:
    messages = [_describe_message(stored) for stored in node.queue]
    return {**_counts(node), "messages": messages}


def _counts(node: Node) -> dict[str, int]:
    counts = node.queue.counts()
    dead = node.queue.dead_letters
    return {
        "active": counts[State.ACTIVE],
        "locked": counts[State.LOCKED],
        "scheduled": counts[State.SCHEDULED],
        "dead_lettered": sum(dead.counts().values()) if dead else 0,
    }


def _describe_message(stored: Stored) -> dict[str, Any]:
    message = stored.message
    properties = {str(key): _plain(v) for key, v in message.application_properties.items()}
    return {
        "state": stored.state.value,
        "message_id": _plain(message.message_id),
        "sequence_number": stored.sequence_number,
        "delivery_count": stored.delivery_count,
        "subject": message.subject,
        "application_properties": properties,
        "body": message.text(),
        "dead_letter_reason": properties.get(REASON),
        "dead_letter_description": properties.get(DESCRIPTION),
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, _PLAIN) else str(value)
