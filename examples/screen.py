"""What the demo shows: live in a terminal, plain lines everywhere else."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from examples.progress import ENDED, Progress

#: Columns where no terminal says how many there are.
_PLAIN_WIDTH = 110
_STYLES = {"Completed": "green", "Running": "cyan", "Failed": "bold red", "Canceled": "yellow"}


class Screen:
    """Standard output, for people."""

    def __init__(self) -> None:
        self._live = Console().is_terminal
        self._console = Console(highlight=False, width=None if self._live else _PLAIN_WIDTH)

    def heading(self, text: str) -> None:
        self._console.print(f"\n[bold]{escape(text)}[/]")

    def line(self, text: str) -> None:
        self._console.print(f"  {escape(text)}", soft_wrap=True)

    def facts(self, facts: Mapping[str, object]) -> None:
        width = max(map(len, facts))
        for name, value in facts.items():
            self.line(f"{name:{width}}  {value}")

    def table(self, texts: Sequence[str], figures: Sequence[str], rows: list[list[str]]) -> None:
        """Columns of texts, then columns of figures, and last whatever a row has to add."""
        table = Table(box=None, pad_edge=False)
        for column in texts:
            table.add_column(column)
        for column in figures:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(*map(escape, row))
        self._console.print(_indented(table))

    def error(self, text: str) -> None:
        first, *more = text.splitlines()
        self._console.print(f"\n[bold red]{escape(first)}[/]", soft_wrap=True)
        for line in more:
            self._console.print(escape(line), soft_wrap=True)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Something that takes a moment."""
        if self._live:
            with self._console.status(f"waiting for {escape(what)}"):
                yield
        else:
            yield

    @contextmanager
    def following(self, progress: Progress) -> Iterator[None]:
        """A table that keeps up with the steps, where that can be shown."""
        if self._live:
            with Live(
                get_renderable=lambda: _steps(progress),
                console=self._console,
                refresh_per_second=8,
            ):
                yield
        else:
            yield

    def changed(self, run: str, step: str, status: str) -> None:
        """A line for what a live table would show, but for what passes at once."""
        if not self._live and status in ("Running", *ENDED):
            self.line(f"{run:10} {step:16} {status}")


def _steps(progress: Progress) -> RenderableType:
    table = Table("step", *progress.runs, box=None, pad_edge=False, min_width=60)
    for step in progress.steps:
        cells = []
        for run in progress.runs:
            status, seconds = progress.status(run, step)
            shown = "" if seconds is None else f" {seconds:.{1 if status in ENDED else 0}f} s"
            cells.append(f"[{_STYLES.get(status, 'dim')}]{status}{shown}[/]")
        table.add_row(step, *cells)
    return _indented(table)


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2), expand=False)
