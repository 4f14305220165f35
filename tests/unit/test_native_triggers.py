"""Schedules in AzureML's words: what means the same, and what AzureML cannot do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shared import documents
from shared.definitions import TriggerDefinition
from shared.documents import Document
from shared.native_triggers import NativeTrigger, hints, problems, trigger_of
from shared.specs import ScheduleSpec

ANCHOR = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def translated(**spec: Any) -> NativeTrigger:
    return trigger_of(ScheduleSpec.model_validate(spec), ANCHOR)


def document(spec: dict[str, Any], **more: Any) -> tuple[TriggerDefinition, Document]:
    content = {
        "name": "nightly",
        "spec": {"schedule": {"engine": "azureml", **spec}},
        "action": {"pipeline": "churn-training", **more.pop("action", {})},
        **more,
    }
    file = Path("triggers/nightly.yml")
    made = documents.parse(yaml.safe_dump(content).encode(), file=str(file), path=file, root=file)
    return TriggerDefinition.model_validate(content), made


def wrong(spec: dict[str, Any], **more: Any) -> dict[str, str]:
    return {".".join(map(str, place)): why for place, why in problems(*document(spec, **more))}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"cron": "0 6 * * *"},
            {"expression": "0 6 * * *", "start_time": "2026-03-01T12:30:00", "time_zone": "UTC"},
        ),
        (
            {"cron": "*/15 6-18 * * MON-FRI", "time_zone": "Europe/Berlin"},
            {
                "expression": "*/15 6-18 * * MON-FRI",
                "start_time": "2026-03-01T13:30:00",
                "time_zone": "W. Europe Standard Time",
            },
        ),
        # AzureML's days of the week end with 6.
        (
            {"cron": "0 6 * * 5-7"},
            {"expression": "0 6 * * 0,5,6", "start_time": "2026-03-01T12:30:00"},
        ),
        # AzureML would ignore the day of an expression; a recurrence has days.
        (
            {"cron": "0,30 6 1,15 * *"},
            {
                "frequency": "month",
                "interval": 1,
                "hours": (6,),
                "minutes": (0, 30),
                "month_days": (1, 15),
                "start_time": "2026-03-01T12:30:00",
            },
        ),
        (
            {"every": "PT6H", "time_zone": "Asia/Tokyo"},
            {"frequency": "hour", "interval": 6, "start_time": "2026-03-01T12:30:00"},
        ),
        ({"every": "PT90M"}, {"frequency": "minute", "interval": 90}),
        ({"every": "P2D"}, {"frequency": "hour", "interval": 48}),
        (
            {
                "cron": "0 6 * * *",
                "time_zone": "America/New_York",
                "start_time": "2026-07-01T06:00:00",
                "end_time": "2026-08-01T06:00:00+02:00",
            },
            {
                "start_time": "2026-07-01T06:00:00",
                "end_time": "2026-08-01T00:00:00",
                "time_zone": "Eastern Standard Time",
            },
        ),
    ],
)
def test_what_means_the_same(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    found = translated(**spec)
    assert {key: getattr(found, key) for key in expected} == expected
    assert wrong(spec) == {}


@pytest.mark.parametrize(
    ("spec", "place", "said"),
    [
        ({"cron": ["0 6 * * *", "0 7 * * *"]}, "cron", "one expression"),
        ({"cron": "0 6 * 7 *"}, "cron", "ignores the month"),
        ({"cron": "0 6 1 * MON"}, "cron", "has both"),
        ({"cron": "0 6 L * *"}, "cron", "knows no 'L'"),
        ({"cron": "0 6 * * MON#1"}, "cron", "knows no 'MON#1'"),
        ({"every": "PT90S"}, "every", "whole minutes"),
        ({"every": "P50DT1M"}, "every", "whole minutes up to P50D"),
        ({"cron": "0 6 * * *", "exclude": "2026-12-25"}, "exclude", "leaves nothing out"),
        ({"cron": "0 6 * * *", "jitter": "PT5M"}, "jitter", "at the time itself"),
        ({"cron": "0 6 * * *", "catchup_window": "P2D"}, "catchup_window", "makes up for nothing"),
        (
            {
                "cron": "0 6 * * *",
                "only_if": {
                    "new_blobs": {"account": "lake", "container": "landing", "path": "{x}"}
                },
            },
            "only_if",
            "does not look for uploads",
        ),
    ],
)
def test_what_azureml_cannot_do_is_told_with_the_remedy(
    spec: dict[str, Any], place: str, said: str
) -> None:
    found = wrong(spec)
    assert [*found] == [f"spec.schedule.{place}"]
    [why] = found.values()
    assert said in why
    assert "use engine: signalbox" in why


def test_the_clock_of_the_app_has_no_such_limits() -> None:
    spec = {"cron": ["0 6 L * *", "0 7 * 7 *"], "jitter": "PT5M", "engine": "signalbox"}
    assert wrong(spec, policies={"overlap": "buffer_all"}) == {}


def test_every_policy_that_is_written_is_refused() -> None:
    policies = {"overlap": "skip", "max_runs_per_day": 3}
    found = wrong({"cron": "0 6 * * *"}, policies=policies)
    assert sorted(found) == ["policies.max_runs_per_day", "policies.overlap"]


@pytest.mark.parametrize(
    ("action", "place", "said"),
    [
        ({"inputs": {"x": "${{ scheduled_time }}"}}, "inputs.x", "creation_context.trigger_time"),
        ({"inputs": {"x": "a ${{ window_start }}"}}, "inputs.x", "window_start is not known"),
        ({"inputs": {"x": "${{ event.data.url }}"}}, "inputs.x", "event is not known"),
        ({"inputs": {"x": "${{ manifest }}"}}, "inputs.x", "manifest is not known"),
        ({"tags": {"x": "${{ name }}"}}, "tags.x", "macros in inputs only"),
        ({"experiment_name": "${{ scheduled_time }}"}, "experiment_name", "not known"),
        ({"inputs": {"x": "${{ strange }}"}}, "inputs.x", "use one of"),
        ({"inputs": {"x": "${{ open"}}, "inputs.x", "never closes"),
    ],
)
def test_expressions_that_nobody_could_evaluate(
    action: dict[str, Any], place: str, said: str
) -> None:
    found = wrong({"cron": "0 6 * * *"}, action=action)
    assert [*found] == [f"action.{place}"]
    assert said in found[f"action.{place}"]


def test_what_azureml_fills_in_and_what_publishing_knows_may_be_written() -> None:
    inputs = {"when": "${{creation_context.trigger_time}}", "who": "${{name}}"}
    action = {"inputs": {**inputs, "stage": "${{ settings.stage }}"}, "compute": "${{settings.x}}"}
    assert wrong({"cron": "0 6 * * *"}, action=action) == {}


def test_an_expression_may_not_choose_the_pipeline() -> None:
    action = {"pipeline": "${{ settings.which }}", "allow": ["a", "b"]}
    assert "action.pipeline" in wrong({"cron": "0 6 * * *"}, action=action)


def test_hints_say_what_is_hardly_meant() -> None:
    def hinted(**spec: Any) -> list[str]:
        return [why for _, why in hints(document(spec)[0], ANCHOR)]

    assert hinted(cron="0 6 * * *") == []
    [why] = hinted(cron="0 6 * * *", start_time="2022-07-10T10:00:00")
    assert "begins with the next time" in why
    [why] = hinted(cron="0 6 30,31 * *")
    assert "months without a day 30 or 31" in why
    [_, why] = hinted(
        cron="0 6 * * *", start_time="2022-07-10T10:00:00", end_time="2023-07-10T10:00:00"
    )
    assert "starts nothing" in why
    assert hinted(cron="0 6 31 * *", engine="signalbox") == []


@given(st.integers(1, 366 * 24 * 60))
def test_every_distance_is_the_same_in_azureml_or_refused(minutes: int) -> None:
    spec = ScheduleSpec(every=timedelta(minutes=minutes))
    try:
        found = trigger_of(spec, ANCHOR)
    except ValueError:
        assert minutes > 72_000
        assert minutes % 60
        return
    assert found.interval
    assert found.interval * {"minute": 1, "hour": 60}[str(found.frequency)] == minutes
