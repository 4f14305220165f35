"""The way of an event: match, bind, record, submit. Read this first.

An event is answered once every trigger it is for has a record in the ledger. Whatever fails
before that is raised, and the source delivers again; whatever fails after is finished by the
tick. A second delivery meets the first one's records and repeats only what was left undone.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from shared import expressions, published
from shared.definitions import Action
from shared.errors import ExpressionInvalid, SignalboxError, StorageUnavailable
from shared.events import Event
from shared.history import History
from shared.index import Index, Reading, Snapshot
from shared.inputs import unsafe
from shared.ledger import (
    Attempt,
    Held,
    Ledger,
    Reason,
    Record,
    State,
    Transition,
    job_name,
    run_key,
)
from shared.published import PublishedPipeline
from shared.submission import RUN_TAG, Submission
from shared.triggers import Match, Matcher, Near
from shared.workspace import JobBody

log = logging.getLogger(__name__)

#: Seconds one event may spend on submitting; Event Grid waits 30 for its answer.
SUBMIT_BUDGET = 10.0

#: AzureML's limit for a tag's value.
_TAG_LENGTH = 256


class Dispatcher:
    """Decides what an event starts, and starts it."""

    def __init__(
        self,
        *,
        deployment: str,
        variables: Mapping[str, str],
        index: Index,
        ledger: Ledger,
        history: History,
        submission: Submission,
        monotonic: Callable[[], float],
    ) -> None:
        self._deployment = deployment
        self._variables = variables
        self._index = index
        self._ledger = ledger
        self._history = history
        self._submission = submission
        self._monotonic = monotonic
        self._matcher: tuple[Snapshot, Matcher] | None = None

    def handle(self, event: Event) -> None:
        """Take an event in. Returns when nothing of it can be lost any more.

        Raises StorageUnavailable: deliver it again.
        """
        started = self._monotonic()
        reading = self._index.read()
        matches = self._match(event, reading)
        new = [self._record(event, match, reading) for match in matches]
        for held in new:
            if held is None:
                continue
            if self._monotonic() - started > SUBMIT_BUDGET:
                break
            self._mended_by_tick(held.record.run_id, partial(self._submission.submit, held))

    def _match(self, event: Event, reading: Reading) -> list[Match]:
        """The triggers this event is for; a candidate that says no is written to history."""
        matches = []
        for verdict in self._matcher_of(reading.snapshot).match(event):
            trigger = verdict.trigger.name
            indexed = reading.snapshot.triggers[trigger]
            if isinstance(verdict, Match) and event.time < indexed.effective_from:
                verdict = Near(verdict.trigger, f"not before {indexed.effective_from.isoformat()}")
            if isinstance(verdict, Near):
                key = run_key(self._deployment, event)
                self._history.filtered(trigger, key, event, verdict.check)
                log.info(
                    "%s is not for trigger %s: %s",
                    event.title,
                    trigger,
                    verdict.check,
                    extra={"action": "event_filtered", "trigger": trigger, "event": event.id},
                )
            else:
                matches.append(verdict)
        if not matches:
            log.info(
                "%s starts nothing",
                event.title,
                extra={"action": "event_unmatched", "event": event.id, "subject": event.subject},
            )
        return matches

    def _record(self, event: Event, match: Match, reading: Reading) -> Held | None:
        """Write down what was decided, before anything is done about it.

        The record that is returned is this worker's to submit.
        """
        trigger, key = match.trigger.name, run_key(self._deployment, event)
        at = self._ledger.mark_open(trigger, key)
        record = self._decide(event, match, key, at, reading.snapshot)
        held = self._ledger.create(record)
        if held is None:
            self._repeat(trigger, key)
        elif record.state.final:
            self._mended_by_tick(record.run_id, lambda: self._submission.finish(held))
        else:
            log.info(
                "%s is run %s",
                event.title,
                record.run_id,
                extra={"action": "run_recorded", "run": record.run_id, "event": event.id},
            )
            return held
        return None

    def _decide(
        self, event: Event, match: Match, key: str, at: datetime, snapshot: Snapshot
    ) -> Record:
        """The record in its first state: `submitting` with a frozen job, or a dead letter."""
        trigger, action = match.trigger.name, match.trigger.action
        record = Record(
            trigger=trigger,
            key=key,
            state=State.SUBMITTING,
            event=event,
            transitions=(Transition(state=State.SUBMITTING, at=at),),
        )
        pipeline = published.resolve(snapshot, action.pipeline)
        if pipeline is None:
            text = f"No pipeline named {action.pipeline!r} is published; publish it."
            return _dead(record, at, Reason(code="pipeline_missing", text=text))
        record = record.model_copy(update={"pipeline": f"{pipeline.name}@{pipeline.version}"})
        body, problems = self._bind(event, match, record, pipeline)
        if body is None:
            return _dead(record, at, Reason(code="input_missing", text="; ".join(problems)))
        name = job_name(self._deployment, trigger, key, attempt=1)
        attempt = Attempt(number=1, job_name=name, submitting_at=at)
        return record.model_copy(update={"body": body, "attempts": (attempt,)})

    def _bind(
        self, event: Event, match: Match, record: Record, pipeline: PublishedPipeline
    ) -> tuple[JobBody | None, list[str]]:
        """The job's body, or everything that stands in its way."""
        action = match.trigger.action
        known = {
            "event": event.model_dump(mode="json"),
            "captures": match.captures,
            "settings": dict(self._variables),
        }
        problems: dict[str, str] = {}

        def found(place: str, template: Any) -> Any:
            try:
                return expressions.evaluate(template, known)
            except ExpressionInvalid as error:
                problems[place] = str(error)
                return None

        values = {name: found(f"inputs.{name}", value) for name, value in action.inputs.items()}
        tags = {name: found(f"tags.{name}", value) for name, value in action.tags.items()}
        experiment = found("experiment_name", action.experiment_name)
        compute = found("compute", action.compute)
        for name, template in action.inputs.items():
            if f"inputs.{name}" not in problems:
                findings = map(expressions.as_text, expressions.findings(template, known))
                whys = [unsafe(text) for text in findings]
                problems |= {f"inputs.{name}": why for why in whys if why}
        inputs, unbound = pipeline.bind(
            {name: value for name, value in values.items() if value is not None}
        )
        problems = {f"inputs.{name}": problem for name, problem in unbound.items()} | problems
        if problems:
            return None, [f"{place}: {problem}" for place, problem in sorted(problems.items())]
        body = JobBody(
            component_id=pipeline.component_id,
            inputs=inputs,
            outputs=pipeline.outputs,
            settings=_settings(action, pipeline, compute),
            experiment_name=_experiment(experiment, pipeline),
            display_name=_display_name(pipeline, event),
            description=pipeline.description,
            tags={
                name: expressions.as_text(value)[:_TAG_LENGTH]
                for name, value in {
                    **pipeline.tags,
                    **tags,
                    **self._provenance(event, record),
                }.items()
            },
        )
        return body, []

    def _provenance(self, event: Event, record: Record) -> dict[str, str]:
        """Where a job comes from, for whoever finds it in AzureML."""
        return {
            "signalbox_deployment": self._deployment,
            "signalbox_trigger": record.trigger,
            RUN_TAG: record.run_id,
            "signalbox_pipeline": record.pipeline or "",
            "signalbox_event_id": event.id,
            "signalbox_event_source": event.source,
            "signalbox_event_subject": event.subject,
        }

    def _repeat(self, trigger: str, key: str) -> None:
        """A second delivery: the record is there, so only what it left undone is done."""
        log.debug("Event of run %s.%s was delivered again", trigger, key)

        run = f"{trigger}.{key}"
        if self._mended_by_tick(run, lambda: self._submission.resume(trigger, key)) is False:
            raise StorageUnavailable(f"The record of run {run} was there, and is not")

    def _mended_by_tick(self, run: str, call: Callable[[], bool | None]) -> bool | None:
        """The event is safe in its record: a failure from here on is the tick's to mend."""
        about = {"action": "left_to_tick", "run": run}
        try:
            return call()
        except SignalboxError as error:
            log.warning("Run %s goes on with the timer: %s", run, error, extra=about)
        except Exception:
            log.exception("Run %s goes on with the timer", run, extra=about)
        return None

    def _matcher_of(self, snapshot: Snapshot) -> Matcher:
        # One look: another thread may have put the matcher of another snapshot there.
        known = self._matcher
        if known is None or known[0] is not snapshot:
            matcher = Matcher(trigger.definition for trigger in snapshot.triggers.values())
            self._matcher = known = (snapshot, matcher)
        return known[1]


def _dead(record: Record, at: datetime, reason: Reason) -> Record:
    return record.model_copy(
        update={
            "state": State.DEAD_LETTER,
            "reason": reason,
            "transitions": (Transition(state=State.DEAD_LETTER, at=at),),
        }
    )


def _settings(action: Action, pipeline: PublishedPipeline, compute: Any) -> dict[str, Any]:
    settings = dict(pipeline.settings)
    if compute is not None:
        settings["default_compute"] = expressions.as_text(compute).removeprefix("azureml:")
    if action.force_rerun is not None:
        settings["force_rerun"] = action.force_rerun
    return settings


def _experiment(found: Any, pipeline: PublishedPipeline) -> str:
    return expressions.as_text(found) if found else pipeline.experiment_name or pipeline.name


def _display_name(pipeline: PublishedPipeline, event: Event) -> str:
    """What a person sees in AzureML Studio's list: the pipeline and what set it off."""
    title = pipeline.display_name or pipeline.name
    place = event.blob
    what = place.path if place else event.subject or event.id
    return f"{title}: {what}"[:255]
