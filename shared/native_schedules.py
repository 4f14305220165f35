"""Schedules that AzureML runs by itself: what the index says of them is made true there.

Publishing does it, pausing and resuming do it for one, and the timer once an hour and after every
change of the index: whoever changed what is in AzureML, and whatever was cut off, it ends as the
index says.

A trigger whose engine becomes `signalbox` has its schedule disabled before the index says so, and
one whose engine becomes `azureml` gets it after: at no moment are both clocks to fire.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from shared import native_orders, native_plans
from shared.errors import Conflict, JobRejected, SignalboxError, WorkspaceUnavailable, listed
from shared.index import Index, IndexedTrigger, Snapshot
from shared.inputs import redacted
from shared.job_schedules import JobSchedules
from shared.native_jobs import started_by_hand
from shared.native_orders import NativeOrders, digest, is_native, natives
from shared.native_plans import Action, NativePlan, Step, WantedSchedule
from shared.native_states import Kept, NativeState, NativeStates, Settled
from shared.workspace import JobBody

log = logging.getLogger(__name__)

#: Seconds of a tick.
BUDGET = 1.5

#: How often AzureML is looked at when nothing was changed here; and when something went wrong.
EVERY, AGAIN = timedelta(hours=1), timedelta(minutes=5)
#: The same when nothing is wanted of it any more: what was on its way then may have come late.
EVERY_LEFT = timedelta(days=1)

#: How long whoever publishes waits for AzureML to disable what gets another engine.
_LOOKS, _SECONDS_BETWEEN_LOOKS = 30, 3.0

#: How often one's own look is begun when others begin theirs in the same moment.
_TRIES = 5

_AT_ONCE = datetime(1, 1, 1, tzinfo=UTC)


class Jobs(Protocol):
    """Where jobs are submitted."""

    def submit(self, name: str, body: JobBody) -> None:
        """Raises JobExists, JobRejected, WorkspaceUnavailable."""


@dataclass(frozen=True, kw_only=True)
class NativeLook:
    """One trigger's schedule in AzureML."""

    trigger: str
    there: bool
    #: None where there is none, as for the state.
    enabled: bool | None = None
    #: `Succeeded`, or the operation that is under way.
    state: str | None = None
    #: What the trigger and AzureML do not agree on, each in words.
    drift: tuple[str, ...] = ()
    #: What the next repair does about it.
    action: Action = Action.KEEP
    #: Why it is not as it should be, as far as anybody knows.
    problem: str | None = None
    #: What becomes of it, in words, how it differs, or why it cannot be; None when it is right.
    told: str | None = None


@dataclass(frozen=True)
class Foreseen:
    """What is going to be done in AzureML, and what stands in its way."""

    #: Trigger -> what becomes of its schedule, in words, or how it differs; none that is right.
    told: Mapping[str, str] = dataclass_field(default_factory=dict)
    #: Trigger -> why its schedule cannot be.
    problems: Mapping[str, str] = dataclass_field(default_factory=dict)
    #: Whether anything is to be done.
    differs: bool = False


@dataclass(frozen=True)
class Applied:
    """What was done in AzureML, and why some of it was not, by trigger."""

    steps: tuple[Step, ...] = ()
    problems: Mapping[str, str] = dataclass_field(default_factory=dict)


class NativeSchedules:
    """Looks after the schedules of triggers whose engine is `azureml`."""

    def __init__(
        self,
        *,
        deployment: str,
        index: Index,
        states: NativeStates,
        orders: NativeOrders,
        schedules: JobSchedules,
        jobs: Jobs,
    ) -> None:
        self._deployment = deployment
        self._index = index
        self._states = states
        self._orders = orders
        self._schedules = schedules
        self._jobs = jobs
        #: What the index said when nothing was due, and until when that holds.
        self._idle: tuple[str, datetime] | None = None

    def run_due(self, over: Callable[[], bool] = lambda: False) -> None:
        """The timer's part: make it true when that is due, unless another timer does.

        Raises StorageUnavailable, RecordUnreadable; what AzureML says is logged, and done again.
        """
        reading = self._index.read()
        snapshot, now, of = reading.snapshot, reading.at, digest(reading.snapshot)
        if self._idle and self._idle[0] == of and now < self._idle[1]:
            return
        state, etag = self._states.read()
        due = _due(state, snapshot, of)
        if due is None or now < due:
            self._idle = (of, due or now + EVERY)
            return
        begun = _begun(state, now, of)
        mine = self._states.write(begun, etag)
        if mine is None:
            return
        try:
            self._apply(snapshot, begun, mine, over)
        except (WorkspaceUnavailable, JobRejected) as error:
            log.warning(
                "The schedules in AzureML could not be looked at: %s",
                error,
                extra={"action": "native_schedules_failed"},
            )

    def reconcile(self) -> Applied:
        """Make all of it true now, whenever that was last done.

        Raises StorageUnavailable, WorkspaceUnavailable, JobRejected, RecordUnreadable when nothing
        could be looked at; what goes wrong with one schedule is told, and done again by the timer.
        """
        for _ in range(_TRIES):
            reading = self._index.read()
            state, etag = self._states.read()
            if state is None and not natives(reading.snapshot):
                break
            begun = _begun(state, reading.at, digest(reading.snapshot))
            if mine := self._states.write(begun, etag):
                return self._apply(reading.snapshot, begun, mine, lambda: False)
        # Nothing is to be done, or others are at it.
        return Applied()

    def foresee(self, snapshot: Snapshot, now: datetime) -> Foreseen:
        """What making an index true would do; changes nothing.

        Raises StorageUnavailable, WorkspaceUnavailable, JobRejected, RecordUnreadable.
        """
        state, _ = self._states.read()
        if state is None and not natives(snapshot):
            return Foreseen()
        wanted, problems = self._orders.all(snapshot, now)
        plan = self._plan(wanted, problems, state, now)
        # What is deleted is disabled before, which is one thing to a reader: the last counts.
        told = {step.name: native_plans.told(step) for step in plan.steps if step.differs}
        return Foreseen(told, {**problems, **plan.conflicts}, differs=bool(plan.changes))

    def release(self, after: Snapshot, wait: Callable[[float], None] | None = None) -> list[str]:
        """Disable the schedules of triggers that are about to get another engine; their names.

        It comes before the index that says so: from then on the app's clock fires. No timer enables
        them meanwhile. `wait` lets so many seconds pass, for whoever has the time to see AzureML
        finish it.

        Raises StorageUnavailable, JobRejected, RecordUnreadable, and WorkspaceUnavailable also when
        AzureML is not done with it yet: it may fire until then.
        """
        reading = self._index.read()
        leaving = [
            name
            for name in natives(reading.snapshot)
            if name in after.triggers and not is_native(after.triggers[name])
        ]
        if not leaving:
            return []
        for _ in range(_TRIES):
            state, etag = self._states.read()
            if self._states.write(_begun(state, reading.at, digest(reading.snapshot)), etag):
                break
        self._idle = None
        disabled = []
        for name in self._firing(leaving, busy=False):
            self._schedules.disable(name)
            disabled.append(name)
        for _ in range(_LOOKS if wait else 1):
            if not (firing := self._firing(leaving, busy=True)):
                return disabled
            if wait:
                wait(_SECONDS_BETWEEN_LOOKS)
        raise WorkspaceUnavailable(
            f"AzureML is not done disabling {listed(firing)}, which may still start jobs. Until "
            "then the app's own clock is not to: nothing was switched over. Publish again in a "
            "minute."
        )

    def _firing(self, names: list[str], *, busy: bool) -> list[str]:
        """Those of ours that are enabled, or, where it is asked for, about to be what they are."""
        found = [self._schedules.find(name) for name in names]
        return [
            each.name
            for each in found
            if each
            and each.deployment == self._deployment
            and (each.enabled or (busy and each.busy))
        ]

    def follow(self, trigger: IndexedTrigger) -> str | None:
        """Let the schedule of a trigger be enabled or not, as it was just resumed or paused.

        A text says why that could not be done. Raises nothing: the timer does it again.
        """
        if not is_native(trigger):
            return None
        name = trigger.definition.name
        try:
            reading = self._index.read()
            found = self._schedules.find(name)
            if found is None:
                # Making it is begun by who can tell later that it was.
                return None
            wanted = self._orders.one(reading.snapshot, trigger, reading.at)
            plan = native_plans.plan([wanted], [found], self._deployment)
            for step in plan.changes:
                self._do(step, wanted)
            return plan.conflicts.get(name)
        except SignalboxError as error:
            why = redacted(str(error))
            _warn(name, why)
            return why

    def look(self, trigger: str) -> NativeLook:
        """What AzureML has for a trigger, against what it should have.

        Raises NotFound, Conflict for a trigger that AzureML does not run, StorageUnavailable,
        WorkspaceUnavailable, RecordUnreadable.
        """
        reading = self._index.read()
        indexed = native_orders.native(reading.snapshot, trigger)
        found = self._schedules.find(trigger)
        state, _ = self._states.read()
        kept = state.schedules.get(trigger, Kept()) if state else Kept()
        about: dict[str, Any] = {"trigger": trigger, "there": found is not None}
        if found:
            about |= {"enabled": found.enabled, "state": found.state}
        try:
            wanted = self._orders.one(reading.snapshot, indexed, reading.at)
        except SignalboxError as error:
            why = redacted(str(error))
            return NativeLook(**about, problem=why, told=why)
        settled = {trigger: kept.unlike(wanted, reading.at)}
        there = [found] if found else []
        plan = native_plans.plan([wanted], there, self._deployment, settled=settled)
        if trigger in plan.conflicts:
            why = plan.conflicts[trigger]
            return NativeLook(**about, problem=why, told=why)
        step = plan.steps[0] if plan.steps else Step(name=trigger, action=Action.KEEP)
        return NativeLook(
            **about,
            drift=tuple(map(str, step.drift)),
            action=step.action,
            problem=kept.problem if step.action is not Action.KEEP else None,
            told=native_plans.told(step) if step.differs else None,
        )

    def trigger_now(self, trigger: str, inputs: Mapping[str, Any], *, key: str) -> str:
        """Start one job of a trigger's schedule now; its name in AzureML.

        Without inputs AzureML's schedule does it, which must be enabled, and does it again when it
        is asked again. With inputs, which AzureML's cannot be given, the job is submitted from
        here, once for each key. Neither has a record: AzureML's list of jobs has them.

        Raises NotFound, Conflict, RequestInvalid, JobExists for a key that was used before,
        StorageUnavailable, WorkspaceUnavailable, JobRejected.
        """
        reading = self._index.read()
        indexed = native_orders.native(reading.snapshot, trigger)
        if not inputs:
            return self._start(trigger, indexed)
        body = self._orders.with_inputs(reading.snapshot, indexed, inputs)
        of = json.dumps([self._deployment, trigger, key])
        name = f"{trigger[:40]}-now-{hashlib.sha256(of.encode()).hexdigest()[:16]}"
        self._jobs.submit(name, started_by_hand(body, name, reading.at))
        return name

    def _start(self, trigger: str, indexed: IndexedTrigger) -> str:
        if indexed.paused:
            raise Conflict(
                f"Trigger {trigger!r} is paused {indexed.paused.text}, and AzureML starts nothing "
                "of a disabled schedule; resume it, or give it inputs"
            )
        found = self._schedules.find(trigger)
        if found is None or found.deployment != self._deployment or not found.enabled:
            raise Conflict(
                f"AzureML has no enabled schedule of trigger {trigger!r} now; look at what differs"
            )
        return self._schedules.trigger(trigger)

    def _apply(
        self, snapshot: Snapshot, begun: NativeState, mine: str, over: Callable[[], bool]
    ) -> Applied:
        """One look, as long as nobody begins another: `mine` is the ETag of what says so."""
        now = begun.looked_at
        wanted, problems = self._orders.all(snapshot, now)
        plan = self._plan(wanted, problems, begun, now)
        lasting = {**problems, **plan.conflicts}
        by_name = {each.name: each for each in wanted}
        kept = {name: begun.schedules.get(name, Kept()) for name in natives(snapshot)}
        done, failed, left = list[Step](), dict[str, str](), False
        for step in plan.changes:
            if over() or not self._states.is_latest(mine):
                left = True
                break
            try:
                if not self._do(step, by_name.get(step.name)):
                    left = True
                    continue
                done.append(step)
                if step.action is Action.UPDATE:
                    settled = self._unlike(by_name[step.name], step, now)
                    kept[step.name] = kept[step.name].model_copy(update={"settled": settled})
            except SignalboxError as error:
                failed[step.name] = redacted(str(error))
        told = lasting | failed
        for name, why in told.items():
            _warn(name, why)
        state = begun.model_copy(
            update={
                "done": not (left or failed),
                # What was not come to, the next timer goes on with.
                "of": "" if left else begun.of,
                "schedules": {
                    name: each.model_copy(update={"problem": told.get(name)})
                    for name, each in kept.items()
                },
            }
        )
        # Another look that was begun meanwhile knows more.
        self._states.write(state, mine)
        return Applied(tuple(done), told)

    def _do(self, step: Step, wanted: WantedSchedule | None) -> bool:
        """One step; False when it must wait until something that is under way is over."""
        name = step.name
        if step.busy:
            return False
        if step.action is Action.DELETE:
            found = self._schedules.find(name)
            if found and (found.enabled or found.busy or found.deployment != self._deployment):
                return False
            self._schedules.delete(name)
        elif wanted is not None:
            self._schedules.put(wanted)
        else:
            self._schedules.disable(name)
        about = {"action": f"native_schedule_{step.action}", "trigger": name}
        log.info("Schedule %s in AzureML: %s", name, step.action, extra=about)
        return True

    def _unlike(self, wanted: WantedSchedule, step: Step, now: datetime) -> Settled | None:
        """Where AzureML has something else although it was just put there."""
        found = self._schedules.find(wanted.name)
        if found is None:
            return None
        # While it is under way, what was there before may be what will be there again.
        drift = step.drift if found.busy else native_plans.drift(wanted, found)
        # Whether it is enabled is no matter of how AzureML writes things.
        places = {each.place: each.found for each in drift if each.place != "enabled"}
        return Settled(revision=wanted.revision, at=now, found=places) if places else None

    def _plan(
        self,
        wanted: list[WantedSchedule],
        problems: Mapping[str, str],
        state: NativeState | None,
        now: datetime,
    ) -> NativePlan:
        known = state.schedules if state else {}
        return native_plans.plan(
            wanted,
            self._schedules.all(),
            self._deployment,
            unknown=problems.keys(),
            settled={each.name: known.get(each.name, Kept()).unlike(each, now) for each in wanted},
        )


def _due(state: NativeState | None, snapshot: Snapshot, of: str) -> datetime | None:
    """When AzureML is to be looked at; None: not before the index wants something of it."""
    if state is None:
        return _AT_ONCE if natives(snapshot) else None
    if state.of != of:
        return _AT_ONCE
    if not state.done:
        return state.looked_at + AGAIN
    return state.looked_at + (EVERY if natives(snapshot) else EVERY_LEFT)


def _begun(state: NativeState | None, now: datetime, of: str) -> NativeState:
    return NativeState(looked_at=now, of=of, schedules=state.schedules if state else {})


def _warn(name: str, why: str) -> None:
    about = {"action": "native_schedule_failed", "trigger": name}
    log.warning("The schedule %s in AzureML is not as it should be: %s", name, why, extra=about)
