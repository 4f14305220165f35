"""One job from its start to its end: steps in order of their data, side by side where they can."""

import concurrent.futures
import dataclasses
import logging
import threading
import uuid
from collections.abc import Mapping

from emulator.azureml.arm_ids import last_segment
from emulator.azureml.assets.models import AssetStore
from emulator.azureml.execution.failures import StepFailure
from emulator.azureml.execution.inputs import StepInputs, child_inputs
from emulator.azureml.execution.outputs import output_names, output_uris
from emulator.azureml.execution.parallel import as_command
from emulator.azureml.execution.plan import Plan, Step
from emulator.azureml.execution.run_log import RunLog
from emulator.azureml.execution.steps import StepExecution, Workshop
from emulator.azureml.execution.sweeps import SweepExecution, sweep_plan
from emulator.azureml.execution.unsupported import missing_feature
from emulator.azureml.graphs.bindings import NodeOutput
from emulator.azureml.runhistory.models import PIPELINE_LOG, Run, RunError, RunStore
from emulator.azureml.runhistory.states import Status

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.1


class JobExecution:
    """Runs one job. `stop` cancels all of it."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        *,
        runs: RunStore,
        assets: AssetStore,
        workshop: Workshop,
        root: str | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._run = run
        self._plan = plan
        self._runs = runs
        self._assets = assets
        self._workshop = workshop
        #: Name of the job that a pipeline which is a node belongs to.
        self._root = root or run.name
        self.stop = stop or threading.Event()
        self._stop_steps = threading.Event()
        self._steps: dict[str, Run] = {}
        self._inputs = StepInputs(plan, workshop.workspace, assets, self._produced)

    def execute(self) -> None:
        """Run to a final state; nothing is raised."""
        try:
            if self._plan.kind == "command":
                self._execute_command()
            else:
                self._execute_pipeline()
        except Exception as error:
            log.exception("job %s crashed", self._run.name)
            self._stop_steps.set()
            message = f"The local AzureML workspace failed: {error!r}"
            self._run.move(Status.FAILED, RunError("SystemError", message))

    def _execute_command(self) -> None:
        step = self._plan.steps[0]
        StepExecution(
            step,
            self._plan,
            self._run,
            self._run.name,
            uris=output_uris(step, self._plan, self._run.name),
            named=output_names(step, self._plan),
            workshop=self._workshop,
            stop=self.stop,
        ).execute(self._inputs)

    def _execute_pipeline(self) -> None:
        self._run.move(Status.RUNNING)
        for step in self._plan.steps:
            self._steps[step.name] = self._child(step)
        for child in self._steps.values():
            self._runs.add(child)
        journal = RunLog(
            self._run,
            PIPELINE_LOG,
            folder=self._workshop.machine.folder / "runs" / self._run.name,
            storage=self._workshop.storage,
            workspace=self._workshop.workspace,
        )
        self._run_steps(journal)
        self._finish(journal)

    def _run_steps(self, journal: RunLog) -> None:
        waiting = {step.name: step for step in self._plan.steps}
        running: dict[concurrent.futures.Future[None], str] = {}
        with concurrent.futures.ThreadPoolExecutor(len(waiting)) as threads:
            while True:
                if self.stop.is_set():
                    self._stop_steps.set()
                if not self._stop_steps.is_set():
                    for step in [step for step in waiting.values() if self._is_ready(step)]:
                        del waiting[step.name]
                        running[threads.submit(self._execute_step, step)] = step.name
                        journal.write(f"Submitting 1 runs, first one is: {self._said(step.name)}")
                if not running:
                    return
                done, _ = concurrent.futures.wait(
                    running, _LOOK_EVERY, concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    name = running.pop(future)
                    status = self._steps[name].status
                    journal.write(f"{self._said(name)} ended: {status}")
                    if status is Status.FAILED and not self._plan.continue_on_step_failure:
                        self._stop_steps.set()

    def _execute_step(self, step: Step) -> None:
        """Run one step to a final state, whatever its type; nothing is raised."""
        run = self._steps[step.name]
        try:
            self._execute_by_type(step, run)
        except StepFailure as failure:
            run.move(Status.FAILED, RunError(failure.code, failure.message))
        except Exception as error:
            log.exception("step %s of %s crashed", step.name, self._run.name)
            message = f"The local AzureML workspace failed: {error!r}"
            run.move(Status.FAILED, RunError("SystemError", message))

    def _execute_by_type(self, step: Step, run: Run) -> None:
        if step.child is not None:
            self._execute_child(step, step.child, run)
            return
        if step.node.type == "sweep" and missing_feature(step) is None:
            SweepExecution(
                step,
                run,
                runs=self._runs,
                workshop=self._workshop,
                stop=self._stop_steps,
                execution=self._trial,
            ).execute(lambda _: self._inputs)
            return
        if step.node.type == "parallel":
            step = as_command(step)
        self._step_execution(step, run, self._plan, {}).execute(self._inputs)

    def _trial(self, step: Step, run: Run, variables: Mapping[str, str]) -> StepExecution:
        return self._step_execution(step, run, sweep_plan(self._plan), variables)

    def _step_execution(
        self, step: Step, run: Run, plan: Plan, variables: Mapping[str, str]
    ) -> StepExecution:
        return StepExecution(
            step,
            plan,
            run,
            self._root,
            uris=output_uris(step, plan, run.name),
            named=output_names(step, plan),
            workshop=self._workshop,
            stop=self._stop_steps,
            variables=variables,
        )

    def _execute_child(self, step: Step, plan: Plan, run: Run) -> None:
        """Run a pipeline that is a node of this one."""
        run.move(Status.PREPARING)
        inputs = child_inputs(step.node, step.component, self._plan.inputs, self._produced)
        uris = {
            name: uri
            for name, target in step.node.outputs.items()
            if (uri := target.uri or self._plan.output_uris.get(target.parent_output or ""))
        }
        plan = dataclasses.replace(
            plan,
            inputs=inputs,
            output_uris=uris,
            output_names=output_names(step, self._plan),
            default_datastore=self._plan.default_datastore,
            continue_on_step_failure=self._plan.continue_on_step_failure,
            force_rerun=self._plan.force_rerun,
        )
        JobExecution(
            run,
            plan,
            runs=self._runs,
            assets=self._assets,
            workshop=self._workshop,
            root=self._root,
            stop=self._stop_steps,
        ).execute()

    def _finish(self, journal: RunLog) -> None:
        self._run.warnings = [text for run in self._steps.values() for text in run.warnings]
        if self.stop.is_set():
            for child in self._steps.values():
                child.move(Status.CANCELED)
            journal.write("The pipeline run was canceled.")
            self._run.move(Status.CANCELED)
            return
        failed = [name for name, run in self._steps.items() if run.status is Status.FAILED]
        if failed:
            nodes = ", ".join(f"/{name}" for name in failed)
            message = (
                f"Pipeline has failed child jobs. Failed nodes: {nodes}. For more details and "
                "logs, please go to the job detail page and check the child jobs."
            )
            journal.write(message)
            self._run.move(Status.FAILED, RunError("UserError", message))
            return
        self._run.move(Status.FINALIZING)
        self._run.outputs = {
            target.parent_output: self._steps[step.name].outputs[name]
            for step in self._plan.steps
            for name, target in step.node.outputs.items()
            if target.parent_output is not None
        }
        journal.write("The pipeline run completed.")
        self._run.move(Status.COMPLETED)

    def _is_ready(self, step: Step) -> bool:
        return all(
            self._steps[binding.node].status is Status.COMPLETED
            for binding in step.node.inputs.values()
            if isinstance(binding, NodeOutput)
        )

    def _produced(self, node: str, output: str) -> str:
        return self._steps[node].outputs[output].uri

    def _child(self, step: Step) -> Run:
        component = step.component
        return Run(
            # the same for the same job, so that a test can know it
            name=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._run.name}/{step.name}")),
            kind="pipeline" if step.child else "command",
            experiment=self._run.experiment,
            display_name=step.node.display_name,
            parent=self._run.name,
            compute=last_segment(step.compute),
            properties={
                "azureml.runsource": "azureml.StepRun",
                "azureml.nodeName": step.name,
                "azureml.pipelinerunid": self._run.name,
                "azureml.moduleName": component.name,
                "azureml.moduleVersion": component.version,
                "azureml.moduleid": step.node.component_id,
                "azureml.isreused": "false",
                "StepType": "SubGraph" if step.child else "PythonScriptStep",
            },
        )

    def _said(self, name: str) -> str:
        return f"{name}:{self._steps[name].name}"
