"""What the command writes: tables and sentences for people, JSON for programs."""

import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cli.text import lines, shown, visible

#: Exit codes, beside click's 2 for a wrong command line.
WRONG, UNAVAILABLE, RUN_FAILED, DIFFERS, INTERRUPTED = 1, 3, 4, 5, 130

#: Wider than any row: what is no terminal breaks no line.
_UNBROKEN = 1_000_000


class CommandFailed(click.ClickException):
    """The command cannot do what it was asked; the text says why, and what to do about it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares one for the class

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        Output(errors=True).lines(self.message)


class Output:
    """Standard output, or standard error."""

    def __init__(self, *, errors: bool = False) -> None:
        # Nothing that comes from elsewhere is markup.
        self.console = Console(
            stderr=errors, markup=False, highlight=False, emoji=False, soft_wrap=True
        )

    def line(self, text: object = "") -> None:
        """One line, however long."""
        self.console.print(visible(text))

    def lines(self, text: object, *, indent: int = 0) -> None:
        """A text of several lines."""
        for line in lines(text):
            self.console.print(" " * indent + line)

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.print(Text(visible(text), style="bold"))

    def facts(self, facts: Mapping[str, object], *, indent: int = 0) -> None:
        """Names and values; those without a value are left out."""
        told = {visible(k): v for k, v in facts.items() if v is not None and v != ""}
        width = max(map(len, told), default=0)
        for name, value in told.items():
            self.console.print(f"{' ' * indent}{name:{width}}  {shown(value)}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """The first column names a row: it is never broken or cut.

        Where no terminal shows it, nor is any other, and a row is a line.
        """
        table = _table(columns, rows)
        unbounded = self.console.options.update(max_width=_UNBROKEN)
        least = Measurement.get(self.console, unbounded, table).minimum
        if self.console.is_terminal and least <= self.console.width:
            self.console.print(table)
            return
        wide = Console(file=io.StringIO(), width=_UNBROKEN, color_system=None, legacy_windows=False)
        with wide.capture() as captured:
            wide.print(table)
        for line in captured.get().splitlines():
            self.console.print(line.rstrip())

    def steps(self, rows: Iterable[Sequence[object]]) -> Table:
        """The table of a run's steps, to be shown live."""
        return _table(("step", "status"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table


def print_json(answer: object) -> None:
    """The API's answer as it is. What a terminal would act on is written as JSON's own escapes."""
    text = json.dumps(answer, indent=2, ensure_ascii=False)
    sys.stdout.write("".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text))
    sys.stdout.write("\n")


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1].replace("\x7f", "\\u007f")
