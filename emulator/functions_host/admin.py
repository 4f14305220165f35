"""The host's admin API, for the master key: state, the functions there are, run one now."""

import asyncio
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emulator.functions_host.bindings import Function
from emulator.functions_host.http_routes import key_of, not_found
from emulator.functions_host.keys import Keys
from emulator.functions_host.protos import RpcHttp, TypedData
from emulator.functions_host.service_bus_messages import metadata_of_text
from emulator.functions_host.timers import timer_data
from emulator.functions_host.worker import Worker

_REASON = "This function was programmatically called via the host APIs."


def admin_routes(worker: Worker, keys: Keys, *, is_ready: Callable[[], bool]) -> list[Route]:
    """Routes below /admin; all but the ping need the master key.

    The ping is answered with 503 until `is_ready`: HTTP is served, but not every trigger listens.
    """
    started: set[asyncio.Task[Any]] = set()

    async def ping(_: Request) -> Response:
        return Response(status_code=200 if is_ready() else 503)

    async def status(request: Request) -> Response:
        if not keys.opens("admin", key_of(request)):
            return Response(status_code=401)
        state = "Running" if is_ready() else "Starting"
        version = importlib.metadata.version("azure-functions-runtime")
        return JSONResponse({"state": state, "version": version, "errors": []})

    async def list_functions(request: Request) -> Response:
        if not keys.opens("admin", key_of(request)):
            return Response(status_code=401)
        return JSONResponse(
            [
                {"name": f.name, "config": {"bindings": [f.trigger]}}
                for f in worker.functions.values()
            ]
        )

    async def run(request: Request) -> Response:
        if not keys.opens("admin", key_of(request)):
            return Response(status_code=401)
        name = request.path_params["name"]
        function = worker.functions.get(name)
        if function is None:
            return not_found(
                f"there is no function {name!r}, only: {', '.join(sorted(worker.functions))}"
            )
        try:
            data, metadata = _input(function, await request.body())
        except ValueError as error:
            return PlainTextResponse(f'expected {{"input": ...}} as JSON: {error}', 400)
        task = asyncio.create_task(worker.invoke(function, data, metadata=metadata, reason=_REASON))
        # the loop holds tasks weakly
        started.add(task)
        task.add_done_callback(started.discard)
        return Response(status_code=202)

    return [
        Route("/admin/host/ping", ping, methods=["GET", "POST"]),
        Route("/admin/host/status", status, methods=["GET"]),
        Route("/admin/functions", list_functions, methods=["GET"]),
        Route("/admin/functions/{name}", run, methods=["POST"]),
    ]


def _input(function: Function, body: bytes) -> tuple[TypedData, Mapping[str, TypedData]]:
    """The trigger's data and metadata from the body `{"input": …}`; a timer needs none."""
    given = json.loads(body) if body.strip() else {}
    if not isinstance(given, dict):
        raise ValueError("the body is not an object")
    value = given.get("input", "")
    text = value if isinstance(value, str) else json.dumps(value)
    match function.kind:
        case "timerTrigger":
            return timer_data(status=None, past_due=False), {}
        case "httpTrigger":
            http = RpcHttp(
                method="POST",
                url=f"/admin/functions/{function.name}",
                headers={},
                params={},
                query={},
                body=TypedData(bytes=text.encode()),
            )
            return TypedData(http=http), {}
        case "serviceBusTrigger":
            return TypedData(string=text), metadata_of_text()
        case _:
            json.loads(text)
            return TypedData(json=text), {}
