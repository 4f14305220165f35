"""What pipelines run on: the computes that are defined, where they are, and what differs."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel

from shared.api import contract
from shared.api.contract import Called
from shared.compute import Kept
from shared.compute_plans import Drift, State, uncompared
from shared.errors import NotFound

router = APIRouter(tags=["computes"])

ComputePath = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$",
        description="Its name.",
        examples=["cpu-cluster"],
    ),
]


class ComputeShown(BaseModel):
    """A compute that is defined, as it was last found."""

    name: str
    #: As in its definition: amlcompute, computeinstance, kubernetes …
    type: str
    state: State
    #: Since when it is in that state.
    since: AwareDatetime
    #: Why it is not ready, and what to do about it.
    problem: str | None
    #: The settings that are others than the definition says. They are never changed.
    drift: list[Drift]
    #: The settings of the definition that cannot be compared: Azure does not read them back.
    not_compared: list[str]
    #: Its definition, without passwords.
    settings: dict[str, Any]


class ComputeList(BaseModel):
    items: list[ComputeShown]


@router.get(
    "/api/computes",
    operation_id="list_computes",
    summary="Every compute that is defined, as it was last found",
    responses=contract.refusals(),
)
def list_computes(call: Called) -> ComputeList:
    known = call.app.computes.all()
    return ComputeList(items=[_shown(name, known[name]) for name in sorted(known)])


@router.get(
    "/api/computes/{name}",
    operation_id="get_compute",
    summary="One compute and what differs from its definition",
    responses=contract.refusals(404),
)
def get_compute(call: Called, name: ComputePath) -> ComputeShown:
    known = call.app.computes.all()
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise NotFound(f"There is no definition of a compute {name!r}; there are: {there}.")
    return _shown(name, known[name])


def _shown(name: str, kept: Kept) -> ComputeShown:
    return ComputeShown(
        name=name,
        type=kept.definition.type,
        state=kept.state,
        since=kept.since,
        problem=kept.why,
        drift=list(kept.drift),
        not_compared=uncompared(kept.definition),
        settings=_shown_settings(kept.wanted),
    )


def _shown_settings(settings: dict[str, Any]) -> dict[str, Any]:
    ssh = settings.get("ssh_settings")
    if not isinstance(ssh, dict):
        return settings
    return {**settings, "ssh_settings": {k: v for k, v in ssh.items() if k != "admin_password"}}
