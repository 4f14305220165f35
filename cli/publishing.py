"""`signalbox publish`: with the identity and the settings of whoever publishes, without the API."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from azure.core.exceptions import (
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)

from cli.output import UNAVAILABLE, WRONG, CommandFailed, Output, print_json
from shared.errors import DefinitionsInvalid, Permanent, SignalboxError, Transient

if TYPE_CHECKING:
    from shared.publishing import Change

_UNCHANGED = "unchanged"
_PLANNED = {"created": "create", "updated": "update", _UNCHANGED: _UNCHANGED}


@click.command(short_help="Register pipelines and switch triggers on.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change; register and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes, or errors, as JSON.")
def publish(folder: Path, dry_run: bool, as_json: bool) -> None:
    """Register the pipelines in FOLDER and switch their triggers on.

    FOLDER holds pipelines/<name>.yml (AzureML pipeline jobs) and triggers/<name>.yml. First it is
    said what will be created and updated; what is unchanged is left alone. The settings are those
    of the function app, from the environment.
    """
    # Azure's SDKs take half a second to load, which no other command needs.
    from shared import bootstrap

    output, errors = Output(), Output(errors=True)

    def planned(plan: "list[Change]") -> None:
        if any(change.did != _UNCHANGED for change in plan):
            _show_plan(errors, plan)
            errors.line()

    try:
        found = bootstrap.build(os.environ).publishing
        if dry_run:
            changes = found.plan(folder)
        else:
            with contextlib.redirect_stderr(_WithoutBlankLines(sys.stderr)):
                changes = found.publish(folder, lambda step: errors.line(f"  {step}"), planned)
    except DefinitionsInvalid as error:
        if as_json:
            print_json({"errors": [asdict(problem) for problem in error.problems]})
            sys.exit(WRONG)
        count = len(error.problems)
        raise CommandFailed(
            f"{error}\n\nNothing was published: {count} problem{'s' * (count > 1)}.", WRONG
        ) from None
    except Transient as error:
        raise unavailable(error, os.environ, dry_run=dry_run) from None
    except SignalboxError as error:
        code = WRONG if isinstance(error, Permanent) else UNAVAILABLE
        raise CommandFailed(str(error), code) from None

    if as_json:
        print_json({"dry_run": dry_run, "changes": [_json(change) for change in changes]})
    elif dry_run:
        _show_plan(output, changes)
    else:
        rows = [(change.kind, change.name, change.version, change.did) for change in changes]
        output.table(("", "name", "version", ""), rows)


def _show_plan(output: Output, changes: "list[Change]") -> None:
    rows = [(c.kind, c.name, _versions(c), _PLANNED[c.did]) for c in changes]
    output.table(("plan", "name", "version", ""), rows)


def _versions(change: "Change") -> str:
    if change.before in (None, change.version):
        return change.version
    return f"{change.before} -> {change.version}"


def _json(change: "Change") -> dict[str, str | None]:
    return {
        "kind": change.kind,
        "name": change.name,
        "action": _PLANNED[change.did],
        "before": change.before,
        "version": change.version,
    }


def unavailable(
    error: Transient, environment: Mapping[str, str], *, dry_run: bool
) -> CommandFailed:
    """What Azure did not answer, and what to do about it, in two sentences."""
    said, local = str(error), _local_remedy(environment)
    for cause in _causes(error):
        # With a status it is the service that refuses somebody who did sign in.
        if isinstance(cause, ClientAuthenticationError) and cause.status_code is None:
            remedy = local or "Run `az login`, or set the variables of an identity."
            said = f"Nobody could be signed in to Azure. {remedy}"
        elif isinstance(cause, ServiceRequestError | ServiceResponseError):
            remedy = local or "Check SIGNALBOX_STATE_ACCOUNT and the network."
            said = f"{said.splitlines()[0]}\n{remedy}"
    if dry_run:
        said = f"No mistake was found in the folder; what would change cannot be said.\n{said}"
    return CommandFailed(said, UNAVAILABLE)


def _local_remedy(environment: Mapping[str, str]) -> str | None:
    """What helps where `.local/env` leads to a local Azure; None in any other shell."""
    if environment.get("IDENTITY_ENDPOINT", "").startswith("http://127.0.0.1:"):
        return "This shell leads to a local Azure: start `make run`, then `. .local/env` again."
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


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
