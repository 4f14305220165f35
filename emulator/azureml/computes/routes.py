"""ARM routes of computes: create, update, get, list, delete, start, stop and restart."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.azureml.computes.errors import BadCompute
from emulator.azureml.computes.models import CLUSTER, INSTANCE, Compute, Progress
from emulator.azureml.computes.targets import Computes
from emulator.azureml.errors import NotFound
from emulator.azureml.resources import json_object, page, timestamp
from emulator.azureml.workspace import PROVIDER, Workspace

_SECONDS_BETWEEN_POLLS = "1"
_OPERATIONS = ("Start", "Stop", "Restart")


class ComputeRoutes:
    """Operations are long-running as ARM has them: an address tells how far they are."""

    def __init__(self, workspace: Workspace, computes: Computes) -> None:
        self._workspace = workspace
        self._computes = computes

    def routes(self) -> list[BaseRoute]:
        """Paths relative to the workspace."""
        return [
            Route("/computes/{name}", self.get, methods=["GET"]),
            Route("/computes/{name}", self.put, methods=["PUT"]),
            Route("/computes/{name}", self.delete, methods=["DELETE"]),
            Route("/computes", self.list, methods=["GET"]),
            Route("/computes/{name}/listNodes", self.nodes, methods=["POST"]),
            *(
                Route(f"/computes/{{name}}/{name.lower()}", self._power(name), methods=["POST"])
                for name in _OPERATIONS
            ),
        ]

    def status_route(self) -> BaseRoute:
        """Where operations are followed: beside the workspace, below the region."""
        return Route(f"{self._status_folder()}/{{operation}}", self.status, methods=["GET"])

    async def get(self, request: Request) -> JSONResponse:
        return JSONResponse(self._compute(request).resource(self._workspace))

    async def list(self, request: Request) -> JSONResponse:
        """All of them, or those of one `computeType`."""
        kind = request.query_params.get("computeType", "").lower()
        found = [c for c in self._computes.all() if kind in ("", c.type.lower())]
        return page(request, [compute.resource(self._workspace) for compute in found])

    async def put(self, request: Request) -> JSONResponse:
        """201 for a new compute, 200 for an update; both go on after the answer."""
        body = await json_object(request)
        compute, is_new, progress = self._computes.put(request.path_params["name"], body)
        return JSONResponse(
            compute.resource(self._workspace),
            status_code=201 if is_new else 200,
            headers=self._headers(request, progress),
        )

    async def delete(self, request: Request) -> Response:
        compute = self._compute(request)
        action = request.query_params.get("underlyingResourceAction", "Delete")
        if action == "Detach" and compute.type in (CLUSTER, INSTANCE):
            raise BadCompute(
                f"The compute '{compute.name}' was not attached, so it cannot be detached."
            )
        progress = compute.begin("Delete", self._workspace.compute_seconds)
        return Response(status_code=202, headers=self._headers(request, progress))

    async def nodes(self, request: Request) -> JSONResponse:
        self._compute(request)
        return JSONResponse({"nodes": []})

    async def status(self, request: Request) -> JSONResponse:
        """How far an operation is."""
        operation = request.path_params["operation"]
        progress = self._computes.progress(operation)
        if progress is None:
            raise NotFound(f"There is no operation {operation}.")
        answer: dict[str, Any] = {
            "id": request.url.path,
            "name": operation,
            "status": progress.status,
            "startTime": timestamp(progress.since),
        }
        if progress.error:
            answer["error"] = dict(progress.error)
        headers = {} if progress.status != "InProgress" else self._headers(request, progress)
        return JSONResponse(answer, headers=headers)

    def _power(self, operation: str) -> Any:
        async def change(request: Request) -> Response:
            compute = self._compute(request)
            if compute.type != INSTANCE:
                raise BadCompute(
                    f"{operation} is an operation of compute instances, and '{compute.name}' is "
                    f"of type {compute.type}."
                )
            progress = compute.begin(operation, self._workspace.compute_seconds)
            return Response(status_code=202, headers=self._headers(request, progress))

        return change

    def _headers(self, request: Request, progress: Progress) -> dict[str, str]:
        place = f"{self._status_folder()}/{progress.id}"
        address = str(request.url.replace(path=place, scheme="https"))
        return {"Azure-AsyncOperation": address, "Retry-After": _SECONDS_BETWEEN_POLLS}

    def _status_folder(self) -> str:
        workspace = self._workspace
        return (
            f"/subscriptions/{workspace.subscription}/providers/{PROVIDER}"
            f"/locations/{workspace.region}/computeOperationsStatus"
        )

    def _compute(self, request: Request) -> Compute:
        return self._computes.get(request.path_params["name"])
