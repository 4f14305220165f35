"""`signalbox computes`: what pipelines run on, and what differs from its definition."""

import click

from cli.client import Surroundings, pass_surroundings
from cli.groups import NounGroup, as_json
from cli.output import Output, print_json
from cli.text import Json

#: States of a compute that was looked at and is there.
_FOUND = ("ready", "changing", "stopped", "failed")


@click.group(cls=NounGroup)
def computes() -> None:
    """List computes that are defined, or show one. Without a command: list."""


@computes.command("list")
@as_json
@pass_surroundings
def list_computes(surroundings: Surroundings, as_json: bool) -> None:
    """Computes that are defined, as they were last found."""
    answer = surroundings.api().get("computes")
    if as_json:
        print_json(answer)
        return
    output, items = Output(), answer.get("items") or []
    if not items:
        output.line("no computes; define them in computes/<name>.yml and publish")
        return
    output.table(
        ("compute", "type", "state", "differs"),
        [
            [item.get("name"), item.get("type"), item.get("state"), _differing(item)]
            for item in items
        ],
    )
    for item in items:
        if item.get("problem"):
            output.line(f"! {item.get('name')}: {item['problem']}")


@computes.command()
@click.argument("name")
@as_json
@pass_surroundings
def show(surroundings: Surroundings, name: str, as_json: bool) -> None:
    """Where the compute NAME is, and each setting that is another than its definition says."""
    compute = surroundings.api().get("computes", name)
    if as_json:
        print_json(compute)
        return
    output = Output()
    output.facts(
        {
            "compute": compute.get("name"),
            "type": compute.get("type"),
            "state": compute.get("state"),
            "since": compute.get("since"),
            "problem": compute.get("problem"),
            "not compared": ", ".join(compute.get("not_compared") or []),
        }
    )
    if drift := compute.get("drift"):
        output.heading("differs from its definition")
        output.table(("setting", "is", "definition"), [_row(each) for each in drift])
    elif compute.get("state") in _FOUND:
        output.line("as its definition says")


def _differing(item: Json) -> str:
    return ", ".join(str(drift.get("setting")) for drift in item.get("drift") or [])


def _row(drift: Json) -> list[object]:
    actual = drift.get("actual")
    return [drift.get("setting"), "(not set)" if actual is None else actual, drift.get("wanted")]
