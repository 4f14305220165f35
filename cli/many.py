"""Asking for many runs at once, a replay or a backfill, and seeing how far that is.

What would become of them is shown and asked about, then they begin.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import click

from cli.client import Api, Surroundings
from cli.groups import as_json, say_more
from cli.output import INTERRUPTED, RUN_FAILED, UNAVAILABLE, CommandFailed, Output, print_json
from cli.running import post_once
from cli.text import Json, visible, when

#: Runs that are shown before somebody says yes.
_SHOWN = 20
#: Seconds between two looks, and for how long one is looked at that nothing is heard of.
_PAUSE, _PATIENCE = 5.0, 180.0

_OVER = frozenset({"done", "canceled"})


@dataclass(frozen=True, kw_only=True)
class How:
    """How they are asked for: what `options` hands a command. Raises UsageError."""

    #: Under way at once.
    limit: int
    dry_run: bool
    cursor: str | None
    yes: bool
    follow: bool
    idempotency_key: str | None
    as_json: bool

    def __post_init__(self) -> None:
        if self.cursor is not None and not self.dry_run:
            raise click.UsageError("--cursor goes with --dry-run.")


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Which they are, and where the API is asked for them."""

    #: As the API takes it.
    chosen: Json
    preview: str
    begin: str
    #: Tells what would become of them.
    show: Callable[[Output, Json], None]
    #: What is asked of somebody who has seen how many there are.
    question: Callable[[object], str]
    #: They are chosen by time: what was not there when it was shown is not run.
    by_time: bool = True


def options[F: Callable[..., object]](*, at_once: int, noun: str, dry_run: str) -> Callable[[F], F]:
    """The options of a command that asks for many runs."""
    given = (
        click.option(
            "--limit",
            type=click.IntRange(1, 100),
            default=at_once,
            show_default=True,
            help="At once.",
        ),
        click.option("--dry-run", is_flag=True, help=dry_run),
        click.option("--cursor", help="With --dry-run: go on where an earlier list ended."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--follow", is_flag=True, help=f"Watch the {noun} until it is over."),
        click.option(
            "--idempotency-key",
            metavar="KEY",
            help="The same key again starts nothing; random otherwise.",
        ),
        as_json,
    )

    def decorated(command: F) -> F:
        for option in reversed(given):
            command = option(command)
        return command

    return decorated


def ask(surroundings: Surroundings, asked: Ask, how: How) -> None:
    """Show them, ask, begin and follow them, as far as somebody wants that; exits with what became
    of those that are followed."""
    api, body = surroundings.api(), dict(asked.chosen)
    if how.dry_run or not how.yes:
        page = {"limit": None if how.dry_run else _SHOWN, "cursor": how.cursor}
        params = {name: value for name, value in page.items() if value is not None}
        outlook = api.post(asked.preview, json=body, params=params)
        if how.dry_run and how.as_json:
            print_json(outlook)
            return
        asked.show(Output(errors=how.as_json), outlook)
        if how.dry_run:
            say_more(outlook)
            return
        if not outlook.get("total"):
            return
        if asked.by_time:
            body["until"] = (outlook.get("selection") or {}).get("until")
        click.confirm(asked.question(outlook.get("total")), abort=True, err=how.as_json)
    content = json.dumps({**body, "limit": how.limit}).encode()
    found = post_once(api, how.idempotency_key, asked.begin, body=content)
    if how.follow:
        found = followed(surroundings, api, str(found.get("id")), Output(errors=how.as_json))
    tell(found, how.as_json)
    if how.follow:
        leave(found)


def problems_of(preview: Json) -> str:
    """Why a run could not be made, on one line."""
    return "; ".join(
        f"{problem.get('place')}: {problem.get('message')}"
        for problem in preview.get("problems") or []
    )


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
        ended(found),
        str(found.get("waiting_for") or ""),
    ]
    return ", ".join(word for word in words if word)


def ended(found: Json) -> str:
    ended = [f"{number} {state}" for state, number in (found.get("ended") or {}).items()]
    not_started = found.get("not_started")
    return ", ".join([*ended, *([f"{not_started} not started"] if not_started else [])])


def what(found: Json) -> str:
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
            "what": what(found),
            f"{times} since": when(chosen.get("since")),
            f"{times} until": when(chosen.get("until")),
            "asked for": f"{when(found.get('at'))} by {found.get('by')}",
            "at once": found.get("limit"),
            "come to": f"{found.get('position')} of {found.get('total')}",
            "under way": len(found.get("active") or []),
            "ended": ended(found),
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
