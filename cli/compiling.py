"""`signalbox compile`: what publishing a pipeline would register and its jobs would be, offline."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import yaml

from cli.output import WRONG, CommandFailed, Output, print_json
from shared.errors import DefinitionsInvalid


@click.command(name="compile", short_help="Show what publishing a pipeline would register.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def compile_pipeline(file: Path, as_json: bool) -> None:
    """Check FILE, an AzureML job as YAML, and show what publishing it would register and submit.

    Nothing is asked of Azure. The pipeline is named after the file.
    """
    # Each class that Microsoft calls experimental would print a line of its own.
    logging.getLogger("azure.ai.ml._utils._experimental").setLevel(logging.ERROR)
    # The AzureML SDK takes a second to load, which no other command needs.
    from shared import compiler, definitions, documents
    from shared.inputs import compute_input
    from shared.labels import Noted

    labels = Noted()
    try:
        document = documents.read(file, root=Path())
        if {"spec", "action"} <= document.content.keys():
            raise CommandFailed(
                f"{document.file} is a trigger (it has spec and action), and only pipelines are "
                "compiled. `signalbox publish --dry-run` on the folder checks triggers.",
                WRONG,
            )
        definition = definitions.PipelineDefinition(file.stem, document)
        found = compiler.compile(definition, labels.pin)
    except DefinitionsInvalid as error:
        raise CommandFailed(str(error), WRONG) from None
    shown: dict[str, Any] = {
        "name": found.name,
        "version": found.version,
        "submission": "reference" if found.jobs is None else "inline",
        "inline_because": list(found.inline_because),
        # A pipeline component may hold no compute of a step's own.
        "promoted_computes": {compute_input(step): name for step, name in found.computes.items()},
        # Publishing writes the versions in their place, and then the version is another.
        "labels": sorted({reference for _, reference in labels.found}),
        "upload": [asdict(asset) for asset in found.assets],
        "register": [step.document for step in found.steps],
        "job": _job(found),
        "warnings": [str(each) for each in (*found.warnings, *labels.loose(document))],
    }
    if found.by_reference:
        shown["register"].append(found.component.document)
    if as_json:
        print_json(shown)
        return
    errors = Output(errors=True)
    for warning in (*found.warnings, *labels.loose(document)):
        errors.line(f"warning: {warning}")
    for reason in found.inline_because:
        errors.line(f"{found.name} is submitted inline: {reason}")
    click.echo(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True), nl=False)


def _job(found: Any) -> dict[str, Any]:
    """What each job is made from, beside what its trigger binds."""
    named = found.registered or f"azureml:{found.component.name}:{found.version}"
    carried = {"component": named} if found.jobs is None else {"jobs": found.jobs}
    job = {
        **carried,
        "inputs": {name: port.model_dump(exclude_none=True) for name, port in found.inputs.items()},
        "outputs": {
            name: port.model_dump(exclude_none=True) for name, port in found.outputs.items()
        },
        "computes": found.computes,
        "settings": found.settings,
        "experiment_name": found.experiment_name,
        "tags": found.tags,
        "properties": found.properties,
        "identity": found.identity,
    }
    return {name: value for name, value in job.items() if value}
