"""What was decided, in words for a person who does not know how Signalbox works."""

from datetime import datetime

from shared.definitions import TriggerDefinition
from shared.events import BATCH_TYPE, BLOB_CREATED, DUE_TYPE, PROMPTED_TYPE, QUEUE, TOPIC, Event
from shared.ledger import Reason, State
from shared.summaries import EventBrief, FullEvent, RunSummary, shown, stamp

_STATES = {
    State.WAITING_BATCH: "waits for its batch",
    State.BATCHED: "is in a batch",
    State.HELD: "is held",
    State.QUEUED: "waits for its turn",
    State.SKIPPED: "was skipped",
    State.MISSED: "was missed",
    State.WAITING_COMPUTE: "waits for its compute",
    State.SUBMITTING: "is being handed to AzureML",
    State.SUBMITTED: "is in AzureML's hands and has not begun",
    State.RUNNING: "is running",
    State.COMPLETED: "is completed",
    State.FAILED: "has failed",
    State.CANCELED: "was canceled",
    State.DEAD_LETTER: "is a dead letter",
}

#: What happened when a state was reached.
_REACHED = {
    State.WAITING_BATCH: "it began to wait for its batch",
    State.BATCHED: "a batch took it",
    State.HELD: "it was held",
    State.QUEUED: "it began to wait for its turn",
    State.SKIPPED: "it was skipped",
    State.MISSED: "it was missed",
    State.WAITING_COMPUTE: "it began to wait for its compute",
    State.SUBMITTING: "its job was written down, to be handed to AzureML",
    State.SUBMITTED: "AzureML had its job",
    State.RUNNING: "its job was seen running",
    State.COMPLETED: "its job was seen completed",
    State.FAILED: "it was seen to have failed",
    State.CANCELED: "it was canceled",
    State.DEAD_LETTER: "it became a dead letter",
}

#: What a check begins with, and how it reads when the answer was no.
_NO = {
    "path ": "{check} does not fit",
    "subject ": "{check} does not fit",
    "filter ": "{check} does not hold",
    "where ": "{check} is not true of it",
    "not before ": "it was there before the trigger was first published, at {rest}",
    "uploaded to ": "it was not {check}",
    "came by ": "it did not come by {rest}",
    "handed to it ": "it was not {check}",
    "the end of a run": "it is not {check}",
    "due by its schedule": "it is not {check}",
    "run of ": "it is not a {check}",
    "status ": "it did not end with {check}",
    "type ": "it is not of {check}",
    "source ": "it is not of {check}",
}


def refusal(check: str) -> str:
    """Why a trigger said no, from the check that it names."""
    text = shown(check)
    for beginning, words in _NO.items():
        if text.startswith(beginning):
            return words.format(check=text, rest=text.removeprefix(beginning))
    return f"{text} does not hold"


def standing(state: State, reason: Reason | None) -> str:
    """Where a run is: "has failed: no rows"."""
    return f"{_STATES[state]}{f': {sentence(reason.text)}' if reason else ''}"


def reached(state: State) -> str:
    """What happened when a run came to a state: "AzureML had its job"."""
    return _REACHED[state]


def run(summary: RunSummary) -> str:
    """A run and where it is, without a full stop: "run a.b, which is running"."""
    if summary.state in (State.WAITING_BATCH, State.BATCHED):
        return f"it {standing(summary.state, summary.reason)}"
    return f"run {summary.id}, which {standing(summary.state, summary.reason)}"


def happening(event: EventBrief | None) -> str:
    """What happened: "the upload of landing/a.csv"."""
    if event is None:
        return "an event"
    subject = event.subject
    if event.type == BLOB_CREATED:
        path = subject.removeprefix("/blobServices/default/containers/").replace("/blobs/", "/", 1)
        return f"the upload of {shown(path)}"
    if event.type == DUE_TYPE:
        return f"the time {shown(event.id)} of its schedule"
    if event.type == PROMPTED_TYPE:
        return f"a request to run it at {stamp(event.time)}"
    if event.type == BATCH_TYPE:
        return f"the batch of {shown(subject)}"
    if event.type.startswith("signalbox.run."):
        return f"the end of run {shown(subject)}"
    if event.source.startswith("servicebus:"):
        number = event.id.partition("@")[0]
        return f"message {shown(number)} of {entity(event.source.removeprefix('servicebus:'))}"
    return f"event {shown(event.id)} of type {shown(event.type)}"


def sweeping(event: Event | FullEvent) -> str | None:
    """When a sweep found what no event had told of; None when an event came."""
    try:
        at = datetime.fromisoformat(str((event.model_extra or {}).get("sweptat")))
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return f"no event had told of it; a sweep found it at {stamp(at)}"


def entity(via: str) -> str:
    """A queue or a topic's subscription, from the way by which its messages come."""
    if via.startswith(QUEUE):
        return f"queue {shown(via.removeprefix(QUEUE))}"
    if via.startswith(TOPIC):
        topic, _, subscription = via.removeprefix(TOPIC).partition("/")
        return f"subscription {shown(subscription)} of topic {shown(topic)}"
    return shown(via)


def listening(trigger: TriggerDefinition) -> str:
    """What a trigger waits for: "waits for uploads to contosolake/landing …"."""
    spec = trigger.spec
    if spec.blob:
        return (
            f"waits for uploads to {spec.blob.account}/{spec.blob.container} whose path is "
            f"{spec.blob.path}"
        )
    if spec.service_bus:
        return f"waits for messages of {entity(spec.service_bus.via)}"
    if spec.http:
        return f"waits for POST /api/triggers/{trigger.name}/events"
    if spec.event:
        source = f" from {spec.event.source}" if spec.event.source else ""
        return f"waits for events of type {spec.event.type}{source}"
    if spec.schedule:
        return f"is due {spec.schedule.text}"
    assert spec.run
    of = f" of pipeline {spec.run.pipeline}" if spec.run.pipeline else ""
    by = f" of trigger {spec.run.trigger}" if spec.run.trigger else ""
    return f"waits for runs{of}{by} that end with {' or '.join(spec.run.status)}"


def sentence(text: str) -> str:
    """Text from outside at the end of a sentence, whose full stop is still to come."""
    return shown(text.strip()).rstrip(".")
