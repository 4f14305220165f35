"""The virtual environments of steps: one per set of pip requirements, made once and kept."""

import contextlib
import fcntl
import hashlib
import json
import re
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from emulator.azureml.execution.failures import StepFailure, StepStopped
from emulator.azureml.execution.processes import run
from emulator.azureml.execution.run_log import RunLog

_COMPLETE = "complete"
_CONDA = re.compile(r"(?:[\w-]+::)?(?P<name>[\w.-]+)\s*(?P<version>[=<>!~].*)?")


def requirements(conda_file: str | None) -> list[str]:
    """The pip requirements that stand for a conda file.

    Its `pip:` section as it is. Conda packages are looked for under the same name on PyPI, with
    `=1.5` as `==1.5.*`; `python` and `pip` are left out, since steps run on this interpreter.
    """
    found: list[str] = []
    document: Mapping[str, Any] = yaml.safe_load(conda_file or "{}") or {}
    for dependency in document.get("dependencies") or []:
        if isinstance(dependency, Mapping):
            found += [str(line) for line in dependency.get("pip") or []]
            continue
        match = _CONDA.fullmatch(str(dependency).strip())
        if match is None:
            raise StepFailure("UserError", f"The conda dependency {dependency!r} is not understood")
        if match["name"].lower() in ("python", "pip"):
            continue
        found.append(match["name"] + _pip_version(match["version"] or ""))
    return found


def _pip_version(version: str) -> str:
    version = version.replace(" ", "")
    if re.fullmatch(r"=[^=].*", version):
        exact = version[1:].split("=")[0]
        return f"=={exact}" if exact.endswith("*") else f"=={exact}.*"
    return version


class PythonEnvironments:
    """A folder of virtual environments, shared by every local Azure of this computer."""

    def __init__(self, cache: Path, variables: Mapping[str, str]) -> None:
        self._cache = cache
        self._variables = variables

    def provide(
        self, wanted: list[str], *, new_log: Callable[[], RunLog], stop: threading.Event
    ) -> Path:
        """The folder of an environment with the wanted packages, built if it is not there.

        `new_log` makes the log of a build, when there is one. Raises StepFailure with the
        installer's words, and StepStopped.
        """
        key = hashlib.sha256(json.dumps([sys.version, wanted]).encode()).hexdigest()[:24]
        folder = self._cache / key
        with self._locked(key):
            if (folder / _COMPLETE).exists() and (folder / "bin" / "python").exists():
                return folder
            shutil.rmtree(folder, ignore_errors=True)
            self._build(folder, wanted, new_log(), stop)
            (folder / _COMPLETE).touch()
        return folder

    def _build(self, folder: Path, wanted: list[str], log: RunLog, stop: threading.Event) -> None:
        uv = f"{shlex.quote(sys.executable)} -m uv"
        place = shlex.quote(str(folder))
        commands = [f"{uv} venv --python {shlex.quote(sys.executable)} {place}"]
        if wanted:
            listed = folder.with_suffix(".txt")
            listed.write_text("\n".join(wanted) + "\n")
            # compiled here once: two steps that start side by side would both do it
            install = f"{uv} pip install --compile-bytecode --python {place}"
            commands.append(f"{install} -r {shlex.quote(str(listed))}")
        for command in commands:
            ending = run(command, folder=self._cache, variables=self._variables, log=log, stop=stop)
            if ending.how == "stopped":
                raise StepStopped
            if ending.code:
                raise StepFailure(
                    "UserError",
                    "Building the environment failed. Please check log file "
                    f"'azureml-logs/20_image_build_log.txt' for error details. Error: {log.tail()}",
                )

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Alone with one environment, among all processes of this computer."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / f"{key}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
