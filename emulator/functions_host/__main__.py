"""`python -m emulator.functions_host`: serve one function app on a loopback port."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from emulator.child_process import end_with_parent
from emulator.functions_host.admin import admin_routes
from emulator.functions_host.bindings import HostError
from emulator.functions_host.host_settings import HostSettings
from emulator.functions_host.http_routes import http_routes
from emulator.functions_host.keys import Keys
from emulator.functions_host.listeners import Listeners
from emulator.functions_host.log_lines import configure_logging
from emulator.functions_host.webhooks import webhook_routes
from emulator.functions_host.worker import Worker

log = logging.getLogger("Host")

#: seconds that functions are given to end when the host is stopped
_SECONDS_TO_DRAIN = 3.0


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


class _Server(uvicorn.Server):
    """uvicorn that ends in an orderly way on a signal, instead of raising it once more."""

    def __init__(self, config: uvicorn.Config, *, on_signal: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_signal = on_signal

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        yield

    def _stop(self, number: signal.Signals) -> None:
        # while requests are still answered, no new work is taken in
        self._on_signal()
        self.handle_exit(number, None)


async def _serve(app: Path, state: Path, port: int) -> None:
    settings = HostSettings.read(app)
    worker = await Worker.load(app, timeout=settings.function_timeout)
    keys = Keys.load(state)
    listeners = Listeners.of(worker, settings, state=state)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        listeners.start()
        yield
        listeners.stop()
        await listeners.drain(seconds=_SECONDS_TO_DRAIN)

    host = Starlette(
        routes=[
            Route("/", _welcome),
            *admin_routes(worker, keys, is_ready=lambda: listeners.are_ready),
            *webhook_routes(worker, keys),
            *http_routes(worker, keys, prefix=settings.route_prefix),
        ],
        lifespan=lifespan,
    )
    # Azure redirects nobody: a slash at the end makes no difference
    host.router.redirect_slashes = False
    for function in worker.functions.values():
        log.info("Found function %s (%s)", function.name, function.kind)
    await _Server(
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
        ),
        on_signal=listeners.stop,
    ).serve()


async def _welcome(_: Request) -> Response:
    return PlainTextResponse("Your function app is up and running")


if __name__ == "__main__":
    sys.exit(main())
