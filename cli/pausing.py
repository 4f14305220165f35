"""Pausing a trigger or a schedule, and telling that it is paused."""

import click

from cli.client import Surroundings, pass_surroundings
from cli.groups import as_json
from cli.output import Output, print_json
from cli.text import Json, when


def pausing(noun: str, comes: str) -> click.Command:
    """The command `pause` of a noun, for which `comes` come."""

    @click.command("pause", help=f"Let nothing new begin for the {noun} NAME until it is resumed.")
    @click.argument("name")
    @click.option("--note", required=True, metavar="TEXT", help="Why, for whoever asks.")
    @click.option(
        "--while-paused",
        type=click.Choice(["hold", "drop"]),
        help=f"What becomes of its {comes} meanwhile, instead of what its policies say.",
    )
    @as_json
    @pass_surroundings
    def pause(
        surroundings: Surroundings, name: str, note: str, while_paused: str | None, as_json: bool
    ) -> None:
        body = {"note": note, **({"while_paused": while_paused} if while_paused else {})}
        found = surroundings.api().post(f"{noun}s", name, "pause", json=body)
        if as_json:
            print_json(found)
        else:
            show_pause(Output(), found)

    return pause


def paused_words(trigger: Json) -> str | None:
    """Since when it is paused, and why; None when it is not."""
    paused = trigger.get("paused")
    if not isinstance(paused, dict):
        return None
    comes = {"hold": "what comes is held", "drop": "what comes is dropped"}
    meanwhile = comes.get(str(paused.get("while_paused")))
    said = [f"since {when(paused.get('at'))}", f"by {paused.get('by')}", meanwhile]
    return f"{', '.join(text for text in said if text)}: {paused.get('note')}"


def show_pause(output: Output, trigger: Json) -> None:
    if (paused := paused_words(trigger)) is not None:
        output.line(f"! {trigger.get('name')} is paused {paused}")
