"""The folder a step runs in: code, inputs and outputs as plain files."""

from collections.abc import Mapping
from pathlib import Path

from emulator.azureml.errors import ServiceError
from emulator.azureml.execution.failures import StepFailure
from emulator.azureml.execution.inputs import DataInput
from emulator.azureml.graphs.specs import EITHER_TYPES, Component
from emulator.azureml.locations import Location, parse
from emulator.azureml.storage import Missing, Storage
from emulator.azureml.workspace import Workspace

#: Folders beside the command whose files every run keeps, without declaring an output.
_ARTIFACT_FOLDERS = ("outputs", "logs")
#: An output of this name gets a copy of them.
_ARTIFACTS = "artifacts"


def made_outputs(root: Path, component: Component) -> dict[str, Path]:
    """Where a step whose folder is `root` writes each of its outputs."""
    found = {}
    for name, kind in component.outputs.items():
        path = root / "outputs" / name
        found[name] = path / name if kind == "uri_file" else path
    return found


class StepFolder:
    """Lays everything down before a step, and stores what it made afterwards."""

    def __init__(self, root: Path, storage: Storage, workspace: Workspace) -> None:
        self._root = root
        self._storage = storage
        self._workspace = workspace
        #: Where the command starts.
        self.work = root / "wd"
        for name in _ARTIFACT_FOLDERS:
            (self.work / name).mkdir(parents=True)

    def lay_code(self, code_uri: str) -> None:
        self._storage.download_folder(parse(code_uri, self._workspace), self.work)

    def lay_inputs(self, inputs: Mapping[str, str | DataInput | None]) -> dict[str, str | None]:
        """The text or path of each input. Raises StepFailure for data that is not there."""
        found: dict[str, str | None] = {}
        for name, value in inputs.items():
            if not isinstance(value, DataInput):
                found[name] = value
                continue
            try:
                found[name] = str(self._lay_data(self._root / "inputs" / name, value))
            except (Missing, ServiceError) as error:
                raise StepFailure(
                    "UserError", f"Failed to download the input '{name}': {error}."
                ) from error
        return found

    def _lay_data(self, folder: Path, data: DataInput) -> Path:
        folder.mkdir(parents=True)
        if not data.is_folder:
            target = folder / data.location.name
            self._storage.download_file(data.location, target)
            return target
        try:
            self._storage.download_folder(data.location, folder)
        except Missing:
            if not data.may_be_empty:
                raise
        # a model may be one file, which then is the input itself
        if data.type in EITHER_TYPES and self._storage.is_file(data.location):
            return folder / data.location.name
        return folder

    def output_paths(self, component: Component) -> dict[str, Path]:
        """A folder for each output, or the path of the file it is to be."""
        for name in component.outputs:
            (self._root / "outputs" / name).mkdir(parents=True)
        return made_outputs(self._root, component)

    def store_outputs(self, paths: Mapping[str, Path], uris: Mapping[str, str]) -> None:
        """Upload what the command wrote; an output it did not write stays empty."""
        for name, path in paths.items():
            place = parse(uris[name], self._workspace)
            if path.exists():
                self._storage.upload(path, place)
            if name == _ARTIFACTS:
                self._store_artifact_folders(place)

    def store_artifacts(self, run_name: str) -> None:
        """Upload the artifact folders to the workspace's artifact store."""
        self._store_artifact_folders(
            Location(
                self._workspace.storage_account,
                self._workspace.artifact_container,
                f"ExperimentRun/dcid.{run_name}",
            )
        )

    def _store_artifact_folders(self, place: Location) -> None:
        for name in _ARTIFACT_FOLDERS:
            if (self.work / name).is_dir():
                self._storage.upload(self.work / name, place.below(name))
