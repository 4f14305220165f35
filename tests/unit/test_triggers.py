"""Which triggers an event is for."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import envelopes
from shared.definitions import TriggerDefinition
from shared.errors import EventInvalid
from shared.events import MESSAGE, Event
from shared.ledger import State
from shared.outcomes import outcome
from shared.paths import PathPattern
from shared.triggers import Match, Matcher, Near, roots
from tests.fakes import World
from tests.unit import scene
from tests.unit.scene import Scene


def matcher(*triggers: TriggerDefinition) -> Matcher:
    return Matcher(scene.indexed(*triggers), {"stage": "dev"})


def verdicts(matcher: Matcher, path: str, **changes: Any) -> list[tuple[str, str]]:
    found = []
    for verdict in matcher.match(scene.event(path, **changes)):
        said = verdict.check if isinstance(verdict, Near) else f"captures {verdict.captures}"
        found.append((verdict.trigger.name, said))
    return found


def test_an_event_meets_the_triggers_it_might_be_for_in_order_of_name() -> None:
    all_of_them = matcher(
        scene.trigger("z-all", path="{folder}/{file}"),
        scene.trigger("b-north", path="sales/north/{file}.csv"),
        scene.trigger("c-deep", path="sales/{region}/{day}/{file}.csv"),
        scene.trigger("a-exact", path="sales/north"),
        scene.trigger("other-prefix", path="stock/{file}.csv"),
        scene.trigger("other-container", path="{file}", container="archive"),
    )

    assert verdicts(all_of_them, "sales/north") == [
        ("a-exact", "captures {}"),
        ("c-deep", "path sales/{region}/{day}/{file}.csv"),
        ("z-all", "captures {'folder': 'sales', 'file': 'north'}"),
    ]


def test_what_was_never_a_candidate_gets_no_verdict() -> None:
    one = matcher(scene.trigger(path="sales/{file}.csv"))

    assert verdicts(one, "sale") == []
    assert verdicts(one, "stock/a.csv") == []
    assert verdicts(matcher(), "sales/a.csv") == []


def test_the_account_counts() -> None:
    one = matcher(scene.trigger(path="{file}"))
    elsewhere = {"url": "https://otherlake.blob.core.windows.net/landing/a"}

    assert len(verdicts(one, "a")) == 1
    assert verdicts(one, "a", data=elsewhere) == []


@pytest.mark.parametrize(
    ("filters", "check"),
    [
        ({"prefix": {"subject": "/blobServices/default/containers/landing/"}}, None),
        ({"suffix": {"subject": ".csv", "id": "0x1"}}, None),
        ({"prefix": {"subject": "/x"}}, "filter prefix subject /x"),
        ({"prefix": {"id": "id-"}, "suffix": {"subject": "tmp"}}, "filter suffix subject tmp"),
        ({"suffix": {"type": "BlobDeleted"}}, "filter suffix type BlobDeleted"),
        ({"prefix": {"source": "/providers"}}, "filter prefix source /providers"),
    ],
)
def test_filters_look_at_attributes(filters: dict[str, dict[str, str]], check: str | None) -> None:
    trigger = scene.trigger(path="{file}", filters=filters)
    [verdict] = matcher(trigger).match(scene.event("a.csv"))

    if check is None:
        assert isinstance(verdict, Match)
    else:
        assert isinstance(verdict, Near)
        assert verdict.check == check


def test_the_index_finds_what_a_scan_finds() -> None:
    patterns = {
        f"t{number}": path
        for number, path in enumerate(
            ["{x}", "a{x}", "ab{x}", "a/{x}", "a/b", "a", "{x}/b", "a/{x}-{y}", "b/{x}", "ab/{x}.c"]
        )
    }
    all_of_them = matcher(*(scene.trigger(name, path=path) for name, path in patterns.items()))
    for path in ["a", "ab", "abc", "a/b", "a/b-c", "b/x", "ab/x.c", "ab/x", "c", "a/b/c"]:
        found = {
            verdict.trigger.name
            for verdict in all_of_them.match(scene.event(path))
            if isinstance(verdict, Match)
        }
        assert found == {
            name
            for name, pattern in patterns.items()
            if PathPattern.parse(pattern).match(path) is not None
        }


# Every source.


def listening(name: str, spec: dict[str, Any]) -> TriggerDefinition:
    return TriggerDefinition.model_validate(
        {"name": name, "spec": spec, "action": {"pipeline": scene.PIPELINE}}
    )


SPECS: dict[str, dict[str, Any]] = {
    "blob": {"blob": {"account": "contosolake", "container": "landing", "path": "sales/{file}"}},
    "queue": {"service_bus": {"queue": "inbox"}},
    "topic": {"service_bus": {"topic": "news", "subscription": "signalbox"}},
    "http": {"http": {}},
    "run": {"run": {}},
    "run-of": {"run": {"pipeline": "churn-training"}},
    "run-by": {"run": {"trigger": "on-upload", "status": ["failed", "canceled"]}},
    "event": {"event": {"type": "order.placed", "subject": "orders/{id}"}},
    "event-from": {"event": {"type": "order.placed", "source": "/orders"}},
    "uploads": {"event": {"type": "Microsoft.Storage.BlobCreated"}},
    "messages": {"event": {"type": MESSAGE}},
    "ends": {"event": {"type": "signalbox.run.completed"}},
}
EVERYTHING = matcher(*(listening(name, spec) for name, spec in SPECS.items()))


def met(event: Event) -> list[str]:
    """The triggers that an event is for."""
    return [v.trigger.name for v in EVERYTHING.match(event) if isinstance(v, Match)]


def cloud_event(**changes: Any) -> Event:
    via = changes.pop("via", "")
    given = {"specversion": "1.0", "id": "1", "source": "/orders", "type": "order.placed"}
    [event] = envelopes.parse({**given, **changes}, via=via, now=World().now)
    return event


def message(body: bytes = b"{}", via: str = "queue/inbox") -> Event:
    [event] = envelopes.message(body, via=via, sequence_number=1, enqueued=World().now)
    return event


def end(*, trigger: str = "on-upload", status: str = "Completed") -> Event:
    """The event that a run has ended."""
    here = Scene()
    here.publish(scene.trigger(trigger))
    here.dispatcher.handle(scene.event())
    here.workspace.end(here.record(trigger).attempt.job_name, status)
    here.tick.run()
    record = here.record(trigger)
    assert record.state is State(status.lower())
    return outcome(record, record.state, "test")


COMPLETED, FAILED, BY_ANOTHER = end(), end(status="Failed"), end(trigger="other", status="Failed")


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (scene.event("sales/a.csv"), ["blob", "uploads"]),
        (scene.event("stock/a.csv"), ["uploads"]),
        (message(), ["messages", "queue"]),
        (message(via="topic/news/signalbox"), ["messages", "topic"]),
        (message(via="topic/news/other"), ["messages"]),
        (message(via="queue/Inbox"), ["messages"]),
        (cloud_event(subject="orders/7"), ["event", "event-from"]),
        (cloud_event(subject="orders/7", source="/other"), ["event"]),
        (cloud_event(), ["event-from"]),
        (cloud_event(type="order"), []),
        # However an event comes, it is for those who wait for its kind as well.
        (cloud_event(via="queue/inbox"), ["event-from", "queue"]),
        (cloud_event(via="http/http"), ["event-from", "http"]),
        (cloud_event(via="http/other"), ["event-from"]),
        (cloud_event(via="http/queue", type="x"), []),
        (COMPLETED, ["run", "run-of"]),
        (FAILED, ["run-by"]),
        (BY_ANOTHER, []),
    ],
    ids=lambda value: value.title if isinstance(value, Event) else ",".join(value),
)
def test_an_event_is_for_the_triggers_of_its_source(event: Event, names: list[str]) -> None:
    assert met(event) == names


def test_the_end_of_a_run_is_no_candidate_for_what_waits_for_other_events() -> None:
    assert {v.trigger.name for v in EVERYTHING.match(COMPLETED)} == {"run", "run-of", "run-by"}


def test_an_upload_within_a_message_is_an_upload_and_a_message() -> None:
    upload = scene.event("sales/a.csv").model_copy(update={"via": "queue/inbox"})

    assert met(upload) == ["blob", "queue", "uploads"]


@pytest.mark.parametrize(
    ("spec", "event", "check"),
    [
        (SPECS["blob"], cloud_event(), "uploaded to contosolake/landing"),
        (SPECS["queue"], message(via="queue/other"), "came by queue/inbox"),
        (SPECS["topic"], message(), "came by topic/news/signalbox"),
        (SPECS["http"], cloud_event(via="http/other"), "handed to it by HTTP"),
        (SPECS["run"], cloud_event(type="signalbox.run.completed"), "the end of a run"),
        (SPECS["run"], FAILED, "status completed"),
        ({"run": {"pipeline": "other"}}, COMPLETED, "run of pipeline other"),
        ({"run": {"trigger": "other"}}, COMPLETED, "run of trigger other"),
        (SPECS["run-by"], COMPLETED, "status failed or canceled"),
        (SPECS["event"], cloud_event(type="x"), "type order.placed"),
        (SPECS["event"], cloud_event(), "subject orders/{id}"),
        (SPECS["event-from"], cloud_event(source="/x"), "source /orders"),
        (SPECS["ends"], COMPLETED, "type signalbox.run.completed"),
    ],
)
def test_a_trigger_that_says_no_says_which_check_failed(
    spec: dict[str, Any], event: Event, check: str
) -> None:
    trigger = listening("one", spec)
    verdict = matcher(trigger).judge(scene.indexed(trigger)["one"], event)

    assert isinstance(verdict, Near)
    assert verdict.check == check


def test_the_subject_of_an_event_gives_its_captures() -> None:
    [verdict] = [
        v for v in EVERYTHING.match(cloud_event(subject="orders/7")) if v.trigger.name == "event"
    ]

    assert isinstance(verdict, Match)
    assert verdict.captures == {"id": "7"}
    assert verdict.passed == ("type order.placed", "subject orders/{id}")


def test_checks_come_in_one_order_and_those_that_passed_are_told() -> None:
    spec = {
        **SPECS["blob"],
        "filter": {"suffix": {"subject": ".csv"}},
        "where": "event.data.contentLength > `10` && settings.stage == 'dev'",
    }
    one = matcher(listening("one", spec))
    passed = [
        "uploaded to contosolake/landing",
        "path sales/{file}",
        "filter suffix subject .csv",
        "where event.data.contentLength > `10` && settings.stage == 'dev'",
        f"not before {World().now.isoformat()}",
    ]

    [verdict] = one.match(scene.event("sales/a.csv"))
    assert isinstance(verdict, Match)
    assert list(verdict.passed) == passed
    [verdict] = one.match(scene.event("sales/a.csv", data={"contentLength": 9}))
    assert isinstance(verdict, Near)
    assert (list(verdict.passed), verdict.check) == (passed[:3], f"{passed[3]} (is false)")


def test_a_condition_that_trips_says_no() -> None:
    one = matcher(listening("one", {**SPECS["event-from"], "where": "event.data.a > `1`"}))
    [verdict] = one.match(cloud_event(data={"a": "text"}))

    assert isinstance(verdict, Near)
    assert "cannot be worked out" in verdict.check


def test_a_condition_sees_captures_and_attributes() -> None:
    where = "captures.id == '7' && event.tenant == 'north' && event.time > '2026'"
    one = matcher(listening("one", {**SPECS["event"], "where": where.replace("> '2026'", "!= ''")}))
    [verdict] = one.match(cloud_event(subject="orders/7", tenant="north"))

    assert isinstance(verdict, Match)


def test_only_uploads_may_be_older_than_their_trigger() -> None:
    early = "2020-01-01T00:00:00Z"

    assert met(cloud_event(time=early)) == ["event-from"]
    assert met(scene.event("sales/a.csv", time=World().now.replace(year=2020))) == []


def test_expressions_see_an_event_as_json() -> None:
    seen = roots(cloud_event(tenant="north", data={"a": 1}), {"id": "7"}, {"stage": "dev"})

    assert seen["captures"] == {"id": "7"}
    assert seen["settings"] == {"stage": "dev"}
    assert seen["event"]["time"] == "2026-03-01T12:00:00Z"
    assert (seen["event"]["tenant"], seen["event"]["data"]) == ("north", {"a": 1})


# An event from outside is never taken for what only we may say.


words = st.sampled_from(
    [
        *("order.placed", "/orders", "orders/7", MESSAGE, "Microsoft.Storage.BlobCreated"),
        *("signalbox.run.completed", "signalbox.run.failed", "/signalbox/test", "run/"),
        *("run/churn-training", "queue/inbox", "http/http", "manual/churn-training", "1"),
        "/blobServices/default/containers/landing/blobs/sales/a.csv",
        "/blobServices/default/containers/landing/blobs/b",
    ]
)
datas = st.sampled_from(
    [
        None,
        COMPLETED.data,
        {**FAILED.data, "trigger": "on-upload"},
        scene.event("sales/a.csv").data,
        scene.event("b").data,
    ]
)
outside = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "id": words, "source": words, "type": words},
    optional={"subject": words, "via": words, "data": datas, "tenant": words},
)
ways = st.sampled_from(
    ["", "queue/inbox", "queue/x", "topic/news/signalbox", "http/http", "http/run", "manual/x"]
)


def taken(content: dict[str, Any], via: str) -> Event | None:
    try:
        found = envelopes.parse(content, via=via, now=World().now)
    except EventInvalid:
        return None
    return found[0] if found else None


@given(outside, ways)
def test_what_comes_from_outside_never_looks_like_the_end_of_a_run_or_another_way(
    content: dict[str, Any], via: str
) -> None:
    event = taken(content, via)
    if event is None:
        return
    names = met(event)

    assert not {"run", "run-of", "run-by"} & set(names)
    assert event.via == via
    assert ("http" in names) == (via == "http/http")
    assert ("queue" in names) == (via == "queue/inbox")
    assert ("topic" in names) == (via == "topic/news/signalbox")
    assert event.dedupe_key() not in {COMPLETED.dedupe_key(), FAILED.dedupe_key()}


# The index never loses a trigger.


SOURCES_WITH_PATTERN = st.sampled_from(["blob", "event"])
patterns = st.sampled_from(
    ["", "{x}", "sales/{x}", "sal{x}", "sales/a.csv", "orders/{x}", "o{x}/7"]
)
ATTRIBUTES = st.sampled_from(["type", "subject", "source", "id", "tenant"])


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    spec = dict(draw(st.sampled_from([*SPECS.values()])))
    pattern = draw(patterns)
    if pattern and "blob" in spec:
        spec["blob"] = {**spec["blob"], "path": pattern}
    if pattern and "event" in spec:
        spec["event"] = {**spec["event"], "subject": pattern}
    wanted: dict[str, Any] = {}
    if draw(st.booleans()):
        wanted["not"] = {"prefix": {"subject": draw(words)}}
    if draw(st.booleans()):
        wanted["exact"] = draw(st.dictionaries(ATTRIBUTES, words, max_size=3))
    if wanted:
        spec["filter"] = wanted
    if draw(st.booleans()):
        spec["where"] = "event.id == '1'"
    return spec


inside = st.sampled_from(
    [COMPLETED, FAILED, BY_ANOTHER, message(), message(via="topic/news/signalbox")]
)


@given(st.lists(specs(), min_size=1, max_size=8), inside | st.builds(taken, outside, ways))
def test_an_event_meets_exactly_the_triggers_that_a_scan_finds(
    given_specs: list[dict[str, Any]], event: Event | None
) -> None:
    if event is None:
        return
    triggers = [listening(f"t{number}", spec) for number, spec in enumerate(given_specs)]
    index, found = matcher(*triggers), scene.indexed(*triggers)
    by_index = {v.trigger.name: v for v in index.match(event)}
    by_scan = {name: index.judge(trigger, event) for name, trigger in found.items()}

    matches = {name for name, verdict in by_scan.items() if isinstance(verdict, Match)}
    assert {name for name, v in by_index.items() if isinstance(v, Match)} == matches
    assert list(by_index) == sorted(by_index)
    for name, verdict in by_index.items():
        assert verdict == by_scan[name]
    # What the index leaves out fails by its source, its pattern, or the attribute that it is
    # looked up by, and by nothing that comes later.
    for name in by_scan.keys() - by_index.keys():
        verdict = by_scan[name]
        assert isinstance(verdict, Near)
        assert not verdict.check.startswith(("where", "not before"))
        if verdict.check.startswith("filter"):
            assert not looked_up(found[name].definition, event)
    for name in by_index:
        assert looked_up(found[name].definition, event)


def looked_up(trigger: TriggerDefinition, event: Event) -> bool:
    """Whether an event has what the filter of a trigger is looked up by."""
    exact = trigger.spec.filter.exact
    for name in ("type", "subject", "source"):
        if name in exact:
            return event.attribute(name) == exact[name]
    return True


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("attribute", ["type", "subject", "source"])
def test_a_trigger_with_an_exact_filter_is_a_candidate_for_that_value_only(
    spec: dict[str, Any], attribute: str
) -> None:
    for event in (COMPLETED, message(), cloud_event(subject="orders/7", via="http/t")):
        value = event.attribute(attribute)
        plain, same, other = (
            {v.trigger.name: v for v in matcher(listening("t", {**spec, **more})).match(event)}
            for more in (
                {},
                {"filter": {"exact": {attribute: value}}},
                {"filter": {"exact": {attribute: f"{value}x"}}},
            )
        )

        assert same.keys() == plain.keys()
        assert not other


def test_of_several_exact_attributes_the_first_is_looked_up_and_the_others_are_asked() -> None:
    exact = {"tenant": "north", "source": "/orders", "type": "order.placed"}
    one = matcher(listening("t", {"event": {"type": "order.placed"}, "filter": {"exact": exact}}))

    [verdict] = one.match(cloud_event(source="/other", tenant="north"))
    assert isinstance(verdict, Near)
    assert verdict.check == "filter exact source /orders"
    assert [type(v) for v in one.match(cloud_event(tenant="north"))] == [Match]


def test_an_event_is_written_down_once_for_all_conditions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = []
    dump = Event.model_dump

    def counted(self: Event, **how: Any) -> dict[str, Any]:
        times.append(how)
        return dump(self, **how)

    monkeypatch.setattr(Event, "model_dump", counted)
    where = [f"event.data.kind == '{number}'" for number in range(5)]
    triggers = [
        listening(f"t{at}", {"service_bus": {"queue": "inbox"}, "where": text})
        for at, text in enumerate(where)
    ]
    found = list(matcher(*triggers).match(message(b'{"kind": "3"}')))

    assert [type(verdict) for verdict in found] == [Near, Near, Near, Match, Near]
    assert len(times) == 1


def batched(
    path: str = "sales/{date}/{file}.csv", *, name: str = "of-a-day", **batch: Any
) -> TriggerDefinition:
    """A trigger whose batches a `_SUCCESS` completes, unless told otherwise."""
    filters = batch.pop("filters", {})
    given = {"release_on": {"suffix": {"subject": "/_SUCCESS"}}, "group_by": ["date"], **batch}
    found = scene.trigger(name, path=path, filters=filters, inputs={})
    policies = found.policies.model_validate({"batch": given})
    return found.model_copy(update={"policies": policies})


def released(matcher: Matcher, path: str, **changes: Any) -> list[tuple[str, bool, dict[str, str]]]:
    found = matcher.match(scene.event(path, **changes))
    return [
        (one.trigger.name, one.releases, one.captures) for one in found if isinstance(one, Match)
    ]


def test_what_says_that_a_group_is_complete_need_not_look_like_its_events() -> None:
    one = matcher(batched())

    assert released(one, "sales/03-01/_SUCCESS") == [("of-a-day", True, {"date": "03-01"})]
    assert released(one, "sales/03-01/a.csv") == [
        ("of-a-day", False, {"date": "03-01", "file": "a"})
    ]


def test_it_is_found_though_its_path_does_not_begin_as_the_pattern_does() -> None:
    one = matcher(
        batched("sales/{date}/part-{n}.csv"), batched("x/of-{file}", group_by=[], name="x")
    )

    assert released(one, "sales/03-01/_SUCCESS") == [("of-a-day", True, {"date": "03-01"})]
    assert released(one, "x/_SUCCESS") == [("x", True, {})]


def test_it_is_of_the_trigger_s_own_container_and_age() -> None:
    one = matcher(batched())
    elsewhere = "/blobServices/default/containers/other/blobs/sales/03-01/_SUCCESS"
    url = "https://contosolake.blob.core.windows.net/other/sales/03-01/_SUCCESS"
    before = World().now - timedelta(days=1)

    assert released(one, "sales/03-01/_SUCCESS", subject=elsewhere, data={"url": url}) == []
    assert released(one, "sales/03-01/_SUCCESS", time=before) == []


def test_filter_and_where_are_asked_of_events_not_of_what_releases_them() -> None:
    picky = batched(filters={"exact": {"subject": "only-this"}})
    picky = picky.model_copy(
        update={"spec": picky.spec.model_copy(update={"where": "event.data.contentLength > `9`"})}
    )
    one = matcher(picky)

    found = released(one, "sales/03-01/_SUCCESS", data={"contentLength": 0})
    assert found == [("of-a-day", True, {"date": "03-01"})]
    assert verdicts(one, "sales/03-01/a.csv") == []


def test_what_lies_where_no_group_can_be_told_leaves_no_trace() -> None:
    one = matcher(batched("sales/of-{date}/{file}.csv"))

    assert verdicts(one, "sales/_SUCCESS") == []
    # Nor what is only near because somebody might release there.
    assert verdicts(one, "sales/else.csv") == []


def test_without_release_on_it_is_an_event_like_any_other() -> None:
    one = matcher(batched(release_on=None))

    assert verdicts(one, "sales/03-01/_SUCCESS") == [("of-a-day", "path sales/{date}/{file}.csv")]


def test_events_of_other_sources_release_as_well() -> None:
    sold = TriggerDefinition.model_validate(
        {
            "name": "sold",
            "spec": {"event": {"type": "com.sold", "subject": "shops/{shop}/{item}"}},
            "action": {"pipeline": scene.PIPELINE},
            "policies": {
                "batch": {
                    "group_by": ["shop"],
                    "release_on": {"exact": {"state": "closed"}},
                }
            },
        }
    )
    told = {"specversion": "1.0", "id": "1", "source": "/s", "type": "com.sold"}
    [closed] = envelopes.parse(
        {**told, "subject": "shops/aix/till", "state": "closed"}, now=World().now
    )
    [sale] = envelopes.parse({**told, "subject": "shops/aix/bread"}, now=World().now)
    found = [one for event in (closed, sale) for one in matcher(sold).match(event)]

    assert [(type(one), one.passed[-1]) for one in found] == [
        (Match, "release_on exact state closed"),
        (Match, "subject shops/{shop}/{item}"),
    ]
