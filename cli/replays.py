"""`signalbox replay`: run once more what was decided before; `signalbox replays`: how far it is."""

from datetime import datetime
from typing import Any

import click

from cli import many
from cli.client import Surroundings, pass_surroundings
from cli.groups import NounGroup, as_json, page, say_more
from cli.output import Output, print_json
from cli.text import Json, about, when


@click.command()
@click.option("--trigger", metavar="NAME", help="What it decided; `manual` for runs by name.")
@click.option(
    "--outcome",
    "outcomes",
    multiple=True,
    metavar="STATE",
    help="completed, failed, canceled, dead_letter, skipped or missed; may be given again.",
)
@click.option("--since", metavar="TIME", help="Decided since 2026-03-01T12:00; local, or +hh:mm.")
@click.option("--until", metavar="TIME", help="… and until then; until now when left out.")
@click.option("--run", "runs", multiple=True, metavar="ID", help="This run, instead of the above.")
@many.options(at_once=5, noun="replay", dry_run="Only say what would become of each.")
@pass_surroundings
def replay(
    surroundings: Surroundings,
    /,
    trigger: str | None,
    outcomes: tuple[str, ...],
    since: str | None,
    until: str | None,
    runs: tuple[str, ...],
    **given: Any,
) -> None:
    """Run once more what ended so, with what is published now: the oldest first, a few at a time.

    Shows what would become of it and asks, before anything begins.
    """
    how = many.How(**given)
    chosen: Json = {
        "trigger": trigger,
        "outcomes": list(outcomes),
        "since": _time(since, "--since"),
        "until": _time(until, "--until"),
        "runs": list(runs),
    }
    body = {name: value for name, value in chosen.items() if value}
    if "trigger" not in body and "runs" not in body:
        raise click.UsageError("Give --trigger NAME and --outcome STATE, or --run ID.")
    asked = many.Ask(
        chosen=body,
        preview="replay-preview",
        begin="replays",
        show=_show_outlook,
        question=lambda total: f"Run {total} once more, {how.limit} at a time?",
        by_time=not runs,
    )
    many.ask(surroundings, asked, how)


@click.group(cls=NounGroup)
def replays() -> None:
    """List replays and backfills; show or cancel one. Without a command: list."""


@replays.command("list")
@page
@as_json
@pass_surroundings
def list_replays(surroundings: Surroundings, limit: int, cursor: str | None, as_json: bool) -> None:
    """Replays and backfills, newest first."""
    answer = surroundings.api().get("replays", parameters={"limit": limit, "cursor": cursor})
    if as_json:
        print_json(answer)
        return
    output, items = Output(), answer.get("items") or []
    if not items:
        output.line("no replays; `signalbox replay` and `signalbox backfill` make some")
        return
    output.table(
        ("replay", "state", "asked for", "what", "come to", "ended"),
        [
            [
                item.get("id"),
                item.get("state"),
                when(item.get("at")),
                many.what(item),
                f"{item.get('position')} of {item.get('total')}",
                many.ended(item),
            ]
            for item in items
        ],
    )
    say_more(answer)


@replays.command()
@click.argument("id")
@click.option("--follow", is_flag=True, help="Watch it until it is over.")
@as_json
@pass_surroundings
def show(surroundings: Surroundings, id: str, follow: bool, as_json: bool) -> None:
    """How far the replay ID is."""
    api = surroundings.api()
    if follow:
        found = many.followed(surroundings, api, id, Output(errors=as_json))
    else:
        found = api.get("replays", id)
    many.tell(found, as_json)
    if follow:
        many.leave(found)


@replays.command()
@click.argument("id")
@as_json
@pass_surroundings
def cancel(surroundings: Surroundings, id: str, as_json: bool) -> None:
    """Start nothing more of the replay ID; what has begun goes on."""
    many.tell(surroundings.api().post("replays", id, "cancel"), as_json)


def _time(text: str | None, option: str) -> str | None:
    """A time on this machine's clock with its zone. Raises BadParameter."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise click.BadParameter("write it as 2026-03-01T12:00", param_hint=option) from None


def _show_outlook(output: Output, outlook: Json) -> None:
    items, total = outlook.get("items") or [], outlook.get("total")
    rows = []
    for item in items:
        preview = item.get("preview") or {}
        rows.append(
            [
                item.get("run"),
                str(preview.get("decision") or "cannot be").replace("_", " "),
                about(preview.get("event") or {}),
                item.get("why_not") or many.problems_of(preview) or preview.get("pipeline"),
            ]
        )
    if rows:
        output.table(("run", "once more", "event", "pipeline or why not"), rows)
    output.line(f"{total} in all" if total else "nothing ended so in that time")
