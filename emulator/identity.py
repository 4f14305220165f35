"""Who may sign in: the managed identity by App Service's endpoint, a service principal by Entra ID.

Protocols: https://learn.microsoft.com/azure/app-service/overview-managed-identity
(REST endpoint reference, api-version 2019-08-01) and
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow.
"""

import secrets
import time
import uuid
from collections import deque
from collections.abc import Mapping
from urllib.parse import parse_qsl

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from emulator.topology import LOGIN_HOST, ServicePrincipal, Topology

PATH = "/msi/token"
API_VERSION = "2019-08-01"
_LIFETIME = 24 * 3600
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Sign-ins that are remembered for whoever asks how a client signed in.
_REMEMBERED = 1_000


class Identity:
    """Issues the tokens of the topology's managed identity and of its service principal."""

    def __init__(self, topology: Topology, *, header: str) -> None:
        self._topology = topology
        self._header = header
        # nobody verifies the signature, so any key that lives as long as the process will do
        self._signing_key = secrets.token_bytes(32)
        self._sign_ins: deque[dict[str, str]] = deque(maxlen=_REMEMBERED)

    def token(self, resource: str, principal: ServicePrincipal | None = None) -> tuple[str, int]:
        """A bearer token for `resource` and when it expires (epoch seconds)."""
        who = principal or self._topology
        now = int(time.time())
        expires_on = now + _LIFETIME
        claims = {
            "aud": resource.rstrip("/"),
            "iss": f"https://sts.windows.net/{self._topology.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": expires_on,
            "appid": who.client_id,
            "oid": who.object_id,
            "sub": who.object_id,
            "tid": self._topology.tenant_id,
            "idtyp": "app",
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._signing_key, algorithm="HS256"), expires_on

    def routes(self) -> list[BaseRoute]:
        """On plain http: the managed identity's endpoint, and how clients signed in so far."""
        return [
            Route(PATH, self._answer, methods=["GET"]),
            Route("/sign-ins", self._show_sign_ins, methods=["GET"]),
        ]

    def login_routes(self) -> list[BaseRoute]:
        """Of Entra ID, at its own host name."""
        return [
            Route("/common/discovery/instance", self._discover, methods=["GET"]),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._configure),
            Route("/{tenant}/oauth2/v2.0/token", self._sign_in, methods=["POST"]),
        ]

    async def _show_sign_ins(self, _: Request) -> JSONResponse:
        return JSONResponse(list(self._sign_ins))

    async def _discover(self, _: Request) -> JSONResponse:
        endpoint = f"https://{LOGIN_HOST}/{self._topology.tenant_id}"
        return JSONResponse(
            {
                "tenant_discovery_endpoint": f"{endpoint}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [
                    {
                        "preferred_network": LOGIN_HOST,
                        "preferred_cache": "login.windows.net",
                        "aliases": [LOGIN_HOST, "login.windows.net"],
                    }
                ],
            }
        )

    async def _configure(self, request: Request) -> JSONResponse:
        tenant = request.path_params["tenant"]
        if tenant != self._topology.tenant_id:
            return self._no_tenant(tenant)
        endpoint = f"https://{LOGIN_HOST}/{tenant}"
        return JSONResponse(
            {
                "token_endpoint": f"{endpoint}/oauth2/v2.0/token",
                "authorization_endpoint": f"{endpoint}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{endpoint}/oauth2/v2.0/devicecode",
                "issuer": f"{endpoint}/v2.0",
            }
        )

    async def _sign_in(self, request: Request) -> JSONResponse:
        tenant = request.path_params["tenant"]
        if tenant != self._topology.tenant_id:
            return self._no_tenant(tenant)
        given = dict(parse_qsl((await request.body()).decode(errors="replace")))
        if given.get("grant_type") != "client_credentials":
            return _refused(
                400,
                "unsupported_grant_type",
                "AADSTS70003: The app requested an unsupported grant type "
                f"{given.get('grant_type')!r}. The local Azure has client_credentials only.",
            )
        resource, suffix = given.get("scope", "").removesuffix("/.default"), "/.default"
        if not given.get("scope", "").endswith(suffix) or not resource:
            return _refused(
                400,
                "invalid_scope",
                f"AADSTS1002012: The provided value for scope {given.get('scope')} is not valid. "
                "Client credential flows must have a scope value with /.default suffixed to the "
                "resource identifier (application ID URI).",
            )
        principal = self._topology.service_principal
        if given.get("client_id") != principal.client_id:
            return _refused(
                400,
                "unauthorized_client",
                f"AADSTS700016: Application with identifier '{given.get('client_id')}' was not "
                f"found in the directory '{tenant}'.",
            )
        how = _how(given, principal)
        if how is None:
            return _refused(
                401,
                "invalid_client",
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in "
                "the request is the client secret value, not the client secret ID, for a secret "
                f"added to app '{principal.client_id}'.",
            )
        self._sign_ins.append({"client_id": principal.client_id, "how": how, "resource": resource})
        token, _ = self.token(resource, principal)
        return JSONResponse(
            {
                "token_type": "Bearer",
                "expires_in": _LIFETIME,
                "ext_expires_in": _LIFETIME,
                "access_token": token,
            }
        )

    def _no_tenant(self, tenant: str) -> JSONResponse:
        return _refused(
            400,
            "invalid_request",
            f"AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct "
            "tenant ID and are signing into the correct cloud. The local Azure has "
            f"{self._topology.tenant_id}.",
        )

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
        asked = {"client_id": query.get("client_id", ""), "how": "managed identity"}
        self._sign_ins.append({**asked, "resource": resource})
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


def _how(given: Mapping[str, str], principal: ServicePrincipal) -> str | None:
    """How a client showed who it is; None when it did not."""
    if secret := given.get("client_secret"):
        known = secrets.compare_digest(secret.encode(), principal.secret.encode())
        return "secret" if known else None
    if given.get("client_assertion_type") != _ASSERTION:
        return None
    try:
        # Nobody keeps the keys that it could be signed with, as for the tokens issued here.
        claims = jwt.decode(
            given.get("client_assertion", ""),
            options={"verify_signature": False, "verify_exp": True, "verify_aud": False},
        )
    except jwt.PyJWTError:
        return None
    if claims.get("sub") == principal.federated_subject:
        return "federated token"
    own = claims.get("iss") == claims.get("sub") == principal.client_id
    return "certificate" if own and LOGIN_HOST in str(claims.get("aud")) else None


def _refused(status: int, error: str, description: str) -> JSONResponse:
    return JSONResponse({"error": error, "error_description": description}, status)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"statusCode": status, "message": message}, status_code=status)
