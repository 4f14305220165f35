"""Dry runs: what a trigger would make of an event, with everything that binding says."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from shared import envelopes, groups
from shared.definitions import TriggerDefinition
from shared.errors import EventInvalid, NotFound, RequestInvalid
from shared.events import HTTP, MESSAGE, RUN, Event
from shared.index import Index, IndexedTrigger, Snapshot
from shared.lakes import Lakes
from shared.ledger import Ledger, Reason
from shared.orders import Order, Orders, supposed
from shared.paths import PathPattern
from shared.summaries import EventBrief, Shown, brief, shown, values
from shared.triggers import Matcher, Near
from shared.workspace import JobBody

#: The most blobs that are tried at once.
MAX_BLOBS = 200

_THREADS = 16

#: What an event without an envelope may say besides its data.
_ATTRIBUTES = frozenset({"id", "source", "type", "subject"})

#: No chain of runs is longer; see `Policies.max_depth`.
_DEPTHS = range(101)


class Place(Shown):
    """One thing that is wrong, and where."""

    place: str
    message: str


class Preview(Shown):
    """What one trigger would make of one event."""

    event: EventBrief
    #: `would_wait` is for a batch; what is said of a run is of that of its batch.
    decision: Literal["would_run", "would_wait", "no_match", "would_be_dead_letter", "duplicate"]
    #: What was asked and answered yes, in order.
    passed: list[str] = Field(default_factory=list)
    #: The check that said no.
    check: str | None = None
    captures: dict[str, str] = Field(default_factory=dict)
    #: `name@version`.
    pipeline: str | None = None
    #: Values as a job gets them; data as its path.
    inputs: dict[str, Any] | None = None
    experiment_name: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    compute: str | None = None
    problems: list[Place] = Field(default_factory=list)
    #: The run that it would be, or is already.
    run: str | None = None


class Previews:
    """Asks triggers without consequences: nothing is written, not even history."""

    def __init__(
        self,
        *,
        index: Index,
        orders: Orders,
        ledger: Ledger,
        lakes: Lakes,
        variables: Mapping[str, str],
    ) -> None:
        self._index = index
        self._orders = orders
        self._ledger = ledger
        self._lakes = lakes
        self._variables = variables

    def against(self, trigger: str, event: Event) -> Preview:
        """What a trigger would make of an event; see `arriving` for one that has not come.

        Raises NotFound, EventInvalid, StorageUnavailable.
        """
        snapshot = self._index.read().snapshot
        return self._preview(_named(snapshot, trigger), event, snapshot)

    def against_blobs(self, trigger: str, limit: int = 20, prefix: str = "") -> list[Preview]:
        """What a blob trigger would make of blobs that lie there now, by name.

        Those whose path begins as its pattern does, or with `prefix`. Raises NotFound,
        RequestInvalid when it is not for blobs or the limit is not 1 to 200, StorageUnavailable.
        """
        snapshot = self._index.read().snapshot
        indexed = _named(snapshot, trigger)
        blob = indexed.definition.spec.blob
        if not 1 <= limit <= MAX_BLOBS:
            raise RequestInvalid(
                "These blobs cannot be tried", {"limit": f"is not 1 to {MAX_BLOBS}"}
            )
        if blob is None:
            source = indexed.definition.spec.source
            instead = (
                "see `signalbox schedules`" if source == "schedule" else "send an event instead"
            )
            raise RequestInvalid(
                f"Trigger {trigger} is not for blobs",
                {"blobs": f"its source is {source}; {instead}"},
            )
        under = prefix or PathPattern(blob.path).prefix
        uploads = self._lakes.list(blob.account, blob.container, under, limit)
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(
                pool.map(lambda upload: self._of_upload(indexed, upload.event(), snapshot), uploads)
            )

    def of(self, order: Order) -> Preview:
        """What would become of an order. Raises StorageUnavailable."""
        told = Preview(
            event=brief(order.event), decision="would_run", captures=dict(order.captures)
        )
        return self._bound(told, order, self._index.read().snapshot)

    def _of_upload(self, trigger: IndexedTrigger, event: Event, snapshot: Snapshot) -> Preview:
        try:
            return self._preview(trigger, event, snapshot)
        except EventInvalid as error:
            return _dead(Preview(event=brief(event), decision="no_match"), {"event": str(error)})

    def _preview(self, trigger: IndexedTrigger, event: Event, snapshot: Snapshot) -> Preview:
        name = trigger.definition.name
        verdict = Matcher({name: trigger}, self._variables).judge(trigger, event)
        told = Preview(event=brief(event), decision="no_match", passed=list(verdict.passed))
        if isinstance(verdict, Near):
            return told.model_copy(update={"check": verdict.check})
        order = self._orders.matched(event, verdict)
        told = told.model_copy(update={"captures": verdict.captures, "run": order.run_id})
        if (batch := trigger.definition.policies.batch) is not None:
            values = groups.of(batch.group_by, verdict.captures).values
            made = self._orders.happened(name, order.key, values, event.time)
            told = self._bound(told, self._orders.batch(trigger, order.key, made, {}), snapshot)
            if told.decision == "would_run":
                told = told.model_copy(update={"decision": "would_wait"})
        else:
            told = self._bound(told, order, snapshot)
        if self._ledger.read(order.trigger, order.key) is not None:
            return told.model_copy(update={"decision": "duplicate"})
        return told

    def _bound(self, told: Preview, order: Order, snapshot: Snapshot) -> Preview:
        """With the job that an order would become, or what is wrong with it."""
        pipeline, bound = self._orders.bind(supposed(order), snapshot)
        version = f"{pipeline.name}@{pipeline.version}" if pipeline else None
        told = told.model_copy(update={"pipeline": version})
        if isinstance(bound, Reason):
            told = _dead(told, {"action.pipeline": bound.text})
        elif order.depth > order.max_depth:
            told = _dead(
                told,
                {
                    "policies.max_depth": f"allows {order.max_depth} runs one after the other; "
                    f"this would be number {order.depth}"
                },
            )
        elif bound.body is None:
            told = _dead(told, bound.problems)
        else:
            told = told.model_copy(update={"decision": "would_run", **_job(bound.body)})
        return told


def _named(snapshot: Snapshot, name: str) -> IndexedTrigger:
    found = snapshot.triggers.get(name)
    if found is None:
        there = ", ".join(sorted(snapshot.triggers)) or "none"
        raise NotFound(f"There is no trigger {shown(name)!r}. There are: {there}.")
    return found


def arriving(
    trigger: TriggerDefinition, content: Mapping[str, Any], *, id: str, source: str, now: datetime
) -> Event:
    """An event as it would have come the way that a trigger waits for.

    `content` is an event in an envelope or, unless the trigger is for uploads, {"data": …} and, if
    it likes, an id, source, type and subject; what it does not say is as given, and as the trigger
    wants it. Raises RequestInvalid, EventInvalid.
    """
    spec, enveloped = trigger.spec, envelopes.is_enveloped(content)
    if spec.schedule:
        raise RequestInvalid(
            f"Trigger {trigger.name} is a schedule, and takes no events",
            {
                "event": f"`signalbox schedules next {trigger.name}` tells its times, and "
                f"`signalbox backfill {trigger.name} --since TIME --dry-run` what would become of "
                "those past"
            },
        )
    loose = "data" in content and content.keys() <= {"data", *_ATTRIBUTES} and not spec.blob
    if not (enveloped or loose):
        raise RequestInvalid(
            "This is no event",
            {
                "event": "must be a CloudEvent or an event of Event Grid; all triggers but those "
                'of uploads also take {"data": …} with an id, source, type and subject if you like'
            },
        )
    if spec.run:
        content = {**content, "data": _end(content.get("data"))}
    data = content.get("data")
    via = _via(trigger, data)
    if not enveloped:
        wanted = spec.event.source if spec.event else None
        said: dict[str, Any] = {
            "id": id,
            "source": wanted or source,
            "type": _type(trigger, data),
            "subject": "",
            **{name: value for name, value in content.items() if name in _ATTRIBUTES},
        }
        return envelopes.request(data, via=via, now=now, **said)
    found = envelopes.parse(content, via=via, now=now)
    if not found:
        why = "is a write to storage that is not finished"
        raise RequestInvalid("This is no event yet", {"event": why})
    return found[0]


def _via(trigger: TriggerDefinition, data: Any) -> str:
    spec = trigger.spec
    if spec.service_bus:
        return spec.service_bus.via
    if spec.http:
        return f"{HTTP}{trigger.name}"
    return f"{RUN}{data.get('pipeline') or ''}" if spec.run else ""


def _type(trigger: TriggerDefinition, data: Any) -> str:
    if trigger.spec.service_bus:
        return MESSAGE
    if trigger.spec.event:
        return trigger.spec.event.type
    return f"signalbox.run.{data['status']}" if trigger.spec.run else "signalbox.http"


def _end(data: Any) -> dict[str, Any]:
    """What the end of a run says of itself, with the depth that it always has."""
    depth = data.get("depth", 0) if isinstance(data, dict) else None
    if type(depth) is not int or depth not in _DEPTHS:
        raise RequestInvalid(
            "This is not the end of a run",
            {"event.data": "must be an object; its depth is 0 to 100"},
        )
    return {"pipeline": None, "trigger": None, "status": None, **data, "depth": depth}


def _job(body: JobBody) -> dict[str, Any]:
    return {
        "inputs": values(body),
        "experiment_name": body.experiment_name,
        "tags": body.tags,
        "compute": body.settings.get("default_compute"),
    }


def _dead(told: Preview, problems: Mapping[str, str]) -> Preview:
    places = [Place(place=place, message=shown(why)) for place, why in sorted(problems.items())]
    return told.model_copy(update={"decision": "would_be_dead_letter", "problems": places})
