"""`signalbox runs` and `signalbox dead-letters`: what became of events."""

import click

from cli import running
from cli.client import Surroundings, pass_surroundings
from cli.groups import NounGroup, as_json, page, say_more
from cli.output import Output, print_json
from cli.text import Json, about, state_of, unreadable, when
from cli.watching import show_failed_steps, steps_of


@click.group(cls=NounGroup)
def runs() -> None:
    """List runs; show, cancel, retry or watch one. Without a command: list."""


@runs.command("list")
@click.option("--trigger", metavar="NAME", help="Only those that it started.")
@click.option("--pipeline", metavar="NAME", help="Only those of it.")
@click.option("--state", metavar="STATE", help="Only those that are: submitted, failed, …")
@page
@as_json
@pass_surroundings
def list_runs(
    surroundings: Surroundings,
    trigger: str | None,
    pipeline: str | None,
    state: str | None,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """Runs: those that are open first, then the others, newest end first."""
    answer = surroundings.api().get(
        "runs",
        parameters={
            "trigger": trigger,
            "pipeline": pipeline,
            "state": state,
            "limit": limit,
            "cursor": cursor,
        },
    )
    if as_json:
        print_json(answer)
    else:
        _show_page(answer, "no runs")


@runs.command()
@click.argument("id")
@as_json
@pass_surroundings
def show(surroundings: Surroundings, id: str, as_json: bool) -> None:
    """All that is known of the run ID."""
    run = surroundings.api().get("runs", id)
    if as_json:
        print_json(run)
        return
    output = Output()
    more = {
        "text": unreadable(run),
        "experiment": run.get("experiment_name"),
        "reuse": "none, force_rerun is set" if run.get("force_rerun") else None,
        "waits for": (run.get("waiting_for") or {}).get("text"),
        "batch": run.get("batch"),
        "events": run.get("members") or None,
    }
    running.show_summary(output, run, more)
    for title in ("inputs", "outputs"):
        if found := run.get(title):
            output.heading(title)
            output.facts(found, indent=2)
    if steps := steps_of(run):
        output.heading("steps")
        output.facts(dict(_told_apart(steps)), indent=2)
    elif run.get("steps_error"):
        output.heading("steps")
        output.lines(run["steps_error"], indent=2)
    output.heading("states")
    for transition in run.get("transitions") or []:
        output.line(f"  {when(transition.get('at'))}  {transition.get('state')}")
    show_failed_steps(output, run)


@runs.command()
@click.argument("id")
@as_json
@pass_surroundings
def cancel(surroundings: Surroundings, id: str, as_json: bool) -> None:
    """Ask for the run ID to stop."""
    _tell(surroundings.api().post("runs", id, "cancel"), as_json)


@runs.command()
@click.argument("id")
@click.option("--wait", is_flag=True, help="Watch the new run until it is over.")
@as_json
@pass_surroundings
def retry(surroundings: Surroundings, id: str, wait: bool, as_json: bool) -> None:
    """Start the run ID again, with the same event; asking twice starts it once."""
    api = surroundings.api()
    running.report(surroundings, api, api.post("runs", id, "retry"), wait=wait, as_json=as_json)


@runs.command()
@click.argument("id")
@as_json
@pass_surroundings
def watch(surroundings: Surroundings, id: str, as_json: bool) -> None:
    """Follow the run ID to its end."""
    running.watch(surroundings, surroundings.api(), id, as_json=as_json)


@click.group("dead-letters", cls=NounGroup)
def dead_letters() -> None:
    """List what no job could be made of. Without a command: list."""


@dead_letters.command("list")
@click.option("--trigger", metavar="NAME", help="Only its own; `unreadable` for what was no event.")
@page
@as_json
@pass_surroundings
def list_dead_letters(
    surroundings: Surroundings, trigger: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Dead letters, newest first, each with its reason."""
    answer = surroundings.api().get(
        "dead-letters", parameters={"trigger": trigger, "limit": limit, "cursor": cursor}
    )
    if as_json:
        print_json(answer)
    else:
        _show_page(answer, "no dead letters", reasons=True)


def _tell(run: Json, as_json: bool) -> None:
    if as_json:
        print_json(run)
    else:
        running.show_summary(Output(), run)


def _show_page(answer: Json, nothing: str, *, reasons: bool = False) -> None:
    output, items = Output(), answer.get("items") or []
    rows = [
        [
            item.get("id"),
            state_of(item, alone=not reasons),
            when(item.get("created_at")),
            when(item.get("ended_at")),
            about(item.get("event") or {}),
            *([(item.get("reason") or {}).get("text")] if reasons else [item.get("pipeline")]),
        ]
        for item in items
    ]
    if rows:
        columns = ("run", "state", "created", "ended", "event", "reason" if reasons else "pipeline")
        output.table(columns, rows)
    if not rows:
        output.line(nothing if answer.get("cursor") is None else f"{nothing} so far")
    if left_out := answer.get("left_out"):
        Output(errors=True).line(f"{left_out} triggers were not looked at: --trigger NAME")
    say_more(answer)


def _told_apart(steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Steps under names of their own; several may have one."""
    names = [name for name, _ in steps]
    return [
        (name if names.count(name) == 1 else f"{name} #{names[: at + 1].count(name)}", status)
        for at, (name, status) in enumerate(steps)
    ]
