"""`signalbox run`: start a pipeline by name, and watch it if asked to."""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import click

from cli import values
from cli.client import Api, Surroundings, pass_surroundings
from cli.groups import as_json as as_json_option
from cli.output import (
    INTERRUPTED,
    RUN_FAILED,
    UNAVAILABLE,
    CommandFailed,
    Output,
    print_json,
)
from cli.text import Json, about, reason_of, state_of, visible, when
from cli.watching import FINAL, WELL, ending, follow


@click.command()
@click.argument("pipeline")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="An input. true, 3, 0.5 and '\"3\"' are what they are in JSON; all else is text.",
)
@click.option(
    "--inputs-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Inputs as a JSON or YAML mapping; --input wins over it.",
)
@click.option("--experiment", metavar="NAME", help="Instead of the pipeline's experiment.")
@click.option("--compute", metavar="NAME", help="Instead of the pipeline's compute.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag of the job.")
@click.option("--force-rerun", is_flag=True, help="Reuse no earlier results.")
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key again starts nothing; random otherwise."
)
@click.option("--wait", is_flag=True, help="Watch the run until it is over.")
@as_json_option
@pass_surroundings
def run(
    surroundings: Surroundings,
    pipeline: str,
    inputs: tuple[str, ...],
    inputs_file: Path | None,
    experiment: str | None,
    compute: str | None,
    tags: tuple[str, ...],
    force_rerun: bool,
    idempotency_key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Run PIPELINE, `name` or `name@version`, now.

    A data input takes a path: --input rows=azureml://…, or https://….
    """
    given = values.pairs(inputs, "--input")
    named = values.pairs(tags, "--tag")
    bound = values.mapping_file(inputs_file) if inputs_file else {}
    bound |= {name: values.value(text) for name, text in given.items()}
    asked: dict[str, Any] = {
        "inputs": bound,
        "experiment_name": experiment,
        "compute": compute,
        "tags": named,
        "force_rerun": force_rerun or None,
    }
    body = {name: value for name, value in asked.items() if value not in (None, {})}
    api = surroundings.api()
    summary = post_once(
        api, idempotency_key, "pipelines", pipeline, "runs", body=json.dumps(body).encode()
    )
    report(surroundings, api, summary, wait=wait, as_json=as_json)


def post_once(api: Api, key: str | None, *place: str, body: bytes) -> Json:
    """POST JSON under a key; whoever gets no answer is told how to ask again safely."""
    sent = key or str(uuid.uuid4())
    if not (sent.isascii() and sent.isprintable()):
        raise click.BadParameter("must be plain printable text", param_hint="--idempotency-key")
    headers = {"idempotency-key": sent, "content-type": "application/json"}
    try:
        return api.post(*place, headers=headers, content=body)
    except CommandFailed as error:
        if error.exit_code != UNAVAILABLE:
            raise
        raise CommandFailed(
            f"{error.message}\nWhether it was taken is not known: with "
            f"--idempotency-key {sent} the same command starts nothing twice.",
            UNAVAILABLE,
        ) from None


def report(
    surroundings: Surroundings, api: Api, summary: Json, *, wait: bool, as_json: bool
) -> None:
    """Tell of a run that was asked for; exits with what became of it."""
    output = Output()
    id = str(summary.get("id"))
    if wait:
        if not as_json:
            output.line(f"run {id}")
        watch(surroundings, api, id, as_json=as_json)
    if as_json:
        print_json(summary)
    else:
        show_summary(output, summary)
    leave(summary)


def watch(surroundings: Surroundings, api: Api, id: str, *, as_json: bool) -> None:
    """Follow a run to its end; exits with what became of it."""
    # Standard output is for the answer, when a program reads it.
    progress = Output(errors=as_json)
    try:
        detail = follow(surroundings, api, id, progress)
    except KeyboardInterrupt:
        Output(errors=True).lines(
            f"\nStopped watching; the run goes on.\n"
            f"  signalbox runs watch {visible(id)}\n  signalbox runs cancel {visible(id)}"
        )
        sys.exit(INTERRUPTED)
    if as_json:
        print_json(detail)
    else:
        ending(progress, detail)
    leave(detail)


def leave(run: Json) -> None:
    """Exit with the code that a run's state has."""
    failed = run.get("state") in FINAL - WELL
    sys.exit(RUN_FAILED if failed else 0)


def show_summary(output: Output, run: Json, more: Json | None = None) -> None:
    """A run in a few lines, and whatever else is said of it."""
    event = run.get("event") or {}
    output.facts(
        {
            "run": run.get("id"),
            "state": state_of(run),
            "reason": reason_of(run),
            "pipeline": run.get("pipeline"),
            "event": f"{about(event)}, {when(event.get('time'))}" if event else None,
            "created": when(run.get("created_at")),
            "ended": when(run.get("ended_at")),
            "again for": run.get("replay_of"),
            "job": run.get("job"),
            "studio": run.get("studio_url"),
            **(more or {}),
        }
    )
