"""ARM routes of jobs."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.azureml.errors import UserError
from emulator.azureml.execution.executor import Executor
from emulator.azureml.jobs.creation import Creation
from emulator.azureml.jobs.errors import BadJobName, JobNotFound
from emulator.azureml.jobs.models import Job, JobStore
from emulator.azureml.resources import json_object, page
from emulator.azureml.runhistory.models import RunStore
from emulator.azureml.runhistory.states import Status
from emulator.azureml.workspace import PROVIDER, Workspace

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_SECONDS_BETWEEN_POLLS = "1"


class JobRoutes:
    """Create or update, get, list and cancel."""

    def __init__(
        self,
        workspace: Workspace,
        jobs: JobStore,
        runs: RunStore,
        creation: Creation,
        executor: Executor,
    ) -> None:
        self._workspace = workspace
        self._jobs = jobs
        self._runs = runs
        self._creation = creation
        self._executor = executor

    def routes(self) -> list[BaseRoute]:
        """Paths relative to the workspace."""
        return [
            Route("/jobs", self.list, methods=["GET"]),
            Route("/jobs/{name}", self.put, methods=["PUT"]),
            Route("/jobs/{name}", self.get, methods=["GET"]),
            Route("/jobs/{name}/cancel", self.cancel, methods=["POST"]),
            Route("/mfeOperationResults/cancel:{name}", self.cancel_result, methods=["GET"]),
        ]

    async def put(self, request: Request) -> JSONResponse:
        """201 for a new job, 200 for an update of what describes an existing one."""
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            raise BadJobName(name)
        body = (await json_object(request)).get("properties")
        if not isinstance(body, Mapping):
            raise UserError(f"The job '{name}' has no properties.")
        existing = self._jobs.find(name)
        if existing:
            existing.update(body)
            return JSONResponse(existing.resource(self._workspace))
        job = self._creation.create(name, body)
        answer = JSONResponse(job.resource(self._workspace), status_code=201)
        self._creation.begin(job)
        return answer

    async def get(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        job = self._jobs.find(name)
        if job:
            return JSONResponse(job.resource(self._workspace))
        if self._runs.find(name):
            # a child: the service names it and leaves the rest to run history
            return JSONResponse(
                {
                    "id": self._workspace.child("jobs", name),
                    "name": name,
                    "type": f"{PROVIDER}/workspaces/jobs",
                    "properties": None,
                }
            )
        raise JobNotFound(name)

    async def list(self, request: Request) -> JSONResponse:
        """Newest first, in pages; by `jobType`, `tag` (key or key=value), `properties`, and the
        schedule that started them (`scheduleId`, `scheduled`)."""
        query = request.query_params
        found = [job for job in self._jobs.newest_first() if _is_wanted(job, query)]
        return page(request, [job.resource(self._workspace) for job in found])

    async def cancel(self, request: Request) -> Response:
        """202 and where to look; 200 for a job that has ended already."""
        job = self._jobs.get(request.path_params["name"])
        if job.run.status.is_final:
            return Response(status_code=200)
        if not self._workspace.executes:
            job.run.move(Status.CANCELED)
        self._executor.cancel(job.name)
        place = f"{self._workspace.arm_id}/mfeOperationResults/cancel:{job.name}"
        location = str(request.url.replace(path=place))
        headers = {"Location": location, "Retry-After": _SECONDS_BETWEEN_POLLS}
        return Response(status_code=202, headers=headers)

    async def cancel_result(self, request: Request) -> Response:
        job = self._jobs.get(request.path_params["name"])
        if job.run.status.is_final:
            return Response(status_code=200)
        headers = {"Location": str(request.url), "Retry-After": _SECONDS_BETWEEN_POLLS}
        return Response(status_code=202, headers=headers)


def _is_wanted(job: Job, query: Mapping[str, str]) -> bool:
    view = query.get("listViewType", "ActiveOnly")
    if view != "All" and job.run.hidden != (view == "ArchivedOnly"):
        return False
    if (kind := query.get("jobType")) and kind.lower() != str(job.body.get("jobType")).lower():
        return False
    if (wanted := query.get("scheduled")) and (wanted == "true") != (job.schedule is not None):
        return False
    if (schedule := query.get("scheduleId")) and schedule != job.schedule:
        return False
    return _matches(job.run.tags, query.get("tag")) and _matches(
        job.run.properties, query.get("properties")
    )


def _matches(values: Mapping[str, Any], wanted: str | None) -> bool:
    """Whether `values` has each comma-separated `key` or `key=value` of the filter."""
    for term in (wanted or "").split(","):
        key, equals, value = term.strip().partition("=")
        if key and (key not in values or (equals and str(values[key]) != value)):
            return False
    return True
