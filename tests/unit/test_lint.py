"""What is wrong with a trigger beyond the shape of its document."""

from collections.abc import Callable
from typing import Any

import pytest

from shared import lint
from shared.definitions import TriggerDefinition, TriggerFile
from shared.errors import Problem
from tests.unit import scene
from tests.unit.linting import check, file, made, messages, ports, written


def test_a_trigger_without_mistakes_has_no_problems() -> None:
    assert not check(
        file(
            inputs={"data": "${{ event.data.url }}", "rows": 5, "note": "plain"},
            tags={"region": "${{ captures.region }}-${{ settings.stage }}"},
            compute="${{ captures.file }}",
            experiment_name="churn",
        )
    )


def test_every_text_of_a_trigger_is_looked_at() -> None:
    problems = check(
        file(
            inputs={"data": "${{ evnt.url }}"},
            tags={"note": "${{ event. }}"},
            compute="${{ group.x }}",
            experiment_name="${{ captures.regoin }}",
        )
    )

    assert [(problem.file, problem.line) for problem in problems] == [
        ("triggers/on-upload.yml", line) for line in (7, 9, 10, 11)
    ]
    assert "captures has no 'regoin', only file, region" in problems[-1].message


def test_an_expression_that_could_take_for_ever_has_its_line() -> None:
    [found] = messages(file(tags={"note": "${{ [@,@]" + "|[@,@][]" * 18 + " }}"}))

    assert found.startswith("9: ")
    assert "more than 100 times as much" in found


def test_a_condition_that_negates_too_little_has_its_line_and_remedy() -> None:
    [found] = messages(made({"http": {}, "where": "!event.data.x"}))

    assert found.startswith("4: ")
    assert found.endswith("write '!(event.data.x)'")


def watching(path: str, **action: Any) -> TriggerFile:
    new_blobs = {"account": "contosolake", "container": "landing", "path": path}
    return made({"schedule": {"every": "P1D", "only_if": {"new_blobs": new_blobs}}}, **action)


def test_the_uploads_that_a_schedule_waits_for_are_looked_at_like_those_of_a_trigger() -> None:
    assert not check(watching("sales/{day}.csv", inputs={"data": "${{ manifest }}"}))
    assert messages(watching("sales/{day")) == [
        "2: path has a '{' or '}' without its partner",
    ]
    assert messages(watching("/sales/{day}.csv")) == [
        "2: path begins with '/'; paths start inside the container",
    ]
    writes = ports({}, {"out": "azureml://datastores/lake/paths/sales/"})
    [loop] = messages(watching("sales/{day}.csv"), {scene.PIPELINE: writes})
    assert "where this trigger watches: each run would be new to the next" in loop
    elsewhere = ports({}, {"out": "azureml://datastores/results/paths/sales/"})
    assert not check(watching("sales/{day}.csv"), {scene.PIPELINE: elsewhere})


def test_a_schedule_knows_its_time_and_no_event() -> None:
    schedule = {"schedule": {"cron": "0 6 * * *"}}
    known = {"data": "${{ window_start }}", "note": "${{ window_end }}${{ scheduled_time }}"}
    assert not check(made(schedule, inputs=known))

    data = "${{ event.data.url }}-${{ captures.day }}-${{ manifest }}"
    event, captures, manifest = messages(made(schedule, inputs={"data": data}))
    assert event == (
        "7: '${{ event.data.url }}' starts at 'event', which no schedule has: a time came, and "
        "nothing else happened; use one of: scheduled_time, settings, window_end, window_start"
    )
    assert "captures', which no schedule has" in captures
    assert "'manifest', which is not known here" in manifest


def test_a_wrong_path_has_its_line() -> None:
    assert check(file(path="sales/{region")) == [
        Problem(
            file="triggers/on-upload.yml",
            line=3,
            message="path has a '{' or '}' without its partner",
        )
    ]


@pytest.mark.parametrize(
    "text", ["see captures.md", "${{ event.data.captures.size }}", "${{ settings.captures.x }}"]
)
def test_only_the_root_captures_is_the_path_s(text: str) -> None:
    assert check(file(tags={"note": text})) == []


# Patterns.


def test_a_path_starts_inside_the_container() -> None:
    assert messages(file(path="/sales/{file}")) == [
        "3: path begins with '/'; paths start inside the container"
    ]


def test_a_subject_may_begin_as_it_likes() -> None:
    assert messages(made({"event": {"type": "order.placed", "subject": "/orders/{id}"}})) == []


def test_a_wrong_subject_is_told_as_one() -> None:
    spec = {"event": {"type": "order.placed", "subject": "orders/{Id}"}}

    assert messages(made(spec)) == [
        "3: subject has a capture named 'Id'; use lower-case letters and '_'"
    ]


def test_a_wrong_pattern_is_told_once_whatever_else_refers_to_it() -> None:
    outputs = {"out": "https://contosolake.blob.core.windows.net/landing/sales/"}
    for pattern in ("sales/{A}", "sales/{a}{b}", "sales/{a", "sales/{a}/{a}", "*"):
        found = file(path=pattern, tags={"note": "${{ captures.a }}"})
        assert (
            len(check(found, {scene.PIPELINE: ports({"data": {"type": "uri_file"}}, outputs)})) == 1
        )


# Expressions.


@pytest.mark.parametrize(
    ("spec", "text", "fine"),
    [
        ({"event": {"type": "t"}}, "${{ event.tenant }}", True),
        ({"http": {}}, "${{ event.tenant }}", True),
        ({"service_bus": {"queue": "inbox"}}, "${{ event.properties.tenant }}", True),
        ({"run": {"pipeline": "other"}}, "${{ event.data.outputs.model }}", True),
        ({"run": {"pipeline": "other"}}, "${{ event.dat.outputs.model }}", False),
        ({"event": {"type": "t", "subject": "orders/{id}"}}, "${{ captures.id }}", True),
        ({"event": {"type": "t", "subject": "orders/{id}"}}, "${{ captures.no }}", False),
        ({"event": {"type": "t"}}, "${{ captures.id }}", False),
        ({"http": {}}, "${{ captures.id }}", False),
        ({"http": {}}, "${{ manifest }}", False),
    ],
)
def test_an_expression_sees_what_its_source_has(
    spec: dict[str, Any], text: str, fine: bool
) -> None:
    assert (check(made(spec, tags={"note": text})) == []) is fine


def test_where_is_looked_at_like_every_expression() -> None:
    spec = {"http": {}, "where": "evnt.data > `0`"}

    [found] = messages(made(spec))
    assert found.startswith("4: 'evnt.data > `0`' starts at 'evnt', which is not known here")
    assert messages(made({"http": {}, "where": "event.data.size > `0`"})) == []
    [found] = messages(made({"http": {}, "where": "${{ event.data.size }}"}))
    assert "leave out '${{' and '}}'" in found


def test_the_pipeline_s_expression_is_looked_at_as_well() -> None:
    found = messages(made({"http": {}}, pipeline="${{ evnt.x }}", allow=[scene.PIPELINE]))

    assert [text.partition(":")[0] for text in found] == ["5"]


# Pipelines and inputs.

TAKES: dict[str, dict[str, Any]] = {
    "data": {"type": "uri_file"},
    "seed": {"type": "integer", "default": 1},
    "rate": {"type": "number"},
}


def test_a_trigger_that_fits_its_pipeline_has_no_problems() -> None:
    inputs = {"data": "${{ event.data.url }}", "rate": "0.5"}

    assert check(file(inputs=inputs), {scene.PIPELINE: ports(TAKES)}) == []


def test_everything_that_does_not_fit_is_told() -> None:
    inputs = {"dat": "${{ event.data.url }}", "seed": "many", "data": "local.csv"}
    found = messages(file(inputs=inputs), {scene.PIPELINE: ports(TAKES)})

    assert len(found) == 4
    assert any("has no input 'dat'; it has: data, rate, seed" in text for text in found)
    assert any("seed: 'many' is not of type integer" in text for text in found)
    assert any("data: 'local.csv' is not an https" in text for text in found)
    assert any("needs the input 'rate' (number) and has no default" in text for text in found)


def test_a_pipeline_that_is_not_there_is_told_with_those_that_are() -> None:
    [found] = messages(file(), {"scoring": None, "other": None})

    assert found == f"5: no pipeline is named '{scene.PIPELINE}'; there are: other, scoring"
    [found] = messages(file(), {})
    assert found.endswith("there are: none")


def test_a_pinned_pipeline_is_another_than_its_latest() -> None:
    pinned = file(pipeline=f"{scene.PIPELINE}@v0")
    needs = ports({"data": {"type": "uri_file"}})

    assert len(check(pinned, {scene.PIPELINE: needs})) == 1
    assert check(pinned, {f"{scene.PIPELINE}@v0": needs}) == []
    assert check(pinned, {f"{scene.PIPELINE}@v0": None}) == []


def test_every_pipeline_that_an_expression_may_name_is_looked_at() -> None:
    action = {"pipeline": "${{ event.data.api }}", "allow": ["a", "b", "c"]}
    known = {"a": ports(TAKES), "b": ports({"data": {"type": "uri_file"}})}
    found = messages(file(**action), known)

    assert len(found) == 2
    assert "a needs the input 'rate'" in found[0]
    assert found[1].startswith("6: no pipeline is named 'c'; there are: a, b")


def test_a_published_trigger_may_fit_no_more() -> None:
    trigger = scene.trigger()

    assert lint.unbound(trigger, {scene.PIPELINE: ports({"data": {"type": "uri_file"}})}) == []
    assert len(lint.unbound(trigger, {scene.PIPELINE: ports(TAKES)})) == 1
    assert len(lint.unbound(trigger, {})) == 1


# Messages that nobody takes.


@pytest.mark.parametrize(
    ("spec", "fine"),
    [
        ({"queue": "inbox"}, True),
        ({"topic": "news", "subscription": "signalbox"}, True),
        ({"queue": "other"}, False),
        ({"queue": "Inbox"}, False),
        ({"topic": "news", "subscription": "other"}, False),
    ],
)
def test_a_trigger_waits_for_messages_that_the_app_takes(spec: dict[str, Any], fine: bool) -> None:
    found = messages(made({"service_bus": spec}))

    assert (found == []) is fine
    if not fine:
        assert "takes messages from queue inbox and topic news/signalbox only" in found[0]


def batched(
    spec: dict[str, Any] | None = None, policies: dict[str, Any] | None = None, **batch: Any
) -> Callable[..., TriggerFile]:
    """A trigger of many events for one run, of which only the action is to be said."""
    lake = {"account": "contosolake", "container": "landing"}
    trigger = {
        "name": scene.TRIGGER,
        "spec": spec or {"blob": {**lake, "path": "sales/{date}/{file}.csv"}},
        "policies": {"batch": batch, **(policies or {})},
    }

    def with_action(**action: Any) -> TriggerFile:
        content = {**trigger, "action": {"pipeline": scene.PIPELINE, **action}}
        return written(TriggerDefinition.model_validate(content))

    return with_action


RELEASE = {"suffix": {"subject": "/_SUCCESS"}}


def test_a_batch_knows_its_group_and_its_manifest_and_nothing_else() -> None:
    of_a_day = batched(group_by=["date"], policies={"concurrency": {"key": "${{ group.date }}"}})

    assert not check(
        of_a_day(
            inputs={"data": "${{ manifest }}", "day": "${{ group.date }}"},
            experiment_name="of-${{ group.date }}-${{ settings.stage }}",
        )
    )
    assert messages(
        of_a_day(
            inputs={"data": "${{ event.data.url }}"},
            compute="${{ captures.date }}",
            experiment_name="${{ group.file }}",
        )
    ) == [
        "7: '${{ event.data.url }}' starts at 'event', which is not known here; use one of: "
        "group, manifest, settings",
        "10: '${{ captures.date }}' starts at 'captures', which is not known here; use one of: "
        "group, manifest, settings",
        "11: '${{ group.file }}': group has no 'file', only date",
    ]


def test_without_a_batch_there_is_no_group_and_no_manifest() -> None:
    found = messages(file(inputs={"data": "${{ manifest }}"}, experiment_name="${{ group.x }}"))

    assert [one.partition(" starts at ")[2].partition(",")[0] for one in found] == [
        "'manifest'",
        "'group'",
    ]


def test_a_condition_is_asked_of_each_event_of_a_batch() -> None:
    spec = {"http": {}, "where": "event.data.rows > `0`"}

    assert not check(batched(spec)(inputs={"data": "${{ manifest }}"}))
    assert len(check(batched({**spec, "where": "group.x == manifest"})())) == 2


def test_which_runs_share_a_limit_is_said_with_what_there_is() -> None:
    key = {"concurrency": {"key": "${{ manifest }}-${{ group.date }}-${{ event.id }}"}}
    found = messages(batched(group_by=["date"], policies=key)())

    assert [one.partition(" starts at ")[0] for one in found] == [
        "15: '${{ manifest }}'",
        "15: '${{ event.id }}'",
    ]


def test_events_are_grouped_by_what_is_captured_of_them() -> None:
    assert messages(batched(group_by=["day", "date"])()) == [
        "13: group_by names day, which is no capture of the path; it has date, file"
    ]
    event = {"event": {"type": "sold", "subject": "shops/{shop}/{item}"}}
    assert not check(batched(event, group_by=["shop"])())
    others: list[dict[str, Any]] = [{"http": {}}, {"service_bus": {"queue": "inbox"}}]
    for spec in others:
        assert not check(batched(spec)())
        assert messages(batched(spec, group_by=["shop"])()) == [
            "13: group_by names shop, which is no capture of the subject; it has none"
        ]


def test_what_says_that_a_group_is_complete_must_tell_which() -> None:
    assert not check(batched(group_by=["date"], release_on=RELEASE)())
    assert not check(batched({"http": {}}, release_on=RELEASE)())
    assert messages(batched(group_by=["file"], release_on=RELEASE)()) == [
        "14: where such an event lies does not tell its group: file must be captured by folders "
        "of sales/{date}/{file}.csv, not by its last part"
    ]


def test_ends_of_runs_are_no_batch() -> None:
    [found] = messages(batched({"run": {"pipeline": "other"}})())

    assert found == "12: the end of a run is one event for one run; leave batch out"


@pytest.mark.parametrize("type", ["uri_folder", "mltable", "mlflow_model"])
def test_a_manifest_is_one_file(type: str) -> None:
    action = batched()(inputs={"data": "${{ manifest }}"})

    assert messages(action, {scene.PIPELINE: ports({"data": {"type": type}})}) == [
        f"7: data is of type {type}, and the manifest is one file: declare it as uri_file in the "
        "pipeline"
    ]
    for fits in ("uri_file", "string"):
        assert not check(action, {scene.PIPELINE: ports({"data": {"type": fits}})})
