"""What happens in a history, noted as it happens, and the promises that are broken on the way."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.binding import RUN_TAG
from shared.ledger import TRANSITIONS, State
from shared.slots import ALL
from shared.workspace import Job
from tests.simulation.fickle import ENDED
from tests.simulation.scenario import Scenario

_Place = tuple[str, str]


@dataclass(eq=False)
class Caller:
    """Somebody who calls: since which step, and whether it knows what was paused before."""

    began: int
    reads_the_index: bool = False
    #: Trigger -> days on which its process counted runs that have no place yet: one thread does
    #: it for others.
    counted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Watch:
    """Sees every write and every job; `broken` says what must never be."""

    scenario: Scenario
    #: AzureML's jobs by name, as they are now.
    jobs: Callable[[], Mapping[str, Job]]
    #: The services' time.
    now: Callable[[], datetime]
    #: Steps of the scheduler so far.
    step: int = 0
    caller: Caller = field(default_factory=lambda: Caller(0))
    broken: list[str] = field(default_factory=list)
    #: Since which step a trigger is paused.
    paused: dict[str, int] = field(default_factory=dict)
    #: Run -> the step at which its first job came to be.
    first_job: dict[str, int] = field(default_factory=dict)
    #: Run -> the step at which it last got a place.
    placed_at: dict[str, int] = field(default_factory=dict)
    #: What was planted or met, for whoever counts.
    seen: Counter[str] = field(default_factory=Counter)
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Run -> the step at which it was over.
    _over: dict[str, int] = field(default_factory=dict)
    _slots: dict[_Place, dict[str, Any]] = field(default_factory=dict)
    #: Those that ever held a place.
    _placed: dict[_Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: Run -> the day on which its place was counted.
    _day: dict[str, str] = field(default_factory=dict)
    #: Replay -> how many of its runs may be under way at once.
    _limits: dict[str, int] = field(default_factory=dict)
    _begun: Counter[tuple[str, str]] = field(default_factory=Counter)

    def wrote(self, name: str, data: bytes) -> None:
        """A blob was written."""
        kind, *rest = name.split("/")
        if kind == "ledger":
            self._record(".".join(rest).removesuffix(".json"), json.loads(data))
        elif kind == "slots":
            trigger, slot = rest
            self._slot((trigger, slot.removesuffix(".json")), json.loads(data))
        elif kind == "replays":
            self._limits[rest[0].removesuffix(".json")] = json.loads(data)["limit"]

    def came(self, name: str) -> None:
        """A job came to be in AzureML."""
        job = self.jobs()[name]
        run = job.tags.get(RUN_TAG, "")
        record = self._records.get(run)
        if record is None:
            self.broken.append(f"job {name} has no record")
            return
        if _final(record):
            self.broken.append(f"job {name} came when {run} was {record['state']}")
        if others := [other for other in self._running(run) if other != name]:
            self.broken.append(f"{run} has {others} beside {name}")
        if run not in self.first_job:
            self.first_job[run] = self.step
            if not record["replay"]:
                self._count(run, record["trigger"])
        self._bounded(record)

    def _bounded(self, record: dict[str, Any]) -> None:
        """Never more jobs at once than may be."""
        trigger, slot = record["trigger"], record["slot"]
        own = self._limits[record["replay"]] if record["replay"] else None
        limit = own or self.scenario.policies[trigger].concurrency.limit
        if limit is None:
            return
        running = [
            job.name
            for job in self.jobs().values()
            if job.status not in ENDED
            and (other := self._records.get(job.tags.get(RUN_TAG, "")))
            and (other["trigger"], other["slot"]) == (trigger, slot)
        ]
        if len(running) > limit:
            self.broken.append(f"{len(running)} jobs run in {trigger}/{slot}: {running}")
        self.seen["a slot full of jobs"] += len(running) == limit

    def _count(self, run: str, trigger: str) -> None:
        """Never more begin on a day than may."""
        most = self.scenario.policies[trigger].max_runs_per_day
        if most is None:
            return
        day = self._day.get(run)
        if day is None:
            self.broken.append(f"{run} began and nobody counted it")
            return
        self._begun[trigger, day] += 1
        if self._begun[trigger, day] > most:
            self.broken.append(f"{self._begun[trigger, day]} runs of {trigger} began on {day}")

    def _running(self, run: str) -> list[str]:
        return [
            job.name
            for job in self.jobs().values()
            if job.tags.get(RUN_TAG) == run and job.status not in ENDED
        ]

    def _record(self, run: str, record: dict[str, Any]) -> None:
        before = self._records.get(run)
        self._records[run] = record
        was = before["state"] if before else None
        if was == record["state"]:
            return
        self.seen[record["state"]] += 1
        if _final(record) and run not in self._over:
            self._over[run] = self.step
            if running := self._running(run):
                self.broken.append(f"{run} is {record['state']} while {running} run")
        self._begins_while_paused(run, record, was)
        if record["state"] == State.SKIPPED and record["reason"]["code"] == "overlap_skipped":
            self._skipped(run, record)

    def _begins_while_paused(self, run: str, record: dict[str, Any], was: str | None) -> None:
        since = self.paused.get(record["trigger"])
        new = was is None and record["state"] in ("submitting", "queued", "waiting_compute")
        begins = record["state"] == "submitting" and was in ("queued", "held", "waiting_compute")
        if since is None or not (new or begins) or self.caller.began <= since or record["replay"]:
            return
        if self.caller.reads_the_index:
            self.broken.append(f"{run} is {record['state']} while its trigger is paused")

    def _skipped(self, run: str, record: dict[str, Any]) -> None:
        """Nothing is skipped while there is room."""
        trigger, slot = record["trigger"], record["slot"]
        policies = self.scenario.policies[trigger]
        limit = policies.concurrency.limit
        place = trigger, slot
        busy = [
            other
            for other in self._placed[place]
            # A second delivery of what is over holds a place until it has found its record.
            if other != run
            and max(self._over.get(other, self.step), self.placed_at[other]) >= self.caller.began
        ]
        queued = [
            other["key"]
            for other in self._records.values()
            if (other["trigger"], other["slot"]) == place
            and any(state["state"] == "queued" for state in other["transitions"])
            and self._over.get(f"{trigger}.{other['key']}", self.step) >= self.caller.began
        ]
        full = limit is not None and len(busy) >= limit
        if not full and not queued and policies.max_runs_per_day is None:
            self.broken.append(f"{run} is skipped while {busy} are under way")

    def _slot(self, place: _Place, slot: dict[str, Any]) -> None:
        trigger, name = place
        before = self._slots.get(place, {"holders": {}, "day": "", "runs_today": 0})
        self._slots[place] = slot
        new = [f"{trigger}.{key}" for key in slot["holders"] if key not in before["holders"]]
        self._placed[place].update(new)
        self.placed_at |= dict.fromkeys(new, self.step)
        counted = self.caller.counted[trigger]
        if name == ALL:
            same_day = before["day"] == slot["day"]
            more = slot["runs_today"] - (before["runs_today"] if same_day else 0)
            counted += [slot["day"]] * max(0, more)
            for _ in range(max(0, -more)):
                if slot["day"] not in counted:
                    self.broken.append(
                        f"a run of {trigger} on {slot['day']} is not counted any more"
                    )
                else:
                    counted.remove(slot["day"])
        # A replay has a limit of its own, and counts for no day.
        for run in new if slot["own_limit"] is None else ():
            if counted:
                self._day[run] = counted.pop(0)
            elif self.scenario.policies[trigger].max_runs_per_day is not None:
                self._day.pop(run, None)


def _final(record: dict[str, Any]) -> bool:
    return not TRANSITIONS[State(record["state"])]
