"""Microsoft's Python worker library, driven as the Functions host drives it."""

import asyncio
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime

from emulator.functions_host import protos
from emulator.functions_host.bindings import Function, HostError, is_disabled, read_function

log = logging.getLogger("Host")

_TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

# the library is not annotated
_worker_init_request: Callable[[Any], Awaitable[Any]] = runtime.worker_init_request
_functions_metadata_request: Callable[[Any], Awaitable[Any]] = runtime.functions_metadata_request
_invocation_request: Callable[[Any], Coroutine[Any, Any, Any]] = runtime.invocation_request


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an invocation ended; `value` is what the function returned."""

    succeeded: bool
    value: protos.TypedData | None = None
    #: type and message of what the function raised
    error: str = ""


class Worker:
    """The one function app of this process (the library holds it in module state)."""

    def __init__(self, functions: dict[str, Function], *, timeout: timedelta | None) -> None:
        self.functions = functions
        self._timeout = timeout.total_seconds() if timeout else None
        self._running: set[asyncio.Task[Any]] = set()

    @classmethod
    async def load(cls, app: Path, *, timeout: timedelta | None) -> "Worker":
        """Import the app's function_app.py and index its functions.

        Raises HostError when it cannot be imported, or holds what this host does not implement.
        """
        sys.path.insert(0, str(app))
        os.chdir(app)
        runtime.start_threadpool_executor()
        request = SimpleNamespace(
            request=SimpleNamespace(
                worker_init_request=SimpleNamespace(
                    capabilities={}, function_app_directory=str(app)
                )
            ),
            properties={"protos": protos, "host": "127.0.0.1"},
        )
        started: protos.WorkerInitResponse = await _worker_init_request(request)
        if started.result.status != protos.StatusResult.Success:
            # the worker library has logged the stack
            raise HostError(started.result.exception.message)
        indexed: protos.FunctionMetadataResponse = await _functions_metadata_request(
            SimpleNamespace(request=None)
        )
        if not indexed.function_metadata_results:
            raise HostError(f"no functions found in {app / 'function_app.py'}")
        functions = {
            metadata.name: read_function(metadata, os.environ)
            for metadata in indexed.function_metadata_results
            if not is_disabled(metadata.name, os.environ)
        }
        return cls(functions, timeout=timeout)

    async def invoke(
        self,
        function: Function,
        data: protos.TypedData,
        *,
        reason: str,
        metadata: Mapping[str, protos.TypedData] | None = None,
        attempt: int = 0,
        traceparent: str = "",
    ) -> Outcome:
        """Run a function; what it raises is logged and comes back as a failed outcome.

        Synchronous functions run in the worker's thread pool, asynchronous ones in this loop.
        """
        invocation_id = str(uuid.uuid4())
        fields = {"function": function.name, "invocation": invocation_id}
        log.info("Executing 'Functions.%s' (%s)", function.name, reason, extra=fields)
        began = time.monotonic()
        running = asyncio.create_task(
            _invocation_request(
                _invocation(function, invocation_id, data, metadata or {}, attempt, traceparent)
            )
        )
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait([running], timeout=self._timeout)
        fields_after: dict[str, Any] = {**fields, "ms": round((time.monotonic() - began) * 1000)}
        if not done:
            # Azure ends the worker process here. A thread cannot be ended, so this host only
            # stops waiting for it.
            running.cancel()
            error = f"Timeout value of {self._timeout:g} s was exceeded by {function.name}"
            log.error(error, extra=fields_after)
            return Outcome(succeeded=False, error=error)
        response: protos.InvocationResponse = running.result()
        if response.result.status == protos.StatusResult.Success:
            log.info("Executed 'Functions.%s' (Succeeded)", function.name, extra=fields_after)
            return Outcome(succeeded=True, value=response.return_value)
        failure = response.result.exception
        log.error(
            "Executed 'Functions.%s' (Failed): %s",
            function.name,
            failure.message,
            extra={**fields_after, "stack": failure.stack_trace},
        )
        return Outcome(succeeded=False, error=failure.message)

    async def drain(self, *, seconds: float) -> None:
        """Wait until nothing runs any more, at most so long."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)


def _invocation(
    function: Function,
    invocation_id: str,
    data: protos.TypedData,
    metadata: Mapping[str, protos.TypedData],
    attempt: int,
    traceparent: str,
) -> SimpleNamespace:
    # ASP.NET Core, which the host is, goes on with the trace of a request
    said = _TRACEPARENT.fullmatch(traceparent)
    trace = said["trace"] if said else uuid.uuid4().hex
    retry = function.retry
    return SimpleNamespace(
        request=SimpleNamespace(
            invocation_request=SimpleNamespace(
                invocation_id=invocation_id,
                function_id=function.id,
                input_data=[protos.ParameterBinding(name=function.parameter, data=data)],
                trigger_metadata=dict(metadata),
                trace_context=SimpleNamespace(
                    trace_parent=f"00-{trace}-{uuid.uuid4().hex[:16]}-01",
                    trace_state="",
                    attributes={},
                ),
                retry_context=SimpleNamespace(
                    retry_count=attempt,
                    max_retry_count=retry.max_retry_count if retry else 0,
                    exception=None,
                ),
            )
        )
    )
