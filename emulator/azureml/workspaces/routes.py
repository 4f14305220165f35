"""ARM routes of the workspace and its datastores, and the discovery document."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from emulator.azureml.resources import page
from emulator.azureml.storage import Storage
from emulator.azureml.workspace import Workspace
from emulator.azureml.workspaces.errors import DatastoreNotFound
from emulator.azureml.workspaces.models import datastore_resource, discovery, workspace_resource


class WorkspaceRoutes:
    def __init__(self, workspace: Workspace, storage: Storage) -> None:
        self._workspace = workspace
        self._storage = storage

    def routes(self) -> list[BaseRoute]:
        """Paths relative to the workspace."""
        return [
            Route("/", self.get, methods=["GET"]),
            Route("/datastores", self.list_datastores, methods=["GET"]),
            Route("/datastores/{name}", self.get_datastore, methods=["GET"]),
            Route("/datastores/{name}/listSecrets", self.list_secrets, methods=["POST"]),
        ]

    async def get(self, _: Request) -> JSONResponse:
        return JSONResponse(workspace_resource(self._workspace))

    async def discover(self, _: Request) -> JSONResponse:
        """Served on the API host, without a token, as Azure does."""
        return JSONResponse(discovery(self._workspace))

    async def get_datastore(self, request: Request) -> JSONResponse:
        return JSONResponse(datastore_resource(self._workspace, self._datastore(request)))

    async def list_datastores(self, request: Request) -> JSONResponse:
        query = request.query_params
        names = list(self._workspace.datastores)
        if query.get("isDefault", "").lower() == "true":
            names = ["workspaceblobstore"]
        if wanted := query.get("names"):
            names = [name for name in names if name in wanted.split(",")]
        return page(request, [datastore_resource(self._workspace, name) for name in names])

    async def list_secrets(self, request: Request) -> JSONResponse:
        """A SAS instead of the account key: enough for what a client does in a datastore."""
        datastore = self._workspace.datastores[self._datastore(request)]
        token = self._storage.container_sas(datastore.account, datastore.container)
        return JSONResponse({"secretsType": "Sas", "sasToken": token})

    def _datastore(self, request: Request) -> str:
        name: str = request.path_params["name"]
        if name not in self._workspace.datastores:
            raise DatastoreNotFound(name, self._workspace)
        return name
