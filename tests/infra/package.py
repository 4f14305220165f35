"""The package, built as Azure builds it: what .funcignore leaves, with requirements.txt."""

import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from subprocess import run

from pathspec import GitIgnoreSpec

ROOT = Path(__file__).parents[2]

#: Of the machine, before any test led requests to the local Azure: packages come from elsewhere.
ENVIRONMENT = dict(os.environ)

#: What Azure's image brings and the app does not.
_WORKER = ("azure-functions-runtime", "azurefunctions-extensions-base")
#: The part of the local functions host that drives Microsoft's worker library.
_DRIVER = ("__init__.py", "worker.py", "protos.py", "bindings.py")


@dataclass(frozen=True)
class Package:
    """The package, unpacked where nothing else of the project is."""

    archive: Path
    #: Where it is unpacked.
    app: Path
    #: Python with what requirements.txt names, and nothing else.
    python: Path
    #: What Azure has beside the app, to be put behind it on the path.
    platform: Path

    @property
    def files(self) -> list[str]:
        with zipfile.ZipFile(self.archive) as archive:
            return sorted(archive.namelist())


def build(folder: Path) -> Package:
    """Make the archive, unpack it, install its requirements; the worker library lies beside it."""
    archive, app = folder / "released-package.zip", folder / "wwwroot"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for path in _released():
            made.write(path, path.relative_to(ROOT))
    with zipfile.ZipFile(archive) as made:
        made.extractall(app)
    python = folder / "python"
    _uv("venv", "--python", sys.executable, str(python))
    # As Azure does: everything from the one file, whose hashes must fit.
    _uv(
        *("pip", "install", "--require-hashes", "--python", str(python)),
        *("--requirement", str(app / "requirements.txt")),
    )
    platform = folder / "platform"
    _uv(
        *("pip", "install", "--no-deps", "--python", str(python), "--target", str(platform)),
        *(f"{name}=={version(name)}" for name in _WORKER),
    )
    host = platform / "emulator" / "functions_host"
    host.mkdir(parents=True)
    (platform / "emulator" / "__init__.py").touch()
    for name in _DRIVER:
        (host / name).write_bytes((ROOT / "emulator" / "functions_host" / name).read_bytes())
    return Package(archive, app, python / "bin" / "python", platform)


def ignoring() -> GitIgnoreSpec:
    """.funcignore, which is written as .gitignore is."""
    return GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text().splitlines())


def _released() -> Iterator[Path]:
    """What .funcignore leaves of the project."""
    ignored = ignoring()
    for folder, folders, names in ROOT.walk():
        here = folder.relative_to(ROOT)
        folders[:] = sorted(name for name in folders if not ignored.match_file(f"{here / name}/"))
        yield from (folder / name for name in sorted(names) if not ignored.match_file(here / name))


def _uv(*arguments: str) -> None:
    run([sys.executable, "-m", "uv", "--quiet", *arguments], check=True, env=ENVIRONMENT)


def size(folder: Path) -> int:
    """Bytes of everything in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
