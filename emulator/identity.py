"""The App Service identity endpoint: how a process on Azure gets its managed identity's tokens.

Protocol: https://learn.microsoft.com/azure/app-service/overview-managed-identity
(REST endpoint reference, api-version 2019-08-01).
"""

import secrets
import time
import uuid

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from emulator.topology import Topology

PATH = "/msi/token"
API_VERSION = "2019-08-01"
_LIFETIME = 24 * 3600


class Identity:
    """Issues the tokens of the topology's one managed identity."""

    def __init__(self, topology: Topology, *, header: str) -> None:
        self._topology = topology
        self._header = header
        # nobody verifies the signature, so any key that lives as long as the process will do
        self._signing_key = secrets.token_bytes(32)

    def token(self, resource: str) -> tuple[str, int]:
        """A bearer token for `resource` and when it expires (epoch seconds)."""
        now = int(time.time())
        expires_on = now + _LIFETIME
        claims = {
            "aud": resource.rstrip("/"),
            "iss": f"https://sts.windows.net/{self._topology.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": expires_on,
            "appid": self._topology.client_id,
            "oid": self._topology.object_id,
            "sub": self._topology.object_id,
            "tid": self._topology.tenant_id,
            "idtyp": "app",
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._signing_key, algorithm="HS256"), expires_on

    def routes(self) -> list[Route]:
        return [Route(PATH, self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> JSONResponse:
        given = request.headers.get("X-IDENTITY-HEADER", "")
        if not secrets.compare_digest(given.encode(), self._header.encode()):
            return _error(401, "the X-IDENTITY-HEADER is not the value of IDENTITY_HEADER")
        query = request.query_params
        if query.get("api-version") != API_VERSION:
            return _error(
                400, f"api-version {query.get('api-version')!r} is not served, only {API_VERSION}"
            )
        resource = query.get("resource", "")
        if not resource:
            return _error(400, "the query parameter 'resource' is missing")
        client_id = query.get("client_id", self._topology.client_id)
        if client_id != self._topology.client_id:
            return _error(
                400,
                f"no user-assigned managed identity has client id {client_id!r}; "
                f"AZURE_CLIENT_ID should be {self._topology.client_id}",
            )
        token, expires_on = self.token(resource)
        return JSONResponse(
            {
                "access_token": token,
                "client_id": self._topology.client_id,
                "expires_on": str(expires_on),
                "not_before": str(expires_on - _LIFETIME),
                "resource": resource,
                "token_type": "Bearer",
            }
        )


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"statusCode": status, "message": message}, status_code=status)
