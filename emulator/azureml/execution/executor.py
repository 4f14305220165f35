"""Starts and cancels the execution of jobs."""

import threading

from emulator.azureml.assets.models import AssetStore
from emulator.azureml.execution.jobs import JobExecution
from emulator.azureml.execution.plan import Plan
from emulator.azureml.execution.steps import Workshop
from emulator.azureml.runhistory.models import Run, RunStore
from emulator.azureml.runhistory.states import Status

_SECONDS_TO_END = 5.0


class Executor:
    """One thread per job that runs."""

    def __init__(self, runs: RunStore, assets: AssetStore, workshop: Workshop) -> None:
        self._runs = runs
        self._assets = assets
        self._workshop = workshop
        self._lock = threading.Lock()
        self._running: dict[str, tuple[JobExecution, threading.Thread]] = {}

    def start(self, run: Run, plan: Plan) -> None:
        execution = JobExecution(
            run, plan, runs=self._runs, assets=self._assets, workshop=self._workshop
        )
        thread = threading.Thread(target=self._follow, args=(run, execution), name=run.name)
        with self._lock:
            self._running[run.name] = (execution, thread)
        thread.start()

    def cancel(self, name: str) -> None:
        """Ask a job that runs to stop; it ends as Canceled soon after."""
        with self._lock:
            found = self._running.get(name)
        if found:
            self._runs.get(name).move(Status.CANCEL_REQUESTED)
            found[0].stop.set()

    def close(self) -> None:
        """Cancel everything and wait for the processes to be gone."""
        with self._lock:
            running = list(self._running.values())
        for execution, _ in running:
            execution.stop.set()
        for _, thread in running:
            thread.join(_SECONDS_TO_END)

    def _follow(self, run: Run, execution: JobExecution) -> None:
        try:
            execution.execute()
        finally:
            with self._lock:
                self._running.pop(run.name, None)
