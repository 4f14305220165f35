"""ARM routes of schedules: create, update, get, list, delete, trigger once."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.azureml.errors import NotFound
from emulator.azureml.jobs.creation import Creation
from emulator.azureml.jobs.models import JobStore
from emulator.azureml.resources import json_object, page, timestamp
from emulator.azureml.schedules.clock import Clock
from emulator.azureml.schedules.definitions import checked, job_of
from emulator.azureml.schedules.errors import BadSchedule, ScheduleDisabled, ScheduleNotFound
from emulator.azureml.schedules.models import Operation, Schedule, ScheduleStore
from emulator.azureml.workspace import PROVIDER, Workspace

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_SECONDS_BETWEEN_POLLS = "1"


class ScheduleRoutes:
    """Changes are long-running operations as ARM has them: an address tells how far they are."""

    def __init__(
        self,
        workspace: Workspace,
        schedules: ScheduleStore,
        jobs: JobStore,
        creation: Creation,
        clock: Clock,
    ) -> None:
        self._workspace = workspace
        self._schedules = schedules
        self._jobs = jobs
        self._creation = creation
        self._clock = clock
        self._operations: dict[str, Operation] = {}

    def routes(self) -> list[BaseRoute]:
        """Paths relative to the workspace."""
        return [
            Route("/schedules", self.list, methods=["GET"]),
            Route("/schedules/{name}", self.get, methods=["GET"]),
            Route("/schedules/{name}", self.put, methods=["PUT"]),
            Route("/schedules/{name}", self.delete, methods=["DELETE"]),
            Route("/schedules/{name}/trigger", self.trigger, methods=["POST"]),
        ]

    def status_routes(self) -> list[BaseRoute]:
        """Where operations are followed: beside the workspace, below the region."""
        return [
            Route(f"{self._folder('Status')}/{{operation}}", self.status, methods=["GET"]),
            Route(f"{self._folder('Results')}/{{operation}}", self.result, methods=["GET"]),
        ]

    async def get(self, request: Request) -> JSONResponse:
        return JSONResponse(self._schedule(request).resource(self._workspace))

    async def list(self, request: Request) -> JSONResponse:
        """Newest first, in pages; by `listViewType`."""
        view = request.query_params.get("listViewType", "EnabledOnly")
        found = [
            each.resource(self._workspace)
            for each in self._schedules.newest_first()
            if not each.is_gone and (view == "All" or each.is_enabled == (view == "EnabledOnly"))
        ]
        return page(request, found)

    async def put(self, request: Request) -> JSONResponse:
        """201 for a new schedule, 200 for an update; both go on after the answer."""
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            raise BadSchedule(
                f"The schedule name '{name}' is not valid. It must have 1 to 255 characters, which "
                "can be letters, digits, underscores and hyphens."
            )
        properties = checked(await json_object(request), name)
        job = job_of(properties, self._submitted)
        self._creation.check(name, job)
        found, at = self._find(name), self._clock.now()
        if found is None:
            found = Schedule(name, properties, at)
            operation = found.begin("Creating", self._workspace.schedule_seconds)
            self._schedules.add(found)
        else:
            # The job comes back from a GET as it was put; only that one may be put again.
            operation = found.begin("Updating", self._workspace.schedule_seconds)
            found.update(properties, at)
        found.job = job
        self._operations[operation.id] = operation
        is_new = operation.state == "Creating"
        self._clock.fire()
        return JSONResponse(
            found.resource(self._workspace),
            status_code=201 if is_new else 200,
            headers=self._headers(request, operation, "Azure-AsyncOperation", "Status"),
        )

    async def delete(self, request: Request) -> Response:
        """202 and where to look; 204 when there is nothing."""
        found = self._find(request.path_params["name"])
        if found is None:
            return Response(status_code=204)
        found.require_disabled()
        operation = found.begin("Deleting", self._workspace.schedule_seconds)
        self._operations[operation.id] = operation
        headers = self._headers(request, operation, "Location", "Results")
        return Response(status_code=202, headers=headers)

    async def trigger(self, request: Request) -> JSONResponse:
        """One job more, now, whatever the schedule's times are."""
        found = self._schedule(request)
        body = await json_object(request)
        if not found.is_enabled:
            raise ScheduleDisabled(found.name)
        job = self._clock.start(found, _instant(body, self._clock.now()))
        return JSONResponse({"submissionId": job.name, "scheduleActionType": "CreateJob"})

    async def status(self, request: Request) -> JSONResponse:
        """How far an operation is."""
        operation = self._operation(request)
        answer = {
            "id": request.url.path,
            "name": operation.id,
            "status": "Succeeded" if operation.is_over else "InProgress",
            "startTime": timestamp(operation.since),
        }
        return JSONResponse(answer, headers={"Retry-After": _SECONDS_BETWEEN_POLLS})

    async def result(self, request: Request) -> Response:
        operation = self._operation(request)
        if operation.is_over:
            return Response(status_code=200)
        headers = self._headers(request, operation, "Location", "Results")
        return Response(status_code=202, headers=headers)

    def _operation(self, request: Request) -> Operation:
        operation = self._operations.get(request.path_params["operation"])
        if operation is None:
            raise NotFound(f"There is no operation {request.path_params['operation']}.")
        return operation

    def _find(self, name: str) -> Schedule | None:
        found = self._schedules.find(name)
        return None if found is None or found.is_gone else found

    def _schedule(self, request: Request) -> Schedule:
        name = request.path_params["name"]
        found = self._find(name)
        if found is None:
            raise ScheduleNotFound(name)
        return found

    def _submitted(self, job: str) -> Mapping[str, Any]:
        return self._jobs.get(job).body

    def _headers(
        self, request: Request, operation: Operation, header: str, kind: str
    ) -> dict[str, str]:
        place = f"{self._folder(kind)}/{operation.id}"
        address = str(request.url.replace(path=place, scheme="https"))
        return {header: address, "Retry-After": _SECONDS_BETWEEN_POLLS}

    def _folder(self, kind: str) -> str:
        workspace = self._workspace
        return (
            f"/subscriptions/{workspace.subscription}/providers/{PROVIDER}"
            f"/locations/{workspace.region}/mfeOperations{kind}"
        )


def _instant(body: Mapping[str, Any], default: datetime) -> datetime:
    text = body.get("scheduleTime")
    if text is None:
        return default
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError as error:
        raise BadSchedule(f"scheduleTime is {text!r}: {error}.") from None
