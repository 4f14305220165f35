"""ARM routes of versioned assets."""

import uuid
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from emulator.azureml.assets.errors import AssetNotFound
from emulator.azureml.assets.models import FIXED, AssetStore, AssetVersion, next_version
from emulator.azureml.assets.registration import Registrar
from emulator.azureml.resources import json_object, page
from emulator.azureml.storage import Storage
from emulator.azureml.workspace import PROVIDER, Workspace


class AssetRoutes:
    """Containers and versions of every kind of asset, and the upload of code."""

    def __init__(
        self, workspace: Workspace, store: AssetStore, registrar: Registrar, storage: Storage
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._registrar = registrar
        self._storage = storage

    def routes(self) -> list[BaseRoute]:
        """Paths relative to the workspace."""
        found: list[BaseRoute] = [
            Route(
                "/codes/{name}/versions/{version}/startPendingUpload",
                self.start_upload,
                methods=["POST"],
            )
        ]
        for kind in FIXED:
            version = f"/{kind}/{{name}}/versions/{{version}}"
            found += [
                Route(version, self._put_of(kind), methods=["PUT"]),
                Route(version, self._get_of(kind), methods=["GET"]),
                Route(f"/{kind}/{{name}}/versions", self._versions_of(kind), methods=["GET"]),
                Route(f"/{kind}/{{name}}", self._container_of(kind), methods=["GET"]),
                Route(f"/{kind}/{{name}}", self._put_container_of(kind), methods=["PUT"]),
                Route(f"/{kind}", self._containers_of(kind), methods=["GET"]),
            ]
        return found

    async def start_upload(self, _: Request) -> JSONResponse:
        """A container of its own for the upload of one code version."""
        account = self._workspace.storage_account
        container = f"code-{uuid.uuid4().hex}"
        address = await run_in_threadpool(self._storage.new_container, account, container)
        return JSONResponse(
            {
                "blobReferenceForConsumption": {
                    "blobUri": address.partition("?")[0],
                    "storageAccountArmId": (
                        self._workspace.arm_id.partition("/providers/")[0]
                        + f"/providers/Microsoft.Storage/storageAccounts/{account}"
                    ),
                    "credential": {"credentialType": "SAS", "sasUri": address},
                },
                "pendingUploadId": uuid.uuid4().hex,
                "pendingUploadType": "TemporaryBlobReference",
            }
        )

    def _put_of(self, kind: str) -> Any:
        async def put(request: Request) -> JSONResponse:
            body = await json_object(request)
            asset, created = self._registrar.register(
                kind, *_name_and_version(request), body.get("properties") or {}
            )
            return JSONResponse(
                asset.resource(self._workspace), status_code=201 if created else 200
            )

        return put

    def _get_of(self, kind: str) -> Any:
        async def get(request: Request) -> JSONResponse:
            asset = self._store.get(kind, *_name_and_version(request))
            return JSONResponse(asset.resource(self._workspace))

        return get

    def _versions_of(self, kind: str) -> Any:
        async def versions(request: Request) -> JSONResponse:
            name, content_hash = request.path_params["name"], request.query_params.get("hash")
            if content_hash is None:
                found = self._store.versions(kind, name)
                if not found:
                    raise AssetNotFound(kind, name)
            else:
                # the SDK makes up a name for each upload and asks for the content under any name
                found = self._store.by_hash(kind, content_hash)
            wanted = [asset for asset in found if _is_wanted(request, asset)]
            return page(request, [asset.resource(self._workspace) for asset in wanted])

        return versions

    def _container_of(self, kind: str) -> Any:
        async def container(request: Request) -> JSONResponse:
            name = request.path_params["name"]
            if not self._store.versions(kind, name):
                raise AssetNotFound(kind, name)
            return JSONResponse(self._container(kind, name))

        return container

    def _put_container_of(self, kind: str) -> Any:
        async def put(request: Request) -> JSONResponse:
            name = request.path_params["name"]
            body = await json_object(request)
            self._store.describe(kind, name, body.get("properties") or {})
            return JSONResponse(self._container(kind, name))

        return put

    def _containers_of(self, kind: str) -> Any:
        async def containers(request: Request) -> JSONResponse:
            found = [self._container(kind, name) for name in self._store.names(kind)]
            wanted = [c for c in found if _is_in_view(request, c["properties"])]
            return page(request, wanted)

        return containers

    def _container(self, kind: str, name: str) -> dict[str, Any]:
        versions = self._store.versions(kind, name)
        oldest, described = versions[-1], self._store.description(kind, name)
        return {
            "id": self._workspace.child(kind, name),
            "name": name,
            "type": f"{PROVIDER}/workspaces/{kind}",
            "properties": {
                "latestVersion": versions[0].version,
                "nextVersion": next_version(versions),
                "isArchived": bool(described.get("isArchived")),
                "description": described.get("description"),
                "tags": described.get("tags") or {},
                "properties": described.get("properties") or {},
            },
            "systemData": oldest.resource(self._workspace)["systemData"],
        }


def _name_and_version(request: Request) -> tuple[str, str]:
    return request.path_params["name"], request.path_params["version"]


def _is_wanted(request: Request, asset: AssetVersion) -> bool:
    return _is_in_view(request, asset.properties)


def _is_in_view(request: Request, properties: Mapping[str, Any]) -> bool:
    view = request.query_params.get("listViewType", "ActiveOnly")
    return view == "All" or bool(properties["isArchived"]) == (view == "ArchivedOnly")
