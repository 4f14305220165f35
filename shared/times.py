"""Explaining a time of a schedule: whether it is one, and what was recorded of it."""

from contextlib import suppress
from datetime import UTC, datetime

from shared import answers, events, occurrences, timetables, wording
from shared.answers import Told
from shared.clocks import Clocks
from shared.errors import RecordUnreadable
from shared.index import Index, IndexedTrigger, Reading
from shared.questions import Explanation, Item, moment
from shared.summaries import shown, stamp
from shared.timetables import Coming, Timetable
from shared.traces import Traces


class Times:
    """Answers questions about times of schedules. Changes nothing.

    All raise StorageUnavailable, and RequestInvalid for a question that cannot be read.
    """

    def __init__(self, *, index: Index, clocks: Clocks, traces: Traces) -> None:
        self._index = index
        self._clocks = clocks
        self._traces = traces

    def explain(self, name: str, at: datetime | None) -> Explanation:
        """A time of a schedule, or the last one; without an offset it is its own wall clock's.

        Raises NotFound.
        """
        moment(at)
        reading = self._index.read()
        indexed = occurrences.named(reading.snapshot.triggers, name)
        table = Timetable(indexed)
        asked = at if at is not None else table.last(reading.at)
        if asked is None:
            asked = reading.at
        scheduled = table.at(asked)
        instant = scheduled or table.instant(asked).replace(second=0, microsecond=0)
        told = Told(lines=[_introduction(indexed)])
        if skipped := table.skipped(asked):
            told.lines.append(skipped)
        traces = self._traces.about([name], events.about(_id(instant)), instant)
        found = Told()
        for trace in traces:
            found.join(answers.of_trace(trace))
        if found.items:
            summary = f"{answers.capital(found.lines[0])}"
            if scheduled is None:
                told.lines.append("It was due by the schedule as it was then.")
        elif scheduled is None:
            when = table.stamp(instant)
            summary = f"Nothing of schedule {name} was due at {when}. {table.why_not(asked)}"
            found.items.append(Item(trigger=name, decision="not_due"))
        else:
            decision, why = self._nothing(indexed, table.told(scheduled), reading, table)
            when = table.stamp(scheduled)
            summary = f"Nothing is recorded of schedule {name} at {when}. {why}"
            found.items.append(Item(trigger=name, decision=decision))
        told.join(found)
        told.lines += answers.cut(traces)
        return Explanation(
            question=f"What became of the time {table.stamp(instant)} of schedule {shown(name)}?",
            summary=summary,
            lines=told.lines,
            items=told.items,
        )

    def _nothing(
        self, indexed: IndexedTrigger, time: Coming, reading: Reading, table: Timetable
    ) -> tuple[str, str]:
        """A word and a sentence for why nothing is recorded of a scheduled time."""
        name, fires = indexed.definition.name, table.stamp(time.fires)
        if time.fires > reading.at:
            if indexed.paused:
                return "to_come", f"That is still to come, at {fires}, if it is resumed by then."
            return "to_come", f"That is still to come: it begins at {fires}."
        if indexed.schedule is None:
            return "nothing_recorded", (
                "AzureML keeps this schedule and begins its jobs itself, which its studio lists; "
                f"`signalbox schedules diff {name}` tells how it has the schedule."
            )
        if time.scheduled <= indexed.since:
            since = "first published" if indexed.since <= indexed.effective_from else "last edited"
            return "nothing_recorded", (
                f"The schedule was {since} at {table.stamp(indexed.since)}, and what is before "
                f"that is not its own; {timetables.backfill(name, time.scheduled)} runs it."
            )
        with suppress(RecordUnreadable):
            kept = self._clocks.read()
            looked = kept.clock.last_evaluated if kept else None
            if looked is None or looked < time.fires:
                last = f"it last did at {stamp(looked)}" if looked else "it never has so far"
                return "nothing_recorded", (
                    f"It was due at {fires}, and the timer has not looked since: {last}. It looks "
                    "every minute; what it comes to late it makes up for, as far back as "
                    "catchup_window says."
                )
        return "nothing_recorded", (
            f"It was due at {fires}; its record has expired, or was deleted. "
            f"{timetables.backfill(name, time.scheduled)} runs it again."
        )


def _id(instant: datetime) -> str:
    """The id of the event of a scheduled time."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _introduction(indexed: IndexedTrigger) -> str:
    what, name = wording.listening(indexed.definition), indexed.definition.name
    pause = f" It is paused {shown(indexed.paused.text)}." if indexed.paused else ""
    return f"Trigger {name} {what}; it is so since {stamp(indexed.since)}.{pause}"
