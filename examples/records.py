"""The ledger's records of uploads, read as anybody with a reader's role may."""

import os
from datetime import UTC, datetime

from examples.upload import LAKE
from shared import bootstrap
from shared.events import BLOB_CREATED, Event
from shared.ledger import Record, State, run_key

TRIGGER = "retrain-on-upload"


def key_of(container: str, path: str, etag: str) -> str:
    """A write has one key, however often its event arrives: so it can be told from here too."""
    event = Event(
        id="unknown",
        source="unknown",
        type=BLOB_CREATED,
        subject=f"/blobServices/default/containers/{container}/blobs/{path}",
        time=datetime.now(UTC),
        data={"url": f"{LAKE}/{container}/{path}", "eTag": etag.strip('"')},
    )
    return run_key(os.environ["SIGNALBOX_DEPLOYMENT"], event)


def read(key: str) -> Record | None:
    """The record of a key; None while there is none."""
    held = bootstrap.app().ledger.read(TRIGGER, key)
    return held.record if held else None


def submitted(key: str) -> Record | None:
    """The record of a key, once it has a job, or never will."""
    record = read(key)
    return None if record is None or record.state is State.SUBMITTING else record


def finished(key: str) -> Record | None:
    """The record of a key, once its state is final and all that follows from that is done."""
    # In this order: a record that is read before may still be given its reason.
    ongoing = any(marker.key == key for marker in bootstrap.app().ledger.open())
    record = read(key)
    return record if record and record.state.final and not ongoing else None


def why_not(record: Record) -> str | None:
    """Why a run cannot complete any more, with the logs of its failed steps; None when it may."""
    if not record.state.final or record.state is State.COMPLETED:
        return None
    text = f"run {record.run_id} is {record.state}"
    if record.reason:
        text += f": {record.reason.text}"
    for step in record.failed_steps:
        text += f"\n--- end of the log of {step['step']} ---\n{step['log_tail']}"
    return text
