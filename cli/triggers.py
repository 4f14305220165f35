"""`signalbox triggers`: which there are, what they would do, pausing one, handing one an event."""

import json
import sys

import click
import yaml

from cli import values
from cli.client import Surroundings, pass_surroundings
from cli.groups import NounGroup, as_json, page, say_more
from cli.output import RUN_FAILED, WRONG, CommandFailed, Output, print_json
from cli.pausing import paused_words, pausing, show_pause
from cli.running import post_once
from cli.sweeping import sweep
from cli.text import Json, about, reason_of, when


@click.group(cls=NounGroup)
def triggers() -> None:
    """List triggers; show, test, pause, sweep one, or send it an event. Without a command: list."""


triggers.add_command(sweep)
triggers.add_command(pausing("trigger", "events"))


@triggers.command("list")
@page
@as_json
@pass_surroundings
def list_triggers(
    surroundings: Surroundings, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Triggers that are published, with where they listen."""
    asked = {"limit": limit, "cursor": cursor}
    answer = surroundings.api().get("triggers", parameters=asked)
    if as_json:
        print_json(answer)
        return
    output, items = Output(), answer.get("items") or []
    if not items:
        output.line("no triggers; `signalbox publish FOLDER` makes some")
        return
    names = ("name", "source", "summary", "pipeline")
    output.table(
        ("trigger", "source", "listens to", "pipeline"),
        [[item.get(name) for name in names] for item in items],
    )
    for item in items:
        show_pause(output, item)
        show_problems(output, item)
    say_more(answer)


@triggers.command()
@click.argument("name")
@as_json
@pass_surroundings
def show(surroundings: Surroundings, name: str, as_json: bool) -> None:
    """The trigger NAME as it is published."""
    trigger = surroundings.api().get("triggers", name)
    if as_json:
        print_json(trigger)
        return
    output = Output()
    output.facts(
        {
            "trigger": trigger.get("name"),
            "source": trigger.get("source"),
            "listens to": trigger.get("summary"),
            "pipeline": trigger.get("pipeline"),
            "since": when(trigger.get("effective_from")),
            "revision": trigger.get("revision"),
            "paused": paused_words(trigger),
        }
    )
    output.heading("definition")
    definition = trigger.get("definition")
    output.lines(yaml.safe_dump(definition, sort_keys=False, allow_unicode=True), indent=2)
    show_problems(output, trigger)


@triggers.command()
@click.argument("name")
@as_json
@pass_surroundings
def resume(surroundings: Surroundings, name: str, as_json: bool) -> None:
    """Let the trigger NAME go on; what was held is taken up within a minute."""
    trigger = surroundings.api().post("triggers", name, "resume")
    if as_json:
        print_json(trigger)
    else:
        Output().line(f"{trigger.get('name')} goes on")


@triggers.command()
@click.argument("name")
@click.option("--event", metavar="FILE", help="A JSON file with one event; - is standard input.")
@click.option("--blobs", is_flag=True, help="Try the blobs that lie there now.")
@click.option("--prefix", help="With --blobs: only those whose path begins so.")
@click.option("--limit", type=click.IntRange(1, 200), help="With --blobs: at most so many.")
@as_json
@pass_surroundings
def test(
    surroundings: Surroundings,
    name: str,
    event: str | None,
    blobs: bool,
    prefix: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """What the trigger NAME would do, without doing it."""
    if (event is None) == (not blobs):
        raise click.UsageError("Give --event FILE or --blobs.")
    if not blobs and not (prefix is None and limit is None):
        raise click.UsageError("--prefix and --limit go with --blobs.")
    given = {"prefix": prefix, "limit": limit}
    body: Json = (
        {"blobs": {key: value for key, value in given.items() if value is not None}}
        if event is None
        else {"event": _event(event)}
    )
    answer = surroundings.api().post("triggers", name, "test", json=body)
    if as_json:
        print_json(answer)
        return
    items = answer.get("items") or []
    if not items:
        Output().line("no blobs lie there")
    for item in items:
        _show_preview(Output(), item)


@triggers.command()
@click.argument("name")
@click.option("--data", required=True, metavar="FILE", help="A JSON file; - is standard input.")
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key again starts nothing; random otherwise."
)
@as_json
@pass_surroundings
def send(
    surroundings: Surroundings, name: str, data: str, idempotency_key: str | None, as_json: bool
) -> None:
    """Hand the trigger NAME an event.

    For a trigger with `http`, any JSON, which becomes event.data; for others a CloudEvent or an
    Event Grid event, which says itself who it is.
    """
    answer = post_once(
        surroundings.api(),
        idempotency_key,
        "triggers",
        name,
        "events",
        body=values.json_file(data),
    )
    decisions = answer.get("decisions") or []
    if as_json:
        print_json(answer)
    elif not decisions:
        Output().line("no trigger was concerned")
    else:
        _show_decisions(Output(), decisions)
    if any(decision.get("decision") == "dead_letter" for decision in decisions):
        sys.exit(RUN_FAILED)


def _event(name: str) -> Json:
    found = json.loads(values.json_file(name))
    if not isinstance(found, dict):
        raise CommandFailed(f"{name}: one event is a JSON object", WRONG)
    return found


def show_problems(output: Output, trigger: Json) -> None:
    for problem in trigger.get("problems") or []:
        output.line(f"! {trigger.get('name')}: {problem}")


def _show_preview(output: Output, preview: Json) -> None:
    said = str(preview.get("decision")).replace("_", " ")
    output.line(f"{about(preview.get('event') or {})}: {said}")
    for passed in preview.get("passed") or []:
        output.line(f"  yes  {passed}")
    if preview.get("check"):
        output.line(f"  no   {preview['check']}")
    output.facts({"pipeline": preview.get("pipeline"), "run": preview.get("run")}, indent=2)
    output.facts(preview.get("inputs") or {}, indent=4)
    for problem in preview.get("problems") or []:
        output.line(f"  ! {problem.get('place')}: {problem.get('message')}")


def _show_decisions(output: Output, decisions: list[Json]) -> None:
    for decision in decisions:
        output.facts(
            {
                "trigger": decision.get("trigger"),
                "decision": decision.get("decision"),
                "failed at": decision.get("check"),
                "run": decision.get("run"),
                "state": decision.get("state"),
                "reason": reason_of(decision),
            }
        )
