"""Spans and metrics of the real rooms, with OpenTelemetry's SDK in memory."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared import telemetry
from shared.definitions import TriggerDefinition
from shared.errors import WorkspaceUnavailable
from shared.ledger import LEASE, Record, State
from tests.unit.pages import page
from tests.unit.scene import PIPELINE, TRIGGER, Scene, event, fail, trigger

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENDER = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "sig=c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"


@dataclass
class Seen:
    """What an SDK would export."""

    spans_: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        return [span for span in self.spans_.get_finished_spans() if name in (None, span.name)]

    def span(self, name: str, source: str | None = None) -> ReadableSpan:
        """The only one, of events from that source."""
        [found] = [
            span
            for span in self.spans(name)
            if source in (None, (span.attributes or {}).get("signalbox.source"))
        ]
        return found

    def metrics(self) -> dict[str, Any]:
        """Name -> the metric, as far as anything was measured since last asked."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, metric: telemetry.Metric) -> list[Any]:
        found = self.metrics().get(metric.name)
        return list(found.data.data_points) if found else []

    def counted(self, metric: telemetry.Metric) -> dict[tuple[Any, ...], int]:
        return {
            tuple(point.attributes[name] for name in metric.attributes): point.value
            for point in self.points(metric)
        }


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    seen = Seen()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(seen.spans_))
    meters = MeterProvider([seen.reader])
    monkeypatch.setattr(telemetry, "_tracer", tracers.get_tracer("test"))
    monkeypatch.setattr(telemetry, "_instruments", telemetry.instruments(meters.get_meter("test")))
    yield seen
    tracers.shutdown()
    meters.shutdown()


@pytest.fixture
def here() -> Scene:
    here = Scene()
    here.publish(trigger())
    return here


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return trace.format_trace_id(span.context.trace_id)


def written(span: ReadableSpan) -> str:
    assert span.context is not None
    return (
        f"00-{trace_of(span)}-{trace.format_span_id(span.context.span_id)}"
        f"-{span.context.trace_flags:02x}"
    )


def tag(record: Record) -> str | None:
    assert record.body is not None
    return record.body.tags.get(telemetry.TRACE_TAG)


def test_an_event_a_record_and_its_job_are_one_trace(here: Scene, seen: Seen) -> None:
    here.dispatcher.handle(event())

    taken, asked = seen.span(telemetry.EVENT_SPAN), seen.span(telemetry.SUBMIT_SPAN)
    assert asked.parent is not None
    assert taken.context is not None
    assert asked.parent.span_id == taken.context.span_id
    assert here.record().traceparent == tag(here.record()) == written(taken)
    assert asked.attributes == {
        "signalbox.trigger": TRIGGER,
        "signalbox.run": here.record().run_id,
        "signalbox.job": here.record().attempt.job_name,
        "signalbox.attempt": 1,
        "signalbox.outcome": "ok",
    }


def test_the_sender_s_trace_goes_on(here: Scene, seen: Seen) -> None:
    with telemetry.continued(SENDER):
        here.dispatcher.handle(event())

    assert {trace_of(span) for span in seen.spans()} == {TRACE}
    assert (tag(here.record()) or "").split("-")[1] == TRACE


def test_an_event_s_own_trace_counts_more_than_that_of_the_call(here: Scene, seen: Seen) -> None:
    with telemetry.continued(f"00-{'1' * 32}-{'2' * 16}-01"):
        here.dispatcher.handle(event().model_copy(update={"traceparent": SENDER}))

    assert trace_of(seen.span(telemetry.EVENT_SPAN)) == TRACE


def test_without_an_sdk_a_sender_s_trace_reaches_the_job_all_the_same(here: Scene) -> None:
    with telemetry.continued(SENDER):
        here.dispatcher.handle(event())

    assert tag(here.record()) == here.record().traceparent == SENDER


def test_without_an_sdk_and_a_sender_s_trace_there_is_none(here: Scene) -> None:
    here.dispatcher.handle(event())

    assert here.record().traceparent is None
    assert tag(here.record()) is None


def test_what_the_tick_submits_later_is_of_the_event_s_trace(here: Scene, seen: Seen) -> None:
    fail(here.world, "PUT", WorkspaceUnavailable("AzureML answered 503"))
    here.dispatcher.handle(event())
    here.world.pass_time(LEASE.total_seconds() + 1)
    with telemetry.continued(SENDER):
        here.tick.run()

    taken = seen.span(telemetry.EVENT_SPAN)
    failed, asked = seen.spans(telemetry.SUBMIT_SPAN)
    assert here.record().state is State.SUBMITTED
    assert trace_of(failed) == trace_of(asked) == trace_of(taken)
    assert failed.attributes is not None
    assert failed.attributes["signalbox.outcome"] == "WorkspaceUnavailable"
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert trace_of(seen.span(telemetry.TICK_SPAN)) == TRACE


def test_a_run_is_a_span_from_its_event_to_its_end(here: Scene, seen: Seen) -> None:
    here.dispatcher.handle(event())
    here.world.pass_time(120)
    for name in here.workspace.jobs:
        here.workspace.end(name, "Failed")
    here.tick.run()

    ran, record = seen.span(telemetry.RUN_SPAN), here.record()
    assert trace_of(ran) == trace_of(seen.span(telemetry.EVENT_SPAN, "blob"))
    assert ran.end_time is not None
    assert ran.start_time is not None
    assert (ran.end_time - ran.start_time) / 1e9 >= 120
    assert ran.status.status_code is trace.StatusCode.ERROR
    assert ran.attributes is not None
    assert ran.attributes["signalbox.state"] == "failed"
    assert seen.counted(telemetry.RUNS) == {(TRIGGER, "failed", "job_failed"): 1}
    assert record.state is State.FAILED


def test_a_retry_is_a_trace_of_its_own_that_refers_to_the_first(here: Scene, seen: Seen) -> None:
    here.dispatcher.handle(event())
    for name in here.workspace.jobs:
        here.workspace.end(name, "Canceled")
    here.tick.run()
    first = here.record()
    again = here.dispatcher.retry(first.trigger, first.key).record

    assert again is not None
    assert (tag(again) or "").split("-")[1] != (tag(first) or "").split("-")[1]
    retried = seen.spans(telemetry.EVENT_SPAN)[-1]
    assert again.traceparent == written(retried)
    assert [trace.format_trace_id(link.context.trace_id) for link in retried.links] == [
        (first.traceparent or "").split("-")[1]
    ]


def test_a_batch_is_a_trace_of_its_own_that_refers_to_its_events(here: Scene, seen: Seen) -> None:
    batch = {"batch": {"wait_after_last_change": "PT1M"}}
    here.publish(trigger(policies=batch, inputs={"data": "${{ manifest }}"}))
    here.dispatcher.handle(event("sales/north/one.csv"))
    here.dispatcher.handle(event("sales/north/two.csv"))
    here.world.pass_time(120)
    here.tick.run()

    one, two, made = seen.spans(telemetry.EVENT_SPAN)
    tick = seen.span(telemetry.TICK_SPAN)
    referred = {trace.format_trace_id(link.context.trace_id) for link in made.links}
    assert referred == {trace_of(one), trace_of(two), trace_of(tick)}
    assert trace_of(seen.span(telemetry.SUBMIT_SPAN)) == trace_of(made)
    assert trace_of(made) not in referred


def test_a_run_that_follows_on_another_is_of_its_trace(here: Scene, seen: Seen) -> None:
    follows = TriggerDefinition.model_validate(
        {
            "name": "follow-up",
            "spec": {"run": {"pipeline": PIPELINE}},
            "action": {"pipeline": PIPELINE, "inputs": {"data": "https://contoso.example/x"}},
        }
    )
    here.publish(trigger(), follows)
    here.dispatcher.handle(event())
    for name in list(here.workspace.jobs):
        here.workspace.end(name, "Completed")
    with telemetry.continued(SENDER):
        here.tick.run()

    first, second = seen.span(telemetry.EVENT_SPAN, "blob"), seen.span(telemetry.EVENT_SPAN, "run")
    assert trace_of(second) == trace_of(first) != TRACE
    assert {trace_of(span) for span in seen.spans(telemetry.SUBMIT_SPAN)} == {trace_of(first)}
    assert len(seen.spans(telemetry.SUBMIT_SPAN)) == 2


def test_metrics_have_these_names_and_units(here: Scene, seen: Seen) -> None:
    limited = trigger(policies={"concurrency": {"limit": 1}})
    here.publish(limited)
    here.tick.run()
    here.dispatcher.handle(event("sales/north/one.csv"))
    here.dispatcher.handle(event("sales/north/two.csv"))
    here.world.pass_time(90)
    for name in here.workspace.jobs:
        here.workspace.end(name, "Completed")
    here.tick.run()

    found = seen.metrics()
    assert {name: metric.unit for name, metric in found.items()} == {
        "signalbox.events": "{event}",
        "signalbox.decisions": "{decision}",
        "signalbox.runs": "{run}",
        "signalbox.submit.latency": "s",
        "signalbox.submit.duration": "s",
        "signalbox.slot.wait": "s",
        "signalbox.tick.lag": "s",
        "signalbox.tick.duration": "s",
        "signalbox.tick.part.duration": "s",
    }
    for metric in telemetry.METRICS:
        for point in found[metric.name].data.data_points:
            assert set(point.attributes) == set(metric.attributes), metric.name
    [waited] = found["signalbox.slot.wait"].data.data_points
    assert waited.sum >= 90
    [lag] = found["signalbox.tick.lag"].data.data_points
    assert 30 <= lag.sum < 90


def test_decisions_are_counted_by_reason(here: Scene, seen: Seen) -> None:
    here.dispatcher.handle(event())
    here.dispatcher.handle(event())
    here.dispatcher.handle(event("sales/march.txt"))
    broken = trigger("broken", inputs={"data": "${{ event.data.nowhere }}"})
    here.publish(trigger(), broken)
    here.dispatcher.handle(event("sales/north/april.csv"))

    assert seen.counted(telemetry.EVENTS) == {("blob",): 4}
    assert seen.counted(telemetry.DECISIONS) == {
        ("blob", TRIGGER, "submitting", ""): 2,
        ("blob", TRIGGER, "duplicate", ""): 1,
        ("blob", TRIGGER, "no_match", ""): 1,
        ("blob", "", "starts_nothing", ""): 1,
        ("blob", "broken", "dead_letter", "input_missing"): 1,
    }


def test_a_tick_that_fails_says_so(here: Scene, seen: Seen) -> None:
    fail(here.world, "list open", WorkspaceUnavailable("away"))
    with pytest.raises(WorkspaceUnavailable):
        here.tick.run()

    assert [point.attributes["outcome"] for point in seen.points(telemetry.TICK_DURATION)] == [
        "WorkspaceUnavailable"
    ]


def test_nothing_that_was_sent_becomes_an_attribute(here: Scene, seen: Seen) -> None:
    sent = event(
        data={"note": SECRET, "contentType": SECRET},
        id=f"id-{SECRET}",
        topic=f"/topic?{SECRET}",
    )
    fail(here.world, "PUT", WorkspaceUnavailable(f"AzureML answered 503: {SECRET}"))
    here.dispatcher.handle(sent)
    here.dispatcher.refuse(
        SECRET, id="1", source=SECRET, via="queue/q", at=datetime.now(UTC), why=SECRET
    )

    told = json.dumps([json.loads(span.to_json()) for span in seen.spans()])
    measured = json.dumps(
        [dict(p.attributes) for m in seen.metrics().values() for p in m.data.data_points]
    )
    assert seen.spans()
    for text in ("c2Vjc", "sales/north", "topic", "503", "https:"):
        assert text not in told, text
        assert text not in measured, text


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "00",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"{SENDER}-more",
        f"{SENDER}\r\nX-Injected: 1",
        "'; drop table traces --",
        "00-" + "a" * 1_000_000,
        7,
        True,
        None,
        b"00",
    ],
)
def test_what_is_no_traceparent_changes_nothing(sent: object) -> None:
    assert telemetry.checked(sent) is None
    with telemetry.continued(SENDER), telemetry.continued(sent):
        assert telemetry.traceparent() == SENDER


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*"))
@example(f"\t{SENDER} ")
@example(f"cc-{TRACE}-b7ad6b7169203331-01-what-is-newer")
def test_only_what_w3c_writes_is_ever_passed_on(sent: str) -> None:
    found = telemetry.checked(sent)
    assert found is None or (
        len(found) == 55 and found.startswith("00-") and found == telemetry.checked(found)
    )


def test_a_hostile_extension_neither_breaks_nor_reaches_the_job(here: Scene, seen: Seen) -> None:
    hostile = f"{SENDER}\r\n{SECRET}"
    here.dispatcher.handle(event().model_copy(update={"traceparent": hostile}))

    assert here.record().state is State.SUBMITTED
    assert (tag(here.record()) or "").split("-")[1] == trace_of(seen.span(telemetry.EVENT_SPAN))
    assert TRACE not in (tag(here.record()) or "")


def test_a_trace_goes_along_to_other_threads() -> None:
    found: list[str | None] = []
    with telemetry.continued(SENDER):
        call = telemetry.carried(lambda: found.append(telemetry.traceparent()))
    call()

    assert found == [SENDER]
    assert telemetry.traceparent() is None


def test_a_wait_is_never_less_than_nothing(seen: Seen) -> None:
    # Storage's time counts whole seconds, and not every answer says it alike.
    now = datetime.now(UTC)
    telemetry.submitted(TRIGGER, now, now - timedelta(seconds=1))

    [point] = seen.points(telemetry.SUBMIT_LATENCY)
    assert point.sum == 0


def test_the_page_has_every_metric_and_span() -> None:
    operate = page("docs/operate.md")
    rows = operate.table("metric", "unit", "what", "by")

    assert [tuple(cell.strip("`") for cell in row[:2]) for row in rows] == [
        (metric.name, metric.unit) for metric in telemetry.METRICS
    ]
    assert [row[3].replace("`", "") for row in rows] == [
        ", ".join(metric.attributes) for metric in telemetry.METRICS
    ]
    spans = [telemetry.EVENT_SPAN, telemetry.SUBMIT_SPAN, telemetry.RUN_SPAN, telemetry.TICK_SPAN]
    assert operate.keys("span", "what") == spans
