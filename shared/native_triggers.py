"""A schedule as AzureML itself runs it: its trigger, and what AzureML cannot do or does otherwise.

Pure. What AzureML accepts and ignores, or reads in another way, never gets there: it is turned
into what means the same, or refused with the remedy. Source of what is said of AzureML: "Schedule
machine learning pipeline jobs" and "CLI (v2) schedule YAML schema", learn.microsoft.com.

How the two engines differ, beside what is refused here:

- AzureML's jobs have no record: no explanation, no retry, no outcome, no run that follows them.
- They do not wait for computes, turns or limits, and nothing keeps two of them from overlapping.
- What lies in a pause, in an outage of AzureML's or between two publishes is not made up for.
- What the clocks' changes do to a local time is AzureML's own business, and not documented.
- `${{creation_context.trigger_time}}` is AzureML's text for the time, of no documented form.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from shared import expressions, time_zones, windows_zones
from shared.definitions import TriggerDefinition
from shared.documents import Document, Place
from shared.durations import in_iso
from shared.specs import ScheduleSpec, Spec

#: What to write for what AzureML cannot do.
REMEDY = "use engine: signalbox"

#: AzureML's names for what it fills in when a job starts, as expressions write them.
MACROS: Mapping[str, frozenset[str]] = {
    "name": frozenset(),
    "creation_context": frozenset({"trigger_time"}),
}
#: What expressions find when Signalbox starts a run, and nobody when AzureML does.
_ELSEWHERE = (
    "event",
    "captures",
    "group",
    "manifest",
    "scheduled_time",
    "window_start",
    "window_end",
)

#: The longest distances. Source: limits of recurrences in Azure Logic Apps, which AzureML's
#: schedules are built on.
_MOST_HOURS, _MOST_MINUTES = 12_000, 72_000

#: Keys of a schedule that say what Signalbox's own clock does.
_OF_OUR_CLOCK = {
    "exclude": "leaves nothing out",
    "jitter": "starts jobs at the time itself",
    "catchup_window": "makes up for nothing",
    "only_if": "does not look for uploads",
}

_EVERY_DAY, _EVERY_MONTH, _EVERY_WEEKDAY = range(1, 32), range(1, 13), range(7)
#: Days that some months do not have.
_LATE_DAYS = range(29, 32)


@dataclass(frozen=True, kw_only=True)
class NativeTrigger:
    """A trigger in AzureML's words: an expression, or a recurrence."""

    expression: str | None = None
    frequency: str | None = None
    interval: int | None = None
    hours: tuple[int, ...] = ()
    minutes: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    #: Local times of the zone. A job would start at once without the first.
    start_time: str
    end_time: str | None = None
    #: As Windows calls it.
    time_zone: str


def trigger_of(spec: ScheduleSpec, anchor: datetime) -> NativeTrigger:
    """A schedule's trigger. Raises ValueError for what AzureML cannot do, as `problems` tells it.

    `anchor` is where distances begin that have no start time, and since when it is due at all.
    """
    if wrong := [message for _, message in _untranslatable(spec)]:
        raise ValueError("; ".join(wrong))
    starts = spec.starts or anchor
    if spec.every is not None:
        frequency, interval = _distance(spec.every)
        return NativeTrigger(
            frequency=frequency,
            interval=interval,
            # Elapsed time is the same in every zone, and no clock of UTC ever changes.
            start_time=_local(starts, "UTC"),
            end_time=_local(spec.ends, "UTC") if spec.ends else None,
            time_zone="UTC",
        )
    zone = spec.time_zone
    start, end = _local(starts, zone), _local(spec.ends, zone) if spec.ends else None
    windows = windows_zones.windows_name(zone) or zone
    [expression] = spec.cron
    minute, hour, _, _, weekday = expression.split()
    parsed = CronSim(expression, datetime(2000, 1, 1))
    if days := _month_days(parsed):
        return NativeTrigger(
            frequency="month",
            interval=1,
            hours=tuple(sorted(parsed.hours)),
            minutes=tuple(sorted(parsed.minutes)),
            month_days=days,
            start_time=start,
            end_time=end,
            time_zone=windows,
        )
    # AzureML's days of the week end with 6.
    numbered = ",".join(str(each) for each in sorted(_weekdays(parsed)))
    return NativeTrigger(
        expression=f"{minute} {hour} * * {numbered if '7' in weekday else weekday}",
        start_time=start,
        end_time=end,
        time_zone=windows,
    )


def is_native(spec: Spec) -> bool:
    """Whether AzureML runs it."""
    return spec.schedule is not None and spec.schedule.engine == "azureml"


def problems(trigger: TriggerDefinition, document: Document) -> Iterator[tuple[Place, str]]:
    """What a trigger asks for that AzureML cannot do, each with its place and the remedy."""
    spec = trigger.spec.schedule
    if spec is None or not is_native(trigger.spec):
        return
    for key, message in _untranslatable(spec):
        yield ("spec", "schedule", key), message
    for key, what in _OF_OUR_CLOCK.items():
        if key in spec.model_fields_set and getattr(spec, key) not in (None, ()):
            yield ("spec", "schedule", key), f"{key}: AzureML {what}; leave it out, or {REMEDY}"
    written = document.content.get("policies")
    for key in written if isinstance(written, dict) else ():
        yield (
            ("policies", key),
            f"{key}: AzureML starts the jobs, whatever others do; leave it out, or {REMEDY}",
        )
    if trigger.action.computed:
        yield (
            ("action", "pipeline"),
            f"pipeline: AzureML starts one pipeline, and decides nothing; name it, or {REMEDY}",
        )
    yield from _expressions(trigger)


def hints(trigger: TriggerDefinition, now: datetime) -> Iterator[tuple[Place, str]]:
    """What AzureML does with a trigger that is hardly meant so."""
    spec = trigger.spec.schedule
    if spec is None or not is_native(trigger.spec):
        return
    if spec.starts is not None and spec.starts < now:
        yield (
            ("spec", "schedule", "start_time"),
            "start_time lies in the past: AzureML begins with the next time after it is published",
        )
    if spec.ends is not None and spec.ends <= now:
        yield (
            ("spec", "schedule", "end_time"),
            "end_time lies in the past: AzureML takes no such schedule, and starts nothing",
        )
    for expression in spec.cron:
        days = _month_days(CronSim(expression, datetime(2000, 1, 1)))
        if late := [day for day in days if day in _LATE_DAYS]:
            yield (
                ("spec", "schedule", "cron"),
                f"AzureML starts nothing in months without a day {' or '.join(map(str, late))}; "
                f"for the last day of each month write L and {REMEDY}",
            )


def _untranslatable(spec: ScheduleSpec) -> Iterator[tuple[str, str]]:
    """Keys of the schedule that nothing of AzureML's means the same as."""
    if len(spec.cron) > 1:
        yield "cron", f"AzureML takes one expression; write several triggers, or {REMEDY}"
    for expression in spec.cron:
        yield from (("cron", message) for message in _unknown_days(expression))
    if spec.cron and windows_zones.windows_name(spec.time_zone) is None:
        yield (
            "time_zone",
            f"AzureML takes time zones of Windows, which has none for {spec.time_zone!r}; write "
            f"one that has the same clock, or {REMEDY}",
        )
    if spec.every is not None and _distance(spec.every)[0] == "":
        yield (
            "every",
            f"AzureML takes whole minutes up to {in_iso(timedelta(minutes=_MOST_MINUTES))} and "
            f"whole hours up to {in_iso(timedelta(hours=_MOST_HOURS))}; {REMEDY} for "
            f"{in_iso(spec.every)}",
        )


def _unknown_days(expression: str) -> Iterator[str]:
    _, _, day, month, weekday = expression.split()
    parsed = CronSim(expression, datetime(2000, 1, 1))
    if set(parsed.months) != set(_EVERY_MONTH):
        yield (
            f"AzureML ignores the month, {month!r} in {expression!r}, and would start it in "
            f"every one; {REMEDY}"
        )
    if not all(isinstance(each, int) and each in _EVERY_DAY for each in parsed.days):
        yield f"AzureML knows no {day!r}, which {expression!r} names as its day; {REMEDY}"
    elif not all(isinstance(each, int) for each in parsed.weekdays):
        yield f"AzureML knows no {weekday!r}, which {expression!r} names as its day; {REMEDY}"
    elif _month_days(parsed) and _weekdays(parsed) != set(_EVERY_WEEKDAY):
        yield (
            f"AzureML takes days of the month or of the week, and {expression!r} has both: "
            f"{day!r} and {weekday!r}; {REMEDY}"
        )


def _month_days(parsed: CronSim) -> tuple[int, ...]:
    """The days of the month that an expression is for; none when it is for all of them."""
    days = tuple(sorted(each for each in parsed.days if each in _EVERY_DAY))
    return () if len(days) == len(_EVERY_DAY) else days


def _weekdays(parsed: CronSim) -> set[int]:
    return {each % 7 for each in parsed.weekdays if isinstance(each, int)}


def _distance(every: timedelta) -> tuple[str, int]:
    """Frequency and interval; no frequency when AzureML has none for it."""
    minutes, rest = divmod(every, timedelta(minutes=1))
    if rest:
        return "", 0
    if minutes % 60 == 0 and minutes <= _MOST_HOURS * 60:
        return "hour", minutes // 60
    return ("minute", minutes) if minutes <= _MOST_MINUTES else ("", 0)


def _local(instant: datetime, zone: str) -> str:
    there = instant.astimezone(UTC if zone == "UTC" else time_zones.zone(zone))
    return there.strftime("%Y-%m-%dT%H:%M:%S")


def _expressions(trigger: TriggerDefinition) -> Iterator[tuple[Place, str]]:
    """AzureML fills in its own macros, in inputs; what Signalbox finds is found at publish."""
    action = trigger.action
    texts: dict[Place, object] = {
        **{("action", "inputs", name): value for name, value in action.inputs.items()},
        **{("action", "tags", name): value for name, value in action.tags.items()},
        ("action", "compute"): action.compute,
        ("action", "experiment_name"): action.experiment_name,
    }
    for place, text in texts.items():
        if not isinstance(text, str):
            continue
        known: dict[str, frozenset[str] | None] = {"settings": None}
        if place[1] == "inputs":
            known |= MACROS
        others: dict[str, frozenset[str] | None] = dict.fromkeys((*_ELSEWHERE, *MACROS))
        if not expressions.check(text, {**others, **known}):
            for root in others.keys() - known.keys():
                rest = {name: of for name, of in {**others, **known}.items() if name != root}
                if expressions.check(text, rest):
                    yield place, _not_known(root)
        else:
            yield from ((place, message) for message in expressions.check(text, known))


def _not_known(root: str) -> str:
    if root == "scheduled_time":
        return (
            "scheduled_time is not known when AzureML starts the job; write "
            "${{creation_context.trigger_time}}, which is AzureML's text for the time that it "
            f"started at, or {REMEDY}"
        )
    if root in MACROS:
        return f"AzureML fills in its macros in inputs only; {REMEDY}, or write something else"
    return f"{root} is not known when AzureML starts the job; {REMEDY}"
