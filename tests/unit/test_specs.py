from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.specs import SOURCES, Filter, RunSpec, ScheduleSpec, ServiceBusSpec, Spec


@pytest.mark.parametrize("source", SOURCES)
def test_a_spec_knows_its_source(source: str) -> None:
    given = {
        "blob": {"account": "lake", "container": "landing", "path": "in/{file}"},
        "service_bus": {"queue": "orders"},
        "event": {"type": "com.example.done"},
        "schedule": {"every": "PT1H"},
    }.get(source, {})

    assert Spec.model_validate({source: given}).source == source


@pytest.mark.parametrize("given", [{}, {"http": {}, "run": {}}])
def test_a_spec_has_exactly_one_source(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="name exactly one of"):
        Spec.model_validate(given)


@pytest.mark.parametrize(
    ("given", "via"),
    [
        ({"queue": "orders"}, "queue/orders"),
        ({"topic": "sales", "subscription": "ml"}, "topic/sales/ml"),
    ],
)
def test_a_message_comes_by_a_queue_or_a_subscription(given: dict[str, str], via: str) -> None:
    assert ServiceBusSpec.model_validate(given).via == via


def test_one_status_may_be_written_without_a_list() -> None:
    assert RunSpec.model_validate({"status": "failed"}).status == ("failed",)


def test_a_filter_is_written_as_it_is_read() -> None:
    given = {"not": {"suffix": {"subject": "/_SUCCESS"}}}
    read = Filter.model_validate(given)

    assert read.not_ is not None
    assert Filter.model_validate_json(read.model_dump_json()) == read


def test_a_filter_asks_for_attributes_only() -> None:
    with pytest.raises(ValidationError, match="`where` for what is in data"):
        Filter.model_validate({"exact": {"data": "x"}})


def schedule(**given: Any) -> ScheduleSpec:
    return ScheduleSpec.model_validate(given)


def test_a_schedule_that_says_little() -> None:
    found = schedule(cron="0 6 * * *")

    assert (found.cron, found.every, found.time_zone) == (("0 6 * * *",), None, "UTC")
    assert (found.starts, found.ends, found.jitter, found.only_if) == (None, None, None, None)
    assert (found.catchup_window, found.engine) == (timedelta(days=1), "signalbox")


def test_one_of_many_may_be_written_without_a_list_and_twice_is_once() -> None:
    # YAML makes a date of what looks like one.
    found = schedule(cron=["@daily", "0  0 * * *", "0 1 * * *"], exclude=date(2026, 12, 25))

    assert found.cron == ("0 0 * * *", "0 1 * * *")
    assert found.exclude == ("2026-12-25",)
    assert schedule(cron="0 6 * * *", exclude="2026-12-25").exclude == ("2026-12-25",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "name exactly one of cron and every; there is neither"),
        ({"cron": []}, "there is neither"),
        ({"cron": "0 6 * * *", "every": "PT1H"}, "there are both"),
        ({"cron": 5}, "5 is no text; quote it"),
        ({"cron": [["0 6 * * *"]]}, "is no text; quote it"),
        ({"cron": None}, "None is no text; quote it"),
        ({"cron": "0 0 6 * * *"}, "it has 6 fields"),
        ({"cron": "0 6 * * *", "exclude": ["26.12.2026"]}, "is no cron expression"),
        ({"cron": "0 6 * * *", "exclude": [datetime(2026, 12, 25)]}, "is no text"),
        (
            {"cron": "0 6 * * *", "exclude": [f"{n} * * * *" for n in range(51)]},
            "more than 50 cron expressions",
        ),
        ({"cron": [f"{n} * * * *" for n in range(51)]}, "at most 50"),
        ({"cron": "0 6 * * *", "time_zone": "Mars"}, "is no time zone"),
        ({"cron": "0 6 * * *", "time_zone": "Romance Standard Time"}, "write 'Europe/Paris'"),
        ({"every": "PT59S"}, "must be from PT1M to P366D"),
        ({"every": "P367D"}, "must be from PT1M to P366D"),
        ({"every": "PT1H", "jitter": "P1DT1S"}, "must be from PT0S to P1D"),
        ({"every": "PT1H", "catchup_window": "PT4M59S"}, "must be from PT5M to P366D"),
        ({"every": "PT1H", "catchup_window": "P367D"}, "must be from PT5M to P366D"),
        ({"every": "PT1H", "engine": "logicapps"}, "'signalbox' or 'azureml'"),
        ({"every": "PT1H", "start_time": "2026-01-01"}, "is no date with a time of day"),
        (
            {"every": "PT1H", "start_time": "2026-01-01T06:00", "end_time": "2026-01-01T06:00Z"},
            "end_time is not after start_time",
        ),
        ({"every": "PT1H", "studio": {"display_name": "Hours"}}, "engine: azureml"),
        ({"every": "PT1H", "only_if": {}}, "only_if.new_blobs"),
        ({"every": "PT1H", "only_if": {"new_blobs": {"container": "landing"}}}, "path"),
    ],
)
def test_what_cannot_be_meant_by_a_schedule_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        schedule(**given)


@pytest.mark.parametrize("key", ["cron", "exclude"])
def test_of_several_expressions_everything_that_is_wrong_is_told(key: str) -> None:
    with pytest.raises(ValidationError) as told:
        schedule(**{"cron": "0 6 * * *", key: ["0 24 * * *", "0 6 * * *", 5, "61 * * * *"]})

    [found] = told.value.errors()
    for said in ("hour 24 is not", "5 is no text; quote it", "minute 61 is not"):
        assert said in found["msg"]


def test_moments_without_an_offset_are_those_of_the_schedule_s_time_zone() -> None:
    found = schedule(
        cron="0 6 * * *",
        time_zone="Europe/Berlin",
        # Skipped, and shown twice.
        start_time="2026-03-29T02:30",
        end_time="2026-10-25T02:30",
    )

    assert found.starts == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert found.ends == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_start_and_end_are_compared_as_moments() -> None:
    day = {"every": "PT1H", "time_zone": "Europe/Berlin", "start_time": "2026-01-01T06:30"}

    # 07:00 in Berlin.
    assert schedule(**day, end_time="2026-01-01T06:00Z").ends is not None
    with pytest.raises(ValidationError, match="not after start_time"):
        schedule(**day, end_time="2026-01-01T05:30Z")


@pytest.mark.parametrize(
    "given",
    [
        {"cron": ["0 6 * * MON", "@hourly"], "exclude": ["2026-12-24/2027-01-01", "* * 1 5 *"]},
        {"every": "PT90M", "start_time": "2026-01-01T06:00", "end_time": "2026-01-02T06:00Z"},
        {
            "every": "P1D",
            "jitter": "PT5M",
            "engine": "azureml",
            "only_if": {"new_blobs": {"account": "lake", "container": "landing", "path": "{f}"}},
        },
    ],
)
def test_a_schedule_is_read_as_it_was_written_down(given: dict[str, Any]) -> None:
    found = schedule(**given)

    assert ScheduleSpec.model_validate_json(found.model_dump_json()) == found


def test_a_schedule_on_one_line() -> None:
    assert schedule(every="PT90M").text == "every PT1H30M"
    two = schedule(cron=["0 6 * * *", "0 9 * * SAT"], time_zone="Europe/Berlin")
    assert two.text == "0 6 * * * and 0 9 * * SAT (Europe/Berlin)"
