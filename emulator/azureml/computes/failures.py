"""Operations on computes that fail on demand, such as for want of quota, or take their time.

A fault at the front door can refuse a request; this is for the operation that was accepted and
comes to nothing afterwards, as Azure finds out about quota and capacity.
"""

import threading

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route


class ComputeFailure(BaseModel):
    """The next `times` operations on the compute that fail, or that take until they are let go."""

    model_config = ConfigDict(extra="forbid")

    compute: str
    #: True: they do not fail, but go on until the failures are cleared.
    hold: bool = False
    #: "Create", "Update", "Start", "Stop", "Restart" or "Delete".
    operation: str = "Create"
    code: str = "ClusterCoreQuotaReached"
    message: str = "Operation results in exceeding quota limits of Core."
    times: int = Field(default=1, ge=1)
    met: int = 0


class ComputeFailures:
    """The armed failures, and routes for the control of the emulator."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[ComputeFailure] = []

    def meet(self, compute: str, operation: str) -> ComputeFailure | None:
        """The failure that the operation has to end with; it is used up."""
        with self._lock:
            for failure in self._armed:
                named = (failure.compute, failure.operation) == (compute, operation)
                if named and not failure.hold and failure.met < failure.times:
                    failure.met += 1
                    return failure
        return None

    def holds(self, compute: str, operation: str) -> bool:
        """Whether the operation goes on for now."""
        with self._lock:
            return any(
                failure.hold and (failure.compute, failure.operation) == (compute, operation)
                for failure in self._armed
            )

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/compute-failures", self._arm, methods=["POST"]),
            Route("/compute-failures", self._disarm, methods=["DELETE"]),
        ]

    async def _arm(self, request: Request) -> JSONResponse:
        try:
            failure = ComputeFailure.model_validate_json(await request.body())
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return JSONResponse({"problems": problems}, status_code=400)
        with self._lock:
            self._armed.append(failure)
        return JSONResponse(failure.model_dump(mode="json"), status_code=201)

    async def _disarm(self, _: Request) -> Response:
        with self._lock:
            self._armed.clear()
        return Response(status_code=204)
