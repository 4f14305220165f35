"""Rules of submitting left out, one at a time: each is a bug that the simulation must find.

The names in brackets are those of docs/decisions/0002-submitting-exactly-once.md.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from shared import ledger, outcomes
from shared.compute import computes_of
from shared.errors import JobExists, JobRejected, MessagingUnavailable, WorkspaceUnavailable
from shared.index import Index, Reading
from shared.ledger import Kept, Ledger, Marker, Reason, Record, State
from shared.submission import Submission
from tests.simulation.trap import FAIR, Trap
from tests.simulation.workers import Parts


class FinalIsDone(Submission):
    """A second delivery of what is final repeats nothing (F1): its marker stays."""

    def resume(self, trigger: str, key: str, *, in_a_hurry: bool = False) -> Record | None:
        kept = self._ledger.read(trigger, key)
        if kept and kept.record.state.final:
            return kept.record
        return super().resume(trigger, key, in_a_hurry=in_a_hurry)


class MarkerWithoutRecordIsRubbish(Ledger):
    """The tick deletes a marker whose record is not there yet (F4): nobody looks for it again."""

    def open(self, trigger: str | None = None) -> Iterator[Marker]:
        for marker in super().open(trigger):
            if self.read(marker.trigger, marker.key) is None:
                self.close(marker.trigger, marker.key)
            else:
                yield marker


class UnwantedIsTakenOver(Submission):
    """A run that is not wanted any more is taken over like another (F5): its grace starts anew
    with every look and never ends."""

    def _take_over(self, kept: Kept) -> None:
        taken = self._ledger.swap(kept, kept.record.taken_over(kept.at))
        if taken:
            super()._take_over(taken)


class RefusedIsFinal(Submission):
    """A refusal of any PUT is a dead letter at once (F6a): an earlier PUT may still land."""

    def _refused(self, kept: Kept, reason: Reason, *, first: bool) -> None:  # noqa: ARG002
        super()._refused(kept, reason, first=True)


class AnswerWrittenBlindly(Submission):
    """A PUT's answer is written over whatever the record has become since (F6b)."""

    def _submitted(self, kept: Kept) -> None:
        current = self._ledger.read(kept.record.trigger, kept.record.key)
        if current:
            record = current.record.model_copy(update={"state": State.SUBMITTED})
            self._ledger.swap(current, record)

    def _refused(self, kept: Kept, reason: Reason, *, first: bool) -> None:
        current = self._ledger.read(kept.record.trigger, kept.record.key)
        if current and first:
            dead = kept.record.moved(State.DEAD_LETTER, current.at, reason)
            self._close(current, dead)


class NoGrace(Submission):
    """A job that GET does not show is taken to be absent at once."""

    def _wind_up(self, kept: Kept) -> None:
        if self._find(kept) is None and kept.record.cancel_requested:
            reason = Reason(code="canceled", text="too early")
            self._close(kept, kept.record.moved(State.CANCELED, kept.at, reason))
        else:
            super()._wind_up(kept)


class ExistsIsAnError(Submission):
    """An existing job is taken for a refusal instead of for proof."""

    def _confirm(self, kept: Kept) -> None:
        self._refused(kept, Reason(code="exists", text="already exists"), first=True)


class CancelIsFinal(Submission):
    """A cancel ends the record without looking for its job."""

    def request_cancel(self, trigger: str, key: str) -> bool:
        kept = self._ledger.read(trigger, key)
        if kept is None or State.CANCELED not in ledger.TRANSITIONS[kept.record.state]:
            return False
        reason = Reason(code="canceled", text="at once")
        self._close(kept, kept.record.moved(State.CANCELED, kept.at, reason))
        return True


class NamesAtRandom(Submission):
    """Every PUT has a job name of its own."""

    _names = Random(7)

    def _put(self, kept: Kept, *, first: bool) -> None:
        name = f"job-{self._names.getrandbits(64):x}"
        attempt = kept.record.attempt.model_copy(update={"job_name": name})
        renamed = kept.record.model_copy(update={"attempts": (attempt,)})
        if swapped := self._ledger.swap(kept, renamed):
            super()._put(swapped, first=first)


class SubmittedBeforeTheWaitIsOver(Submission):
    """What waits for its compute is submitted before that is written down: whoever cancels it at
    the same time ends a run whose job is on its way."""

    def _await_compute(self, kept: Kept) -> None:
        body = kept.record.body
        assert body
        if kept.record.cancel_requested or self._computes.look(computes_of(body)).waiting:
            super()._await_compute(kept)
            return
        with suppress(WorkspaceUnavailable, JobExists, JobRejected):
            self._workspace.submit(kept.record.attempt.job_name, body)
        self._ledger.swap(kept, kept.record.begun(kept.at))


class NobodyWaits(Submission):
    """What waits for its compute is submitted by the first tick, there or not."""

    def _await_compute(self, kept: Kept) -> None:
        if begun := self._ledger.swap(kept, kept.record.begun(kept.at)):
            self._put(begun, first=True)


class LabelsAreLookedUpForEachPut(Submission):
    """What a label stands for is not written down: a second look may find another version, and
    nobody can say which one the job has."""

    def _settled(self, kept: Kept) -> Kept | None:
        body = kept.record.body
        assert body
        try:
            versions = {
                name: str(self._workspace.labelled(kind, asset, "latest"))
                for name, (kind, asset) in body.latest().items()
            }
        except WorkspaceUnavailable as error:
            self._wait(kept, error, unsent=True)
            return None
        settled = kept.record.model_copy(update={"body": body.with_versions(versions)})
        return replace(kept, record=settled)


class FailedPutIsForgotten(Submission):
    """A PUT without an answer is taken for one that did nothing."""

    def _wait(self, kept: Kept, error: WorkspaceUnavailable, *, unsent: bool) -> None:  # noqa: ARG002
        reason = Reason(code="gave_up", text=str(error))
        self._close(kept, kept.record.moved(State.DEAD_LETTER, kept.at, reason))


class SilenceIsARefusal(Submission):
    """A PUT without an answer is taken for one that AzureML refused: no PUT is on its way then, so
    a refusal or a cancel ends the run at once."""

    def _wait(self, kept: Kept, error: WorkspaceUnavailable, *, unsent: bool) -> None:  # noqa: ARG002
        super()._wait(kept, error, unsent=True)


class StaleIndex(Index):
    """An event is decided by whatever copy of the index is at hand."""

    def read(self) -> Reading:
        known, fresh = self._known, super().read()
        if known is None:
            return fresh
        self._known = known
        return Reading(snapshot=known.snapshot, etag=known.etag, at=fresh.at)


class HintBringsMarkerBack(Ledger):
    """A hint is written by Put, which resurrects a deleted marker without its record's need."""

    def check_again(self, record: Record, at: datetime) -> None:
        name = f"open/{record.trigger}/{record.key}"
        self._blobs.put(name, metadata={"next_check": (at + timedelta(days=9)).isoformat()})


class MarkerClosedFirst(Submission):
    """The marker is deleted before history is written: a crash in between loses the entry."""

    def finish(self, kept: Kept, *, in_a_hurry: bool = False) -> None:
        self._ledger.close(kept.record.trigger, kept.record.key)
        super().finish(kept, in_a_hurry=in_a_hurry)


class MarkerClosedBeforeTheChain(Submission):
    """The marker is deleted before the next run is started: a crash in between breaks a chain."""

    def finish(self, kept: Kept, *, in_a_hurry: bool = False) -> None:
        if event := outcomes.chained(kept.record, self._deployment):
            self._ledger.close(kept.record.trigger, kept.record.key)
            self._chain(event)
        super().finish(kept, in_a_hurry=in_a_hurry)


class FinishedBeforeItWasExplained(Submission):
    """A failure is finished by whoever meets it, while another still looks for its cause."""

    def _unexplained(self, kept: Kept) -> None:
        self.finish(kept)


class ToldBeforeItWasSent(Submission):
    """An outcome is noted as told before the topic has it: a crash in between loses it."""

    def _told(self, record: Record) -> Record:
        noted = (*record.announced, *outcomes.untold(record))
        told = record.model_copy(update={"announced": noted})
        if told != record and (kept := self._ledger.read(record.trigger, record.key)):
            self._ledger.swap(kept, told)
            super()._told(record)
        return told


class OutcomesAreNotAwaited(Submission):
    """A record is finished although the topic did not take its outcome."""

    def finish(self, kept: Kept, *, in_a_hurry: bool = False) -> None:
        try:
            super().finish(kept, in_a_hurry=in_a_hurry)
        except MessagingUnavailable:
            self._ledger.close(kept.record.trigger, kept.record.key)


class EndsOfRunsByChance(Submission):
    """The end of a run is another event each time it is looked at."""

    _ids = Random(7)

    def __init__(self, **rooms: Any) -> None:
        super().__init__(**rooms)
        chain = self._chain
        self._chain = lambda event: chain(
            event.model_copy(update={"id": f"{self._ids.getrandbits(64):x}"})
        )


_LATE_OR_REFUSED = replace(FAIR, put_late=0.6, put_rejected=0.4)
_REFUSED_AT_TIMES = replace(FAIR, put_rejected=0.5)
_LATE_AND_CANCELED = replace(FAIR, put_late=0.7, cancel=0.06)
# Oftener, and what waits is canceled long before its compute is there.
_CANCELED_AT_TIMES = replace(FAIR, cancel=0.05)
_UNSEEN = replace(FAIR, put_late=0.3, put_applied_unanswered=0.4, get_stale=0.6)

_MANY: dict[str, Any] = {
    "chains": False,
    "uploads": 8,
    "steps": 500,
    "late_compute": False,
    "policies": {"max_runs_per_day": "unlimited"},
}

SUBMISSION_TRAPS: dict[str, Trap] = {
    "F1 final is done": Trap(Parts(submission=FinalIsDone)),
    "F4 marker without record is rubbish": Trap(Parts(ledger=MarkerWithoutRecordIsRubbish)),
    "F5 unwanted is taken over": Trap(Parts(submission=UnwantedIsTakenOver)),
    "F6a refused is final": Trap(Parts(submission=RefusedIsFinal), _LATE_OR_REFUSED, _MANY),
    "F6b answer written blindly": Trap(
        Parts(submission=AnswerWrittenBlindly), _REFUSED_AT_TIMES, _MANY
    ),
    "no grace": Trap(Parts(submission=NoGrace), _LATE_AND_CANCELED),
    "exists is an error": Trap(Parts(submission=ExistsIsAnError), _UNSEEN),
    "cancel is final": Trap(Parts(submission=CancelIsFinal)),
    "names at random": Trap(Parts(submission=NamesAtRandom)),
    "submitted before the wait is over": Trap(
        Parts(submission=SubmittedBeforeTheWaitIsOver),
        _CANCELED_AT_TIMES,
        {"chains": False, "late_compute": True},
    ),
    "nobody waits": Trap(Parts(submission=NobodyWaits), None, {"late_compute": True}),
    "labels are looked up for each PUT": Trap(
        Parts(submission=LabelsAreLookedUpForEachPut), _UNSEEN, {"labels": True}
    ),
    "failed PUT is forgotten": Trap(Parts(submission=FailedPutIsForgotten)),
    "silence is a refusal": Trap(Parts(submission=SilenceIsARefusal), _LATE_OR_REFUSED),
    "stale index": Trap(Parts(index=StaleIndex)),
    "hint brings marker back": Trap(Parts(ledger=HintBringsMarkerBack)),
    "marker closed first": Trap(Parts(submission=MarkerClosedFirst), replace(FAIR, crash=0.15)),
    "marker closed before the chain": Trap(
        Parts(submission=MarkerClosedBeforeTheChain), replace(FAIR, crash=0.15), {"chains": True}
    ),
    "finished before it was explained": Trap(
        Parts(submission=FinishedBeforeItWasExplained),
        replace(FAIR, crash=0.08, job_fails=0.8, progress=0.6),
        {"chains": False, "uploads": 8, "steps": 800, "policies": {"max_runs_per_day": 1000}},
    ),
    "told before it was sent": Trap(
        Parts(submission=ToldBeforeItWasSent), replace(FAIR, crash=0.1, outcome_fails=0.3)
    ),
    "outcomes are not awaited": Trap(
        Parts(submission=OutcomesAreNotAwaited), replace(FAIR, outcome_fails=0.5)
    ),
    "ends of runs by chance": Trap(
        Parts(submission=EndsOfRunsByChance), replace(FAIR, crash=0.15), {"chains": True}
    ),
}
