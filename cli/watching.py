"""Following a run to its end: a live table in a terminal, plain lines everywhere else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli.client import Api, Surroundings
from cli.output import UNAVAILABLE, CommandFailed, Output
from cli.text import Json, reason_of, state_of, visible

#: Nothing more becomes of a run in these; in the first two all is well.
WELL = frozenset({"completed", "batched"})
FINAL = WELL | {"failed", "canceled", "dead_letter", "skipped", "missed"}

#: Seconds between two looks, and for how long a run is looked at that nothing is heard of.
_PAUSE, _PATIENCE = 2.0, 180.0


def follow(surroundings: Surroundings, api: Api, id: str, output: Output) -> Json:
    """A run once it is over. Raises CommandFailed when nothing is heard of it for too long."""
    silent = 0.0
    seen = False
    with _shown(output) as show:
        while True:
            try:
                detail = api.get("runs", id)
            except CommandFailed as error:
                silent += _PAUSE
                if error.exit_code != UNAVAILABLE or not seen or silent > _PATIENCE:
                    raise
            else:
                seen, silent = True, 0.0
                show(detail)
                if detail.get("state") in FINAL:
                    return detail
            surroundings.pause(_PAUSE)


def ending(output: Output, run: Json) -> None:
    """How a run ended: for a failed one, which step it was and the end of what that printed."""
    output.line(f"run {run.get('id')} is {state_of(run)}")
    if reason := reason_of(run):
        output.lines(reason, indent=2)
    results = run.get("outputs") or {}
    output.facts({**results, "studio": run.get("studio_url")}, indent=2)
    show_failed_steps(output, run)


def show_failed_steps(output: Output, run: Json) -> None:
    for step in run.get("failed_steps") or []:
        output.heading(f"step {step.get('step')} failed (job {step.get('job')}); end of its log:")
        output.lines(step.get("log_tail") or "(it printed nothing)", indent=2)


def steps_of(run: Json) -> list[tuple[str, str]]:
    """Steps and their states, as far as AzureML tells."""
    return [
        (str(s.get("name")), f"{s.get('status')}{' (reused)' if s.get('reused') else ''}")
        for s in run.get("steps") or []
    ]


@contextmanager
def _shown(output: Output) -> Iterator[Callable[[Json], None]]:
    """How to show a run again and again."""
    if not output.console.is_terminal:
        yield _Lines(output)
        return
    with Live(console=output.console, auto_refresh=False) as live:
        yield lambda run: live.update(_live(output, run), refresh=True)


def _live(output: Output, run: Json) -> Group:
    waiting = (run.get("waiting_for") or {}).get("text")
    lines = [Text(visible(f"run is {state_of(run)}"))]
    lines += [
        Text(visible(text), style="dim") for text in (waiting, run.get("steps_error")) if text
    ]
    steps = steps_of(run)
    return Group(*lines, *([output.steps(steps)] if steps else []))


class _Lines:
    """Says what is new, each on a line."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._told: set[tuple[str, ...]] = set()

    def __call__(self, run: Json) -> None:
        over = run.get("state") in FINAL
        if not over:
            self._tell("run", state_of(run))
        for waiting in (run.get("waiting_for") or {}).get("text"), run.get("steps_error"):
            if waiting:
                self._tell("", str(waiting))
        for name, status in steps_of(run):
            self._tell(name, status)
        if over:
            self._tell("run", state_of(run))

    def _tell(self, *said: str) -> None:
        if said not in self._told:
            self._told.add(said)
            name, text = said
            self._output.line(f"  {name:16} {text}" if name else f"  {text}")
