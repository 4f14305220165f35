"""The pipelines that can be run."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from shared import lint
from shared.api import contract
from shared.api.contract import Called, Limit, NameCursor, ReferencePath
from shared.bootstrap import App
from shared.changes import PIPELINE, Key
from shared.errors import NotFound, listed
from shared.index import Snapshot
from shared.inputs import DataInput, Literal
from shared.published import PublishedPipeline, latest

router = APIRouter(tags=["pipelines"])


class InputShown(BaseModel):
    """What a pipeline takes under one name."""

    type: str
    #: A value's default.
    default: Literal | None
    #: Where data comes from by default.
    path: str | None
    #: There is no default, so that each run must say it.
    required: bool
    #: A run may leave it out.
    optional: bool
    #: What it may be; anything when empty.
    enum: list[Literal]
    #: The least and the greatest that a number may be.
    min: int | float | None
    max: int | float | None


class PipelineShown(BaseModel):
    """A published version of a pipeline."""

    name: str
    #: A digest of its content; the same content has the same version.
    version: str
    #: The ARM id of the component that each run's job refers to.
    component_id: str
    inputs: dict[str, InputShown]
    outputs: dict[str, DataInput]
    settings: dict[str, Any]
    experiment_name: str | None
    description: str | None
    #: The triggers that may start it.
    triggers: list[str]
    #: What is wrong with those triggers, as far as it is about this pipeline, and with the
    #: pipeline's file in the definitions container.
    problems: list[str]


class PipelineList(BaseModel):
    """Some pipelines by name, and where to go on."""

    items: list[PipelineShown]
    #: Hand it back for what follows; None when nothing does.
    cursor: str | None = None


@router.get(
    "/api/pipelines",
    operation_id="list_pipelines",
    summary="The latest version of every pipeline, by name",
    responses=contract.refusals(),
)
def list_pipelines(call: Called, limit: Limit = 50, cursor: NameCursor = None) -> PipelineList:
    snapshot = call.app.index.read().snapshot
    known = ports(call.app, snapshot)
    names, further = contract.page(snapshot.pipelines, limit, cursor)
    found = [latest(snapshot, name) for name in names]
    wrong = call.app.drops.wrong()
    items = [_shown(each, snapshot, known, wrong) for each in found if each]
    return PipelineList(items=items, cursor=further)


@router.get(
    "/api/pipelines/{name}",
    operation_id="get_pipeline",
    summary="One pipeline, its inputs and its triggers",
    responses=contract.refusals(404),
)
def get_pipeline(call: Called, name: ReferencePath) -> PipelineShown:
    snapshot = call.app.index.read().snapshot
    found = call.app.published.resolve(snapshot, name)
    if found is None:
        there = listed(sorted(snapshot.pipelines))
        wrong = wrong_file(call.app, PIPELINE, name)
        raise NotFound(f"There is no pipeline {name!r}; there are: {there}.{wrong}")
    return _shown(found, snapshot, ports(call.app, snapshot), call.app.drops.wrong())


def ports(app: App, snapshot: Snapshot) -> dict[str, lint.Ports]:
    """What every pipeline takes and writes: the latest versions, and those that triggers pin."""
    named = {
        reference
        for trigger in snapshot.triggers.values()
        for reference in trigger.definition.action.pipelines
    }
    return {
        reference: (found.inputs, found.outputs)
        for reference in {*snapshot.pipelines, *named}
        if (found := app.published.resolve(snapshot, reference))
    }


def problems_of(
    snapshot: Snapshot, trigger: str, known: Mapping[str, lint.Ports | None]
) -> list[str]:
    """Why a trigger's runs would be dead letters, whatever the event."""
    return lint.unbound(snapshot.triggers[trigger].definition, known)


def wrong_file(app: App, kind: str, name: str) -> str:
    """Why nothing is published of a file in the definitions container; "" when nothing is wrong."""
    problems = app.drops.problems(kind, name)
    told = f" Its file in the definitions container is not published: {'; '.join(problems)}"
    return told if problems else ""


def _shown(
    pipeline: PublishedPipeline,
    snapshot: Snapshot,
    known: Mapping[str, lint.Ports | None],
    wrong: Mapping[Key, list[str]],
) -> PipelineShown:
    named = sorted(
        name
        for name, trigger in snapshot.triggers.items()
        if any(
            reference.partition("@")[0] == pipeline.name
            for reference in trigger.definition.action.pipelines
        )
    )
    return PipelineShown(
        name=pipeline.name,
        version=pipeline.version,
        component_id=pipeline.component_id,
        inputs={
            name: InputShown(
                type=each.type,
                default=each.default,
                path=each.path,
                required=each.required,
                optional=each.optional,
                enum=list(each.enum),
                min=each.min,
                max=each.max,
            )
            for name, each in pipeline.inputs.items()
        },
        outputs=pipeline.outputs,
        settings=pipeline.settings,
        experiment_name=pipeline.experiment_name,
        description=pipeline.description,
        triggers=named,
        problems=[
            f"{trigger}: {problem}"
            for trigger in named
            for problem in problems_of(snapshot, trigger, known)
        ]
        + wrong.get((PIPELINE, pipeline.name), []),
    )
