"""`signalbox explain` and `signalbox health`: why, in words."""

import re
import sys
from datetime import datetime

import click

from cli.client import Surroundings, pass_surroundings
from cli.groups import as_json
from cli.output import UNAVAILABLE, Output, print_json

#: trigger.key
_RUN_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}\.[0-9a-f]{32}")


@click.command()
@click.argument("what", required=False, metavar="[BLOB or RUN ID]")
@click.option("--blob", help="An upload: its URL, or account/container/path.")
@click.option("--message", metavar="ID", help="A message: its id or its sequence number.")
@click.option("--run", metavar="ID", help="A run.")
@click.option("--trigger", metavar="NAME", help="What a trigger decided lately, or around --at.")
@click.option("--at", metavar="TIME", help="With --trigger: 2026-03-01T12:00; local, or +hh:mm.")
@as_json
@pass_surroundings
def explain(
    surroundings: Surroundings,
    what: str | None,
    blob: str | None,
    message: str | None,
    run: str | None,
    trigger: str | None,
    at: str | None,
    as_json: bool,
) -> None:
    """Why something ran, or did not, in words."""
    question = {"blob": blob, "message": message, "run": run, "trigger": trigger}
    if what is not None:
        kind = _kind(what)
        if question[kind] is not None:
            raise click.UsageError(f"{what!r} is another {kind} than --{kind}; ask for one.")
        question[kind] = what
    if sum(value is not None for value in question.values()) != 1:
        raise click.UsageError(
            "Ask for one thing: a blob or a run's id, --message, --run or --trigger."
        )
    if at is not None and question["trigger"] is None:
        raise click.UsageError("--at goes with --trigger.")
    answer = surroundings.api().get("explain", parameters={**question, "at": _time(at)})
    if as_json:
        print_json(answer)
        return
    output = Output()
    summary = answer.get("summary") or ""
    output.lines(summary)
    for line in answer.get("lines") or []:
        # One line that says it all is its own summary.
        if line != summary:
            output.lines(line, indent=2)


@click.command()
@as_json
@pass_surroundings
def health(surroundings: Surroundings, as_json: bool) -> None:
    """Whether the function app reaches what it needs."""
    answer = surroundings.api().get("health", also=frozenset({503}))
    if as_json:
        print_json(answer)
    else:
        output = Output()
        output.line(f"status: {answer.get('status')}")
        checks = answer.get("checks") or {}
        rows = [[name, check.get("status"), check.get("detail")] for name, check in checks.items()]
        output.table(("", "status", ""), rows)
    if answer.get("status") != "ok":
        sys.exit(UNAVAILABLE)


def _kind(what: str) -> str:
    if _RUN_ID.fullmatch(what):
        return "run"
    if "/" in what:
        return "blob"
    raise click.UsageError(
        f"{what!r} is neither a blob (account/container/path) nor a run's id; for others there "
        "are --message and --trigger."
    )


def _time(text: str | None) -> str | None:
    """A time as ISO 8601 with its offset; without one it is the clock's here."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time like 2026-03-01T12:00", param_hint="--at"
        ) from None
