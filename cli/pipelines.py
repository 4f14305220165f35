"""`signalbox pipelines`: which there are, and what they take."""

import click

from cli.client import Surroundings, pass_surroundings
from cli.groups import NounGroup, as_json, page, say_more
from cli.output import Output, print_json
from cli.text import Json


@click.group(cls=NounGroup)
def pipelines() -> None:
    """List pipelines, or show one. Without a command: list."""


@pipelines.command("list")
@page
@as_json
@pass_surroundings
def list_pipelines(
    surroundings: Surroundings, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Pipelines that are published, each in its latest version."""
    asked = {"limit": limit, "cursor": cursor}
    answer = surroundings.api().get("pipelines", parameters=asked)
    if as_json:
        print_json(answer)
        return
    output, items = Output(), answer.get("items") or []
    if not items:
        output.line("no pipelines; `signalbox publish FOLDER` makes some")
        return
    rows = [
        [item.get("name"), item.get("version"), ", ".join(item.get("triggers") or [])]
        for item in items
    ]
    output.table(("pipeline", "version", "triggers"), rows)
    for item in items:
        _show_problems(output, item)
    say_more(answer)


@pipelines.command()
@click.argument("name")
@as_json
@pass_surroundings
def show(surroundings: Surroundings, name: str, as_json: bool) -> None:
    """What the pipeline NAME takes and gives."""
    pipeline = surroundings.api().get("pipelines", name)
    if as_json:
        print_json(pipeline)
        return
    output = Output()
    output.facts(
        {
            "pipeline": pipeline.get("name"),
            "version": pipeline.get("version"),
            "description": pipeline.get("description"),
            "experiment": pipeline.get("experiment_name"),
            "triggers": ", ".join(pipeline.get("triggers") or []),
            "component": pipeline.get("component_id"),
        }
    )
    if inputs := pipeline.get("inputs"):
        output.heading("inputs")
        output.table(
            ("name", "type", "default"),
            [[name, port.get("type"), _default(port)] for name, port in inputs.items()],
        )
    if outputs := pipeline.get("outputs"):
        output.heading("outputs")
        output.table(
            ("name", "type", "path"),
            [[name, port.get("type"), port.get("path")] for name, port in outputs.items()],
        )
    _show_problems(output, pipeline)


def _default(port: Json) -> object:
    if port.get("required"):
        return "(required)"
    default = next((port[key] for key in ("default", "path") if port.get(key) is not None), None)
    return "(optional)" if default is None and port.get("optional") else default


def _show_problems(output: Output, pipeline: Json) -> None:
    for problem in pipeline.get("problems") or []:
        output.line(f"! {pipeline.get('name')}: {problem}")
