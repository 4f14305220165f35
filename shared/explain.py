"""Why did it run, or why not: the answer in sentences, from what was recorded and what is there."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice

from shared import answers, events, wording
from shared.answers import Told
from shared.changes import TRIGGER
from shared.clocks import Clocks
from shared.definitions import MANUAL_TRIGGER, RESERVED, UNREADABLE_TRIGGER
from shared.drops import Drops
from shared.errors import NotFound, RecordUnreadable, listed
from shared.events import RUN, SCHEDULE
from shared.history import History
from shared.index import Index, IndexedTrigger
from shared.lakes import Lakes
from shared.ledger import Ledger, Record, parse_run_id
from shared.members import Members
from shared.orders import Orders
from shared.questions import Explanation, Item, identity, moment
from shared.runs import AROUND, Runs, first
from shared.specs import NAME
from shared.summaries import RunDetail, shown, stamp
from shared.sweep_states import SweepStates
from shared.times import Times
from shared.traces import NAMES, READS, Traces
from shared.uploads import Uploads

#: Decisions and open runs of a trigger that are told.
_DECISIONS = 20
#: Runs before a run that are told.
_PARENTS = 10


class Explain:
    """Answers questions about uploads, messages, runs and triggers. Changes nothing.

    All raise StorageUnavailable, and RequestInvalid for a question that cannot be read.
    """

    def __init__(
        self,
        *,
        index: Index,
        orders: Orders,
        ledger: Ledger,
        history: History,
        runs: Runs,
        members: Members,
        lakes: Lakes,
        sweeps: SweepStates,
        clocks: Clocks,
        variables: Mapping[str, str],
        drops: Drops,
    ) -> None:
        self._index = index
        self._drops = drops
        self._ledger = ledger
        self._runs = runs
        self._sweeps = sweeps
        self._members = members
        self._traces = Traces(ledger=ledger, history=history, runs=runs)
        self._times = Times(index=index, clocks=clocks, traces=self._traces)
        self._uploads = Uploads(
            index=index,
            orders=orders,
            ledger=ledger,
            traces=self._traces,
            members=members,
            lakes=lakes,
            variables=variables,
        )

    def blob(self, text: str) -> Explanation:
        """An upload: its https address, with or without a signature, or account/container/path."""
        return self._uploads.explain(text)

    def schedule(self, name: str, at: datetime | None = None) -> Explanation:
        """A time of a schedule, by its own wall clock if it has no offset. Raises NotFound."""
        return self._times.explain(name, at)

    def message(self, id: str) -> Explanation:
        """A message or event: its message id, its sequence number, or its CloudEvent id."""
        id = identity(id)
        triggers = self._index.read().snapshot.triggers
        # Uploads are known by their blob, so triggers for them come last.
        names, left_out = first(
            sorted(
                triggers, key=lambda name: (triggers[name].definition.spec.blob is not None, name)
            )
        )
        traces, looked = self._traces.about(names, events.about(id)), NAMES
        if id.isdecimal() and not any(trace.decided or trace.open for trace in traces):
            traces, looked = self._traces.numbered(names, id), READS
        told = Told()
        for trace in traces:
            told.join(answers.of_trace(trace))
        for name in names:
            indexed = triggers.get(name)
            if indexed is not None and indexed.definition.policies.batch is not None:
                for joined in self._members.about(name, events.about(id)):
                    line, item = answers.of_joined(joined)
                    told.add(f"{stamp(joined.member.transitions[0].at)}: {line}.", item)
        if not told.items:
            told.lines = [
                f"The newest {looked:,} decisions of each trigger, and what is open, were looked "
                "through for a message or event of that id"
                f"{' or sequence number' if id.isdecimal() else ''}.",
                "Either it has not arrived; or no trigger waits for events of its source and type, "
                "and such events leave no record; or it was decided longer ago.",
                "An upload is asked for by its blob, the end of a run by the run.",
            ]
            told.items = [Item(trigger=None, decision="nothing_recorded")]
            summary = f"Nothing is recorded of a message or event {shown(id)}."
        elif len(told.items) == 1:
            summary = told.lines[0]
        else:
            summary = f"{answers.count(len(told.items), 'decision')} were made about it."
        return Explanation(
            question=f"What became of the message or event {shown(id)}?",
            summary=summary,
            lines=told.lines + answers.cut(traces) + _left_out(left_out),
            items=told.items,
        )

    def run(self, id: str) -> Explanation:
        """A run from its event until now. Raises NotFound."""
        found = self._runs.get(id)
        told = Told(lines=[*_beginning(found)])
        told.items.append(
            Item(
                trigger=found.trigger,
                decision=found.state,
                run=found.id,
                state=found.state,
                reason=found.reason,
                waiting_for=found.waiting_for,
                at=found.transitions[-1].at,
            )
        )
        if found.event.via.startswith(RUN) and isinstance(found.event.data, dict):
            told.join(self._chain(str(found.event.data.get("run", "")), found.depth))
        told.lines += [*_course(found), *_now(found)]
        if found.batch and (batch := self._read(*found.batch.split("."))):
            told.add(
                f"Its batch is {wording.run(answers.line_of(batch))}.", answers.of_record(batch)
            )
        return Explanation(
            question=f"What became of run {found.id}?",
            summary=f"Run {found.id} {wording.standing(found.state, found.reason)}.",
            lines=told.lines,
            items=told.items,
        )

    def trigger(self, name: str, at: datetime | None = None) -> Explanation:
        """What a trigger decided lately, or within an hour of a time. Raises NotFound."""
        at = moment(at)
        triggers = self._index.read().snapshot.triggers
        if not NAME.fullmatch(name):
            raise _not_there(name, triggers)
        decided = self._runs.decisions(name, at, _DECISIONS)
        markers = [*islice(self._ledger.unfinished(name), _DECISIONS + 1)]
        wrong = self._drops.problems(TRIGGER, name)
        if name not in {*triggers, *RESERVED} and not (decided.items or markers or wrong):
            raise _not_there(name, triggers)
        told, open_ones = Told(lines=[_introduction(name, triggers.get(name), wrong)]), 0
        told.lines += [
            f"Its file in the definitions container is not published: {each}" for each in wrong
        ]
        for marker in markers[:_DECISIONS]:
            record = self._read(marker.trigger, marker.key)
            if record is not None and not record.state.final:
                line = answers.of_run(answers.line_of(record))
                told.add(f"Open: {line}.", answers.of_record(record))
                open_ones += 1
        if len(markers) > _DECISIONS:
            told.lines.append(f"More than {_DECISIONS} may be open; the list of runs has them all.")
        if waiting := _waiting(*self._members.waiting(name)):
            told.lines.append(waiting)
        told.lines += self._swept(triggers.get(name))
        for item in decided.items:
            line = answers.of_decided(item)
            told.add(f"{stamp(item.at)}: {line}.", answers.of_decision(item))
        if decided.more:
            told.lines.append(f"There are more decisions; the newest {_DECISIONS} are told.")
        if not told.items:
            told.lines.append(
                "Events that it could not be for leave no record: ask for the blob or the message."
            )
        when = f"around {stamp(at)}, give or take {AROUND}" if at else "lately"
        count = answers.count(len(decided.items), "decision")
        more = "at least " if decided.more else ""
        return Explanation(
            question=f"What did trigger {name} decide {when}?",
            summary=f"Trigger {name}: {more}{count} {when}, {answers.count(open_ones, 'open run')}"
            f"{' or more' if len(markers) > _DECISIONS else ''}.",
            lines=told.lines,
            items=told.items,
        )

    def _chain(self, id: str, depth: int) -> Told:
        """The runs whose end led to a run, the nearest first, as far as they are there."""
        told, which = Told(), "It"
        while len(told.items) < _PARENTS and (named := parse_run_id(id)):
            record = self._read(*named)
            if record is None:
                told.lines.append(f"{which} follows on run {id}, which is not recorded any more.")
                break
            line = wording.run(answers.line_of(record))
            told.add(f"{which} follows on {line}.", answers.of_record(record))
            which, data = "That one", record.event.data
            follows = record.event.via.startswith(RUN) and isinstance(data, dict)
            id = str(data.get("run", "")) if follows else ""
        if depth > 1:
            told.lines.append(
                f"{depth} runs came one after the other, each started by the end of the one before."
            )
        return told

    def _swept(self, indexed: IndexedTrigger | None) -> list[str]:
        """What sweeps of a trigger found."""
        if indexed is None or indexed.definition.spec.blob is None:
            return []
        name = indexed.definition.name
        try:
            state = self._sweeps.read(name).state
        except RecordUnreadable as error:
            return [str(error)]
        lines = []
        if report := state.report:
            counts = report.counts
            looked = answers.count(counts.looked_at, "upload")
            lines.append(
                f"Its last sweep, at {stamp(report.began)}, looked at {looked}: no event had told "
                f"of {counts.found}, nor of {counts.overwritten} that were overwritten."
            )
        if state.overwritten:
            lines.append(
                f"{answers.count(len(state.overwritten), 'upload')} overwritten unheard of, and "
                f"not started: `signalbox triggers sweep {name} --report` lists them."
            )
        if state.problem:
            lines.append(f"A sweep goes no further: {wording.sentence(state.problem)}.")
        return lines

    def _read(self, trigger: str, key: str) -> Record | None:
        try:
            kept = self._ledger.read(trigger, key)
        except RecordUnreadable:
            return None
        return kept.record if kept else None


def _left_out(triggers: int) -> list[str]:
    if not triggers:
        return []
    number = answers.count(triggers, "trigger")
    return [f"{number} more could not be looked at: ask for those by name, and around a time."]


def _beginning(found: RunDetail) -> list[str]:
    """Where a run comes from."""
    if found.trigger == MANUAL_TRIGGER:
        lines = ["A client asked for it by name; no trigger was concerned."]
    elif found.trigger == UNREADABLE_TRIGGER:
        came = f" from {wording.entity(found.event.via)}" if found.event.via else ""
        lines = [f"Something came{came} that is no event Signalbox understands; it was kept."]
        text = found.event.data.get("text") if isinstance(found.event.data, dict) else None
        if text:
            lines.append(f"It begins: {shown(str(text))}")
    elif found.members:
        many = answers.count(found.members, "event")
        lines = [
            f"{stamp(found.event.time)}: {many} became {wording.happening(found.event)}; trigger "
            f"{found.trigger} made it."
        ]
    else:
        what = wording.happening(found.event)
        lines = [f"{stamp(found.event.time)}: {what}; trigger {found.trigger} took it."]
        if swept := wording.sweeping(found.event):
            lines.append(f"{answers.capital(swept)}.")
    if found.replay_of:
        by = f", as part of replay {found.replay}" if found.replay else ""
        lines.append(f"It tries run {found.replay_of} again{by}.")
    elif found.replay:
        lines.append(f"Backfill {found.replay} began it, not the clock.")
    if found.event.via.startswith(SCHEDULE) and isinstance(found.event.data, dict):
        start, end = (found.event.data.get(name) for name in ("window_start", "window_end"))
        lines.append(f"Its window is from {shown(str(start))} to {shown(str(end))}.")
        if isinstance(new := found.event.data.get("new_blobs"), dict):
            since, until = (shown(str(new.get(name))) for name in ("since", "until"))
            number = shown(str(new.get("blobs")))
            lines.append(f"It was given the uploads from {since} until {until}: {number}.")
    if found.pipeline:
        lines.append(f"It runs pipeline {found.pipeline}.")
    return lines


def _waiting(events: int, groups: int, more: bool) -> str | None:
    """What waits for its batch."""
    if not events:
        return None
    wait = "waits for its batch" if events == 1 else "wait for their batch"
    number = f"{'More than ' if more else ''}{answers.count(events, 'event')}"
    return f"{number} {wait}, in {answers.count(groups, 'group')}."


def _course(found: RunDetail) -> list[str]:
    """How it went, and why so."""
    lines = [f"{stamp(one.at)}: {wording.reached(one.state)}." for one in found.transitions]
    if found.reason:
        lines.append(f"Why: {wording.sentence(found.reason.text)}.")
    for step in found.failed_steps:
        said = (step.log_tail.splitlines() or ["nothing"])[-1]
        lines.append(f"Step {shown(step.step)} failed; the last it printed: {shown(said)}")
    return lines


def _now(found: RunDetail) -> list[str]:
    """What AzureML shows of it, and what it waits for."""
    lines = []
    if found.cancel_requested and not found.state.final:
        lines.append("Somebody asked for it to stop.")
    if found.steps:
        steps = ", ".join(f"{shown(step.name)} {step.status}" for step in found.steps[:20])
        more = f" and {len(found.steps) - 20} more" if len(found.steps) > 20 else ""
        lines.append(f"Its steps in AzureML now: {steps}{more}.")
    elif found.steps_error:
        why = wording.sentence(found.steps_error)
        lines.append(f"AzureML could not be asked for its steps: {why}.")
    if waits := found.waiting_for:
        lines.append(f"{waits.text}{f' Until {stamp(waits.until)}.' if waits.until else ''}")
    if found.studio_url:
        lines.append(f"Its job: {found.studio_url}")
    return lines


def _introduction(name: str, indexed: IndexedTrigger | None, wrong: list[str]) -> str:
    if indexed is not None:
        since, what = stamp(indexed.effective_from), wording.listening(indexed.definition)
        pause = f" It is paused {shown(indexed.paused.text)}." if indexed.paused else ""
        return f"Trigger {name} {what}; it was first published {since}.{pause}"
    if name == MANUAL_TRIGGER:
        return f"Under {name} are the runs that clients asked for by name."
    if name == UNREADABLE_TRIGGER:
        return f"Under {name} is what came and is no event that Signalbox understands."
    if wrong:
        return f"Trigger {name} is not published."
    return f"Trigger {name} is not published any more."


def _not_there(name: str, triggers: Mapping[str, IndexedTrigger]) -> NotFound:
    return NotFound(f"There is no trigger {shown(name)!r}. There are: {listed(sorted(triggers))}.")
