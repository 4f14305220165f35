"""What must hold of schedules when a history has come to rest."""

import json
from collections import Counter
from datetime import datetime, timedelta

from shared.binding import RUN_TAG
from shared.ledger import FUNCTION_TIMEOUT, TRANSITIONS, Record, State
from shared.recurrences import fires_at
from shared.replay_states import Replay
from tests.simulation.occurrence_watch import OccurrenceWatch, Period
from tests.simulation.occurrences import Occurrences

_Time = tuple[str, datetime]

#: The last tick comes so long after the clock is looked at, at most.
_LAST_TICK = timedelta(minutes=2)


def violations(history: Occurrences) -> list[str]:
    """Every promise that this history broke."""
    records = [
        Record.model_validate_json(blob.data)
        for name, blob in history.blobs.stored.items()
        if name.startswith("ledger/")
    ]
    own = [record for record in records if record.replay is None]
    found = [*history.watch.broken, *_times(history, own)]
    for trigger in sorted({record.trigger for record in records}):
        found += _uploads(history, [record for record in records if record.trigger == trigger])
    for replay in history.replays:
        found += _backfill(history, replay, [one for one in records if one.replay == replay.id])
    for marker in history.blobs.stored:
        if marker.startswith(("open/", "held/", "queue/", "slots/")):
            found.append(f"left: {marker}")
    clock = history.watch.clock
    if clock is None or history.world.now - clock.last_evaluated > _LAST_TICK:
        found.append(f"the clock stands still: {clock}")
    jobs = Counter(job.tags[RUN_TAG] for job in history.workspace.jobs.values())
    return found + [f"{run} has {number} jobs" for run, number in jobs.items() if number > 1]


def _times(history: Occurrences, own: list[Record]) -> list[str]:
    """Each time of each schedule has one record, and no other time has any."""
    watch = history.watch
    records: dict[_Time, list[Record]] = {}
    for record in own:
        records.setdefault((record.trigger, record.event.time), []).append(record)
    found = [f"{len(some)} records of {which}" for which, some in records.items() if len(some) > 1]
    allowed: dict[_Time, list[Period]] = {}
    for period in watch.periods:
        for at, fires in period.times(period.ended or history.world.now).items():
            allowed.setdefault((period.trigger, at), []).append(period)
            if _must_be(watch, period, at, fires) and (period.trigger, at) not in records:
                found.append(f"lost: {period.trigger} at {at}, which fires at {fires}")
    for which, [record, *_] in records.items():
        if which not in allowed:
            found.append(f"{record.run_id} is of {which[1]}, which was no time of {which[0]}")
        else:
            found += _wrong(watch, record, allowed[which])
    return found


def _must_be(watch: OccurrenceWatch, period: Period, at: datetime, fires: datetime) -> bool:
    """Whether a time has to have a record by now."""
    if fires <= period.promised or (period.until is not None and at > period.until):
        return False
    clock = period.forgotten or watch.clock
    if clock is None or fires >= clock.last_evaluated:
        return False
    # Or it came by and knew nothing of it.
    return clock.edition >= period.indexed.edition


def _wrong(watch: OccurrenceWatch, record: Record, periods: list[Period]) -> list[str]:
    """What is wrong with the record of a time."""
    found = []
    made = watch.made[record.trigger, record.event.time]
    specs = [one.indexed.definition.spec.schedule for one in periods]
    fires = [fires_at(record.trigger, spec, record.event.time) for spec in specs if spec]
    windows = [spec.catchup_window for spec in specs if spec]
    if TRANSITIONS[record.state]:
        found.append(f"{record.run_id} in limbo: {record.state}")
    if made < min(fires):
        found.append(f"{record.run_id} was made at {made}, and fires at {fires}")
    code = record.reason.code if record.reason else None
    if record.state is State.MISSED and made - min(fires) <= min(windows):
        found.append(f"{record.run_id} is missed after {made - min(fires)}")
    late = max(windows) + FUNCTION_TIMEOUT + timedelta(minutes=1)
    if record.state is not State.MISSED and made - max(fires) > late:
        found.append(f"{record.run_id} was made up for after {made - max(fires)}")
    mine = [one for one in watch.pauses if one.trigger == record.trigger]
    if code == "paused" and not any(one.at <= made for one in mine):
        found.append(f"{record.run_id} is skipped for a pause that was not")
    for one in mine:
        inside = one.written < min(fires) and (one.until is None or max(fires) <= one.until)
        known = one.drops and inside and (one.lost is None or made <= one.lost)
        if known and code != "paused" and record.state is not State.MISSED:
            found.append(f"{record.run_id} began though {one} was")
    return found


def _uploads(history: Occurrences, records: list[Record]) -> list[str]:
    """No upload is in two runs of a schedule that completed, and none is left out once one of them
    has run past it; a backfill's have lists of their own, and count as well."""
    done = [
        record
        for record in records
        if record.state is State.COMPLETED and "manifest" in record.event.data
    ]
    own = [record for record in done if record.replay is None]
    if not own:
        return []
    trigger = own[0].trigger
    given = {record.run_id: history.given(record.event.data["manifest"]) for record in done}
    often = Counter(url for record in own for url in given[record.run_id])
    found = [
        f"{url} was in {number} runs of {trigger}" for url, number in often.items() if number > 1
    ]
    # A schedule begins with what comes after its first publish, also after it was deleted.
    periods = [one for one in history.watch.periods if one.trigger == trigger]
    first = max(one.indexed.effective_from for one in periods)
    lists = [record.event.data["new_blobs"] for record in own]
    until = max(datetime.fromisoformat(one["until"]) for one in lists)
    all_given = {url for urls in given.values() for url in urls}
    return found + [
        f"{upload.url} was left out by {trigger}, which has run until {until}"
        for upload in history.lakes.uploads
        if first <= upload.last_modified < until and upload.url not in all_given
    ]


def _backfill(history: Occurrences, replay: Replay, mine: list[Record]) -> list[str]:
    """Each time that was chosen is run once, beside the schedule's own."""
    found = []
    if not replay.over or replay.position != replay.total:
        found.append(f"backfill {replay.id} in limbo: {replay}")
    chosen = json.loads(history.blobs.stored[f"replayed/{replay.chosen}.json"].data)
    wanted = {datetime.fromisoformat(at) for at in chosen}
    refused = {one.scheduled_time for one in replay.problems}
    made = Counter(record.event.time for record in mine)
    found += [f"backfill {replay.id} ran {at} {made[at]} times" for at in made if made[at] > 1]
    if more := made.keys() - wanted:
        found.append(f"backfill {replay.id} ran {more}, which nobody chose")
    if left := wanted - made.keys() - refused:
        found.append(f"backfill {replay.id} did not run {left}")
    found += [f"{one.run_id} in limbo: {one.state}" for one in mine if TRANSITIONS[one.state]]
    return found
