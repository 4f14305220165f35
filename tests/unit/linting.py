"""Triggers as they are written, and what is said of them."""

from pathlib import Path
from typing import Any

from shared import lint
from shared.definitions import TriggerDefinition, TriggerFile
from shared.documents import Document, Place
from shared.errors import Problem
from shared.inputs import DataInput, PipelineInput
from tests.unit import scene

LINES: dict[Place, int] = {
    ("spec",): 2,
    ("spec", "blob", "path"): 3,
    ("spec", "run"): 3,
    ("spec", "event", "subject"): 3,
    ("spec", "service_bus", "queue"): 3,
    ("spec", "where"): 4,
    ("action", "pipeline"): 5,
    ("action", "allow"): 6,
    ("action", "inputs"): 7,
    ("action", "inputs", "data"): 7,
    ("action", "tags", "note"): 9,
    ("action", "compute"): 10,
    ("action", "experiment_name"): 11,
    ("policies", "batch"): 12,
    ("policies", "batch", "group_by"): 13,
    ("policies", "batch", "release_on"): 14,
    ("policies", "concurrency", "key"): 15,
}


def written(trigger: TriggerDefinition) -> TriggerFile:
    document = Document(
        root=Path(),
        file="triggers/on-upload.yml",
        path=Path("on-upload.yml"),
        content={},
        lines=LINES,
    )
    return TriggerFile(trigger=trigger, document=document)


def file(**action: Any) -> TriggerFile:
    path = action.pop("path", "sales/{region}/{file}.csv")
    return written(scene.trigger(path=path, **action))


def made(spec: dict[str, Any], **action: Any) -> TriggerFile:
    """A trigger of any source, that binds nothing."""
    return written(
        TriggerDefinition.model_validate(
            {
                "name": scene.TRIGGER,
                "spec": spec,
                "action": {"pipeline": scene.PIPELINE, **action},
            }
        )
    )


#: As in SIGNALBOX_DATASTORES.
DATASTORES = {"contosolake/landing": "lake", "contosolake/results": "results"}


def check(file: TriggerFile, pipelines: lint.Pipelines | None = None) -> list[Problem]:
    """What is wrong with it; when nothing else is said, its pipeline's ports are not known."""
    known = {scene.PIPELINE: None} if pipelines is None else pipelines
    return lint.check(file, known, ["queue/inbox", "topic/news/signalbox"], DATASTORES)


def messages(file: TriggerFile, pipelines: lint.Pipelines | None = None) -> list[str]:
    return [f"{problem.line}: {problem.message}" for problem in check(file, pipelines)]


def ports(
    inputs: dict[str, dict[str, Any]] | None = None, outputs: dict[str, str] | None = None
) -> lint.Ports:
    return (
        {name: PipelineInput.model_validate(port) for name, port in (inputs or {}).items()},
        {name: DataInput(type="uri_folder", path=path) for name, path in (outputs or {}).items()},
    )
