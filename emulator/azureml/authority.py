"""Who may call: every request needs a bearer token for Azure's management or for AzureML."""

import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

AUDIENCES = frozenset(
    {
        "https://management.azure.com",
        "https://management.core.windows.net",
        "https://ml.azure.com",
    }
)


class BearerRequired:
    """ASGI middleware: 401 without a token that could be for this service, 403 without a role.

    The signature is not checked: the tokens of this machine are signed by nobody who matters.
    """

    def __init__(
        self,
        app: ASGIApp,
        open_paths: frozenset[str],
        refusal: Callable[[str, str, str], Response | None],
    ) -> None:
        self._app = app
        self._open = open_paths
        #: The answer to a method, path and authorization that no role allows.
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        authorization = Headers(scope=scope).get("authorization", "")
        problem = _problem(authorization)
        if problem is None:
            refusal = self._refusal(scope["method"], scope["path"], authorization)
            await (refusal or self._app)(scope, receive, send)
            return
        error = {"code": "AuthenticationFailed", "message": f"Authentication failed. {problem}"}
        answer = JSONResponse({"error": error}, 401, {"WWW-Authenticate": "Bearer"})
        await answer(scope, receive, send)


def _problem(header: str) -> str | None:
    kind, _, token = header.partition(" ")
    if kind != "Bearer" or not token:
        return "The 'Authorization' header is missing or is not a bearer token."
    claims = claims_of(token)
    if claims is None:
        return "The bearer token is not a JWT."
    if str(claims.get("aud", "")).rstrip("/") not in AUDIENCES:
        return f"The token is for {claims.get('aud')!r}, which is not this service."
    if float(claims.get("exp", 0)) < time.time():
        return "The token has expired."
    return None


def claims_of(token: str) -> dict[str, Any] | None:
    """What a token says; None when it is none."""
    parts = token.split(".")
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError):
        return None
    return claims if isinstance(claims, dict) else None
