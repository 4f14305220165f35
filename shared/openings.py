"""The first state of a record: what an order is when it is written down. Writes nothing."""

from datetime import datetime

from shared import telemetry
from shared.binding import Bound
from shared.compute import Computes, Standing, computes_of
from shared.events import SCHEDULE
from shared.index import Paused, Snapshot
from shared.ledger import Attempt, Reason, Record, State, Transition, job_name
from shared.orders import Order
from shared.places import Place, waiting_compute
from shared.policies import Policies
from shared.published import PublishedPipeline
from shared.slots import slot_of
from shared.workspace import JobBody

#: The pipeline that an order would run, and its job or what stands in its way.
Binding = tuple[PublishedPipeline | None, Bound | Reason]

#: Characters that are kept of what a concurrency key comes to.
_LABEL_LENGTH = 200


class Openings:
    """Makes records of orders."""

    def __init__(self, *, deployment: str, computes: Computes) -> None:
        self._deployment = deployment
        self._computes = computes

    def open(self, order: Order, at: datetime, binding: Binding, snapshot: Snapshot) -> Record:
        """The record in its first state, but for its turn: `held`, `skipped`, `missed` or a dead
        letter, or with a frozen job `submitting`, or `waiting_compute` while its compute is not
        there.
        """
        policies = policies_of(order)
        record = Record(
            trigger=order.trigger,
            key=order.key,
            state=State.SUBMITTING,
            event=order.event,
            depth=order.depth,
            replay_of=order.replay_of,
            replay=order.replay,
            members=tuple(order.members),
            abouts=tuple(order.members.values()),
            slot=slot_of_order(order, binding),
            max_attempts=policies.retry.max_attempts,
            run_timeout=policies.run_timeout,
            traceparent=telemetry.traceparent(),
            transitions=(Transition(state=State.SUBMITTING, at=at),),
        )
        if record.depth > order.max_depth:
            text = (
                f"{record.depth} runs came one after the other, each started by the end of the one "
                f"before; policies.max_depth is {order.max_depth}."
            )
            return first_in(record, State.DEAD_LETTER, at, Reason(code="depth_exceeded", text=text))
        if order.instead is not None:
            state, reason = order.instead
            return first_in(record, state, at, reason)
        pipeline, bound = binding
        if pipeline is not None:
            record = record.model_copy(update={"pipeline": f"{pipeline.name}@{pipeline.version}"})
        if order.paused is not None:
            held = policies.while_paused == "hold"
            state = State.HELD if held else State.SKIPPED
            return first_in(record, state, at, _paused(order.trigger, order.paused, held=held))
        if isinstance(bound, Reason):
            return first_in(record, State.DEAD_LETTER, at, bound)
        if bound.body is None:
            return first_in(
                record, State.DEAD_LETTER, at, Reason(code="input_missing", text=bound.text)
            )
        name = job_name(self._deployment, order.trigger, order.key, attempt=1)
        attempt = Attempt(number=1, job_name=name, submitting_at=at)
        body = _traced(bound.body, record.traceparent)
        record = record.model_copy(update={"body": body, "attempts": (attempt,)})
        standing = self._standing(bound.body, snapshot)
        record = record.model_copy(update={"warnings": standing.drift})
        if standing.waiting:
            reason = waiting_compute(standing.waiting)
            return first_in(record, State.WAITING_COMPUTE, at, reason)
        return record

    def _standing(self, body: JobBody, snapshot: Snapshot) -> Standing:
        """What is known of the job's computes. Those that nobody defined cost no request."""
        return self._computes.look(computes_of(body) & snapshot.computes.keys())


def _traced(body: JobBody, traceparent: str | None) -> JobBody:
    """A job's body that says which trace it belongs to, where there is one."""
    if traceparent is None:
        return body
    return body.model_copy(update={"tags": {**body.tags, telemetry.TRACE_TAG: traceparent}})


def slot_of_order(order: Order, binding: Binding) -> str | None:
    """The slot that a run takes; None when nothing bounds it, or there will be no run."""
    _, bound = binding
    if isinstance(bound, Reason) or bound.body is None or order.instead is not None:
        return None
    if order.own_slot:
        return order.own_slot[0]
    bounded = order.policies is not None and order.policies.bounded
    return slot_of(bound.concurrency) if bounded else None


def place_of(order: Order, record: Record, binding: Binding) -> Place:
    _, bound = binding
    assert isinstance(bound, Bound)
    assert record.slot is not None
    policies = policies_of(order)
    # Of a batch another thing is meant: it stays open meanwhile.
    of_time = order.event.via.startswith(SCHEDULE) and order.own_slot is None
    return Place(
        trigger=order.trigger,
        slot=record.slot,
        label=(bound.concurrency or "")[:_LABEL_LENGTH],
        policies=policies,
        own_limit=order.own_slot[1] if order.own_slot else None,
        most_waiting=1 if of_time and policies.overlap == "buffer_one" else None,
    )


def policies_of(order: Order) -> Policies:
    """What bounds an order's run; defaults, of which none counts, for one a client asked for."""
    return order.policies or Policies()


def _paused(trigger: str, paused: Paused, *, held: bool) -> Reason:
    then = (
        f"resume it with `signalbox triggers resume {trigger}`"
        if held
        else "what comes meanwhile is dropped"
    )
    return Reason(code="paused", text=f"Trigger {trigger} is paused {paused.text}; {then}.")


def first_in(record: Record, state: State, at: datetime, reason: Reason) -> Record:
    """A record that begins in another state."""
    return record.model_copy(
        update={
            "state": state,
            "reason": reason,
            "transitions": (Transition(state=state, at=at),),
        }
    )
