"""What the job of a batch reads: its events, one a line, in the workspace's own datastore.

Jobs never see the container that state is kept in.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

from shared.events import Event
from shared.inputs import clean
from shared.lakes import Lakes
from shared.workspace import Datastore, Workspace

#: Every workspace has it, and jobs read there without being told how.
DATASTORE = "workspaceblobstore"


class Manifests:
    """Writes manifests. What nobody reads in the end does no harm."""

    def __init__(self, *, deployment: str, lakes: Lakes, workspace: Workspace) -> None:
        self._deployment = deployment
        self._lakes = lakes
        self._workspace = workspace
        #: Asked for once in a process: it hardly ever changes, and not while jobs run.
        self._datastore: Datastore | None = None

    def write(self, trigger: str, batch: str, lines: Mapping[str, str]) -> str:
        """Write the lines of a batch's events, by key; the address that a job reads them at.

        Others who make the same batch of other events write elsewhere. Raises StorageUnavailable,
        NotFound, WorkspaceUnavailable.
        """
        path = address(self._deployment, trigger, batch, lines)
        content = "".join(f"{line}\n" for line in lines.values())
        store = self._store()
        self._lakes.keep(store.account, store.container, path, content.encode())
        return f"azureml://datastores/{DATASTORE}/paths/{path}"

    def account(self) -> str:
        """The storage account of the workspace's own datastore. Raises WorkspaceUnavailable."""
        return self._store().account

    def _store(self) -> Datastore:
        if self._datastore is None:
            self._datastore = self._workspace.datastore(DATASTORE)
        return self._datastore


def address(deployment: str, trigger: str, batch: str, keys: Iterable[str]) -> str:
    """Where in the datastore the manifest of these events is: content never changes there."""
    digest = hashlib.sha256(json.dumps([*keys]).encode()).hexdigest()[:16]
    return f"signalbox/{deployment}/{trigger}/{batch}-{digest}.jsonl"


def line(event: Event, captures: Mapping[str, str]) -> str:
    """An event as a job reads it: `event` and `captures`, as expressions find them.

    Secrets are left out: everybody who may read the workspace's data can read it.
    """
    return json.dumps({"event": clean(event.content), "captures": dict(captures)})
