"""What must hold when a history has come to rest."""

import json
from typing import Any

from shared import outcomes
from shared.ledger import Record, State
from tests.simulation.runs import broken_by
from tests.simulation.scenario import MAX_DEPTH
from tests.simulation.simulation import Simulation, Source


def violations(simulation: Simulation) -> list[str]:
    """Every promise that this history broke."""
    records = records_of(simulation)
    found = [*simulation.watch.broken, *leaks(simulation)]
    found += _events(simulation, records)
    history = history_of(simulation)
    for record in records:
        found += broken_by(
            record, simulation, [e for e in history if e.get("run") == record.run_id]
        )
        found += told(simulation, record)
    if simulation.scenario.chains:
        found += _chains(records)
    found += _order(simulation, records)
    return found + unknown_jobs(simulation, records)


def unknown_jobs(simulation: Simulation, records: list[Record]) -> list[str]:
    """Jobs that no record has."""
    known = {attempt.job_name for record in records for attempt in record.attempts}
    return [f"job nobody knows of: {name}" for name in simulation.workspace.jobs.keys() - known]


def records_of(simulation: Simulation) -> list[Record]:
    """All that was recorded."""
    return [
        Record.model_validate_json(blob.data)
        for name, blob in simulation.blobs.stored.items()
        if name.startswith("ledger/")
    ]


def leaks(simulation: Simulation) -> list[str]:
    """Nothing is kept of what is over but its record and its history."""
    kept = ("open/", "held/", "queue/", "slots/", "inbox/")
    return [
        f"left: {name} {blob.data.decode()}"
        for name, blob in simulation.blobs.stored.items()
        if name.startswith(kept)
    ]


def _runs_of(source: Source, trigger: str, records: list[Record]) -> list[Record]:
    return [
        record
        for record in records
        if record.trigger == trigger
        and record.replay_of is None
        and record.event.subject == source.event.subject
        and record.event.data == source.event.data
    ]


def _events(simulation: Simulation, records: list[Record]) -> list[str]:
    """No event lost, none in two runs, every candidate that said no is in history."""
    found = []
    history = history_of(simulation)
    for source in simulation.sources:
        if source.awaits_answer:
            found.append(f"never answered: {source.event.id}")
        found += [
            f"{source.event.id} has {runs} runs of {trigger}"
            for trigger in _triggers_for(source)
            if (runs := len(_runs_of(source, trigger, records))) != 1
            and not (runs == 0 and overlooked(simulation, source, trigger))
        ]
        is_near = source.event.subject.endswith("in/north/c.txt")
        if is_near and not overlooked(simulation, source, "north"):
            misses = [
                entry
                for entry in history
                if (entry["trigger"], entry["decision"]) == ("north", "no_match")
                and entry["event"]["subject"] == source.event.subject
            ]
            if not misses:
                found.append(f"{source.event.id}: near miss not in history")
    return found


def overlooked(simulation: Simulation, source: Source, trigger: str) -> bool:
    """Whether nothing need come of an upload, as its trigger was not there for it."""
    editions = simulation.watch.editions
    return editions.overlooks(trigger, source.uploaded, source.answered)


def _triggers_for(source: Source) -> list[str]:
    return ["all", "north"] if source.event.subject.endswith("north/a.csv") else ["all"]


def history_of(simulation: Simulation) -> list[dict[str, Any]]:
    """All that was decided."""
    return [
        {**json.loads(blob.data), "written": blob.at}
        for name, blob in simulation.blobs.stored.items()
        if name.startswith("history/")
    ]


def _order(simulation: Simulation, records: list[Record]) -> list[str]:
    """One at a time, who was answered before another came begins before it."""
    found = []
    begins = simulation.watch.first_job
    for trigger in ("all", "north"):
        editions = simulation.watch.editions.ever(trigger)
        alike = {(each.policies.concurrency, each.policies.overlap) for each in editions}
        policies = editions[0].policies
        if policies.concurrency.limit != 1 or policies.overlap != "buffer_all" or len(alike) > 1:
            continue
        runs = [
            (source, record)
            for source in simulation.sources
            for record in _runs_of(source, trigger, records)
            if record.run_id in begins
        ]
        for one, first in runs:
            if reached(first) & {State.HELD, State.WAITING_COMPUTE}:
                continue
            for other, second in runs:
                answered, came = one.answered, other.first_delivery
                if first.slot != second.slot or answered is None or came is None:
                    continue
                if answered < came and begins[first.run_id] > begins[second.run_id]:
                    found.append(f"{first.run_id} begins after {second.run_id}, which came later")
    return found


def _chains(records: list[Record]) -> list[str]:
    """Each end of a run starts one other, and none once they are too many."""
    found = []
    followers: dict[str, list[Record]] = {}
    for record in records:
        if record.trigger == "after":
            followers.setdefault(record.event.data["run"], []).append(record)
            too_deep = record.reason is not None and record.reason.code == "depth_exceeded"
            if (record.depth > MAX_DEPTH) != too_deep:
                found.append(f"{record.run_id} is {record.state} at depth {record.depth}")
    for record in records:
        ended = record.state in (State.COMPLETED, State.FAILED)
        mine = followers.pop(record.run_id, [])
        if len(mine) != ended:
            found.append(f"{record.run_id} is {record.state} and {len(mine)} runs follow on it")
        if any(follower.depth != record.depth + 1 for follower in mine):
            found.append(f"{record.run_id} is followed at another depth")
    found += [f"runs follow on {run}, which is none" for run in followers]
    return found


def reached(record: Record) -> set[State]:
    """The states that a record went through."""
    return {transition.state for transition in record.transitions}


def told(simulation: Simulation, record: Record) -> list[str]:
    """Whoever listens to outcomes was told of each state, at least once."""
    told = {tuple(id.rsplit(".", 2)[::2]) for id in simulation.outcomes.told}
    expected = {(record.run_id, str(state)) for state in reached(record) & set(outcomes.TOLD)}
    return [f"never told: {run} is {state}" for run, state in expected - told]
