"""Local files that belong to a definition: which of them AzureML gets, and what is in them.

What leaves no trace in what is uploaded leaves none in a digest: no times, no owners, no files
that the folder's .amlignore or .gitignore leaves out.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: A path or reference that is not on the disk of whoever publishes.
REMOTE = re.compile(r"azureml:|git\+|(?!file:)[A-Za-z][A-Za-z0-9+.-]+://|\$\{\{")

#: Left behind by running code, never part of it.
_LEFTOVERS = frozenset({"__pycache__", ".ipynb_checkpoints", ".DS_Store", ".git"})

#: Hexadecimal digits of a version: 64 bits tell versions of one component apart.
_VERSION_LENGTH = 16


def local(value: Any) -> str | None:
    """The path, if a value names something on this disk."""
    if not isinstance(value, str) or REMOTE.match(value):
        return None
    return value.removeprefix("file://").removeprefix("file:")


def version_of(content: Any) -> str:
    """The version that content has."""
    canonical = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:_VERSION_LENGTH]


def with_files(component: dict[str, Any]) -> dict[str, Any]:
    """A component with its local paths, which are absolute, replaced by what is there."""
    found = dict(component)
    if "code" in component:
        found["code"] = _code(component["code"])
    if flow := component.get("flow"):
        found["flow"] = [Path(flow).name, _code(str(Path(flow).parent))]
    if includes := component.get("additional_includes"):
        found["additional_includes"] = [
            [Path(include).name, _code(include)] if isinstance(include, str) else include
            for include in includes
        ]
    if isinstance(environment := component.get("environment"), dict):
        found["environment"] = _environment(environment)
    if isinstance(task := component.get("task"), dict):
        found["task"] = with_files(task)
    return found


def digest(path: Path) -> str:
    """Names and contents of all files below a path, or of one file."""
    return _digest([(file, file.relative_to(path).as_posix()) for file in _below(path)])


def _environment(environment: dict[str, Any]) -> dict[str, Any]:
    build = environment.get("build")
    if not isinstance(build, dict) or not (path := local(build.get("path"))):
        return environment
    return {**environment, "build": {**build, "path": _code(path)}}


def _code(value: Any) -> Any:
    """A folder of code as the SDK would upload it; what is no local path stays."""
    path = Path(local(value) or "")
    if local(value) is None:
        return value
    if path.is_file():
        return digest(path)
    # The SDK decides what it uploads, so it is asked; it has no public name for that.
    from azure.ai.ml._utils._asset_utils import get_upload_files_from_folder
    from azure.ai.ml.entities._component.code import ComponentIgnoreFile

    found = get_upload_files_from_folder(path, ignore_file=ComponentIgnoreFile(path))
    return _digest((Path(pair[0]), str(pair[1])) for pair in found)


def _below(path: Path) -> list[Path]:
    return sorted(path.rglob("*")) if path.is_dir() else [path]


def _digest(files: Iterable[tuple[Path, str]]) -> str:
    total = hashlib.sha256()
    for file, name in sorted(files, key=lambda found: found[1]):
        if file.is_file() and not _LEFTOVERS & set(Path(name).parts):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(json.dumps([name, content]).encode())
    return total.hexdigest()
