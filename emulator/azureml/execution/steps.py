"""One step from Preparing to its end."""

import logging
import shlex
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.azureml.arm_ids import last_segment
from emulator.azureml.assets.registration import Registrar
from emulator.azureml.computes.targets import Computes
from emulator.azureml.errors import ServiceError
from emulator.azureml.execution.command_line import UnknownName, render
from emulator.azureml.execution.cores import Cores
from emulator.azureml.execution.failures import StepFailure, StepStopped
from emulator.azureml.execution.inputs import DataInput, StepInputs
from emulator.azureml.execution.outputs import asset_name, run_asset
from emulator.azureml.execution.plan import Plan, Step
from emulator.azureml.execution.processes import run as run_process
from emulator.azureml.execution.python_environments import PythonEnvironments, requirements
from emulator.azureml.execution.reuse import Reuse, fingerprint, mark_reused, may_be_reused
from emulator.azureml.execution.run_log import RunLog
from emulator.azureml.execution.step_folder import StepFolder, made_outputs
from emulator.azureml.execution.unsupported import missing_feature
from emulator.azureml.execution.variables import step_variables
from emulator.azureml.graphs.specs import MODEL_TYPES
from emulator.azureml.runhistory.models import BUILD_LOG, STD_LOG, Run, RunAsset, RunError
from emulator.azureml.runhistory.states import Status
from emulator.azureml.storage import Missing, Storage
from emulator.azureml.workspace import Machine, Workspace

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.1


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What every step needs to run."""

    workspace: Workspace
    machine: Machine
    storage: Storage
    registrar: Registrar
    pythons: PythonEnvironments
    cores: Cores
    computes: Computes
    reuse: Reuse


class StepExecution:
    """Runs one step and tells its run what happens. `stop` cancels it at any point."""

    def __init__(
        self,
        step: Step,
        plan: Plan,
        run: Run,
        root: str,
        *,
        uris: Mapping[str, str],
        named: Mapping[str, tuple[str, str | None]],
        workshop: Workshop,
        stop: threading.Event,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._step = step
        self._plan = plan
        self._run = run
        self._root = root
        self._uris = uris
        self._named = named
        self._workshop = workshop
        self._stop = stop
        self._variables = dict(variables or {})
        self._folder = workshop.machine.folder / "runs" / run.name

    def execute(self, inputs: StepInputs) -> None:
        """Run to a final state; nothing is raised, the run's error says what went wrong."""
        run = self._run
        try:
            key = self._reuse_key(inputs)
            if key and (earlier := self._workshop.reuse.find(key)):
                mark_reused(run, earlier)
                self._register_named(run.outputs)
                run.move(Status.COMPLETED)
                return
            run.move(Status.QUEUED)
            if missing := missing_feature(self._step):
                raise StepFailure("NotImplemented", missing)
            self._await_compute()
            with self._workshop.cores.one(self._stop):
                run.move(Status.PREPARING)
                self._prepare_and_run(inputs)
            if key and run.status is Status.COMPLETED:
                self._workshop.reuse.keep(key, run)
        except StepStopped:
            run.move(Status.CANCELED)
        except StepFailure as failure:
            run.move(Status.FAILED, RunError(failure.code, failure.message))
        except (ServiceError, Missing) as error:
            run.move(Status.FAILED, RunError("UserError", str(error)))
        except Exception as error:
            log.exception("step %s of %s crashed", self._step.name, self._root)
            run.move(Status.FAILED, RunError("SystemError", f"The local AzureML failed: {error!r}"))

    def adopt_outputs(self, other: Run) -> None:
        """Store what another run of this computer has made as the outputs of this one."""
        workshop = self._workshop
        theirs = workshop.machine.folder / "runs" / other.name
        folder = StepFolder(self._folder, workshop.storage, workshop.workspace)
        made = made_outputs(theirs, self._step.component)
        folder.store_outputs(made, self._uris)
        self._publish_outputs()

    def _reuse_key(self, inputs: StepInputs) -> str | None:
        """By which an earlier run of the same step is found; None when it has to run anyway."""
        step = self._step
        if missing_feature(step) or not may_be_reused(step, self._plan):
            return None
        own = {k: inputs.text(v) for k, v in self._own_variables().items()}
        registrar = self._workshop.registrar
        return fingerprint(step, self._plan, inputs.of(step), own, registrar)

    def _await_compute(self) -> None:
        """Wait in the queue of a compute that is not there yet, or is stopped."""
        name, computes = last_segment(self._step.compute), self._workshop.computes
        while not computes.is_usable(name):
            if problem := computes.problem(name):
                raise StepFailure("UserError", f"The compute '{name}' cannot be used: {problem}")
            if self._stop.wait(_LOOK_EVERY):
                raise StepStopped

    def _prepare_and_run(self, inputs: StepInputs) -> None:
        workshop, component = self._workshop, self._step.component
        python = self._python()
        folder = StepFolder(self._folder, workshop.storage, workshop.workspace)
        where = f"step '{self._step.name}'"
        if code := component.spec.get("code"):
            folder.lay_code(workshop.registrar.referred("codes", code, where).properties["codeUri"])
        resolved = inputs.of(self._step)
        self._run.inputs = self._input_assets(resolved)
        given = folder.lay_inputs(resolved)
        outputs = folder.output_paths(component)
        variables = step_variables(
            self._run,
            self._root,
            workspace=workshop.workspace,
            machine=workshop.machine,
            python=python,
            inputs=given,
            outputs=outputs,
            own=self._variables | {k: inputs.text(v) for k, v in self._own_variables().items()},
        )
        try:
            command = render(
                component.spec["command"], given, {k: str(v) for k, v in outputs.items()}
            )
        except UnknownName as error:
            raise StepFailure("UserError", f"{error}.") from error
        self._check_stop()
        self._run.move(Status.RUNNING)
        self._run_command(command, folder.work, variables)
        self._run.move(Status.FINALIZING)
        folder.store_outputs(outputs, self._uris)
        folder.store_artifacts(self._run.name)
        self._publish_outputs()
        self._run.move(Status.COMPLETED)

    def _python(self) -> Path:
        spec = self._step.component.spec
        environment = self._workshop.registrar.environment(
            spec["environment"], f"step '{self._step.name}'"
        )
        conda_file = environment.get("condaFile")
        if conda_file is None:
            image = environment.get("image") or "of a build context"
            self._run.warnings = [
                f"The image {image!r} of step '{self._step.name}' is not run "
                "here: the step has this computer's Python and programs, and none of the packages "
                "of the image."
            ]
        return self._workshop.pythons.provide(
            requirements(conda_file),
            new_log=lambda: self._log(BUILD_LOG),
            stop=self._stop,
        )

    def _run_command(self, command: str, folder: Path, variables: Mapping[str, str]) -> None:
        std_log = self._log(STD_LOG)
        timeout = self._step.timeout
        ending = run_process(
            command,
            folder=folder,
            variables=variables,
            log=std_log,
            stop=self._stop,
            timeout=timeout,
        )
        if ending.how == "stopped":
            raise StepStopped
        if ending.how == "timed out" and timeout is not None:
            raise StepFailure(
                "UserError",
                f"The job ran longer than its limits.timeout of {timeout.total_seconds():g} s and "
                "was ended.",
            )
        if ending.code:
            raise StepFailure(
                "UserError",
                f"Execution failed. User process '{_program(command)}' exited with status code "
                f"{ending.code}. Please check log file '{STD_LOG}' for error details. "
                f"Error: {std_log.tail()}",
            )

    def _own_variables(self) -> dict[str, str]:
        declared = self._step.component.spec.get("environment_variables") or {}
        return {k: str(v) for k, v in declared.items()} | dict(
            self._step.node.environment_variables
        )

    def _input_assets(self, inputs: Mapping[str, str | DataInput | None]) -> dict[str, RunAsset]:
        return {
            name: RunAsset(
                asset_id=value.location.url,
                type=value.type,
                uri=value.location.url,
            )
            for name, value in inputs.items()
            if isinstance(value, DataInput)
        }

    def _publish_outputs(self) -> None:
        """Make the outputs known to run history, and as data assets, as the service does."""
        workshop = self._workshop
        assets = {
            name: run_asset(self._run.name, name, kind, self._uris[name], workshop.workspace)
            for name, kind in self._step.component.outputs.items()
        }
        for name, asset in assets.items():
            properties = {"dataUri": asset.uri, "dataType": asset.type, "isAnonymous": True}
            workshop.registrar.register("data", asset_name(self._run.name, name), "1", properties)
        self._register_named(assets)
        self._run.outputs = assets

    def _register_named(self, assets: Mapping[str, RunAsset]) -> None:
        for name, (asset, version) in self._named.items():
            self._register(assets[name], asset, version)

    def _register(self, asset: RunAsset, name: str, version: str | None) -> None:
        """Register an output under the name that the node or the job gives it."""
        kind, properties = "data", {"dataUri": asset.uri, "dataType": asset.type}
        if asset.type in MODEL_TYPES:
            kind, properties = "models", {"modelUri": asset.uri, "modelType": asset.type}
        registrar = self._workshop.registrar
        if version:
            registrar.register(kind, name, version, properties)
        else:
            registrar.register_next(kind, name, properties)

    def _log(self, name: str) -> RunLog:
        workshop = self._workshop
        return RunLog(
            self._run,
            name,
            folder=self._folder,
            storage=workshop.storage,
            workspace=workshop.workspace,
        )

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StepStopped


def _program(command: str) -> str:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return words[0] if words else ""
