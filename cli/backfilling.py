"""`signalbox backfill`: run the times of a schedule that are past."""

from datetime import datetime
from typing import Any

import click

from cli import many
from cli.client import Surroundings, pass_surroundings
from cli.output import Output
from cli.text import Json, clock, utc


@click.command()
@click.argument("schedule")
@click.option(
    "--since",
    "--from",
    "since",
    required=True,
    metavar="TIME",
    help="The first: 2026-03-01, or 2026-03-01T06:00; the schedule's zone, or +hh:mm, or Z.",
)
@click.option("--until", metavar="TIME", help="… and before that; until now when left out.")
@click.option("--newest-first", is_flag=True, help="Instead of the oldest.")
@many.options(
    at_once=1,
    noun="backfill",
    dry_run="Only list the times, and what would become of each.",
)
@pass_surroundings
def backfill(
    surroundings: Surroundings,
    /,
    schedule: str,
    since: str,
    until: str | None,
    newest_first: bool,
    **given: Any,
) -> None:
    """Run every time of SCHEDULE that lies in a range, whatever became of it before.

    Shows the times and asks, before anything begins. From then on it is one of `signalbox
    replays`, which shows and cancels it.
    """
    how = many.How(**given)
    chosen: Json = {
        "trigger": schedule,
        "since": _time(since, "--since"),
        "until": until and _time(until, "--until"),
        "newest_first": newest_first,
    }
    asked = many.Ask(
        chosen={name: value for name, value in chosen.items() if value},
        preview="backfill-preview",
        begin="backfills",
        show=_show_outlook,
        question=lambda total: f"Run {total} times of {schedule}, {how.limit} at once?",
    )
    many.ask(surroundings, asked, how)


def _time(text: str, option: str) -> str:
    """A time as it was given: without an offset it is the schedule's. Raises BadParameter."""
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        raise click.BadParameter(
            "write it as 2026-03-01 or 2026-03-01T06:00", param_hint=option
        ) from None


def _show_outlook(output: Output, outlook: Json) -> None:
    rows = []
    for item in outlook.get("items") or []:
        preview = item.get("preview") or {}
        rows.append(
            [
                clock(item.get("local_time")),
                utc(item.get("scheduled_time")),
                item.get("state") or "",
                str(preview.get("decision") or "").replace("_", " "),
                many.problems_of(preview) or item.get("note") or "",
            ]
        )
    output.table((str(outlook.get("time_zone")), "UTC", "so far", "would be", ""), rows)
    total, chosen = outlook.get("total"), outlook.get("selection") or {}
    order = "newest first" if chosen.get("newest_first") else "oldest first"
    output.line(f"{total} in all, {order}")
