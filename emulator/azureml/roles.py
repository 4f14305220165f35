"""Which roles the callers have: everything, until a test takes one away.

The control of the emulator has `PUT /roles` with `{"without": ["AzureML Data Scientist"]}` and
`DELETE /roles`. What nobody may do then is answered as Azure Resource Manager does.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.azureml.authority import claims_of
from emulator.azureml.workspace import PROVIDER

#: What a role may do, and what of that it may not. Source: Azure built-in roles, AI and machine
#: learning, as far as this workspace has the actions.
ROLES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "AzureML Data Scientist": (
        ("workspaces/*read", "workspaces/*/write", "workspaces/*/delete", "workspaces/*/action"),
        (
            "workspaces/computes/*write",
            "workspaces/computes/*delete",
            "workspaces/computes/*action",
        ),
    ),
    "AzureML Compute Operator": (("workspaces/computes/*",), ()),
}
_VERBS = {"GET": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_ARM = re.compile(rf"(?P<workspace>/subscriptions/.*/{PROVIDER}/workspaces/[^/]+)(?P<rest>/.*)?")


class Roles:
    """The roles that are there, and the answer to who needs another one."""

    def __init__(self) -> None:
        self._there = set(ROLES)

    def routes(self) -> list[BaseRoute]:
        """Routes for the control of the emulator."""
        return [
            Route("/roles", self._take_away, methods=["PUT"]),
            Route("/roles", self._give_back, methods=["DELETE"]),
        ]

    def refusal(self, method: str, path: str, authorization: str) -> JSONResponse | None:
        """The answer to a request that no role allows; None when one does."""
        found = _ARM.fullmatch(path)
        if found is None or len(self._there) == len(ROLES):
            return None
        action = _action(method, found["rest"] or "")
        if any(_allows(ROLES[role], action) for role in self._there):
            return None
        claims = claims_of(authorization.partition(" ")[2]) or {}
        message = (
            f"The client '{claims.get('appid')}' with object id '{claims.get('oid')}' does not "
            f"have authorization to perform action '{PROVIDER}/{action}' over scope '{path}' or "
            "the scope is invalid. If access was recently granted, please refresh your credentials."
        )
        return JSONResponse({"error": {"code": "AuthorizationFailed", "message": message}}, 403)

    async def _take_away(self, request: Request) -> Response:
        without = set((await request.json()).get("without", []))
        if unknown := without - set(ROLES):
            problem = f"no such role: {sorted(unknown)}; there are {sorted(ROLES)}"
            return JSONResponse({"problem": problem}, status_code=400)
        self._there = set(ROLES) - without
        return Response(status_code=204)

    async def _give_back(self, _: Request) -> Response:
        self._there = set(ROLES)
        return Response(status_code=204)


def _action(method: str, rest: str) -> str:
    """A request's action, such as `workspaces/jobs/cancel/action`."""
    # Names stand between kinds; what is done to a thing comes last.
    kinds = [part for part in rest.split("/") if part][::2]
    return "/".join(["workspaces", *kinds, _VERBS.get(method, "action")])


def _allows(role: tuple[tuple[str, ...], tuple[str, ...]], action: str) -> bool:
    allowed, but_not = role
    return any(fnmatchcase(action, each) for each in allowed) and not any(
        fnmatchcase(action, each) for each in but_not
    )
