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
from tests.simulation.editions import Editions, largest
from tests.simulation.fickle import ENDED
from tests.simulation.scenario import Scenario

_Place = tuple[str, str]

#: States in which a run has, or waits for, the place that its record says.
_UNDER_WAY = frozenset({"queued", "submitting", "submitted", "running"})


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
    #: The step since which what was published may be what the caller, and those whose wishes it
    #: serves, decide by.
    known_since: int = 0
    #: What was published of each trigger.
    editions: Editions = field(init=False)
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
    #: Run -> the step at which its record came to be.
    _made_at: dict[str, int] = field(default_factory=dict)
    #: Run -> the step at which it was over.
    _over: dict[str, int] = field(default_factory=dict)
    _slots: dict[_Place, dict[str, Any]] = field(default_factory=dict)
    #: Those that ever held a place.
    _placed: dict[_Place, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: Run -> the step since which what was published may be what gave it its place.
    _given_by: dict[str, int] = field(default_factory=dict)
    #: Run -> the day on which its place was counted.
    _day: dict[str, str] = field(default_factory=dict)
    #: Replay -> how many of its runs may be under way at once.
    _limits: dict[str, int] = field(default_factory=dict)
    _begun: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.editions = Editions(self.scenario.policies.items())

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
        if slot is None:
            return
        run = f"{trigger}.{record['key']}"
        if record["key"] not in self._slots.get((trigger, slot), {"holders": {}})["holders"]:
            self.broken.append(f"{run} runs without a place in {trigger}/{slot}")
        running = {
            job.name: other
            for job in self.jobs().values()
            if job.status not in ENDED
            and (other := job.tags.get(RUN_TAG, "")) in self._records
            and (self._records[other]["trigger"], self._records[other]["slot"]) == (trigger, slot)
        }
        limit = self._limits[record["replay"]] if record["replay"] else None
        if limit is None:
            since = min(self._given_by.get(each, 0) for each in running.values())
            editions = self.editions.since(trigger, since)
            limit = largest(each.concurrency.limit for each in editions)
        if limit is None:
            return
        if len(running) > limit:
            self.broken.append(f"{len(running)} jobs run in {trigger}/{slot}: {[*running]}")
        self.seen["a slot full of jobs"] += len(running) == limit

    def _count(self, run: str, trigger: str) -> None:
        """Never more begin on a day than may."""
        most = self._most_a_day(trigger, self._given_by.get(run, 0))
        if most is None:
            return
        day = self._day.get(run)
        if day is None:
            self.broken.append(f"{run} began and nobody counted it")
            return
        self._begun[trigger, day] += 1
        if self._begun[trigger, day] > most:
            self.broken.append(f"{self._begun[trigger, day]} runs of {trigger} began on {day}")

    def _most_a_day(self, trigger: str, since: int) -> int | None:
        """Runs that may begin a day, as it was published since a step; None if that bounded nothing
        at any time: then some are not counted, and nobody can tell which."""
        if any(each.policies.max_runs_per_day is None for each in self.editions.ever(trigger)):
            return None
        return largest(each.max_runs_per_day for each in self.editions.since(trigger, since))

    def _running(self, run: str) -> list[str]:
        return [
            job.name
            for job in self.jobs().values()
            if job.tags.get(RUN_TAG) == run and job.status not in ENDED
        ]

    def _record(self, run: str, record: dict[str, Any]) -> None:
        before = self._records.get(run)
        self._records[run] = record
        self._made_at.setdefault(run, self.step)
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
        editions = self.editions.since(trigger, self.known_since)
        if not any(each.overlap == "skip" for each in editions):
            self.broken.append(f"{run} is skipped, and nobody said that what overlaps is")
        limits = [each.concurrency.limit for each in editions]
        limit = min((each for each in limits if each is not None), default=None)
        place = trigger, slot
        busy = [
            other
            for other in self._placed[place]
            if not self._of_another_slot(other, slot)
            # A second delivery of what is over holds a place until it has found its record.
            and other != run
            and max(self._over.get(other, self.step), self.placed_at[other]) >= self.caller.began
        ]
        queued = [
            other["key"]
            for other in self._records.values()
            if (other["trigger"], other["slot"]) == place
            and any(state["state"] == "queued" for state in other["transitions"])
            and self._over.get(f"{trigger}.{other['key']}", self.step) >= self.caller.began
        ]
        # Who took a number while what overlapped was to wait, and has no record, may yet come.
        buffered = any(each.policies.overlap != "skip" for each in self.editions.ever(trigger))
        if buffered and self._slots.get(place, {"waiting": 0})["waiting"]:
            return
        full = limit is not None and len(busy) >= limit
        of_a_day = any(each.max_runs_per_day is not None for each in editions)
        if not full and not queued and not of_a_day:
            self.broken.append(f"{run} is skipped while {busy} are under way")

    def _of_another_slot(self, run: str, slot: str) -> bool:
        """Whether a run that is under way was known to have its place elsewhere, and had one here
        all the same, when the caller began: it looks at that."""
        record = self._records.get(run)
        if record is None or record["slot"] == slot or record["state"] not in _UNDER_WAY:
            return False
        return max(self._made_at[run], self.placed_at[run]) < self.caller.began

    def _slot(self, place: _Place, slot: dict[str, Any]) -> None:
        trigger, name = place
        before = self._slots.get(place, {"holders": {}, "day": "", "runs_today": 0})
        self._slots[place] = slot
        new = [f"{trigger}.{key}" for key in slot["holders"] if key not in before["holders"]]
        self._placed[place].update(new)
        self.placed_at |= dict.fromkeys(new, self.step)
        self._given_by |= dict.fromkeys(new, self.known_since)
        counted = self.caller.counted[trigger]
        if name == ALL:
            same_day = before["day"] == slot["day"]
            more = slot["runs_today"] - (before["runs_today"] if same_day else 0)
            counted += [slot["day"]] * max(0, more)
            for _ in range(max(0, -more)):
                if slot["day"] not in counted and self._most_a_day(trigger, 0) is None:
                    continue
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
            elif self.editions.now(trigger).policies.max_runs_per_day is not None:
                self._day.pop(run, None)


def _final(record: dict[str, Any]) -> bool:
    return not TRANSITIONS[State(record["state"])]
