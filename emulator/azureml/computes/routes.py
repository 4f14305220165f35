"""ARM routes of computes: get and list. Creating and deleting them is refused by name."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from emulator.azureml.computes.errors import ComputeNotFound
from emulator.azureml.computes.models import resource
from emulator.azureml.errors import NotImplementedHere
from emulator.azureml.resources import page
from emulator.azureml.workspace import Workspace


class ComputeRoutes:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def routes(self) -> list[BaseRoute]:
        """Paths relative to the workspace."""
        return [
            Route("/computes/{name}", self.get, methods=["GET"]),
            Route("/computes/{name}", self.change, methods=["PUT", "PATCH", "DELETE"]),
            Route("/computes", self.list, methods=["GET"]),
        ]

    async def get(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        if name not in self._workspace.clusters:
            raise ComputeNotFound(name, self._workspace)
        return JSONResponse(resource(name, self._workspace))

    async def list(self, request: Request) -> JSONResponse:
        return page(request, [resource(name, self._workspace) for name in self._workspace.clusters])

    async def change(self, _: Request) -> JSONResponse:
        raise NotImplementedHere("Creating, updating and deleting computes", plural=True)
