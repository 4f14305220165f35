"""ARM ids are compared without regard to case, and clients spell `resourceGroups` both ways."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from emulator.azureml.workspace import Workspace


class OneSpelling:
    """ASGI middleware: the workspace's own id in a path is given the spelling the routes have."""

    def __init__(self, app: ASGIApp, workspace: Workspace) -> None:
        self._app = app
        self._arm_id = workspace.arm_id
        self._any_spelling = re.compile(re.escape(workspace.arm_id) + r"(?=/|$)", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = self._any_spelling.sub(lambda _: self._arm_id, scope["path"], count=1)
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)
