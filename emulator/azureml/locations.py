"""Where data lies: the URIs that jobs use, as storage account, container and path."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from emulator.azureml.errors import UserError
from emulator.azureml.workspace import Workspace

_DATASTORE = re.compile(
    r"azureml://(?:subscriptions/(?P<subscription>[^/]+)/resource[gG]roups/(?P<group>[^/]+)"
    r"/(?:providers/Microsoft\.MachineLearningServices/)?workspaces/(?P<workspace>[^/]+)/)?"
    r"datastores/(?P<datastore>[^/]+)/(?:paths/)?(?P<path>.*)"
)
_STORAGE_HOST = re.compile(r"(?P<account>[a-z0-9]{3,24})\.(?:blob|dfs)\.core\.windows\.net")


@dataclass(frozen=True)
class Location:
    """A blob, or all blobs below a path."""

    account: str
    container: str
    path: str

    @property
    def url(self) -> str:
        return f"https://{self.account}.blob.core.windows.net/{self.container}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    def below(self, *parts: str) -> "Location":
        path = "/".join([self.path.rstrip("/"), *parts]).lstrip("/")
        return Location(self.account, self.container, path)


def parse(uri: str, workspace: Workspace) -> Location:
    """The place that `uri` names.

    Understands `azureml://[…workspace…/]datastores/{name}/paths/{path}`, `https://` and `abfss://`
    addresses of storage accounts, and `wasbs://`. Raises UserError for anything else, naming it.
    """
    if match := _DATASTORE.fullmatch(uri):
        return _in_datastore(uri, match, workspace)
    parts = urlsplit(uri)
    host = _STORAGE_HOST.fullmatch(parts.hostname or "")
    if host and parts.scheme == "https":
        container, _, path = unquote(parts.path).lstrip("/").partition("/")
        return Location(host["account"], container, path)
    if host and parts.scheme in ("wasbs", "abfss") and parts.username:
        return Location(host["account"], parts.username, unquote(parts.path).lstrip("/"))
    raise UserError(
        f"The local AzureML workspace cannot read {uri!r}. It reads "
        "azureml://datastores/<name>/paths/<path>, "
        "https://<account>.blob.core.windows.net/<container>/<path>, abfss:// and wasbs://.",
        inner=("BadArgument", "InvalidUri"),
    )


def _in_datastore(uri: str, match: re.Match[str], workspace: Workspace) -> Location:
    if match["workspace"] and match["workspace"].lower() != workspace.name.lower():
        raise UserError(f"{uri!r} is in another workspace; this one is {workspace.name!r}.")
    datastore = workspace.datastores.get(match["datastore"])
    if datastore is None:
        known = ", ".join(workspace.datastores)
        raise UserError(
            f"{uri!r} names the datastore {match['datastore']!r}, which this workspace does not "
            f"have. It has: {known}.",
            inner=("NotFound", "DatastoreNotFound"),
        )
    return Location(datastore.account, datastore.container, match["path"])
