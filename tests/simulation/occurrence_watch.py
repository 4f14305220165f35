"""Sees what is written in a history of schedules: which times each had, when it was paused, how far
the clock is."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.clocks import Clock
from shared.index import IndexedTrigger, Snapshot
from shared.recurrences import Recurrence, fires_at
from tests.fakes import World


@dataclass(eq=False)
class Period:
    """A schedule while it was a trigger's, by what was written to the index."""

    trigger: str
    indexed: IndexedTrigger
    #: Scheduled times are its own: since < time <= until, and may be until `ended`.
    since: datetime
    #: What fires later has to have a record, if the clock says so.
    promised: datetime
    until: datetime | None = None
    ended: datetime | None = None
    #: Nobody knew of it any more when the clock was there: what fired later never was.
    forgotten: Clock | None = None

    def times(self, last: datetime) -> dict[datetime, datetime]:
        """Scheduled times to one that it may have, and when each fires."""
        spec = self.indexed.definition.spec.schedule
        assert spec is not None
        found = {}
        for at in Recurrence(spec, self.indexed.anchor).after(self.since):
            if at > last:
                break
            found[at] = fires_at(self.trigger, spec, at)
        return found


@dataclass
class Pause:
    """A trigger's pause, by what was written to the index."""

    trigger: str
    at: datetime
    #: It was written then; whoever looked before knows nothing of it.
    written: datetime
    until: datetime | None = None
    #: What fired then was to be dropped, whoever asked.
    drops: bool = True
    #: Since then nobody knows of it: the index that said so was lost.
    lost: datetime | None = None


class OccurrenceWatch:
    """Told of every blob that is written, at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.broken: list[str] = []
        self.seen: Counter[str] = Counter()
        self.periods: list[Period] = []
        self.pauses: list[Pause] = []
        self.clock: Clock | None = None
        #: When each time of each schedule first had a record of its own.
        self.made: dict[tuple[str, datetime], datetime] = {}
        #: The index as it ever was.
        self.copies: list[bytes] = []
        self._triggers: Mapping[str, IndexedTrigger] = {}
        #: When the index was last lost.
        self._lost: datetime | None = None

    def wrote(self, name: str, data: bytes) -> None:
        if name == "index.json":
            self.copies.append(data)
            self._published(Snapshot.model_validate_json(data).triggers)
        elif name == "clock.json":
            self._moved(Clock.model_validate_json(data))
        elif name.startswith("ledger/"):
            self._recorded(json.loads(data))

    def lost_index(self) -> None:
        """Of what the index said is promised what the clock has passed, and nothing more."""
        self.seen["index lost"] += 1
        self._lost = self._world.now
        self._published({})
        for pause in self.pauses:
            pause.lost = pause.lost or self._lost

    def _published(self, triggers: Mapping[str, IndexedTrigger]) -> None:
        now = self._world.now
        for name in {*triggers, *self._triggers}:
            before, after = self._triggers.get(name), triggers.get(name)
            mine = [one for one in self.periods if one.trigger == name]
            if after is None or before is None or after.edition != before.edition:
                for one in mine:
                    if one.ended is None:
                        one.ended = now
                        one.until = after.since if after and before else now
                    if after is None:
                        # And what was left of those before it.
                        one.forgotten = one.forgotten or self.clock
                if after is not None:
                    # An index that was put back says what was published before.
                    promised = max(after.since, self._lost or after.since)
                    self.periods.append(Period(name, after, after.since, promised))
                    self.seen["published"] += 1
            self._paused(name, before, after)
        self._triggers = dict(triggers)

    def _paused(
        self, name: str, before: IndexedTrigger | None, after: IndexedTrigger | None
    ) -> None:
        was = before.paused if before else None
        now = after.paused if after else None
        if now is not None and was is None:
            self.pauses.append(Pause(name, now.at, self._world.now))
            self.seen["paused"] += 1
        mine = [one for one in self.pauses if one.trigger == name]
        if after and now is not None:
            # Of what a former schedule left, its own policies count.
            ever = (after.definition, *(one.definition for one in after.former))
            said = {now.while_paused or one.policies.while_paused for one in ever}
            mine[-1].drops = mine[-1].drops and said == {"drop"}
        if was is not None and now is None:
            over = after.pauses[-1].until if after and after.pauses else self._world.now
            mine[-1].until = over

    def _moved(self, clock: Clock) -> None:
        if self.clock is not None and _place(clock) < _place(self.clock):
            self.broken.append(f"the clock went back from {self.clock} to {clock}")
        if clock.last_evaluated > self._world.now:
            self.broken.append(f"the clock is ahead of time: {clock}")
        self.seen["clock moved within a second"] += clock.through is not None
        self.clock = clock

    def _recorded(self, record: dict[str, Any]) -> None:
        trigger, at = record["trigger"], datetime.fromisoformat(record["event"]["time"])
        if record.get("replay") is None and (trigger, at) not in self.made:
            self.made[trigger, at] = self._world.now
            self.seen[record["state"]] += 1


def _place(clock: Clock) -> tuple[datetime, str]:
    return clock.last_evaluated, "\uffff" if clock.through is None else clock.through
