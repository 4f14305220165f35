"""`signalbox publish`: with the identity and the settings of whoever publishes, without the API."""

import contextlib
import io
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from azure.core.exceptions import (
    ClientAuthenticationError,
    ServiceRequestError,
    ServiceResponseError,
)

from cli.output import (
    DIFFERS,
    INTERRUPTED,
    UNAVAILABLE,
    WRONG,
    CommandFailed,
    Output,
    print_json,
)
from shared.errors import DefinitionsInvalid, Permanent, SignalboxError, Transient

if TYPE_CHECKING:
    from shared.changes import Change
    from shared.progress import Progress
    from shared.publishing import Plan, Publishing

_UNCHANGED = "unchanged"
_PLANNED = {
    "created": "create",
    "updated": "update",
    _UNCHANGED: _UNCHANGED,
    "left": "not in the folder",
    "removed": "remove",
}
#: What an owner is called.
OWNER = r"[a-z][a-z0-9-]{0,30}"


def _owner(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value and not re.fullmatch(OWNER, value):
        raise click.BadParameter("has lower-case letters, digits and '-', a letter first, up to 31")
    return value


@click.command(short_help="Register pipelines and switch triggers on.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change; register and write nothing.")
@click.option(
    "--exit-code", is_flag=True, help="With --dry-run: exit with 5 when something would change."
)
@click.option(
    "--prune", is_flag=True, help="Remove what was published and is not in FOLDER any more."
)
@click.option("--prune-all", is_flag=True, help="The same, even when that is everything.")
@click.option(
    "--owner",
    default="",
    callback=_owner,
    help="Whose folder this is, where several publish to one app: --prune removes this owner's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the changes, or errors, as JSON.")
def publish(
    folder: Path,
    dry_run: bool,
    exit_code: bool,
    prune: bool,
    prune_all: bool,
    owner: str,
    as_json: bool,
) -> None:
    """Register the pipelines in FOLDER and switch their triggers on.

    FOLDER holds pipelines/<name>.yml (AzureML pipeline jobs), triggers/<name>.yml,
    computes/<name>.yml and schedules/<name>.yml (AzureML's own). First it is said what will be
    created, updated and removed; what is unchanged is left alone. The settings are those of the
    function app, from the environment.
    """
    if exit_code and not dry_run:
        raise click.UsageError("--exit-code goes with --dry-run.")
    # Azure's SDKs take half a second to load, which no other command needs.
    from shared import bootstrap
    from shared.changes import Prune
    from shared.progress import Progress

    pruning = Prune.EVERYTHING if prune_all else Prune.YES if prune else Prune.NO
    errors = Output(errors=True)
    progress = Progress(lambda line: errors.line(f"  {line}"))
    try:
        with _interruptible():
            found = bootstrap.build(os.environ).publishing
            with _said_aside():
                plan = found.plan(folder, owner=owner, prune=pruning)
            _show_notes(errors, plan)
            if dry_run:
                _finish(plan, list(plan.changes), dry_run=True, as_json=as_json)
                sys.exit(DIFFERS if exit_code and plan.differs else 0)
            changes = _apply(found, plan, progress, errors)
    except DefinitionsInvalid as error:
        if as_json:
            print_json({"errors": [asdict(problem) for problem in error.problems]})
            sys.exit(WRONG)
        count = len(error.problems)
        raise CommandFailed(
            f"{error}\n\nNothing was published: {count} problem{'s' * (count > 1)}.", WRONG
        ) from None
    except SignalboxError as error:
        failed = _failed(error, dry_run=dry_run)
        _show_standing(errors, progress, str(failed.message), as_json=as_json)
        raise failed from None
    except KeyboardInterrupt:
        _show_standing(errors, progress, "Interrupted.", as_json=as_json)
        raise CommandFailed("Interrupted.", INTERRUPTED) from None
    _finish(plan, changes, dry_run=False, as_json=as_json)


def _apply(
    found: "Publishing", plan: "Plan", progress: "Progress", errors: Output
) -> "list[Change]":
    if plan.differs:
        _show_plan(errors, list(plan.changes))
        errors.line()
    with _said_aside(), contextlib.redirect_stderr(_WithoutBlankLines(sys.stderr)):
        return found.apply(plan, progress, wait=time.sleep)


def _said_aside() -> contextlib.AbstractContextManager[object]:
    """What the SDK prints of its own goes where it spoils no output."""
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Whoever ends the command, a CI for one, is told how far it came, as after Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failed(error: SignalboxError, *, dry_run: bool) -> CommandFailed:
    if isinstance(error, Transient):
        return unavailable(error, os.environ, dry_run=dry_run)
    return CommandFailed(str(error), WRONG if isinstance(error, Permanent) else UNAVAILABLE)


def _show_notes(errors: Output, plan: "Plan") -> None:
    """What the folder's owner should know, whether or not something is registered."""
    for warning in plan.warnings:
        errors.line(f"warning: {warning}")
    for name, reasons in plan.inline.items():
        for reason in reasons:
            errors.line(f"{name} is submitted inline: {reason}")
    for name, found in plan.computes.items():
        for line in found:
            errors.line(f"compute {name} {line}")
    for name, told in plan.native.told.items():
        errors.line(f"schedule {name} {told}")


def _show_standing(errors: Output, progress: "Progress", why: str, *, as_json: bool) -> None:
    """How far it came, after what stopped it."""
    standing = progress.standing
    if as_json:
        print_json({"error": why, "standing": [asdict(each) for each in standing]})
    if not standing:
        return
    errors.line()
    for how, heading in _HEADINGS.items():
        some = [each for each in standing if each.how == how]
        if some:
            errors.line(heading)
        for each in some:
            errors.line(f"  {each.what}{f': {each.why}' if each.why else ''}")
    errors.line(_ENDING)
    errors.line()


_HEADINGS = {
    "done": "Done, and it stays:",
    "there": "Was there already:",
    "refused": "Refused:",
    "unknown": "Begun, and not known whether it took effect:",
    "left": "Not done:",
}
_ENDING = (
    "Until the index is switched over, events meet what was published before. Publish again: what "
    "is done is found, and the rest follows."
)


def _finish(plan: "Plan", changes: "list[Change]", *, dry_run: bool, as_json: bool) -> None:
    output = Output()
    if as_json:
        told: dict[str, Any] = {
            "dry_run": dry_run,
            "changes": [_json(change) for change in changes],
            "warnings": list(plan.warnings),
            "inline": {name: list(reasons) for name, reasons in plan.inline.items()},
        }
        print_json(told)
        return
    if dry_run:
        _show_plan(output, changes)
    elif plan.differs and changes == list(plan.changes):
        # The plan was shown, and that is what came of it.
        output.line(f"done: {_counted(changes)}")
    else:
        rows = [(c.kind, c.name, c.version, _PAST.get(c.did, c.did)) for c in changes]
        output.table(("", "name", "version", ""), rows)
    left = [change for change in changes if change.did == "left"]
    if left:
        Output(errors=True).line(
            f"{len(left)} not in the folder: published before, and still on; --prune removes them"
        )


_PAST = {"left": "not in the folder"}


def _counted(changes: "list[Change]") -> str:
    """How many definitions became what."""
    counts = Counter(_PAST.get(change.did, change.did.value) for change in changes)
    return ", ".join(f"{count} {did}" for did, count in counts.items())


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
        "action": "left" if change.did == "left" else _PLANNED[change.did],
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

    def close(self) -> None:
        """The stream is another's, and may be gone before this is forgotten, which closes it."""
