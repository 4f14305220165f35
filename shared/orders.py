"""The runs that are wanted: by a trigger for an event, by a client, or once more.

An order says everything that a run is made from. Binding one changes nothing, so that a dry run
is the same code.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from shared import binding, expressions
from shared.binding import Bound, Origin
from shared.datastores import Datastores
from shared.definitions import MANUAL_TRIGGER, Action, TriggerDefinition
from shared.errors import ExpressionInvalid, listed
from shared.events import (
    BATCH,
    BATCH_TYPE,
    DUE_TYPE,
    MANUAL,
    PROMPTED_TYPE,
    RUN,
    SCHEDULE,
    Event,
)
from shared.groups import Group
from shared.index import IndexedTrigger, Paused, Snapshot
from shared.inputs import redacted
from shared.ledger import Reason, Record, State, run_key
from shared.policies import Policies
from shared.published import Published, PublishedPipeline
from shared.recurrences import Recurrence
from shared.replay_states import slot_of
from shared.specs import ScheduleSpec
from shared.triggers import Match, roots

#: Stands for the manifest where there is none yet.
NOT_YET = "azureml://datastores/workspaceblobstore/paths/signalbox/not-yet.jsonl"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A run that is wanted: what of, for which event, and under which key."""

    trigger: str
    key: str
    event: Event
    action: Action
    captures: Mapping[str, str]
    #: What bounds the run; None for one that a client asked for.
    policies: Policies | None = None
    #: Its trigger starts nothing for now.
    paused: Paused | None = None
    #: A slot of its own with a limit of its own, whatever its trigger's policies: a replay's.
    own_slot: tuple[str, int] | None = None
    #: The run that this one tries again, and the replay that does it with many.
    replay_of: str | None = None
    replay: str | None = None
    #: What is written down in place of a run, and why.
    instead: tuple[State, Reason] | None = None
    #: The events of a batch, by key, and what each is about.
    members: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        return f"{self.trigger}.{self.key}"

    @property
    def max_depth(self) -> int:
        """How many runs may come one after the other; 0 for one that none can come before."""
        return self.policies.max_depth if self.policies else 0

    @property
    def depth(self) -> int:
        """How many runs came before it, each started by the end of the one before."""
        return int(self.event.data["depth"]) + 1 if self.event.via.startswith(RUN) else 0


class Orders:
    """Makes orders, and binds them to what is published."""

    def __init__(
        self,
        *,
        deployment: str,
        variables: Mapping[str, str],
        published: Published,
        datastores: Datastores | None = None,
    ) -> None:
        self._deployment = deployment
        self._variables = variables
        self._published = published
        self._datastores = datastores or {}

    def matched(self, event: Event, match: Match) -> Order:
        """The run that a match asks for."""
        trigger = match.trigger
        return Order(
            trigger=trigger.name,
            key=self.key(trigger, event),
            event=event,
            action=trigger.action,
            captures=match.captures,
            policies=_policies(trigger, match.paused),
            paused=match.paused,
        )

    def occurrence(
        self, indexed: IndexedTrigger, scheduled: datetime, *, manifest: str | None = None
    ) -> Order:
        """The run of one time of a trigger's schedule.

        `manifest` is the address of its list of new uploads, where its schedule asks for these.
        """
        trigger = indexed.definition
        event = due(indexed, scheduled, manifest=manifest)
        return Order(
            trigger=trigger.name,
            key=self.key(trigger, event),
            event=event,
            action=trigger.action,
            captures={},
            policies=_policies(trigger, indexed.paused),
            paused=indexed.paused,
        )

    def batch(
        self, trigger: IndexedTrigger, key: str, event: Event, members: Mapping[str, str]
    ) -> Order:
        """The run of a batch; the event says what its members have in common."""
        return Order(
            trigger=trigger.definition.name,
            key=key,
            event=event,
            action=trigger.definition.action,
            captures={},
            policies=trigger.definition.policies,
            paused=trigger.paused,
            members=members,
        )

    def happened(
        self,
        trigger: str,
        key: str,
        values: Mapping[str, str],
        at: datetime,
        *,
        manifest: str = NOT_YET,
        events: int = 0,
    ) -> Event:
        """That so many events, which have these values in common, became one batch."""
        return Event(
            id=f"{trigger}.{key}",
            source=f"/signalbox/{self._deployment}",
            type=BATCH_TYPE,
            subject=Group(values=values).text,
            time=at,
            data={"group": dict(values), "manifest": manifest, "events": events},
            via=f"{BATCH}{trigger}",
        )

    def left_over(self, trigger: str, key: str, event: Event, members: Mapping[str, str]) -> Order:
        """What stands for the run of a batch whose trigger makes none any more."""
        action = Action.model_construct(pipeline="")
        return Order(
            trigger=trigger, key=key, event=event, action=action, captures={}, members=members
        )

    def key(self, trigger: TriggerDefinition, event: Event) -> str:
        """The key under which a trigger's run of an event is kept."""
        spec = trigger.spec.service_bus
        by_message_id = spec is not None and spec.dedupe_by == "message_id"
        return run_key(self._deployment, event, by_message_id=by_message_id)

    def requested(self, event: Event) -> Order:
        """What a client asks for: its values are found in the event, they are no expressions."""
        data = event.data if isinstance(event.data, dict) else {}
        given: dict[str, Any] = {
            name: f"${{{{ event.data.{name} }}}}"
            for name in ("experiment_name", "compute")
            if data.get(name) is not None
        }
        action = Action.model_construct(
            pipeline=event.via.removeprefix(MANUAL),
            inputs={name: _found_in("inputs", name) for name in data.get("inputs") or {}},
            tags={name: _found_in("tags", name) for name in data.get("tags") or {}},
            force_rerun=data.get("force_rerun"),
            **given,
        )
        return Order(
            trigger=MANUAL_TRIGGER,
            key=run_key(self._deployment, event),
            event=event,
            action=action,
            captures={},
        )

    def again(self, record: Record, order: Order) -> Order:
        """An order for what a run was for, under a key of its own: one retry for each run."""
        replay = f"retry of {record.run_id}"
        return replace(
            order,
            key=run_key(self._deployment, record.event, replay=replay),
            replay_of=record.run_id,
        )

    def replayed(self, record: Record, order: Order, replay: str, limit: int) -> Order:
        """An order for what a run was for, under a key of a replay and in a slot of its own."""
        return replace(
            order,
            key=run_key(self._deployment, record.event, replay=replay),
            replay_of=record.run_id,
            replay=replay,
            own_slot=(slot_of(replay), limit),
            # A replay itself waits while its trigger is paused.
            paused=None,
        )

    def backfilled(self, order: Order, *, replay: str, limit: int) -> Order:
        """An order for a time of a schedule, under a key of a backfill and in a slot of its own."""
        return replace(
            order,
            key=run_key(self._deployment, order.event, replay=replay),
            replay=replay,
            own_slot=(slot_of(replay), limit),
            # A backfill itself waits while its schedule is paused.
            paused=None,
        )

    def prompted(self, indexed: IndexedTrigger, now: datetime, *, by: str, key: str) -> Order:
        """The run of a schedule that somebody asks for now, once for each key of theirs."""
        order = self.occurrence(indexed, now)
        digest = hashlib.sha256(json.dumps([by, key]).encode()).hexdigest()
        update = {"id": f"asked-for-{digest[:16]}", "type": PROMPTED_TYPE}
        event = order.event.model_copy(update=update)
        # A person may want to see it run just while it is paused.
        return replace(order, key=run_key(self._deployment, event), event=event, paused=None)

    def bind(
        self, order: Order, snapshot: Snapshot
    ) -> tuple[PublishedPipeline | None, Bound | Reason]:
        """What an order would run; a Reason says why it can run nothing. Changes nothing."""
        values = roots(order.event, order.captures, self._variables)
        try:
            name = binding.pipeline_of(order.action, values)
        except ExpressionInvalid as error:
            return None, Reason(code="pipeline_not_allowed", text=redacted(str(error)))
        pipeline = self._published.resolve(snapshot, name)
        if pipeline is None:
            there = listed(sorted(snapshot.pipelines))
            text = f"No pipeline named {name!r} is published; publish it. There are: {there}."
            return None, Reason(code="pipeline_missing", text=text)
        origin = Origin(
            deployment=self._deployment,
            trigger=order.trigger,
            run_id=order.run_id,
            event=order.event,
            replay_of=order.replay_of,
        )
        bound = binding.bind(order.action, pipeline, values, origin, self._datastores)
        return pipeline, _with_concurrency(bound, order, values)


def due(indexed: IndexedTrigger, scheduled: datetime, *, manifest: str | None = None) -> Event:
    """That a time of a trigger's schedule came."""
    trigger = indexed.definition
    spec = trigger.spec.schedule
    assert spec is not None
    begins = _window_start(spec, indexed.anchor, scheduled)
    data = {
        "scheduled_time": _instant(scheduled),
        "window_start": _instant(begins),
        "window_end": _instant(scheduled),
        **({"manifest": manifest} if manifest else {}),
    }
    return _came(trigger.name, scheduled, data)


def backfill_key(deployment: str, trigger: str, scheduled: datetime, *, replay: str) -> str:
    """The key of the run that a backfill makes of a time, whatever its schedule says by now."""
    return run_key(deployment, _came(trigger, scheduled, {}), replay=replay)


def _came(trigger: str, scheduled: datetime, data: dict[str, Any]) -> Event:
    return Event(
        id=_instant(scheduled),
        source=f"/signalbox/schedules/{trigger}",
        type=DUE_TYPE,
        subject=trigger,
        time=scheduled,
        data=data,
        via=f"{SCHEDULE}{trigger}",
    )


def listed_in(
    order: Order, manifest: str, *, since: datetime, until: datetime, blobs: int
) -> Order:
    """An order of a schedule with the address of its list of new uploads, and what that is of."""
    told = {"since": since.isoformat(), "until": until.isoformat(), "blobs": blobs}
    data = {**order.event.data, "manifest": manifest, "new_blobs": told}
    return replace(order, event=order.event.model_copy(update={"data": data}))


def supposed(order: Order) -> Order:
    """An order as a dry run takes it, in which nothing is listed."""
    if not order.event.via.startswith(SCHEDULE) or "manifest" in order.event.data:
        return order
    data = {**order.event.data, "manifest": NOT_YET}
    return replace(order, event=order.event.model_copy(update={"data": data}))


def _window_start(spec: ScheduleSpec, anchor: datetime, scheduled: datetime) -> datetime:
    """The time of the schedule before; before the first one, the one there would have been."""
    before = next(Recurrence(spec, anchor).before(scheduled), None)
    if before is not None:
        return before
    if spec.every is not None:
        return scheduled - spec.every
    unbounded = spec.model_copy(update={"start_time": None})
    return next(Recurrence(unbounded, anchor).before(scheduled), scheduled)


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _policies(trigger: TriggerDefinition, paused: Paused | None) -> Policies:
    """What bounds a trigger's runs, as whoever paused it said."""
    policies = trigger.policies
    if paused and paused.while_paused:
        return policies.model_copy(update={"while_paused": paused.while_paused})
    return policies


def _with_concurrency(bound: Bound, order: Order, values: Mapping[str, Any]) -> Bound:
    """With the text of its concurrency key, or what is wrong with that."""
    key = order.policies.concurrency.key if order.policies else None
    if key is None:
        return bound
    try:
        found = redacted(expressions.as_text(expressions.evaluate(key, values)))
    except ExpressionInvalid as error:
        problems = {**bound.problems, "policies.concurrency.key": redacted(str(error))}
        return replace(bound, body=None, problems=problems)
    return replace(bound, concurrency=found)


def _found_in(part: str, name: str) -> str:
    """The expression that finds a client's value, whatever name the client gave it."""
    # JMESPath's quoted names are JSON; a plain brace could end the expression.
    quoted = json.dumps(name).replace("}", "\\u007d")
    return f"${{{{ event.data.{part}.{quoted} }}}}"
