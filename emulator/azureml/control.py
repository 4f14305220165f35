"""What the control of the emulator can see and do in the workspace, beside Azure's own ways."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from emulator.azureml.computes.failures import ComputeFailures
from emulator.azureml.errors import ServiceError
from emulator.azureml.jobs.endings import Endings
from emulator.azureml.roles import Roles
from emulator.azureml.schedules.clock import ClockControl


class WorkspaceControl:
    """`GET /graphs/{job}` shows a job as one flat graph, `GET /jobs` all jobs at once;
    `/compute-failures` lets computes fail, `/roles` takes roles away, `/endings` says how jobs end
    that are not executed, `/schedules/clock` lets schedules fire."""

    def __init__(self) -> None:
        self.roles = Roles()
        self.compute_failures = ComputeFailures()
        self.endings = Endings()
        self.clock = ClockControl()
        #: Set by the workspace: the graph of the job of that name. Raises ServiceError.
        self.graph: Callable[[str], dict[str, Any]] | None = None
        #: Set by the workspace: every job in short.
        self.jobs: Callable[[], list[dict[str, Any]]] = list

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/graphs/{job}", self._show_graph, methods=["GET"]),
            Route("/jobs", self._show_jobs, methods=["GET"]),
            *self.compute_failures.routes(),
            *self.roles.routes(),
            *self.endings.routes(),
            *self.clock.routes(),
        ]

    async def _show_graph(self, request: Request) -> JSONResponse:
        assert self.graph, "the workspace is created before anybody asks"
        try:
            return JSONResponse(self.graph(request.path_params["job"]))
        except ServiceError as error:
            return JSONResponse({"problem": error.message}, status_code=error.status)

    async def _show_jobs(self, _: Request) -> JSONResponse:
        return JSONResponse(self.jobs())
