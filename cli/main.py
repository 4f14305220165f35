"""The `signalbox` command."""

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.table import Table

from shared import bootstrap
from shared.errors import DefinitionsInvalid, Permanent, SignalboxError
from shared.publishing import Change

#: Exit codes, beside click's 2 for a wrong command line.
WRONG, UNAVAILABLE = 1, 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Start Azure Machine Learning pipelines because something happened."""


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def publish(folder: Path) -> None:
    """Register the pipelines in FOLDER and switch their triggers on.

    FOLDER holds pipelines/<name>.yml (AzureML pipeline jobs) and triggers/<name>.yml. What is
    unchanged is left alone. The settings are those of the function app, from the environment.
    """
    errors = Console(file=sys.stderr, highlight=False, markup=False, soft_wrap=True)
    try:
        publishing = bootstrap.build(os.environ).publishing
        with contextlib.redirect_stderr(_WithoutBlankLines(sys.stderr)):
            changes = publishing.publish(
                folder, lambda step: errors.print(f"  {step}", style="dim")
            )
    except DefinitionsInvalid as error:
        count = len(error.problems)
        errors.print(f"{error}\n\nNothing was published: {count} problem{'s' * (count > 1)}.")
        sys.exit(WRONG)
    except SignalboxError as error:
        errors.print(str(error))
        sys.exit(WRONG if isinstance(error, Permanent) else UNAVAILABLE)
    _show(changes)


class _WithoutBlankLines(io.TextIOBase):
    """A stream that leaves out what shows nothing.

    After each upload the SDK prints a colour reset and two line ends to standard error, whatever
    it was told about showing progress.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if text.replace("\x1b[39m", "").strip():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def _show(changes: list[Change]) -> None:
    table = Table("", "name", "version", "", box=None, pad_edge=False)
    for change in changes:
        table.add_row(change.kind, change.name, change.version, change.did)
    Console(markup=False).print(table)
