"""How the commands of one noun are put together."""

from collections.abc import Callable
from typing import Any

import click

from cli.output import Output
from cli.text import Json

as_json = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")


class NounGroup(click.Group):
    """Commands of one noun: without one of them, `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def say_more(answer: Json) -> None:
    """Where a list that is told page by page goes on, beside what is printed of it."""
    if (cursor := answer.get("cursor")) is not None:
        Output(errors=True).line(f"There may be more: --cursor {cursor}")


def page[F: Callable[..., Any]](function: F) -> F:
    """The options of what is told page by page."""
    limit = click.option(
        "--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="At most."
    )
    cursor = click.option("--cursor", help="Go on where an earlier list ended.")
    return limit(cursor(function))
