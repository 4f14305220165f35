"""Creating a job: its run, its plan, and its beginning."""

from collections.abc import Mapping
from typing import Any

from emulator.azureml.arm_ids import last_segment
from emulator.azureml.execution.executor import Executor
from emulator.azureml.jobs.endings import Endings
from emulator.azureml.jobs.models import Job, JobStore
from emulator.azureml.jobs.submission import Submission
from emulator.azureml.runhistory.models import Run, RunStore
from emulator.azureml.runhistory.states import Status
from emulator.azureml.workspace import Workspace


class Creation:
    """Makes jobs of bodies, whoever asks for them: a client, or a schedule."""

    def __init__(
        self,
        workspace: Workspace,
        jobs: JobStore,
        runs: RunStore,
        submission: Submission,
        executor: Executor,
        endings: Endings,
    ) -> None:
        self._workspace = workspace
        self._jobs = jobs
        self._runs = runs
        self._submission = submission
        self._executor = executor
        self._endings = endings

    def check(self, name: str, body: Mapping[str, Any]) -> None:
        """Raises what creating the job would raise."""
        self._submission.plan(name, body)

    def create(self, name: str, body: Mapping[str, Any], *, schedule: str | None = None) -> Job:
        """A job that has not begun yet. Raises UserError, NotFound, NotImplementedHere."""
        plan = self._submission.plan(name, body)
        settings = body.get("settings") or {}
        run = Run(
            name=name,
            kind=plan.kind,
            experiment=body.get("experimentName") or "Default",
            display_name=body.get("displayName") or name,
            description=body.get("description"),
            compute=last_segment(
                str(settings.get("default_compute") or body.get("computeId") or "serverless")
            ),
            tags=dict(body.get("tags") or {}),
            properties=dict(body.get("properties") or {}),
            hidden=bool(body.get("isArchived")),
        )
        job = Job(run=run, body=body, plan=plan, schedule=schedule)
        self._runs.add(run)
        run.move(Status.PREPARING if self._workspace.executes else Status.QUEUED)
        self._jobs.add(job)
        return job

    def begin(self, job: Job) -> None:
        """Let it run, or end as it was told to; from the event loop only."""
        if self._workspace.executes:
            self._executor.start(job.run, job.plan)
        else:
            self._endings.follow(job.run)
