"""The trace that leads from an event to its job, and what is measured on the way.

Every span, metric and attribute has its name here. Only the API of OpenTelemetry is used: without
an SDK, which `functions.exporting` brings where Application Insights is configured, spans and
metrics go nowhere; a trace that came from outside goes on all the same. What others wrote never
becomes an attribute: no payload, no address, no text of an error. Of metrics no attribute tells
one run from the next.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider
from opentelemetry.trace import Link, Span, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.events import BLOB_CREATED, Event

#: The tag of a job that says which trace it belongs to, as W3C's traceparent.
TRACE_TAG = "signalbox_traceparent"

#: An event is taken in: matched and written down, or an order placed that nobody sent.
EVENT_SPAN = "signalbox.event"
#: AzureML is asked for a job.
SUBMIT_SPAN = "signalbox.submit"
#: From the acceptance of an event to the end of its run, told once it is over.
RUN_SPAN = "signalbox.run"
#: One call of the timer.
TICK_SPAN = "signalbox.tick"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Something that is measured. Seconds are a histogram, all else is counted."""

    name: str
    unit: str
    meaning: str
    attributes: tuple[str, ...] = ()


EVENTS = Metric(
    name="signalbox.events",
    unit="{event}",
    meaning="events that came, each delivery",
    attributes=("source",),
)
DECISIONS = Metric(
    name="signalbox.decisions",
    unit="{decision}",
    meaning="what triggers made of events, and why",
    attributes=("source", "trigger", "decision", "reason"),
)
RUNS = Metric(
    name="signalbox.runs",
    unit="{run}",
    meaning="runs that are over, and what they came to",
    attributes=("trigger", "state", "reason"),
)
SUBMIT_LATENCY = Metric(
    name="signalbox.submit.latency",
    unit="s",
    meaning="from an event's acceptance to AzureML's answer that it has the job; storage time, "
    "which counts whole seconds",
    attributes=("trigger",),
)
SUBMIT_DURATION = Metric(
    name="signalbox.submit.duration",
    unit="s",
    meaning="one request to AzureML for a job",
    attributes=("outcome",),
)
SLOT_WAIT = Metric(
    name="signalbox.slot.wait",
    unit="s",
    meaning="from being queued to its turn; storage time",
    attributes=("trigger",),
)
TICK_LAG = Metric(
    name="signalbox.tick.lag",
    unit="s",
    meaning="how much later than a minute after the one before a tick began; storage time",
)
TICK_DURATION = Metric(
    name="signalbox.tick.duration",
    unit="s",
    meaning="one tick",
    attributes=("outcome",),
)
PART_DURATION = Metric(
    name="signalbox.tick.part.duration",
    unit="s",
    meaning="one part of a tick",
    attributes=("part", "outcome"),
)

METRICS = (
    EVENTS,
    DECISIONS,
    RUNS,
    SUBMIT_LATENCY,
    SUBMIT_DURATION,
    SLOT_WAIT,
    TICK_LAG,
    TICK_DURATION,
    PART_DURATION,
)

_NAME = "signalbox"
#: An SDK keeps 128.
MOST_LINKS = 100
#: Seconds.
_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
_OK = "ok"
#: Nothing that is longer is read at all; a traceparent has 55 characters.
_LONGEST = 128
_HEADER = "traceparent"
_AFTER = context.create_key("after")
_PROPAGATOR = TraceContextTextMapPropagator()


def instruments(meter: Meter) -> dict[str, Counter | Histogram]:
    """What measures, by name."""
    found = dict[str, Counter | Histogram]()
    for metric in METRICS:
        about = {"unit": metric.unit, "description": metric.meaning}
        if metric.unit == "s":
            found[metric.name] = meter.create_histogram(
                metric.name, **about, explicit_bucket_boundaries_advisory=_BOUNDS
            )
        else:
            found[metric.name] = meter.create_counter(metric.name, **about)
    return found


_tracer = trace.NoOpTracerProvider().get_tracer(_NAME)
_instruments = instruments(metrics.NoOpMeterProvider().get_meter(_NAME))


def use(tracers: TracerProvider, meters: MeterProvider) -> None:
    """Tell all this to an SDK from now on: to ours, not to one that everybody tells of theirs."""
    global _tracer, _instruments
    _tracer = tracers.get_tracer(_NAME)
    _instruments = instruments(meters.get_meter(_NAME))


def checked(text: object) -> str | None:
    """A traceparent as W3C writes it; None for whatever else somebody sent under that name."""
    found = _extracted(text)
    return None if found is None else _written(found)


def traceparent() -> str | None:
    """The trace that the call under way belongs to."""
    return _written(context.get_current())


@contextmanager
def continued(*candidates: object) -> Iterator[None]:
    """Do what follows in the trace of the first that is one; in the one there is otherwise."""
    found = next((one for text in candidates if (one := _extracted(text)) is not None), None)
    if found is None or _trace_id(found) == _trace_id(context.get_current()):
        yield
        return
    token = context.attach(found)
    try:
        yield
    finally:
        context.detach(token)


def carried(call: Callable[[], None]) -> Callable[[], None]:
    """A call for another thread, which belongs to the trace of this one."""
    here = context.get_current()

    def carry() -> None:
        token = context.attach(here)
        try:
            call()
        finally:
            context.detach(token)

    return carry


@contextmanager
def accepting(event: Event) -> Iterator[None]:
    """An event from outside is taken in: in its sender's trace if it says one, else in this one."""
    source = source_of(event)
    with continued(event.attribute(_HEADER)), _span(EVENT_SPAN, {"source": source}):
        _count(EVENTS, source=source)
        yield


@contextmanager
def after(traceparents: Iterable[str | None]) -> Iterator[None]:
    """What is ordered here comes after others, and refers to their traces: to the first of many."""
    found = [one for text in islice(traceparents, MOST_LINKS) if (one := _extracted(text))]
    token = context.attach(context.set_value(_AFTER, found))
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def ordering(event: Event) -> Iterator[None]:
    """A run is ordered that nobody sent an event for: in a trace of its own.

    It refers to the trace under way, such as the tick's, and to those it comes `after`: of the run
    that it tries again, or of the events of a batch.
    """
    others: Any = context.get_value(_AFTER) or ()
    found = [trace.get_current_span(one) for one in (context.get_current(), *others)]
    about = [span.get_span_context() for span in found]
    links = [Link(one) for one in about if one.is_valid]
    with _span(EVENT_SPAN, {"source": source_of(event)}, within=Context(), links=links):
        yield


@contextmanager
def submitting(*, trigger: str, run: str, job: str, attempt: int) -> Iterator[None]:
    """AzureML is asked for a job."""
    said: dict[str, str | int] = {"trigger": trigger, "run": run, "job": job, "attempt": attempt}
    with _span(SUBMIT_SPAN, said) as span, _timed(SUBMIT_DURATION, span):
        yield


@contextmanager
def ticking() -> Iterator[None]:
    """The timer looks at what is due."""
    with _span(TICK_SPAN, {}) as span, _timed(TICK_DURATION, span):
        yield


@contextmanager
def part(name: str) -> Iterator[None]:
    """One part of that."""
    with _timed(PART_DURATION, None, part=name):
        yield


def tick_lag(seconds: float) -> None:
    """How late a tick began."""
    _took(TICK_LAG, seconds)


def decided(event: Event, trigger: str, decision: str, reason: str | None = None) -> None:
    """What a trigger made of an event: a state, `duplicate` or `no_match`."""
    said = {"trigger": trigger, "decision": decision, "reason": reason or ""}
    _count(DECISIONS, source=source_of(event), **said)


def submitted(trigger: str, accepted: datetime, answered: datetime) -> None:
    """AzureML has the job of a run."""
    _took(SUBMIT_LATENCY, (answered - accepted).total_seconds(), trigger=trigger)


def began(trigger: str, queued: datetime, at: datetime) -> None:
    """A run that was queued has its turn."""
    _took(SLOT_WAIT, (at - queued).total_seconds(), trigger=trigger)


def ended(
    *, trigger: str, run: str, job: str, state: str, reason: str, since: datetime, at: datetime
) -> None:
    """A run is over. Told again when somebody dies just after."""
    _count(RUNS, trigger=trigger, state=state, reason=reason)
    said = {"trigger": trigger, "run": run, "job": job, "state": state, "reason": reason}
    span = _tracer.start_span(RUN_SPAN, attributes=_attributes(said), start_time=_nanos(since))
    if state in ("failed", "dead_letter"):
        span.set_status(Status(StatusCode.ERROR))
    span.end(_nanos(at))


def source_of(event: Event) -> str:
    """The kind of way that an event came, one word."""
    if event.via:
        return event.via.partition("/")[0]
    return "blob" if event.type == BLOB_CREATED else "event"


@contextmanager
def _span(
    name: str,
    said: Mapping[str, str | int],
    *,
    within: Context | None = None,
    links: list[Link] | None = None,
) -> Iterator[Span]:
    # What is raised may quote whoever sent the event, so only its kind is kept.
    with _tracer.start_as_current_span(
        name,
        context=within,
        links=links,
        attributes=_attributes(said),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR))
            span.set_attribute("error.type", type(error).__name__)
            raise


@contextmanager
def _timed(metric: Metric, span: Span | None, **said: str) -> Iterator[None]:
    began, outcome = time.perf_counter(), _OK
    try:
        yield
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        if span is not None:
            span.set_attribute(f"{_NAME}.outcome", outcome)
        _took(metric, time.perf_counter() - began, outcome=outcome, **said)


def _count(metric: Metric, **said: str) -> None:
    counter = _instruments[metric.name]
    assert isinstance(counter, Counter)
    counter.add(1, _known(metric, said))


def _took(metric: Metric, seconds: float, **said: str) -> None:
    histogram = _instruments[metric.name]
    assert isinstance(histogram, Histogram)
    histogram.record(max(seconds, 0.0), _known(metric, said))


def _known(metric: Metric, said: Mapping[str, str]) -> dict[str, str]:
    assert set(said) == set(metric.attributes), metric.name
    return {name: str(value) for name, value in said.items()}


def _attributes(said: Mapping[str, str | int]) -> dict[str, str | int]:
    return {f"{_NAME}.{name}": value for name, value in said.items()}


def _extracted(text: object) -> Context | None:
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    # Into an empty one: what is no traceparent must not be taken for the one under way. What a
    # sender adds for other systems (tracestate, baggage) is left where it was.
    found = _PROPAGATOR.extract({_HEADER: text}, Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


def _written(found: Context) -> str | None:
    carrier = dict[str, str]()
    _PROPAGATOR.inject(carrier, found)
    return carrier.get(_HEADER)


def _trace_id(found: Context) -> int:
    return trace.get_current_span(found).get_span_context().trace_id


def _nanos(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000_000)
