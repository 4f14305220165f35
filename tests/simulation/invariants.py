"""What must hold when a history has come to rest."""

import json
from typing import Any

from shared import outcomes
from shared.binding import RUN_TAG
from shared.ledger import Record, State, job_name
from tests.simulation.fickle import ENDED
from tests.simulation.simulation import DEPLOYMENT, MAX_DEPTH, Simulation, Source


def violations(simulation: Simulation) -> list[str]:
    """Every promise that this history broke."""
    records = _records(simulation)
    found = [f"marker left: {name}" for name in simulation.blobs.stored if name.startswith("open/")]
    found += _events(simulation, records)
    for record in records:
        found += _record(simulation, record)
        found += _told(simulation, record)
    if simulation.chains:
        found += _chains(records)
    known = {attempt.job_name for record in records for attempt in record.attempts}
    found += [f"job nobody knows of: {name}" for name in simulation.workspace.jobs.keys() - known]
    return found


def _records(simulation: Simulation) -> list[Record]:
    return [
        Record.model_validate_json(blob.data)
        for name, blob in simulation.blobs.stored.items()
        if name.startswith("ledger/")
    ]


def _events(simulation: Simulation, records: list[Record]) -> list[str]:
    """No event lost, none in two runs, every candidate that said no is in history."""
    found = []
    for source in simulation.sources:
        if not source.answered:
            found.append(f"never answered: {source.event.id}")
        for trigger in _triggers_for(source):
            mine = [
                record
                for record in records
                if record.trigger == trigger
                and record.event.subject == source.event.subject
                and record.event.data == source.event.data
            ]
            if len(mine) != 1:
                found.append(f"{source.event.id} has {len(mine)} runs of {trigger}")
        if source.event.subject.endswith("in/north/c.txt"):
            misses = [
                entry
                for entry in _history(simulation, "north")
                if entry["decision"] == "no_match"
                and entry["event"]["subject"] == source.event.subject
            ]
            if not misses:
                found.append(f"{source.event.id}: near miss not in history")
    return found


def _triggers_for(source: Source) -> list[str]:
    return ["all", "north"] if source.event.subject.endswith("north/a.csv") else ["all"]


def _history(simulation: Simulation, trigger: str) -> list[dict[str, Any]]:
    return [
        json.loads(blob.data)
        for name, blob in simulation.blobs.stored.items()
        if name.startswith(f"history/{trigger}/")
    ]


def _chains(records: list[Record]) -> list[str]:
    """Each end of a run starts one other, and none once they are too many."""
    found = []
    followers: dict[str, list[Record]] = {}
    for record in records:
        if record.trigger == "after":
            followers.setdefault(record.event.data["run"], []).append(record)
            if (record.depth > MAX_DEPTH) != _too_deep(record):
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


def _too_deep(record: Record) -> bool:
    return record.reason is not None and record.reason.code == "depth_exceeded"


def _told(simulation: Simulation, record: Record) -> list[str]:
    """Whoever listens to outcomes was told of each, at least once."""
    reached = {t.state for t in record.transitions if t.state in outcomes.TOLD}
    expected = {outcomes.outcome(record, state, DEPLOYMENT).id for state in reached}
    return [f"never told: {id}" for id in expected - set(simulation.outcomes.told)]


def _record(simulation: Simulation, record: Record) -> list[str]:
    """The record is final, says why, and is right about its job."""
    found = []
    run, state = record.run_id, record.state
    if not state.final:
        return [f"{run} in limbo: {state}"]
    entries = [entry for entry in _history(simulation, record.trigger) if entry.get("run") == run]
    if [entry["decision"] for entry in entries] != [state]:
        found.append(f"{run} is {state}, history says {entries}")
    reason = record.reason.model_dump() if record.reason else None
    if any(entry["reason"] != reason for entry in entries):
        found.append(f"{run} ended because of {reason}, history says {entries}")
    if State.WAITING_COMPUTE in reached(record) and not simulation.late_compute:
        found.append(f"{run} waited for a compute that nobody defined")
    born = [
        simulation.workspace.born[attempt.job_name]
        for attempt in record.attempts
        if attempt.job_name in simulation.workspace.born
    ]
    ready = simulation.targets.ready_at
    if simulation.late_compute and born and (ready is None or min(born) < ready):
        found.append(f"{run} was submitted before its compute was there")
    if state is State.FAILED and not record.failed_steps:
        found.append(f"{run} failed, and nobody says where")
    if state in (State.DEAD_LETTER, State.FAILED) and record.reason is None:
        found.append(f"{run} is {state} without a reason")
    if state is State.CANCELED and (record.trigger, record.key) not in simulation.canceled:
        found.append(f"{run} was canceled by nobody")
    unbindable = record.trigger == "north" and "contentType" not in record.event.data
    if _too_deep(record):
        pass
    elif unbindable != (record.reason is not None and record.reason.code == "input_missing"):
        found.append(f"{run}: bound wrongly, {record.reason}")
    jobs = [job for job in simulation.workspace.jobs.values() if job.tags.get(RUN_TAG) == run]
    if len(jobs) > 1:
        found.append(f"{run} has {len(jobs)} jobs")
    if any(job.status not in ENDED for job in jobs):
        found.append(f"{run} is {state} but its job is {jobs[0].status}")
    expected = {
        State.COMPLETED: ["Completed"],
        State.FAILED: ["Failed"],
        State.CANCELED: ["Canceled"],
        State.DEAD_LETTER: [],
    }[state]
    statuses = [job.status for job in jobs]
    if statuses != expected and not (state is State.CANCELED and not statuses):
        found.append(f"{run} is {state} but its jobs are {statuses}")
    if any(simulation.workspace.bodies[job.name] != record.body for job in jobs):
        found.append(f"{run}: its job is not what was recorded")
    if jobs and jobs[0].name != job_name(DEPLOYMENT, record.trigger, record.key, 1):
        found.append(f"{run}: job {jobs[0].name} is not named after its attempt")
    return found
