"""The ledger's records of runs, read as anybody with a reader's role may."""

import os
from datetime import UTC, datetime
from typing import Any

from examples.upload import LAKE
from shared import bootstrap
from shared.events import BLOB_CREATED, QUEUE, Event, blob_subject
from shared.ledger import Record, State, parse_run_id, run_key


def run_of_upload(container: str, path: str, etag: str) -> str:
    """A write has one run, however often its event arrives: so it can be told from here too."""
    event = _event(
        type=BLOB_CREATED,
        subject=blob_subject(container, path),
        data={"url": f"{LAKE}/{container}/{path}", "eTag": etag.strip('"')},
    )
    return f"retrain-on-upload.{run_key(os.environ['SIGNALBOX_DEPLOYMENT'], event)}"


def run_of_message(message_id: str) -> str:
    """The run of a message, which has one for each message id."""
    event = _event(
        type="Microsoft.ServiceBus.Message",
        via=f"{QUEUE}{os.environ['SIGNALBOX_EVENTS_QUEUE']}",
        messageid=message_id,
    )
    key = run_key(os.environ["SIGNALBOX_DEPLOYMENT"], event, by_message_id=True)
    return f"retrain-on-request.{key}"


def _event(**fields: Any) -> Event:
    return Event.model_validate(
        {"id": "unknown", "source": "unknown", "time": datetime.now(UTC), **fields}
    )


def read(run_id: str) -> Record | None:
    """The record of a run; None while there is none."""
    place = parse_run_id(run_id)
    held = bootstrap.app().ledger.read(*place) if place else None
    return held.record if held else None


def submitted(run_id: str) -> Record | None:
    """The record of a run, once it has a job, or never will."""
    record = read(run_id)
    return None if record is None or record.state is State.SUBMITTING else record


def finished(run_id: str) -> Record | None:
    """The record of a run, once its state is final and all that follows from that is done."""
    # In this order: a record that is read before may still be given its reason.
    ongoing = any(f"{m.trigger}.{m.key}" == run_id for m in bootstrap.app().ledger.open())
    record = read(run_id)
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
