"""What becomes of events that wait for their batch, noted as it happens."""

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.policies import Batch, Policies
from tests.simulation.batch_scenario import SITES, TRIGGER
from tests.simulation.watch import Watch

#: Ticks that an event that is due may wait for beside those that others before it need.
PATIENCE = 3
#: Groups that there may be: each site, those of another time with none, and all of them.
GROUPS = len(SITES) + 1


@dataclass
class Overdue:
    """An event whose group is due: ticks that came to their end since, and how many may."""

    ticks: int
    allowed: int


@dataclass
class BatchWatch(Watch):
    """Sees every member of every batch; an event that waits is forgotten by nobody."""

    #: Event -> the batch that has it, as that batch's record says.
    taken: dict[str, str] = field(default_factory=dict)
    #: Event -> when its marker was first put.
    since: dict[str, datetime] = field(default_factory=dict)
    #: Group -> the birth of its numbers.
    births: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)
    _overdue: dict[str, Overdue] = field(default_factory=dict)

    @property
    def published(self) -> list[Policies]:
        """What the trigger was published with, the last of them now."""
        return [each.policies for each in self.editions.ever(TRIGGER)]

    def wrote(self, name: str, data: bytes) -> None:
        super().wrote(name, data)
        kind, *rest = name.split("/")
        if kind == "inbox":
            self.since.setdefault(rest[-1], self.now())
        elif kind == "groups":
            self._numbered(rest[-1].removesuffix(".json"), json.loads(data))

    def forgotten(self, group: str) -> None:
        """Somebody deleted the blob of a group that was empty."""
        del self.births[group], self._numbers[group]
        self.seen["deleted group"] += 1

    def ticked(self, began: datetime) -> None:
        """A tick that began then has come to its end, and nothing went wrong."""
        batch, one = self.published[-1].batch, self.published[-1].overlap == "buffer_one"
        longest = batch.max_wait if batch else timedelta(0)
        waiting = {} if one or TRIGGER in self.paused else self.since_of_events()
        due = {key for key, since in waiting.items() if since + longest <= began}
        # Each tick makes a batch: those of what came before, and of every group.
        before = len(waiting) // (batch.max_events if batch else 5_000) + GROUPS
        self._overdue = {key: known for key, known in self._overdue.items() if key in due}
        for key in due:
            overdue = self._overdue.setdefault(key, Overdue(0, PATIENCE + before))
            overdue.ticks += 1
            self.seen["an event that was due and waits"] += 1
            if overdue.ticks == overdue.allowed:
                self.broken.append(f"{key} is due, and {overdue.ticks} ticks did not take it")

    def since_of_events(self) -> dict[str, datetime]:
        """What waits for its batch, and since when."""
        return {
            one["key"]: self.since[one["key"]]
            for one in self.waiting()
            if one["key"] in self.since and not one["member"]["releases"]
        }

    def waiting(self) -> list[dict[str, Any]]:
        """Records of events that no batch took yet."""
        return [one for one in self._records.values() if one["state"] == "waiting_batch"]

    def _record(self, run: str, record: dict[str, Any]) -> None:
        known = self._records.get(run)
        super()._record(run, record)
        if record["members"] and known is None and not record["replay_of"]:
            self._made(record)
        was = known["state"] if known else None
        told = record["state"] == "batched" != was and record["batch"]
        if told and self.taken.get(record["key"]) != record["batch"]:
            self.broken.append(f"{run} says that {record['batch']} took it, which did not")
        # Held, and nobody published its trigger any more.
        gone = record["reason"] is not None and record["reason"]["code"] == "trigger_gone"
        if record["members"] and record["state"] == "skipped" and not gone:
            self.broken.append(f"batch {run} is skipped")

    def _made(self, batch: dict[str, Any]) -> None:
        """A batch came to be: nothing of it is in another, and it is not too large."""
        self.seen["batches"] += 1
        self.seen["batches of several"] += len(batch["members"]) > 1
        for key in batch["members"]:
            if key in self.taken:
                self.broken.append(f"{key} is in {self.taken[key]} and in {batch['key']}")
            self.taken.setdefault(key, batch["key"])
        events = batch["event"]["data"]["events"]
        if events > max((each.batch or Batch()).max_events for each in self.published):
            self.broken.append(f"batch {batch['key']} has {events} events")
        self._stays_open(batch)

    def _stays_open(self, batch: dict[str, Any]) -> None:
        """With buffer_one none is made while one before it is under way."""
        one = all(policies.overlap == "buffer_one" for policies in self.published)
        slot = self._slots.get((batch["trigger"], batch["slot"])) if one else None
        others = slot["holders"].keys() - {batch["key"]} if slot else set()
        runs = [f"{batch['trigger']}.{key}" for key in others]
        busy = [run for run in runs if self.placed_at[run] < self.caller.began]
        if busy:
            self.broken.append(f"batch {batch['key']} is made while {busy} are under way")

    def _numbered(self, group: str, number: dict[str, Any]) -> None:
        """A group's number only ever grows by one."""
        birth = self.births.setdefault(group, number["birth"])
        before = self._numbers.get(group, -1)
        if birth != number["birth"] or number["seq"] not in (before, before + 1):
            self.broken.append(f"group {group} counts {number['seq']} after {before}")
        self._numbers[group] = number["seq"]
