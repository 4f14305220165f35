"""Storage that datastores of the workspace cover: addresses of blobs as paths in these."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

#: Account and container -> name of the datastore, as in SIGNALBOX_DATASTORES.
Datastores = Mapping[str, str]

_COVERED = re.compile(
    r"(?P<place>[a-z0-9]{3,24}/(?:[a-z0-9](?:-?[a-z0-9]){2,62}|\$web))=(?P<name>[A-Za-z0-9_]{1,255})"
)
#: Source: Azure Storage, blob and Data Lake endpoints, also those in DNS zones.
_HOST = (
    r"(?P<account>[a-z0-9]{3,24})(?:\.z\d+)?\.(?:blob|dfs)\."
    r"(?:core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|storage\.azure\.net)"
)
_ADDRESSES = (
    re.compile(rf"https://{_HOST}/(?P<container>[^/?#]+)(?:/(?P<path>[^?#]*))?"),
    re.compile(rf"(?:wasbs|abfss)://(?P<container>[^@/?#]+)@{_HOST}(?:/(?P<path>[^?#]*))?"),
)


def parse(text: str) -> dict[str, str]:
    """`account/container=datastore`, separated by commas.

    Raises ValueError, which does not repeat the text.
    """
    found: dict[str, str] = {}
    for number, item in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        covered = _COVERED.fullmatch(item)
        if covered is None:
            raise ValueError(
                f"item {number} is not account/container=datastore, as in contosolake/landing=lake"
            )
        if covered["place"] in found:
            raise ValueError(f"item {number} names an account and container for the second time")
        found[covered["place"]] = covered["name"]
    return found


def rewritten(address: str, datastores: Datastores) -> str:
    """The path in a datastore that an address is; the address itself when none covers it."""
    for pattern in _ADDRESSES if datastores else ():
        if found := pattern.fullmatch(address):
            name = datastores.get(f"{found['account']}/{found['container']}")
            if name is not None:
                # An address is encoded, a path in a datastore is the blob's own name.
                return f"azureml://datastores/{name}/paths/{unquote(found['path'] or '')}"
    return address
