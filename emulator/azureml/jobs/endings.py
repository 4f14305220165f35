"""How jobs of a workspace that does not execute end: never, unless the control says otherwise."""

import asyncio
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.azureml.runhistory.models import Run, RunError
from emulator.azureml.runhistory.states import Status

#: What a run goes through from Queued to each end.
_WAYS = {
    "Completed": (Status.PREPARING, Status.RUNNING, Status.FINALIZING, Status.COMPLETED),
    "Failed": (Status.PREPARING, Status.RUNNING, Status.FAILED),
    "Canceled": (Status.CANCELED,),
}


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return text


class Ending(BaseModel):
    """The end of every job whose whole name fits the pattern, from now on."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, AfterValidator(_pattern)] = ".*"
    status: Literal["Completed", "Failed", "Canceled"] = "Completed"
    after_seconds: float = Field(default=0.0, ge=0)


class Endings:
    """The endings that were told, the first that fits counts; and routes to tell them."""

    def __init__(self) -> None:
        self._told: list[Ending] = []

    def follow(self, run: Run) -> None:
        """Let the run end as it was told, if it was; from the event loop only."""
        for ending in self._told:
            if re.fullmatch(ending.name, run.name):
                loop = asyncio.get_running_loop()
                loop.call_later(ending.after_seconds, _end, run, ending.status)
                return

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/endings", self._tell, methods=["POST"]),
            Route("/endings", self._forget, methods=["DELETE"]),
        ]

    async def _tell(self, request: Request) -> JSONResponse:
        try:
            ending = Ending.model_validate_json(await request.body())
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            return JSONResponse({"problems": problems}, status_code=400)
        self._told.append(ending)
        return JSONResponse(ending.model_dump(mode="json"), status_code=201)

    async def _forget(self, _: Request) -> Response:
        self._told.clear()
        return Response(status_code=204)


def _end(run: Run, status: str) -> None:
    """Go the whole way at once; a run that was canceled meanwhile stays so."""
    for step in _WAYS[status]:
        failure = RunError("UserError", "The control of the local Azure said that it fails.")
        run.move(step, failure if step is Status.FAILED else None)
