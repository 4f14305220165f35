"""What was recorded, as sentences and as items of an answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shared import wording
from shared.definitions import MANUAL_TRIGGER, UNREADABLE_TRIGGER
from shared.ledger import Record
from shared.members import Joined
from shared.questions import Item
from shared.runs import Decided
from shared.summaries import RunSummary, brief, stamp, summary, waiting
from shared.traces import Trace


@dataclass
class Told:
    """What is said, and the same as items."""

    lines: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    def add(self, line: str, item: Item) -> None:
        self.lines.append(line)
        self.items.append(item)

    def join(self, other: "Told") -> None:
        self.lines += other.lines
        self.items += other.items


def of_trace(trace: Trace, what: str | None = None) -> Told:
    """All that a trigger left: first what is open, then what is over, newest first.

    `what` it was about; each happening's own words when left out.
    """
    told = Told()
    for record in trace.open:
        line = of_run(line_of(record), what)
        told.add(f"{stamp(record.transitions[0].at)}: {line}.", of_record(record))
    for decided in trace.decided:
        told.add(f"{stamp(decided.at)}: {of_decided(decided, what)}.", of_decision(decided))
    return told


def of_run(run: RunSummary, what: str | None = None) -> str:
    """What a trigger made of it: "trigger a took the upload of x: run a.b, which is running"."""
    if run.replay_of:
        of = f" of {wording.happening(run.event)}" if what is None else ""
        return f"run {run.replay_of}{of} was tried again: {wording.run(run)}"
    what = what or wording.happening(run.event)
    if run.trigger == MANUAL_TRIGGER:
        return f"a client asked for a pipeline by name: {wording.run(run)}"
    if run.trigger == UNREADABLE_TRIGGER:
        return f"{what} is no event that Signalbox understands: {wording.run(run)}"
    return f"trigger {run.trigger} took {what}: {wording.run(run)}"


def of_joined(joined: Joined, what: str | None = None) -> tuple[str, Item]:
    """An event that a batch is to take, or took, and how far that is."""
    record, batch = joined.member, joined.batch
    if batch is None:
        return of_run(line_of(record), what), of_record(record)
    what = what or wording.happening(brief(record.event))
    line = f"trigger {record.trigger} took {what} into a batch: {wording.run(line_of(batch))}"
    return line, of_record(batch).model_copy(update={"decision": record.state})


def of_decided(decided: Decided, what: str | None = None) -> str:
    """One final decision: "trigger a looked at it and said no: path … does not fit"."""
    if decided.run:
        return of_run(decided.run, what)
    what = what or wording.happening(decided.event)
    why = wording.refusal(decided.check or "a check")
    return f"trigger {decided.trigger} looked at {what} and said no: {why}"


def line_of(record: Record) -> RunSummary:
    """A run on one line, where nobody asks for its job."""
    return summary(record, str)


def of_record(record: Record, passed: Sequence[str] = ()) -> Item:
    """A run as its record has it."""
    return Item(
        trigger=record.trigger,
        decision=record.state,
        passed=list(passed),
        run=record.run_id,
        state=record.state,
        reason=record.reason,
        waiting_for=waiting(record, None),
        at=record.transitions[-1].at,
    )


def of_decision(decided: Decided, passed: Sequence[str] = ()) -> Item:
    """A decision as history has it."""
    run = decided.run
    return Item(
        trigger=decided.trigger,
        decision=decided.decision,
        passed=list(passed or decided.passed),
        check=decided.check,
        run=run.id if run else None,
        state=run.state if run else None,
        reason=run.reason if run else None,
        at=decided.at,
    )


def cut(traces: Iterable[Trace]) -> list[str]:
    """A sentence about what was not looked through, when there is such."""
    names = [trace.trigger for trace in traces if trace.more]
    if not names:
        return []
    others = f" and {count(len(names) - 5, 'other trigger')}" if len(names) > 5 else ""
    return [
        f"Of {', '.join(names[:5])}{others} only the newest decisions were looked through, or some "
        "of them told."
    ]


def count(number: int, noun: str) -> str:
    """3 runs, 1 run."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def capital(line: str) -> str:
    """A sentence begins so."""
    return line[:1].upper() + line[1:]
