"""Routes of the API host: run history, and where the data of runs lies."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from emulator.azureml.errors import UserError
from emulator.azureml.resources import json_object, page
from emulator.azureml.runhistory.models import Run, RunStore
from emulator.azureml.storage import Storage
from emulator.azureml.workspace import Workspace


class RunHistoryRoutes:
    """What child jobs, streaming and downloads ask for."""

    def __init__(self, workspace: Workspace, runs: RunStore, storage: Storage) -> None:
        self._workspace = workspace
        self._runs = runs
        self._storage = storage

    def routes(self) -> list[BaseRoute]:
        """Paths below `/history/v1.0/…/workspaces/{name}`."""
        experiment = "/experiments/{experiment}/runs/{name}"
        return [
            Route("/runs/{name}", self.get, methods=["GET"]),
            Route("/runs/{name}", self.change, methods=["PATCH"]),
            Route(experiment, self.get, methods=["GET"]),
            Route(experiment, self.change, methods=["PATCH"]),
            Route("/runs/{name}/details", self.details, methods=["GET"]),
            Route(experiment + "/details", self.details, methods=["GET"]),
            Route("/runs/{name}/children", self.children, methods=["GET"]),
            Route("/runs/{name}/serviceinstances/{node}", self.services, methods=["GET"]),
            Route("/rundata", self.data, methods=["POST"]),
        ]

    def data_routes(self) -> list[BaseRoute]:
        """Paths below `/data/v1.0/…/workspaces/{name}`."""
        return [Route("/dataversion/batchGetResolvedUris", self.data_uris, methods=["POST"])]

    def model_routes(self) -> list[BaseRoute]:
        """Paths below `/modelregistry/v1.0/…/workspaces/{name}`."""
        return [Route("/models/batchGetResolvedUris", self.model_uris, methods=["POST"])]

    async def get(self, request: Request) -> JSONResponse:
        return JSONResponse(self._document(self._run(request)))

    async def change(self, request: Request) -> JSONResponse:
        """What the SDK's archive, restore and update of jobs come down to."""
        run = self._run(request)
        run.describe(await json_object(request))
        return JSONResponse(self._document(run))

    async def details(self, request: Request) -> JSONResponse:
        run = self._run(request)
        files = {name: self._storage.readable_url(place) for name, place in run.logs.items()}
        return JSONResponse({**self._document(run), "logFiles": files})

    async def children(self, request: Request) -> JSONResponse:
        run = self._run(request)
        return page(request, [self._document(child) for child in self._runs.children(run.name)])

    async def services(self, request: Request) -> JSONResponse:
        self._run(request)
        return JSONResponse({"instances": {}})

    async def data(self, request: Request) -> JSONResponse:
        name = (await json_object(request)).get("runId")
        if not isinstance(name, str):
            raise UserError("The request has no runId.")
        return JSONResponse({"runMetadata": self._document(self._runs.get(name))})

    async def data_uris(self, request: Request) -> JSONResponse:
        return JSONResponse({"values": await self._resolved(request, "uri")})

    async def model_uris(self, request: Request) -> JSONResponse:
        return JSONResponse({"values": await self._resolved(request, "path")})

    async def _resolved(self, request: Request, key: str) -> dict[str, Any]:
        """Addresses by asset id; an id that is not known is left out, as the service does."""
        wanted = (await json_object(request)).get("values") or []
        found = {text: self._runs.asset(text) for text in wanted}
        return {
            text: {key: asset.uri, "type": asset.type} for text, asset in found.items() if asset
        }

    def _run(self, request: Request) -> Run:
        return self._runs.get(request.path_params["name"])

    def _document(self, run: Run) -> dict[str, Any]:
        return run.document(self._runs.root(run), self._workspace.region)
