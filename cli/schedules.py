"""`signalbox schedules`: when each runs, what became of it, pausing one, running one now."""

import json

import click
import yaml

from cli import values
from cli.client import Surroundings, pass_surroundings
from cli.groups import NounGroup, as_json, page, say_more
from cli.output import Output, print_json
from cli.pausing import paused_words, pausing, show_pause
from cli.running import leave, post_once, report
from cli.text import Json, clock, reason_of, utc, when
from cli.triggers import show_problems

#: What the API says of a schedule that AzureML has as it was published.
_AS_IT_SHOULD_BE = "is in AzureML as it should be"

_YES = {True: "yes", False: "no"}

#: What the timer does about a schedule in AzureML.
_WILL = {
    "create": "makes it",
    "update": "changes it",
    "disable": "disables it",
    "enable": "enables it",
    "delete": "deletes it",
    "keep": "leaves it",
}


@click.group(cls=NounGroup)
def schedules() -> None:
    """List schedules; show, pause, trigger one, tell its next times. Without a command: list."""


schedules.add_command(pausing("schedule", "times"))


@schedules.command("list")
@page
@as_json
@pass_surroundings
def list_schedules(
    surroundings: Surroundings, limit: int, cursor: str | None, as_json: bool
) -> None:
    """Schedules that are published, with the next time of each and what became of the last."""
    asked = {"limit": limit, "cursor": cursor}
    answer = surroundings.api().get("schedules", parameters=asked)
    if as_json:
        print_json(answer)
        return
    output, items = Output(), answer.get("items") or []
    if not items:
        output.line("no schedules; `signalbox publish FOLDER` makes some")
        return
    output.table(
        ("schedule", "engine", "when", "next", "last"),
        [
            [
                item.get("name"),
                item.get("engine"),
                item.get("summary"),
                "paused" if item.get("paused") else _local(item.get("next")) or "never",
                _outcome(item.get("last")),
            ]
            for item in items
        ],
    )
    for item in items:
        show_pause(output, item)
        show_problems(output, item)
        if drift := _drift(item):
            output.line(f"! {item.get('name')} {drift}")
    say_more(answer)


@schedules.command()
@click.argument("name")
@as_json
@pass_surroundings
def show(surroundings: Surroundings, name: str, as_json: bool) -> None:
    """The schedule NAME as it is published, and what became of its last times."""
    found = surroundings.api().get("schedules", name)
    if as_json:
        print_json(found)
    else:
        _tell(Output(), found)


@schedules.command("next")
@click.argument("name")
@click.option(
    "--count", type=click.IntRange(1, 200), default=10, show_default=True, help="How many."
)
@as_json
@pass_surroundings
def next_times(surroundings: Surroundings, name: str, count: int, as_json: bool) -> None:
    """The next times of the schedule NAME, in its time zone and in UTC."""
    answer = surroundings.api().get("schedules", name, "next", parameters={"count": count})
    if as_json:
        print_json(answer)
        return
    output, items = Output(), answer.get("items") or []
    if not items:
        output.line(f"{name} has no time to come: its end_time is over, or exclude leaves all out")
        return
    local = [_local(item) for item in items]
    at = [utc(item.get("scheduled_time")) for item in items]
    later = any(item.get("fires_at") != item.get("scheduled_time") for item in items)
    begins = [utc(item.get("fires_at")) if later else "" for item in items]
    notes = [item.get("note") or "" for item in items]
    zone = str(answer.get("time_zone"))
    columns = {**({} if zone == "UTC" else {zone: local}), "UTC": at, "begins": begins, "": notes}
    told = {heading: cells for heading, cells in columns.items() if any(cells)}
    output.table([*told], zip(*told.values(), strict=True))
    show_pause(output, {"name": name, **answer})


@schedules.command()
@click.argument("name")
@as_json
@pass_surroundings
def resume(surroundings: Surroundings, name: str, as_json: bool) -> None:
    """Let the schedule NAME go on, with its next time."""
    found = surroundings.api().post("schedules", name, "resume")
    if as_json:
        print_json(found)
    else:
        coming = _local(found.get("next"))
        Output().line(f"{found.get('name')} goes on{f', next at {coming}' if coming else ''}")


@schedules.command()
@click.argument("name")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=VALUE",
    help="With engine azureml: an input, instead of what the schedule binds.",
)
@click.option(
    "--idempotency-key", metavar="KEY", help="The same key again starts nothing; random otherwise."
)
@click.option("--wait", is_flag=True, help="Watch the run until it is over; not one of AzureML's.")
@as_json
@pass_surroundings
def trigger(
    surroundings: Surroundings,
    name: str,
    inputs: tuple[str, ...],
    idempotency_key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Run the schedule NAME now, as if it were due, also while it is paused."""
    given = values.pairs(inputs, "--input")
    bound = {each: values.value(text) for each, text in given.items()}
    body = json.dumps({"inputs": bound} if bound else {}).encode()
    api = surroundings.api()
    found = post_once(api, idempotency_key, "schedules", name, "trigger", body=body)
    run = found.get("run")
    if isinstance(run, dict) and (wait or not as_json):
        report(surroundings, api, run, wait=wait, as_json=as_json)
    elif as_json:
        print_json(found)
        leave(run or {})
    else:
        output = Output()
        output.facts({"job": found.get("job"), "studio": found.get("studio_url")})
        output.line("AzureML has it; jobs of this schedule are in its studio, and not among runs")


@schedules.command()
@click.argument("name")
@as_json
@pass_surroundings
def diff(surroundings: Surroundings, name: str, as_json: bool) -> None:
    """How AzureML has the schedule NAME, against how it was published."""
    found = surroundings.api().get("schedules", name, "diff")
    if as_json:
        print_json(found)
        return
    output = Output()
    output.facts(
        {
            "in AzureML": _YES[bool(found.get("there"))],
            "enabled": _YES[bool(found.get("enabled"))] if found.get("there") else None,
            "state": found.get("state"),
            "the timer": _WILL.get(str(found.get("action"))),
        }
    )
    for each in found.get("drift") or []:
        output.line(f"! {each}")
    if problem := found.get("problem"):
        output.line(f"! {problem}")


def _tell(output: Output, found: Json) -> None:
    coming = found.get("next") or {}
    output.facts(
        {
            "schedule": found.get("name"),
            "engine": found.get("engine"),
            "when": found.get("summary"),
            "next": _local(coming),
            "pipeline": found.get("pipeline"),
            "since": when(found.get("since")),
            "revision": found.get("revision"),
            "paused": paused_words(found),
            "in AzureML": found.get("in_azureml"),
        }
    )
    output.heading("definition")
    definition = yaml.safe_dump(found.get("definition"), sort_keys=False, allow_unicode=True)
    output.lines(definition, indent=2)
    show_problems(output, found)
    if items := found.get("occurrences") or []:
        output.heading("last times")
        output.table(
            (str(found.get("time_zone")), "state", "run", "why"),
            [[_local(item), _state(item), item.get("run"), reason_of(item)] for item in items],
        )


def _state(item: Json) -> str:
    code = (item.get("reason") or {}).get("code")
    state = str(item.get("state") or "")
    why = f" ({code})" if code and code != state else ""
    by = f", by {item['replay']}" if item.get("replay") else ""
    by = by or (", asked for" if item.get("prompted") else "")
    return f"{state}{why}{by}"


def _drift(item: Json) -> str:
    """How AzureML has a schedule, where that is not as it should be."""
    told = str(item.get("in_azureml") or "")
    return "" if told == _AS_IT_SHOULD_BE else told


def _outcome(last: object) -> str:
    return f"{_state(last)}, {_local(last)}" if isinstance(last, dict) else ""


def _local(item: object) -> str:
    """A time on the schedule's own wall clock."""
    return clock(item.get("local_time")) if isinstance(item, dict) else ""
