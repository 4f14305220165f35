"""A job of one command as a pipeline of one step."""

from dataclasses import replace
from typing import Any

from shared.documents import Document, Place
from shared.nodes import mapping

#: What a pipeline has in place of its only step.
_OF_JOB = ("display_name", "experiment_name", "description", "tags", "properties")

#: Types of jobs that may be a step of a pipeline as they are.
WRAPPED = ("command", "spark")


def kind(content: dict[str, Any]) -> str:
    """The type of a job document. Source: `az ml job create` takes a job without type as command;
    one with `jobs` or `component` could then not be read, so it is a pipeline here."""
    of_pipeline = "jobs" in content or "component" in content
    return str(content.get("type", "pipeline" if of_pipeline else "command"))


def wrapped(document: Document, name: str) -> Document:
    """The pipeline of one step that does what a job of one command does; others as they are.

    What the job takes and writes becomes the pipeline's, so that a trigger can bind it.
    """
    content = document.content
    if kind(content) not in WRAPPED:
        return document
    step = re_name(name)
    job: dict[str, Any] = {"type": "pipeline"}
    job |= {key: content[key] for key in _OF_JOB if key in content}
    if compute := content.get("compute"):
        job["settings"] = {"default_compute": compute}
    node = {
        key: value
        for key, value in content.items()
        if key not in {*_OF_JOB, "$schema", "name", "compute", "inputs", "outputs"}
    }
    for ports in ("inputs", "outputs"):
        if declared := mapping(content.get(ports)):
            job[ports] = declared
            node[ports] = {port: f"${{{{parent.{ports}.{port}}}}}" for port in declared}
    job["jobs"] = {step: {"type": kind(content), **node}}
    return replace(document, content=job, lines=_lines(document, step), rewritten=True)


def re_name(name: str) -> str:
    """A pipeline's name as that of a step: AzureML takes no hyphen there."""
    return name.replace("-", "_")


def _lines(document: Document, step: str) -> dict[Place, int]:
    """Every value where the user wrote it."""
    of_step: dict[Place, int] = {
        ("jobs", step, *place): line for place, line in document.lines.items()
    }
    compute = document.lines.get(("compute",))
    settings: dict[Place, int] = {("settings", "default_compute"): compute} if compute else {}
    return {**of_step, **document.lines, **settings}
