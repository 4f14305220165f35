"""The workspace as one ASGI application: for management.azure.com and the API host."""

import contextlib
from collections.abc import AsyncIterator, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route

from emulator.azureml.assets.events import ModelEvents
from emulator.azureml.assets.models import AssetStore
from emulator.azureml.assets.registration import Registrar
from emulator.azureml.assets.routes import AssetRoutes
from emulator.azureml.authority import BearerRequired
from emulator.azureml.computes.routes import ComputeRoutes
from emulator.azureml.computes.targets import Computes
from emulator.azureml.control import WorkspaceControl
from emulator.azureml.errors import (
    ServiceError,
    answer_crash,
    answer_service_error,
    answer_unknown_route,
)
from emulator.azureml.execution.cores import Cores
from emulator.azureml.execution.executor import Executor
from emulator.azureml.execution.python_environments import PythonEnvironments
from emulator.azureml.execution.reuse import Reuse
from emulator.azureml.execution.steps import Workshop
from emulator.azureml.jobs.creation import Creation
from emulator.azureml.jobs.inspection import GraphView
from emulator.azureml.jobs.models import JobStore
from emulator.azureml.jobs.routes import JobRoutes
from emulator.azureml.jobs.submission import Submission
from emulator.azureml.paths import OneSpelling
from emulator.azureml.runhistory.events import Publish, RunEvents
from emulator.azureml.runhistory.models import RunStore
from emulator.azureml.runhistory.routes import RunHistoryRoutes
from emulator.azureml.schedules.clock import Clock, running
from emulator.azureml.schedules.models import ScheduleStore
from emulator.azureml.schedules.routes import ScheduleRoutes
from emulator.azureml.storage import Storage
from emulator.azureml.workspace import PROVIDER, Machine, Workspace
from emulator.azureml.workspaces.errors import WorkspaceNotFound
from emulator.azureml.workspaces.routes import WorkspaceRoutes

_SCOPE = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{PROVIDER}/workspaces"


def create_app(
    workspace: Workspace,
    machine: Machine,
    publish: Publish,
    control: WorkspaceControl | None = None,
) -> Starlette:
    """The application; its lifespan ends every process that a job still runs.

    `publish` is given the workspace's Event Grid events, from any thread. `control` is
    what the emulator's own control sees and does here.
    """
    control = control or WorkspaceControl()
    storage = Storage(machine)
    computes = Computes(workspace, control.compute_failures)
    compute_routes = ComputeRoutes(workspace, computes)
    assets, jobs = AssetStore(), JobStore()
    runs = RunStore(RunEvents(workspace, publish))
    registrar = Registrar(assets, workspace, ModelEvents(workspace, publish))
    workshop = Workshop(
        workspace=workspace,
        machine=machine,
        storage=storage,
        registrar=registrar,
        pythons=PythonEnvironments(machine.cache, machine.plain_variables),
        cores=Cores(machine.cores),
        computes=computes,
        reuse=Reuse(),
    )
    graphs = GraphView(workspace, assets)
    control.graph = lambda name: graphs.of(jobs.get(name))
    control.jobs = lambda: [
        {"name": job.name, "status": job.run.status, "tags": job.run.tags}
        for job in jobs.newest_first()
    ]
    executor = Executor(runs, assets, workshop)
    creation = Creation(
        workspace,
        jobs,
        runs,
        Submission(registrar, workspace, computes),
        executor,
        control.endings,
    )
    schedules = ScheduleStore()
    clock = control.clock.clock = Clock(schedules, creation)
    schedule_routes = ScheduleRoutes(workspace, schedules, jobs, creation, clock)
    own = WorkspaceRoutes(workspace, storage)
    history = RunHistoryRoutes(workspace, runs, storage)
    arm: list[BaseRoute] = [
        *own.routes(),
        *compute_routes.routes(),
        *AssetRoutes(workspace, assets, registrar, storage).routes(),
        *JobRoutes(workspace, jobs, runs, creation, executor).routes(),
        *schedule_routes.routes(),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running(clock):
            yield
        await run_in_threadpool(executor.close)

    return Starlette(
        routes=[
            Route("/discovery", own.discover, methods=["GET"]),
            # a mount answers below its path only, and the workspace itself is the path
            Route(workspace.arm_id, own.get, methods=["GET"]),
            Mount(workspace.arm_id, routes=arm),
            Mount(f"/history/v1.0{workspace.arm_id}", routes=history.routes()),
            Mount(f"/data/v1.0{workspace.arm_id}", routes=history.data_routes()),
            Mount(f"/modelregistry/v1.0{workspace.arm_id}", routes=history.model_routes()),
            compute_routes.status_route(),
            *schedule_routes.status_routes(),
            *_other_workspaces(workspace),
        ],
        middleware=[
            Middleware(
                BearerRequired,
                open_paths=frozenset({"/discovery"}),
                refusal=control.roles.refusal,
            ),
            Middleware(OneSpelling, workspace=workspace),
        ],
        exception_handlers={
            ServiceError: answer_service_error,
            404: answer_unknown_route,
            405: answer_unknown_route,
            Exception: answer_crash,
        },
        lifespan=lifespan,
    )


def _other_workspaces(workspace: Workspace) -> Sequence[BaseRoute]:
    """Every other workspace is answered as one that does not exist."""

    async def refuse(request: Request) -> JSONResponse:
        names = request.path_params
        own = (workspace.subscription, workspace.resource_group, workspace.name)
        asked = (names["subscription"], names["group"], names["workspace"])
        if asked != own:
            raise WorkspaceNotFound(names["workspace"], names["group"], workspace)
        return await answer_unknown_route(request, Exception())  # type: ignore[return-value]

    methods = ["GET", "PUT", "POST", "PATCH", "DELETE"]
    return [
        Route(f"{_SCOPE}/{{workspace}}", refuse, methods=methods),
        Route(f"{_SCOPE}/{{workspace}}/{{rest:path}}", refuse, methods=methods),
    ]
