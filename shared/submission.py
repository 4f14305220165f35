"""From a record to a job to its end: submit, take over, observe, finish.

The rules are those of docs/decisions/0002-submitting-exactly-once.md. Two habits carry them: an
answer is written only If-Match on what was read, and "it exists" is proof, never an error.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict
from datetime import timedelta

from shared import outcomes, places, telemetry
from shared.binding import RUN_TAG
from shared.compute import COMPUTE_PATIENCE, Computes, computes_of
from shared.errors import (
    JobExists,
    JobRejected,
    MessagingUnavailable,
    SignalboxError,
    WorkspaceUnavailable,
)
from shared.events import Event
from shared.history import History
from shared.inputs import redacted
from shared.ledger import (
    GRACE,
    LEASE,
    PATIENCE,
    TRANSITIONS,
    Attempt,
    Kept,
    Ledger,
    Reason,
    Record,
    State,
    job_name,
)
from shared.outcomes import Outcomes
from shared.turns import Turns
from shared.workspace import Job, Workspace

log = logging.getLogger(__name__)

#: Seconds; whatever a service asks for, it is looked at again within the hour.
_LONGEST_WAIT = 3600.0

#: How long a refused PUT waits to be sent again, twice as long each time.
_REFUSED_WAIT = timedelta(seconds=5)

#: What is queued begins when its turn comes; it is looked at now and then all the same.
_QUEUED_WAIT = timedelta(minutes=10)

#: What the call under way is to submit yet, for runs that have ended meanwhile; None outside.
_READY: ContextVar[list[Kept] | None] = ContextVar("ready", default=None)

#: Runs that one call submits for others that have ended; what is left has a lease.
_MOST_AT_ONCE = 50

#: What AzureML's job states mean for a run; any other is on its way.
_OUTCOMES = {
    "Completed": State.COMPLETED,
    "Failed": State.FAILED,
    "Canceled": State.CANCELED,
}
_UNDER_WAY = frozenset({"Running", "Finalizing", "CancelRequested", "Paused", "NotResponding"})


class Submission:
    """Makes each run exactly one job, and notices how it ends."""

    def __init__(
        self,
        *,
        deployment: str,
        ledger: Ledger,
        workspace: Workspace,
        history: History,
        computes: Computes,
        turns: Turns,
        chain: Callable[[Event], object],
        outcomes: Outcomes | None = None,
    ) -> None:
        self._deployment = deployment
        self._ledger = ledger
        self._workspace = workspace
        self._history = history
        self._computes = computes
        #: Takes in the event that a run has ended, for the triggers that wait for it.
        self._chain = chain
        self._outcomes = outcomes
        self._turns = turns

    def submit(self, kept: Kept) -> None:
        """The first PUT of a record that this worker has just created."""
        with telemetry.continued(kept.record.traceparent), self._following():
            self._put(kept, first=True)

    def promote(
        self, trigger: str, slot: str, *, check: bool = False, asking: str | None = None
    ) -> None:
        """Submit what has its turn now; see `Turns.promote`."""
        with self._following() as ready:
            ready += self._turns.promote(trigger, slot, check=check, asking=asking)

    def resume(self, trigger: str, key: str, *, in_a_hurry: bool = False) -> Record | None:
        """Do whatever is left undone for a record; as it was found, None when there is none.

        An event that waits for its answer is in a hurry: how its compute and its job fare is for
        the tick to see.
        """
        kept = self._ledger.read(trigger, key)
        if kept is None:
            return None
        with telemetry.continued(kept.record.traceparent), self._following():
            self._resume(kept, in_a_hurry=in_a_hurry)
        return kept.record

    def _resume(self, kept: Kept, *, in_a_hurry: bool) -> None:
        match kept.record.state:
            case State.WAITING_BATCH | State.HELD:
                self._stop_before_it_began(kept)
            case State.QUEUED:
                self._queued(kept, in_a_hurry=in_a_hurry)
            case State.WAITING_COMPUTE:
                if not in_a_hurry:
                    self._await_compute(kept)
            case State.SUBMITTING:
                if _may_be_taken_over(kept):
                    self._take_over(kept)
            case State.SUBMITTED | State.RUNNING:
                if not in_a_hurry:
                    self._observe(kept)
            case State.FAILED if not kept.record.cause_sought and kept.record.attempts:
                if not in_a_hurry:
                    self._unexplained(kept)
            case _:
                self.finish(kept, in_a_hurry=in_a_hurry)

    def request_cancel(self, trigger: str, key: str) -> bool:
        """Ask for a run to stop; False when there is none, or it is over.

        A flag only: the run is final once its job is stopped, or proven never to have come.
        """
        while kept := self._ledger.read(trigger, key):
            # An event that waits for others is no run yet.
            if kept.record.state.final or kept.record.state is State.WAITING_BATCH:
                return False
            if kept.record.state is State.HELD:
                # What is held is not looked at until its trigger is resumed; this is.
                self._ledger.mark_open(trigger, key, kept.record.event)
            flagged = kept.record.model_copy(update={"cancel_requested": True})
            # Before as well: at what waits in line nobody looks who was not told to.
            self._ledger.check_again(flagged, kept.at)
            if self._ledger.swap(kept, flagged):
                self._ledger.check_again(flagged, kept.at)
                return True
        return False

    def finish(self, kept: Kept, *, in_a_hurry: bool = False) -> None:
        """The steps after a final state; each may be repeated.

        An event that waits for its answer is in a hurry: others are told by the tick.
        """
        record = kept.record
        end = record.transitions[-1]
        decision = {
            "decision": record.state,
            "reason": record.reason and record.reason.model_dump(),
            "run": record.run_id,
            "pipeline": record.pipeline,
            "job": record.attempts[-1].job_name if record.attempts else None,
            "created_at": record.transitions[0].at.isoformat(),
            "attempt": record.attempts[-1].number if record.attempts else 0,
            "cancel_requested": record.cancel_requested,
            "replay_of": record.replay_of,
            "replay": record.replay,
            "depth": record.depth,
        }
        self._history.finished(record.trigger, record.key, record.event, end.at, decision)
        if event := outcomes.chained(record, self._deployment):
            with telemetry.continued(record.traceparent):
                self._chain(event)
        with self._following() as ready:
            ready += self._turns.release(record)
        if self._outcomes and (untold := outcomes.untold(record)):
            if in_a_hurry:
                return
            told = self._tell(record, untold)
            # What is delivered once more after this tells nobody again.
            self._ledger.swap(kept, told)
        self._ledger.close(record.trigger, record.key)
        if any(transition.state is State.HELD for transition in record.transitions):
            self._ledger.unhold(record.trigger, record.key)
        _measure(record)
        why = f": {record.reason.text}" if record.reason else ""
        # What a policy passes over, in a storm by the thousand, is as somebody wanted it.
        wanted = record.reason is None or record.state is State.SKIPPED
        level = logging.INFO if wanted else logging.ERROR
        log.log(
            level,
            "Run %s is %s%s",
            record.run_id,
            record.state,
            why,
            extra=_about(record, "run_finished"),
        )

    @contextmanager
    def _following(self) -> Iterator[list[Kept]]:
        """What gets its turn meanwhile is submitted at the end, by the outermost call.

        A run that ends at once gives its place to the next, which may end at once as well: one
        after the other, not one within the other.
        """
        ready = _READY.get()
        if ready is not None:
            yield ready
            return
        ready = []
        token = _READY.set(ready)
        try:
            try:
                yield ready
            except SignalboxError:
                # As when outcomes are not taken: who has its turn need not wait for a lease.
                with suppress(SignalboxError):
                    self._put_all(ready)
                raise
            self._put_all(ready)
        finally:
            # Never kept for a later call: by then others may have taken them over.
            _READY.reset(token)

    def _put_all(self, ready: list[Kept]) -> None:
        for _ in range(_MOST_AT_ONCE):
            if not ready:
                return
            kept = ready.pop(0)
            with telemetry.continued(kept.record.traceparent):
                self._put(kept, first=True)

    def _stop_before_it_began(self, kept: Kept) -> bool:
        """Whether a run is over that was to stop before it had a job."""
        record = kept.record
        if record.cancel_requested and State.CANCELED in TRANSITIONS[record.state]:
            reason = Reason(code="canceled", text=f"Canceled while it was {record.state}.")
            self._close(kept, record.moved(State.CANCELED, kept.at, reason))
        return record.cancel_requested

    def _queued(self, kept: Kept, *, in_a_hurry: bool) -> None:
        record = kept.record
        assert record.slot is not None
        if self._stop_before_it_began(kept):
            return
        # Whoever queued it may have died before it could be found.
        if in_a_hurry:
            self._turns.enter(record)
            self.promote(record.trigger, record.slot)
        else:
            self._turns.find(record)
            # The tick promotes slot by slot, not run by run.
            self._ledger.check_again(record, kept.at + _QUEUED_WAIT)

    def _put(self, kept: Kept, *, first: bool) -> None:
        settled = self._settled(kept)
        if settled is None:
            return
        kept, record, attempt = settled, settled.record, settled.record.attempt
        assert record.body is not None
        try:
            with telemetry.submitting(
                trigger=record.trigger,
                run=record.run_id,
                job=attempt.job_name,
                attempt=attempt.number,
            ):
                self._workspace.submit(attempt.job_name, record.body)
        except JobExists:
            self._confirm(kept)
        except WorkspaceUnavailable as error:
            self._wait(kept, error, unsent=error.refused)
        except JobRejected as error:
            self._refused(kept, Reason(code="azureml_rejected", text=str(error)), first=first)
        else:
            self._submitted(kept)

    def _settled(self, kept: Kept) -> Kept | None:
        """The record without labels, which is written down before the first PUT; None: no PUT now.

        What still has a label was never PUT, so what its label does not stand for ends it at once.
        """
        record, body = kept.record, kept.record.body
        assert body is not None
        labelled = body.latest()
        if not labelled:
            return kept
        try:
            found = {
                name: self._workspace.labelled(kind, asset, "latest")
                for name, (kind, asset) in labelled.items()
            }
        except WorkspaceUnavailable as error:
            self._wait(kept, error, unsent=True)
            return None
        except JobRejected as error:
            self._refused(kept, Reason(code="azureml_rejected", text=str(error)), first=True)
            return None
        missing = [name for name, version in found.items() if version is None]
        if missing:
            text = "; ".join(
                f"inputs.{name}: the workspace has no {labelled[name][0]} named "
                f"{labelled[name][1]!r}, so none is the latest; register it, or bind another"
                for name in missing
            )
            dead = record.moved(State.DEAD_LETTER, kept.at, Reason(code="data_missing", text=text))
            self._close(kept, dead)
            return None
        versions = {name: version for name, version in found.items() if version is not None}
        # None: somebody else has the record, and what they write into it is what counts.
        return self._ledger.swap(
            kept, record.model_copy(update={"body": body.with_versions(versions)})
        )

    def _await_compute(self, kept: Kept) -> None:
        """Submit what waits once its compute is there. No PUT came before, so its end is simple."""
        record = kept.record
        assert record.body is not None
        if self._stop_before_it_began(kept):
            return
        names = computes_of(record.body)
        standing = self._computes.look(names)
        if standing.waiting is None:
            self._compute_is_there(kept)
        elif kept.at - record.transitions[-1].at > COMPUTE_PATIENCE:
            text = f"Its compute was not there within {COMPUTE_PATIENCE}: {standing.waiting}"
            reason = Reason(code="compute_unavailable", text=text)
            self._close(kept, record.moved(State.DEAD_LETTER, kept.at, reason))
        else:
            told = record.model_copy(update={"reason": places.waiting_compute(standing.waiting)})
            if told != record:
                self._ledger.swap(kept, told)
            self._computes.wake(names)

    def _compute_is_there(self, kept: Kept) -> None:
        record = kept.record
        skips = record.slot is not None and self._turns.skips(record)
        if (skips or record.slot is None) and self._turns.paused(record):
            return
        if record.slot is None:
            # Swapped before the PUT: whoever cancels or begins it at the same time must see it.
            if begun := self._ledger.swap(kept, record.begun(kept.at)):
                self._put(begun, first=True)
        elif queued := self._turns.queue(kept):
            self.promote(record.trigger, record.slot, check=True)
            if skips:
                # None of what it waited for is its turn: written only if it did not come.
                reason = places.overlap_skipped("As many runs as may be are under way.")
                self._close(queued, queued.record.moved(State.SKIPPED, kept.at, reason))

    def _take_over(self, kept: Kept) -> None:
        """A submission that was not heard of past its lease: GET comes before PUT."""
        record = kept.record
        if record.cancel_requested or record.given_up:
            self._wind_up(kept)
            return
        if kept.at - record.transitions[-1].at > PATIENCE:
            text = f"AzureML did not take the job within {PATIENCE}."
            reason = Reason(code="azureml_unavailable", text=text)
            self._ledger.swap(kept, record.model_copy(update={"given_up": reason}))
            return
        log.warning(
            "Run %s was not submitted yet; taking over for the %d. time",
            record.run_id,
            record.attempt.takeovers + 1,
            extra=_about(record, "run_taken_over"),
        )
        taken = self._ledger.swap(kept, record.taken_over(kept.at))
        if taken is None:
            return
        if taken.record.attempt.first_put:
            # There is nothing that GET could show.
            self._put(taken, first=True)
            return
        job = self._find(taken)
        if job is None:
            self._put(taken, first=False)
        else:
            self._exists(taken, job)

    def _wind_up(self, kept: Kept) -> None:
        """A submission that is not wanted any more: only look, and finalise on what was read.

        A job that never came is proven absent once no PUT of it can be on its way any more.
        """
        record = kept.record
        job = self._find(kept)
        if job is not None:
            self._exists(kept, job)
        elif record.attempt.unsent or kept.at - record.attempt.submitting_at > GRACE:
            if record.cancel_requested:
                reason = Reason(code="canceled", text="Canceled before AzureML had the job.")
                self._close(kept, record.moved(State.CANCELED, kept.at, reason))
            else:
                self._close(kept, record.moved(State.DEAD_LETTER, kept.at, record.given_up))

    def _confirm(self, kept: Kept) -> None:
        job = self._find(kept)
        # None: GET is behind PUT; the record stays, and the tick looks again.
        if job is not None:
            self._exists(kept, job)

    def _exists(self, kept: Kept, job: Job) -> None:
        record = kept.record
        if job.tags.get(RUN_TAG) == record.run_id:
            self._submitted(kept)
            return
        reason = Reason(
            code="name_conflict",
            text=f"AzureML has a job named {job.name!r} that is not this run's.",
        )
        self._close(kept, record.moved(State.DEAD_LETTER, kept.at, reason))

    def _submitted(self, kept: Kept) -> None:
        """Write down that the job exists, if the record is still at the attempt that was PUT."""
        attempt: Attempt = kept.record.attempt
        current: Kept | None = kept
        while current is not None:
            record = current.record
            if record.state is not State.SUBMITTING or record.attempt.number != attempt.number:
                return
            if now := self._ledger.swap(current, record.moved(State.SUBMITTED, current.at)):
                if attempt.number == 1:
                    telemetry.submitted(record.trigger, record.transitions[0].at, now.at)
                log.info(
                    "Run %s is AzureML job %s",
                    record.run_id,
                    attempt.job_name,
                    extra=_about(record, "run_submitted"),
                )
                return
            current = self._ledger.read(record.trigger, record.key)

    def _refused(self, kept: Kept, reason: Reason, *, first: bool) -> None:
        """AzureML will never take this job.

        That is final only when this worker's PUT was the attempt's only one: an earlier PUT may
        yet take effect, so otherwise the run gives up and waits for proof.
        """
        record = kept.record
        if first:
            self._close(kept, record.moved(State.DEAD_LETTER, kept.at, reason))
        else:
            self._ledger.swap(kept, record.model_copy(update={"given_up": reason}))

    def _wait(self, kept: Kept, error: WorkspaceUnavailable, *, unsent: bool) -> None:
        """Have it tried again: soon when no PUT is on its way, else past its lease."""
        record = kept.record
        wait = timedelta(seconds=min(error.retry_after or 0, _LONGEST_WAIT))
        log.warning(
            "Run %s is not submitted yet: %s", record.run_id, error, extra=_about(record, "waiting")
        )
        # Each time longer, where AzureML does not say how long; never longer than for no answer.
        patience = min(LEASE, _REFUSED_WAIT * 2 ** min(record.attempt.refused, 10))
        until = kept.at + max(wait, patience if unsent else LEASE)
        # None: somebody else has it by now, or wants it to stop.
        if unsent and self._ledger.swap(kept, record.refused(until)) is None:
            until = kept.at + max(wait, LEASE)
        self._ledger.check_again(record, until)

    def _observe(self, kept: Kept) -> None:
        """Look at the job; AzureML's GET decides."""
        record = kept.record
        job = self._find(kept)
        if job is None:
            self._unseen(kept)
            return
        outcome = _OUTCOMES.get(job.status)
        if outcome is State.FAILED and self._again(kept, job):
            return
        if outcome is State.FAILED:
            self._failed(kept, job)
            return
        if outcome is State.CANCELED and record.stopping:
            stopped = record.moved(State.FAILED, kept.at, record.stopping)
            self._close(kept, stopped.model_copy(update={"cause_sought": True}))
            return
        if outcome is not None:
            ended = record.moved(outcome, kept.at)
            self._close(kept, ended.model_copy(update={"outputs": job.outputs}))
            return
        if self._takes_too_long(kept, job):
            return
        if (record.cancel_requested or record.stopping) and job.status != "CancelRequested":
            self._workspace.cancel(job.name)
        seen = self._told(record.model_copy(update={"missing_since": None}))
        if job.status in _UNDER_WAY and record.state is State.SUBMITTED:
            seen = seen.moved(State.RUNNING, kept.at)
        if seen != record:
            self._ledger.swap(kept, seen)

    def _again(self, kept: Kept, job: Job) -> bool:
        """Whether a failed job is followed by another, of the same run and in the same place."""
        record, number = kept.record, kept.record.attempt.number
        if number >= record.max_attempts or record.cancel_requested or record.stopping:
            return False
        name = job_name(self._deployment, record.trigger, record.key, number + 1)
        text = f"AzureML job {job.name} failed; attempt {number} of {record.max_attempts}."
        failure = Reason(code="job_failed", text=text)
        log.warning("Run %s: %s", record.run_id, text, extra=_about(record, "run_tried_again"))
        if again := self._ledger.swap(kept, record.again(kept.at, name, failure)):
            self._put(again, first=True)
        return True

    def _takes_too_long(self, kept: Kept, job: Job) -> bool:
        """Whether it was just decided that a job is to be stopped."""
        record = kept.record
        since = max(t.at for t in record.transitions if t.state is State.SUBMITTED)
        if record.run_timeout is None or record.stopping or record.cancel_requested:
            return False
        if kept.at - since <= record.run_timeout:
            return False
        text = f"AzureML job {job.name} was stopped: it took longer than {record.run_timeout}."
        stopping = record.model_copy(
            update={"stopping": Reason(code="run_timeout", text=text), "missing_since": None}
        )
        # Written down before it is done, so that nobody takes it for somebody's cancel.
        if self._ledger.swap(kept, stopping):
            self._workspace.cancel(job.name)
        return True

    def _told(self, record: Record) -> Record:
        """The record once others know how far it is; while they are away, it goes on without."""
        untold = outcomes.untold(record) if self._outcomes else []
        if not untold:
            return record
        with suppress(MessagingUnavailable):
            return self._tell(record, untold)
        return record

    def _tell(self, record: Record, untold: list[State]) -> Record:
        """The record once others know of those states.

        Raises MessagingUnavailable, and logs it as what the alert for it asks for.
        """
        assert self._outcomes
        try:
            self._outcomes.publish(
                [outcomes.outcome(record, state, self._deployment) for state in untold]
            )
        except MessagingUnavailable as error:
            log.warning("%s", error, extra=_about(record, "outcome_delayed"))
            raise
        return record.model_copy(update={"announced": (*record.announced, *untold)})

    def _unseen(self, kept: Kept) -> None:
        """GET may be stale, so a job is gone only when it was not seen for the whole grace."""
        record = kept.record
        if record.missing_since is None:
            missing = record.model_copy(update={"missing_since": kept.at})
            self._ledger.swap(kept, missing)
        elif kept.at - record.missing_since > GRACE:
            reason = Reason(code="job_missing", text="AzureML does not have the job any more.")
            gone = record.moved(State.FAILED, kept.at, reason)
            self._close(kept, gone.model_copy(update={"cause_sought": True}))

    def _failed(self, kept: Kept, job: Job) -> None:
        """The end first: what its steps printed may be much, or not to be had."""
        text = f"AzureML job {job.name} failed."
        failed = kept.record.moved(State.FAILED, kept.at, Reason(code="job_failed", text=text))
        if final := self._ledger.swap(kept, failed):
            self._explain(final)

    def _unexplained(self, kept: Kept) -> None:
        """A failure whose cause another worker is to find, or was: not to be finished before it.

        Whoever saw the failure has a lease for that; when even a second look did not come to an
        end, the run is over without a cause.
        """
        age = kept.at - kept.record.transitions[-1].at
        if age > GRACE:
            self.finish(kept)
        elif age > LEASE:
            self._explain(kept)

    def _explain(self, kept: Kept) -> None:
        """Find out which steps failed and what they printed, and finish."""
        record = kept.record
        job = record.attempt.job_name
        try:
            steps = self._workspace.failed_steps(job)
        except Exception:
            log.exception("Why job %s failed cannot be read", job, extra=_about(record, "log"))
            steps = []
        told = record.model_copy(update={"cause_sought": True})
        if steps:
            names = ", ".join(step.step for step in steps)
            last = (steps[0].log_tail.splitlines() or ["it printed nothing"])[-1]
            text = f"AzureML job {job} failed in {names}: {redacted(last)[:200]}"
            told = told.model_copy(
                update={
                    "reason": Reason(code="job_failed", text=text),
                    "failed_steps": tuple(
                        asdict(step) | {"log_tail": redacted(step.log_tail)} for step in steps
                    ),
                }
            )
        # None: another worker has found it, and finishes.
        if final := self._ledger.swap(kept, told):
            self.finish(final)

    def _close(self, kept: Kept, record: Record) -> None:
        """Write a final state and do what follows it, unless somebody was faster."""
        if final := self._ledger.swap(kept, record):
            self.finish(final)

    def _find(self, kept: Kept) -> Job | None:
        return self._workspace.find(kept.record.attempt.job_name)


def _may_be_taken_over(kept: Kept) -> bool:
    """Whether whoever had it in hand lost its lease, or said that it sent nothing."""
    attempt = kept.record.attempt
    if attempt.unsent and kept.record.cancel_requested:
        return True
    return kept.at - attempt.submitting_at > LEASE or attempt.free(kept.at)


def _measure(record: Record) -> None:
    """Tell how a run ended, in its own trace."""
    with telemetry.continued(record.traceparent):
        telemetry.ended(
            trigger=record.trigger,
            run=record.run_id,
            job=record.attempts[-1].job_name if record.attempts else "",
            state=record.state,
            reason=record.reason.code if record.reason else "",
            since=record.transitions[0].at,
            at=record.transitions[-1].at,
        )


def _about(record: Record, action: str) -> dict[str, object]:
    return {
        "action": action,
        "run": record.run_id,
        "trigger": record.trigger,
        "state": record.state,
        "job": record.attempts[-1].job_name if record.attempts else None,
    }
