"""`signalbox backfill`: run the times of a schedule that are past."""

import json
from datetime import datetime

import click

from cli.client import Surroundings, pass_surroundings
from cli.groups import as_json, say_more
from cli.output import Output, print_json
from cli.replays import followed, leave, tell
from cli.running import post_once
from cli.text import Json, clock, utc

#: Times that are shown before somebody says yes.
_SHOWN = 20


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
@click.option("--limit", type=click.IntRange(1, 100), default=1, show_default=True, help="At once.")
@click.option("--dry-run", is_flag=True, help="Only list the times, and what would become of each.")
@click.option("--cursor", help="With --dry-run: go on where an earlier list ended.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--follow", is_flag=True, help="Watch the backfill until it is over.")
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key again starts nothing; random otherwise."
)
@as_json
@pass_surroundings
def backfill(
    surroundings: Surroundings,
    schedule: str,
    since: str,
    until: str | None,
    newest_first: bool,
    limit: int,
    dry_run: bool,
    cursor: str | None,
    yes: bool,
    follow: bool,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Run every time of SCHEDULE that lies in a range, whatever became of it before.

    Shows the times and asks, before anything begins. From then on it is one of `signalbox
    replays`, which shows and cancels it.
    """
    if cursor is not None and not dry_run:
        raise click.UsageError("--cursor goes with --dry-run.")
    chosen: Json = {
        "trigger": schedule,
        "since": _time(since, "--since"),
        "until": until and _time(until, "--until"),
        "newest_first": newest_first,
    }
    body = {name: value for name, value in chosen.items() if value}
    api = surroundings.api()
    if dry_run or not yes:
        given = {"limit": None if dry_run else _SHOWN, "cursor": cursor}
        params = {name: value for name, value in given.items() if value is not None}
        outlook = api.post("backfill-preview", json=body, params=params)
        if dry_run and as_json:
            print_json(outlook)
            return
        _show_outlook(Output(errors=as_json), outlook)
        if dry_run:
            say_more(outlook)
            return
        # What came due since it was shown is not run.
        body["until"] = (outlook.get("selection") or {}).get("until")
        click.confirm(
            f"Run {outlook.get('total')} times of {schedule}, {limit} at once?",
            abort=True,
            err=as_json,
        )
    asked = json.dumps({**body, "limit": limit}).encode()
    found = post_once(api, idempotency_key, "backfills", body=asked)
    if follow:
        found = followed(surroundings, api, str(found.get("id")), Output(errors=as_json))
    tell(found, as_json)
    if follow:
        leave(found)


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
        problems = "; ".join(
            f"{problem.get('place')}: {problem.get('message')}"
            for problem in preview.get("problems") or []
        )
        rows.append(
            [
                clock(item.get("local_time")),
                utc(item.get("scheduled_time")),
                item.get("state") or "",
                str(preview.get("decision") or "").replace("_", " "),
                problems or item.get("note") or "",
            ]
        )
    output.table((str(outlook.get("time_zone")), "UTC", "so far", "would be", ""), rows)
    total, chosen = outlook.get("total"), outlook.get("selection") or {}
    order = "newest first" if chosen.get("newest_first") else "oldest first"
    output.line(f"{total} in all, {order}")
