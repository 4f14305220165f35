"""`signalbox replay`: run once more what was decided before; `signalbox replays`: how far it is."""

import json
import sys
from datetime import datetime

import click

from cli.client import Api, Surroundings, pass_surroundings
from cli.groups import NounGroup, as_json, page, say_more
from cli.output import INTERRUPTED, RUN_FAILED, UNAVAILABLE, CommandFailed, Output, print_json
from cli.running import post_once
from cli.text import Json, about, visible, when

#: Runs that are shown before somebody says yes.
_SHOWN = 20
#: Seconds between two looks, and for how long one is looked at that nothing is heard of.
_PAUSE, _PATIENCE = 5.0, 180.0

_OVER = frozenset({"done", "canceled"})


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
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True, help="At once.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of each.")
@click.option("--cursor", help="With --dry-run: go on where an earlier list ended.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--follow", is_flag=True, help="Watch the replay until it is over.")
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key again starts nothing; random otherwise."
)
@as_json
@pass_surroundings
def replay(
    surroundings: Surroundings,
    trigger: str | None,
    outcomes: tuple[str, ...],
    since: str | None,
    until: str | None,
    runs: tuple[str, ...],
    limit: int,
    dry_run: bool,
    cursor: str | None,
    yes: bool,
    follow: bool,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Run once more what ended so, with what is published now: the oldest first, a few at a time.

    Shows what would become of it and asks, before anything begins.
    """
    if cursor is not None and not dry_run:
        raise click.UsageError("--cursor goes with --dry-run.")
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
    api = surroundings.api()
    if dry_run or not yes:
        outlook = api.post(
            "replay-preview", json=body, params=_page(cursor, None if dry_run else _SHOWN)
        )
        if dry_run and as_json:
            print_json(outlook)
            return
        _show_outlook(Output(errors=as_json), outlook)
        if dry_run:
            say_more(outlook)
            return
        if not outlook.get("total"):
            return
        # What was not there when it was shown is not run.
        if not runs:
            body["until"] = (outlook.get("selection") or {}).get("until")
        click.confirm(
            f"Run {outlook.get('total')} once more, {limit} at a time?", abort=True, err=as_json
        )
    asked = json.dumps({**body, "limit": limit}).encode()
    found = post_once(api, idempotency_key, "replays", body=asked)
    if follow:
        found = followed(surroundings, api, str(found.get("id")), Output(errors=as_json))
    tell(found, as_json)
    if follow:
        leave(found)


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
                _what(item),
                f"{item.get('position')} of {item.get('total')}",
                _ended(item),
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
        found = followed(surroundings, api, id, Output(errors=as_json))
    else:
        found = api.get("replays", id)
    tell(found, as_json)
    if follow:
        leave(found)


@replays.command()
@click.argument("id")
@as_json
@pass_surroundings
def cancel(surroundings: Surroundings, id: str, as_json: bool) -> None:
    """Start nothing more of the replay ID; what has begun goes on."""
    tell(surroundings.api().post("replays", id, "cancel"), as_json)


def _time(text: str | None, option: str) -> str | None:
    """A time on this machine's clock with its zone. Raises BadParameter."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().isoformat()
    except (ValueError, OverflowError):
        raise click.BadParameter("write it as 2026-03-01T12:00", param_hint=option) from None


def _page(cursor: str | None, limit: int | None) -> dict[str, str | int]:
    given = {"limit": limit, "cursor": cursor}
    return {name: value for name, value in given.items() if value is not None}


def followed(surroundings: Surroundings, api: Api, id: str, output: Output) -> Json:
    """A replay once it is over. Raises CommandFailed when nothing is heard of it for too long."""
    silent, said = 0.0, ""
    try:
        while True:
            try:
                found = api.get("replays", id)
            except CommandFailed as error:
                silent += _PAUSE
                if error.exit_code != UNAVAILABLE or silent > _PATIENCE:
                    raise
            else:
                silent = 0.0
                if (line := _line(found)) != said:
                    output.line(line)
                    said = line
                if found.get("state") in _OVER:
                    return found
            surroundings.pause(_PAUSE)
    except KeyboardInterrupt:
        Output(errors=True).lines(
            f"\nStopped watching; the replay goes on.\n  signalbox replays show {visible(id)} "
            f"--follow\n  signalbox replays cancel {visible(id)}"
        )
        sys.exit(INTERRUPTED)


def _line(found: Json) -> str:
    """How far a replay is, on one line."""
    words = [
        f"replay {found.get('id')} is {found.get('state')}",
        f"{found.get('position')} of {found.get('total')}",
        f"{len(found.get('active') or [])} under way",
        _ended(found),
        str(found.get("waiting_for") or ""),
    ]
    return ", ".join(word for word in words if word)


def _ended(found: Json) -> str:
    ended = [f"{number} {state}" for state, number in (found.get("ended") or {}).items()]
    not_started = found.get("not_started")
    return ", ".join([*ended, *([f"{not_started} not started"] if not_started else [])])


def _what(found: Json) -> str:
    chosen = found.get("selection") or {}
    if chosen.get("occurrences"):
        return f"backfill of {chosen.get('trigger')}"
    if chosen.get("named"):
        return f"runs of {chosen.get('trigger')} by name"
    return f"{' and '.join(chosen.get('outcomes') or [])} of {chosen.get('trigger')}"


def tell(found: Json, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    output, chosen = Output(), found.get("selection") or {}
    times = "scheduled" if chosen.get("occurrences") else "decided"
    output.facts(
        {
            "replay": found.get("id"),
            "state": found.get("state"),
            "what": _what(found),
            f"{times} since": when(chosen.get("since")),
            f"{times} until": when(chosen.get("until")),
            "asked for": f"{when(found.get('at'))} by {found.get('by')}",
            "at once": found.get("limit"),
            "come to": f"{found.get('position')} of {found.get('total')}",
            "under way": len(found.get("active") or []),
            "ended": _ended(found),
            "waits for": found.get("waiting_for"),
        }
    )
    for problem in found.get("problems") or []:
        output.line(
            f"! {problem.get('run') or problem.get('scheduled_time')}: {problem.get('why')}"
        )


def leave(found: Json) -> None:
    """Exit with what became of the runs of a replay."""
    well = {*(found.get("ended") or {})} <= {"completed", "batched"}
    sys.exit(0 if well and not found.get("not_started") else RUN_FAILED)


def _show_outlook(output: Output, outlook: Json) -> None:
    items, total = outlook.get("items") or [], outlook.get("total")
    rows = []
    for item in items:
        preview = item.get("preview") or {}
        problems = "; ".join(
            f"{problem.get('place')}: {problem.get('message')}"
            for problem in preview.get("problems") or []
        )
        rows.append(
            [
                item.get("run"),
                str(preview.get("decision") or "cannot be").replace("_", " "),
                about(preview.get("event") or {}),
                item.get("why_not") or problems or preview.get("pipeline"),
            ]
        )
    if rows:
        output.table(("run", "once more", "event", "pipeline or why not"), rows)
    output.line(f"{total} in all" if total else "nothing ended so in that time")
