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
@click.option("--schedule", metavar="NAME", help="The last time of a schedule, or that at --at.")
@click.option(
    "--at",
    metavar="TIME",
    help="2026-03-01T12:00; of --trigger local, of --schedule its own clock's; or +hh:mm.",
)
@as_json
@pass_surroundings
def explain(
    surroundings: Surroundings,
    what: str | None,
    blob: str | None,
    message: str | None,
    run: str | None,
    trigger: str | None,
    schedule: str | None,
    at: str | None,
    as_json: bool,
) -> None:
    """Why something ran, or did not, in words."""
    question = {
        "blob": blob,
        "message": message,
        "run": run,
        "trigger": trigger,
        "schedule": schedule,
    }
    if what is not None:
        kind = _kind(what)
        if question[kind] is not None:
            raise click.UsageError(f"{what!r} is another {kind} than --{kind}; ask for one.")
        question[kind] = what
    if sum(value is not None for value in question.values()) != 1:
        raise click.UsageError(
            "Ask for one thing: a blob or a run's id, --message, --run, --trigger or --schedule."
        )
    if at is not None and trigger is None and schedule is None:
        raise click.UsageError("--at goes with --trigger or --schedule.")
    time = _time(at, by_its_own_clock=schedule is not None)
    answer = surroundings.api().get("explain", parameters={**question, "at": time})
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


def _time(text: str | None, *, by_its_own_clock: bool) -> str | None:
    """A time as ISO 8601; without an offset it is the clock's here, or a schedule's own."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if by_its_own_clock else found.astimezone()).isoformat()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time like 2026-03-01T12:00", param_hint="--at"
        ) from None
