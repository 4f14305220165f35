"""Where a pipeline's document names a file on the disk of whoever reads it. Pure: nothing is read.

The service never reads its own disk for a definition, so this is asked before anything that would.
"""

import re
from collections.abc import Iterator

from shared.documents import Document, texts
from shared.errors import Problem
from shared.sources import local

#: Keys whose value is a reference. Source: AzureML CLI v2 schemas of jobs and components.
_REFERENCES = frozenset({"code", "path", "flow", "file", "source", "entry"})
#: Keys whose value is a file unless AzureML keeps it.
_KEPT = frozenset({"component", "trial", "environment"})
#: Keys whose value the AzureML SDK takes as a path whatever it looks like.
_PATHS = frozenset(
    {"conda_file", "dockerfile", "dockerfile_path", "local_path", "additional_includes"}
    | {"jars", "py_files", "files", "archives"}
)
#: Keys below which names stand, which whoever writes a document chooses.
_NAMES = frozenset({"jobs", "inputs", "outputs"})
_FILE = re.compile(r"\s*file:", re.IGNORECASE)
#: Text that is nobody's reference, whatever it holds.
_FREE = frozenset(
    {"command", "description", "display_name", "comment", "tags", "properties"}
    | {"environment_variables", "experiment_name", "$schema"}
)


def named_in(document: Document) -> Iterator[Problem]:
    """Every text that is, or may be taken as, the name of a file; each at its line."""
    for place, text in texts(document.content):
        # Of a list, as additional_includes is one, the key is that of the list.
        keys = [part for part in place if isinstance(part, str)]
        if keys and _may_be_read(keys, text):
            yield document.problem(
                place,
                f"{'.'.join(map(str, place))} names a file on somebody's disk, which the service "
                "does not have: publish it with `signalbox publish FOLDER`, or register it and "
                "name it as azureml:name:version",
            )


def _may_be_read(keys: list[str], text: str) -> bool:
    said = [key for around, key in zip(["", *keys], keys, strict=False) if around not in _NAMES]
    if _FREE & set(said):
        return False
    if _FILE.match(text) or keys[-1] in _PATHS:
        return True
    if keys[-1] not in _REFERENCES | _KEPT:
        return False
    # A reference that climbs would lead to a file although it begins like an address.
    climbs = ".." in re.split(r"[/\\]", text)
    kept = keys[-1] in _REFERENCES or text.startswith("azureml:")
    return climbs or not kept or local(text) is not None
