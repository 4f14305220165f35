"""The pages about schedules and backfills say what there is."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from shared import definitions, time_zones
from shared.definitions import TriggerDefinition
from shared.index import IndexedTrigger
from shared.occurrences import MOST
from shared.specs import ScheduleSpec
from shared.timetables import Timetable
from shared.triggers import OF_A_TIME
from tests.unit.pages import ROOT, codes, page

SCHEDULES, BACKFILL = "docs/schedules.md", "docs/backfill.md"
EXAMPLE = ROOT / "examples/nightly-retraining"

TRANSITIONS = page(SCHEDULES).table("schedule", "on", "comes at, local", "in UTC")


def test_every_key_of_a_schedule_is_told() -> None:
    assert page(SCHEDULES).keys("key", "for example", "means") == list(ScheduleSpec.model_fields)


def test_every_example_of_a_key_is_one() -> None:
    for key, example, _ in page(SCHEDULES).table("key", "for example", "means"):
        written = codes(example)[0].replace("{…}", "{container: landing, path: a}")
        spec: dict[str, Any] = {codes(key)[0]: yaml.safe_load(written)}
        spec |= {} if {"cron", "every"} & spec.keys() else {"cron": "0 6 * * *"}
        spec |= {"engine": "azureml"} if "studio" in spec else {}
        assert ScheduleSpec.model_validate(spec), key


def test_every_name_that_an_action_finds_is_told() -> None:
    assert page(SCHEDULES).keys("name", "is") == [*OF_A_TIME, "manifest", "settings"]


@pytest.mark.parametrize("row", TRANSITIONS, ids=lambda row: f"{row[0]} {row[1]}")
def test_clocks_change_as_the_table_says(row: list[str]) -> None:
    written, day, local, utc = row
    midnight = datetime.fromisoformat(day)
    spec = {**yaml.safe_load(codes(written)[0]), "time_zone": "Europe/Berlin"}
    spec |= {"start_time": midnight} if "every" in spec else {}
    definition = TriggerDefinition.model_validate(
        {"name": "x", "spec": {"schedule": spec}, "action": {"pipeline": "p"}}
    )
    since = datetime(2026, 1, 1, tzinfo=UTC)
    indexed = IndexedTrigger(definition=definition, revision="1", effective_from=since)
    begin = time_zones.reached(midnight, time_zones.zone("Europe/Berlin"))
    end = time_zones.reached(midnight + timedelta(hours=4), time_zones.zone("Europe/Berlin"))
    found = [*Timetable(indexed).within(begin, end)]

    here = [each.astimezone(time_zones.zone("Europe/Berlin")) for each in found]
    assert [f"{each:%H:%M}" for each in here] == local.split(", ")
    assert [f"{each:%H:%M}" for each in found] == utc.split(", ")
    assert len(TRANSITIONS) > 5


def test_the_retraining_is_that_of_the_example() -> None:
    [file] = definitions.load(EXAMPLE).triggers
    [shown] = [
        yaml.safe_load(block.text)
        for block in page(SCHEDULES).blocks("yaml")
        if block.heading.startswith("Retraining")
    ]

    assert TriggerDefinition.model_validate(shown) == file.trigger


def test_the_number_of_times_is_the_code_s() -> None:
    assert set(re.findall(r"[\d,]{5,} times", page(BACKFILL).text)) == {f"{MOST:,} times"}
