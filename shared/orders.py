"""The runs that are wanted: by a trigger for an event, by a client, or once more.

An order says everything that a run is made from. Binding one changes nothing, so that a dry run
is the same code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared import binding, expressions
from shared.binding import Bound, Origin
from shared.datastores import Datastores
from shared.definitions import MANUAL_TRIGGER, Action, TriggerDefinition
from shared.errors import ExpressionInvalid, listed
from shared.events import BATCH, BATCH_TYPE, MANUAL, RUN, Event
from shared.groups import Group
from shared.index import IndexedTrigger, Paused, Snapshot
from shared.inputs import redacted
from shared.ledger import Reason, Record, run_key
from shared.policies import Policies
from shared.published import Published, PublishedPipeline
from shared.replay_states import slot_of
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
        trigger, policies = match.trigger, match.trigger.policies
        if match.paused and match.paused.while_paused:
            policies = policies.model_copy(update={"while_paused": match.paused.while_paused})
        return Order(
            trigger=trigger.name,
            key=self.key(trigger, event),
            event=event,
            action=trigger.action,
            captures=match.captures,
            policies=policies,
            paused=match.paused,
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
