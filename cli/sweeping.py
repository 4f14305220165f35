"""`signalbox triggers sweep`: look for uploads that no event told of, and show what was found."""

import sys

import click

from cli.client import Api, Surroundings, pass_surroundings
from cli.groups import as_json
from cli.output import INTERRUPTED, UNAVAILABLE, CommandFailed, Output, print_json
from cli.text import Json, visible, when

#: Seconds between two looks, and for how long one is looked at that goes no further.
_PAUSE, _PATIENCE = 5.0, 300.0


@click.command()
@click.argument("name")
@click.option("--report", is_flag=True, help="Begin none; show what the last ones found.")
@click.option("--lookback", metavar="DURATION", help="How far back, at most P30D: PT6H, P7D.")
@click.option("--overwritten", is_flag=True, help="Start what was overwritten as well.")
@click.option("--dry-run", is_flag=True, help="Only say what would be started.")
@as_json
@pass_surroundings
def sweep(
    surroundings: Surroundings,
    name: str,
    report: bool,
    lookback: str | None,
    overwritten: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Look where the trigger NAME waits for uploads that no event told of, and start them."""
    api = surroundings.api()
    if report:
        if lookback is not None or overwritten or dry_run:
            raise click.UsageError("--report shows what there is; it goes with no other option.")
        found = api.get("triggers", name, "sweep")
    else:
        asked = {"lookback": lookback, "overwritten": overwritten, "dry_run": dry_run}
        body = {key: value for key, value in asked.items() if value}
        found = _ended(surroundings, api, name, api.post("triggers", name, "sweep", json=body))
    if as_json:
        print_json(found)
    else:
        _show(Output(), found)


def _ended(surroundings: Surroundings, api: Api, name: str, found: Json) -> Json:
    """A sweep once it has ended, or was ended by another. Raises CommandFailed."""
    began, waited, before = (found.get("under_way") or {}).get("began"), 0.0, None
    try:
        while (found.get("under_way") or {}).get("began") == began is not None:
            if problem := found.get("problem"):
                raise CommandFailed(f"It goes no further: {problem}", UNAVAILABLE)
            listed = found["under_way"].get("listed")
            waited, before = (waited if listed == before else 0.0), listed
            if waited > _PATIENCE:
                raise CommandFailed(
                    "Nothing is heard of it. The timer goes on with it: `signalbox triggers sweep "
                    f"{visible(name)} --report`",
                    UNAVAILABLE,
                )
            surroundings.pause(_PAUSE)
            waited += _PAUSE
            found = api.get("triggers", name, "sweep")
    except KeyboardInterrupt:
        Output(errors=True).line(
            f"The sweep goes on: signalbox triggers sweep {visible(name)} --report"
        )
        sys.exit(INTERRUPTED)
    return found


def _show(output: Output, found: Json) -> None:
    every = found.get("every")
    output.facts(
        {
            "trigger": found.get("trigger"),
            "swept": f"every {every}, {found.get('lookback')} back" if every else "when asked to",
            "next": when(found.get("next")),
            "problem": found.get("problem"),
        }
    )
    for title, course in (("under way", found.get("under_way")), ("last", found.get("report"))):
        if course:
            output.heading(f"{title}: since {when(course.get('began'))}")
            _show_counts(output, course)
    report = found.get("report") or {}
    if report.get("dry_run"):
        _show_uploads(output, "would be started", report.get("found_uploads"))
        _show_uploads(output, "overwritten", report.get("overwritten_uploads"))
        return
    _show_uploads(output, "found lately, and started", found.get("found"))
    _show_uploads(output, "overwritten, and not started", found.get("overwritten"))
    if found.get("overwritten"):
        name = visible(found.get("trigger"))
        output.line(
            "Nobody can tell new content from a new property: look at them, and start them by "
            f"`signalbox triggers sweep {name} --overwritten`, or upload them again."
        )


def _show_counts(output: Output, course: Json) -> None:
    names = ("listed", "looked_at", "known", "found", "overwritten", "young", "unnameable")
    words = {
        "looked_at": "looked at",
        "found": "would be started" if course.get("dry_run") else "found",
        "young": "too young",
        "unnameable": "no event may have such a name",
        "failed": "could not be handed over",
    }
    counts = {words.get(name, name): course.get(name) for name in (*names, "failed")}
    needed = ("listed", "looked at", "known", "found", "would be started")
    told = {name: number for name, number in counts.items() if number or name in needed}
    output.facts({**told, "since": when(course.get("since"))}, indent=2)


def _show_uploads(output: Output, title: str, uploads: object) -> None:
    if not isinstance(uploads, list) or not uploads:
        return
    output.heading(title)
    output.table(
        ("upload", "bytes", "changed", "run"),
        [
            [one.get("path"), one.get("size"), when(one.get("last_modified")), one.get("run")]
            for one in uploads
        ],
    )
