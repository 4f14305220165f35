"""The clock that schedules fire by: this computer's, or further, as the control says."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from emulator.azureml.errors import ServiceError
from emulator.azureml.jobs.creation import Creation
from emulator.azureml.jobs.models import Job
from emulator.azureml.resources import now, timestamp
from emulator.azureml.schedules.definitions import filled
from emulator.azureml.schedules.models import Schedule, ScheduleStore

log = logging.getLogger(__name__)

#: How many jobs one move of the clock may start.
MOST = 1_000
_SECONDS_BETWEEN_LOOKS = 0.5


class Move(BaseModel):
    """Where the clock is to go: never back."""

    model_config = ConfigDict(extra="forbid")

    to: AwareDatetime | None = None
    forward_seconds: float = Field(default=0.0, ge=0)


class Clock:
    """Fires what is due, by itself and when it is moved; from the event loop only."""

    def __init__(self, schedules: ScheduleStore, creation: Creation) -> None:
        self._schedules = schedules
        self._creation = creation
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        return now() + self._ahead

    async def run(self) -> None:
        """Fire what comes due, until it is canceled."""
        while True:
            self.fire()
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    def fire(self) -> list[dict[str, Any]]:
        """Everything that is due, in the order of its times; what was started, or why not."""
        fired: list[dict[str, Any]] = []
        at = self.now()
        while len(fired) < MOST and (due := self._due(at)):
            schedule, moment = due
            schedule.passed(moment)
            about = {"schedule": schedule.name, "time": timestamp(moment)}
            try:
                fired.append({**about, "job": self.start(schedule, moment).name})
            except ServiceError as error:
                log.warning("The schedule %s started nothing: %s", schedule.name, error.message)
                fired.append({**about, "problem": error.message})
        return fired

    def start(self, schedule: Schedule, moment: datetime) -> Job:
        """One job of a schedule. Raises ServiceError."""
        name = str(uuid.uuid4())
        called = f"{schedule.name}-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        body = {**filled(schedule.job, name, moment), "displayName": called}
        job = self._creation.create(name, body, schedule=schedule.name)
        self._creation.begin(job)
        return job

    def move(self, move: Move) -> list[dict[str, Any]]:
        """Raises ValueError when that lies in the past."""
        to = (move.to or self.now()) + timedelta(seconds=move.forward_seconds)
        if to < self.now() - timedelta(seconds=1):
            raise ValueError(f"The clock of schedules is at {timestamp(self.now())} already.")
        self._ahead = max(self._ahead, to - now())
        return self.fire()

    def _due(self, at: datetime) -> tuple[Schedule, datetime] | None:
        due = [
            (each.next, each.name, each)
            for each in self._schedules.newest_first()
            if each.next is not None and each.next <= at
        ]
        if not due:
            return None
        moment, _, schedule = min(due)
        return schedule, moment


class ClockControl:
    """`GET /schedules/clock` tells the time of schedules, `POST` moves it and says what fired."""

    def __init__(self) -> None:
        #: Set by the workspace.
        self.clock: Clock | None = None

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/schedules/clock", self._show, methods=["GET"]),
            Route("/schedules/clock", self._move, methods=["POST"]),
        ]

    async def _show(self, _: Request) -> JSONResponse:
        return JSONResponse({"now": timestamp(self._there.now())})

    async def _move(self, request: Request) -> JSONResponse:
        try:
            fired = self._there.move(Move.model_validate_json(await request.body()))
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return JSONResponse({"problems": problems}, status_code=400)
        except ValueError as error:
            return JSONResponse({"problems": [str(error)]}, status_code=400)
        return JSONResponse({"now": timestamp(self._there.now()), "fired": fired})

    @property
    def _there(self) -> Clock:
        assert self.clock, "the workspace is created before anybody asks"
        return self.clock


@contextlib.asynccontextmanager
async def running(clock: Clock) -> AsyncIterator[None]:
    """While it lasts, the clock fires by itself."""
    task = asyncio.create_task(clock.run())
    try:
        yield
    finally:
        task.cancel()
