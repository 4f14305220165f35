"""What must hold of batches when a history has come to rest."""

import json

from shared.ledger import Record, State
from tests.simulation import invariants
from tests.simulation.batch_scenario import COMPLETE, TRIGGER
from tests.simulation.batching import Batching
from tests.simulation.runs import broken_by
from tests.simulation.simulation import Source

_ADDRESS = "azureml://datastores/workspaceblobstore/paths/"
_STORE = "contosoml/azureml-blobstore/"


def violations(simulation: Batching) -> list[str]:
    """Every promise that this history broke."""
    records = invariants.records_of(simulation)
    history = invariants.history_of(simulation)
    batches = {record.key: record for record in records if record.members}
    found = [*simulation.watch.broken, *invariants.leaks(simulation), *_groups(simulation)]
    for source in simulation.sources:
        found += _event(source, records, simulation)
    for record in records:
        if record.member is not None and record.state in (State.WAITING_BATCH, State.BATCHED):
            if not simulation.forgettable(record):
                found += _member(record, batches)
            continue
        entries = [entry for entry in history if entry.get("run") == record.run_id]
        found += broken_by(record, simulation, entries)
        found += invariants.told(simulation, record)
    for batch in batches.values():
        found += _batch(batch, simulation, records)
    return found + invariants.unknown_jobs(simulation, records)


def _groups(simulation: Batching) -> list[str]:
    """A group's blob is deleted by nobody of ours."""
    names = [name for name in simulation.blobs.stored if name.startswith("groups/")]
    there = {name.rpartition("/")[2].removesuffix(".json") for name in names}
    return [f"group {group} is gone" for group in simulation.watch.births.keys() - there]


def _event(source: Source, records: list[Record], simulation: Batching) -> list[str]:
    """Each event that was answered has one record; none has two."""
    mine = [
        record
        for record in records
        if record.event.data == source.event.data and record.replay_of is None
    ]
    found = [f"never answered: {source.event.id}"] if source.awaits_answer else []
    least = 0 if source.lost or source.event.subject.endswith(COMPLETE) else 1
    least = 0 if invariants.overlooked(simulation, source, TRIGGER) else least
    if not least <= len(mine) <= 1:
        found.append(f"{source.event.id} has {len(mine)} records")
    return found


def _member(record: Record, batches: dict[str, Record]) -> list[str]:
    """It is in one batch, which says so too, or it completed nothing."""
    if record.state is not State.BATCHED:
        return [f"{record.run_id} in limbo: {record.state}"]
    found = []
    having = [batch.key for batch in batches.values() if record.key in batch.members]
    code = record.reason.code if record.reason else None
    assert record.member is not None
    if code == "released_nothing":
        if having or record.batch or not record.member.releases:
            found.append(f"{record.run_id} is said to complete nothing, and is in {having}")
    elif having != [record.batch] or code != "batched":
        found.append(f"{record.run_id} says {record.batch} ({code}), and is in {having}")
    return found


def _batch(batch: Record, simulation: Batching, records: list[Record]) -> list[str]:
    """Its manifest has what its record has, all of it of one group."""
    found = []
    members = {record.key: record for record in records if record.key in batch.members}
    groups = {each.member.group for each in members.values() if each.member}
    if len(groups) != 1 or len(members) != len(batch.members):
        found.append(f"batch {batch.key} has {len(members)} members of {groups}")
    address = batch.event.data["manifest"].removeprefix(_ADDRESS)
    lines = simulation.lakes.written[f"{_STORE}{address}"].decode().splitlines()
    listed = sorted(json.loads(line)["event"]["data"]["eTag"] for line in lines)
    wanted = sorted(
        each.event.data["eTag"]
        for each in members.values()
        if each.member and not each.member.releases
    )
    if listed != wanted or batch.event.data["events"] != len(wanted) or not wanted:
        found.append(f"batch {batch.key} has {wanted}, its manifest {listed}")
    reads = batch.body.inputs["data"] if batch.body else None
    if reads and getattr(reads, "path", None) != batch.event.data["manifest"]:
        found.append(f"the job of batch {batch.key} reads {reads}")
    return found
