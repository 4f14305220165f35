"""A log file of a run: written here, appended to a blob while it grows."""

from pathlib import Path

from emulator.azureml.locations import Location
from emulator.azureml.runhistory.models import Run
from emulator.azureml.storage import Storage
from emulator.azureml.workspace import Workspace

_TAIL = 4000


class RunLog:
    """One log file. Used by one thread; a child process may write to `file` meanwhile."""

    def __init__(
        self, run: Run, name: str, *, folder: Path, storage: Storage, workspace: Workspace
    ) -> None:
        self._run = run
        self._name = name
        self._storage = storage
        self._sent = 0
        self._location = Location(
            workspace.storage_account,
            workspace.artifact_container,
            f"ExperimentRun/dcid.{run.name}/{name}",
        )
        self.file = folder / name
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()

    def write(self, line: str) -> None:
        """Add a line and make it readable for clients at once."""
        with self.file.open("a") as file:
            file.write(line + "\n")
        self.flush()

    def flush(self) -> None:
        """Append what is new to the blob; clients are told of it once it exists."""
        with self.file.open("rb") as file:
            file.seek(self._sent)
            new = file.read()
        if self._name not in self._run.logs:
            self._storage.create_log(self._location)
            self._run.logs = {**self._run.logs, self._name: self._location}
        if new:
            self._storage.append(self._location, new)
            self._sent += len(new)

    def tail(self) -> str:
        """The end of what was written."""
        with self.file.open("rb") as file:
            file.seek(max(0, self.file.stat().st_size - _TAIL))
            return file.read().decode(errors="replace").strip()
