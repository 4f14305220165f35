"""`python -m emulator.functions_host`: serve one function app on a loopback port."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from emulator.child_process import end_with_parent
from emulator.functions_host.admin import admin_routes
from emulator.functions_host.bindings import HostError
from emulator.functions_host.http_routes import http_routes
from emulator.functions_host.keys import Keys
from emulator.functions_host.log_lines import configure_logging
from emulator.functions_host.timers import Timer
from emulator.functions_host.webhooks import webhook_routes
from emulator.functions_host.worker import Worker

log = logging.getLogger("Host")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--app", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    configure_logging()
    # `python -m` put the folder it was started in first, which is not the app's
    sys.path.pop(0)
    try:
        asyncio.run(_serve(arguments.app, arguments.state, arguments.port))
    except HostError as error:
        log.error("The app cannot be served: %s", error)
        code = 1
    else:
        code = 0
    logging.shutdown()
    sys.stdout.flush()
    # threads of functions that still run would keep the process; Azure does not wait for them
    os._exit(code)


async def _serve(app: Path, state: Path, port: int) -> None:
    settings = _host_settings(app)
    worker = await Worker.load(app, timeout=_timeout(settings))
    keys = Keys.load(state)
    timers = [
        Timer(worker, function, folder=state / "timers")
        for function in worker.functions.values()
        if function.kind == "timerTrigger"
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = [asyncio.create_task(timer.run()) for timer in timers]
        yield
        for task in running:
            task.cancel()

    prefix = settings.get("extensions", {}).get("http", {}).get("routePrefix", "api")
    host = Starlette(
        routes=[
            Route("/", _welcome),
            *admin_routes(worker, keys),
            *webhook_routes(worker, keys),
            *http_routes(worker, keys, prefix=prefix),
        ],
        lifespan=lifespan,
    )
    for function in worker.functions.values():
        log.info("Found function %s (%s)", function.name, function.kind)
    await uvicorn.Server(
        uvicorn.Config(
            host,
            host="127.0.0.1",
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=4,
            # calls through the front door arrive as https at the app's own host name
            proxy_headers=True,
            forwarded_allow_ips="127.0.0.1",
        )
    ).serve()
    await worker.drain(seconds=3)


async def _welcome(_: Request) -> Response:
    return PlainTextResponse("Your function app is up and running")


def _host_settings(app: Path) -> dict[str, Any]:
    file = app / "host.json"
    if not file.exists():
        raise HostError(f"{app} is no function app: it has no host.json")
    settings = json.loads(file.read_text())
    if not isinstance(settings, dict) or settings.get("version") != "2.0":
        raise HostError(f'{file}: "version" must be "2.0"')
    return settings


def _timeout(settings: dict[str, Any]) -> timedelta | None:
    """host.json's functionTimeout; None is without limit. Azure's default is half an hour."""
    text = str(settings.get("functionTimeout", "00:30:00"))
    if text == "-1":
        return None
    try:
        hours, minutes, seconds = (int(part) for part in text.split(":"))
    except ValueError:
        raise HostError(f"host.json: functionTimeout {text!r} is not hh:mm:ss or -1") from None
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


if __name__ == "__main__":
    sys.exit(main())
