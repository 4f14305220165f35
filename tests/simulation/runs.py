"""What must hold of one run when its history has come to rest."""

from typing import Any

from shared.binding import RUN_TAG
from shared.ledger import FUNCTION_TIMEOUT, GRACE, Record, State, job_name
from shared.workspace import Job
from tests.simulation.fickle import ENDED
from tests.simulation.scenario import DEPLOYMENT
from tests.simulation.simulation import Simulation

#: How the last job of a run ended.
_LAST = {State.COMPLETED: "Completed", State.CANCELED: "Canceled"}


def broken_by(record: Record, simulation: Simulation, history: list[dict[str, Any]]) -> list[str]:
    """The record is final, says why, and is right about its jobs."""
    run, state = record.run_id, record.state
    if not state.final:
        return [f"{run} in limbo: {state}"]
    return [
        *_history(record, history),
        *_reason(record, simulation),
        *_compute(record, simulation),
        *_jobs(record, simulation),
    ]


def _history(record: Record, history: list[dict[str, Any]]) -> list[str]:
    """History says the same."""
    found = []
    reason = record.reason.model_dump() if record.reason else None
    if [entry["decision"] for entry in history] != [record.state]:
        found.append(f"{record.run_id} is {record.state}, history says {history}")
    failed = record.reason is not None and record.reason.code == "job_failed"
    # When nobody came to look for so long, it is over without a cause.
    late = any(entry["written"] - record.transitions[-1].at > GRACE for entry in history)
    if failed and not record.failed_steps and not late:
        found.append(f"{record.run_id} failed, and nobody says where")
    if any(entry["reason"] != reason for entry in history):
        found.append(f"{record.run_id} ended because of {reason}, history says {history}")
    return found


def _reason(record: Record, simulation: Simulation) -> list[str]:
    """It ended for a reason that was there."""
    found = []
    run, state = record.run_id, record.state
    code = record.reason.code if record.reason else None
    if state not in (State.COMPLETED, State.CANCELED) and record.reason is None:
        found.append(f"{run} is {state} without a reason")
    if state is State.CANCELED and (record.trigger, record.key) not in simulation.canceled:
        found.append(f"{run} was canceled by nobody")
    unbindable = record.trigger == "north" and "contentType" not in record.event.data
    unbound = ("depth_exceeded", "paused", "trigger_gone", "no_match")
    never_bound = state is State.CANCELED or code in unbound
    if not never_bound and unbindable != (code == "input_missing"):
        found.append(f"{run}: bound wrongly, {record.reason}")
    if code == "paused" and simulation.watch.seen["paused"] == 0:
        found.append(f"{run} is {state} because of a pause that was not")
    gone = code in ("trigger_gone", "no_match") and not record.members
    if gone and all(each.there for each in simulation.watch.editions.ever(record.trigger)):
        found.append(f"{run} is {state} as its trigger is not there, which it always was")
    return found


def _compute(record: Record, simulation: Simulation) -> list[str]:
    """What waits for its compute waited for it."""
    found = []
    late = simulation.scenario.late_compute
    if any(each.state is State.WAITING_COMPUTE for each in record.transitions) and not late:
        found.append(f"{record.run_id} waited for a compute that nobody defined")
    born = [simulation.workspace.born[job.name] for job in _of(record, simulation)]
    ready = simulation.targets.ready_at
    if late and born and (ready is None or min(born) < ready):
        found.append(f"{record.run_id} was submitted before its compute was there")
    return found


def _jobs(record: Record, simulation: Simulation) -> list[str]:
    """One job for each attempt, one after the other, and as many as may be."""
    found = []
    run, state = record.run_id, record.state
    jobs = _of(record, simulation)
    code = record.reason.code if record.reason else None
    names = [
        job_name(DEPLOYMENT, record.trigger, record.key, number + 1) for number in range(len(jobs))
    ]
    if [job.name for job in jobs] != names:
        found.append(f"{run}: its jobs are {[job.name for job in jobs]}")
    if any(job.status not in ENDED for job in jobs):
        found.append(f"{run} is {state} but its jobs are {jobs}")
    if any(simulation.workspace.bodies[job.name] != record.body for job in jobs):
        found.append(f"{run}: its job is not what was recorded")
    statuses = [job.status for job in jobs]
    last = _LAST.get(state)
    if state is State.FAILED:
        last = "Canceled" if code == "run_timeout" else "Failed"
    # What ends without a job may have had one that failed before.
    without = state in (State.DEAD_LETTER, State.SKIPPED, State.CANCELED)
    fine = last is not None and statuses[-1:] == [last] and not set(statuses[:-1]) - {"Failed"}
    if not fine and not (without and not set(statuses) - {"Failed"}):
        found.append(f"{run} is {state} but its jobs are {statuses}")
    most = simulation.scenario.policies[record.trigger].retry.max_attempts
    unwanted = record.cancel_requested or record.stopping
    if len(jobs) > most or (code == "job_failed" and len(jobs) != most and not unwanted):
        found.append(f"{run} failed after {len(jobs)} of {most} attempts")
    if code == "run_timeout":
        found += _timeout(record, jobs, simulation)
    return found


def _timeout(record: Record, jobs: list[Job], simulation: Simulation) -> list[str]:
    """What was stopped because it took too long did."""
    allowed = simulation.scenario.policies[record.trigger].run_timeout
    took = simulation.workspace.ended[jobs[-1].name] - simulation.workspace.born[jobs[-1].name]
    # Counted since the record that was submitted, as whoever submitted it last knew it.
    if allowed is None or took < allowed - FUNCTION_TIMEOUT:
        return [f"{record.run_id} was stopped after {took}"]
    return []


def _of(record: Record, simulation: Simulation) -> list[Job]:
    jobs = simulation.workspace.jobs.values()
    mine = [job for job in jobs if job.tags.get(RUN_TAG) == record.run_id]
    return sorted(mine, key=lambda job: simulation.workspace.born[job.name])
