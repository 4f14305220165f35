"""AzureML's schedules through the SDK's entities, without a service: what is sent, what is read."""

from types import SimpleNamespace
from typing import Any

import pytest
from azure.ai.ml.entities import JobSchedule
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from shared.errors import WorkspaceUnavailable
from shared.job_schedules import AzureJobSchedules
from shared.native_plans import drift
from shared.native_triggers import NativeTrigger
from shared.specs import Studio
from tests.unit.test_native_plans import BODY, wanted


class Operations:
    """What the SDK does with schedules, of one that is kept."""

    def __init__(self) -> None:
        self.kept: Any = None
        self.trouble: Exception | None = None
        self.made: list[str] = []

    def begin_create_or_update(self, schedule: JobSchedule) -> None:
        self._ask("put")
        self.kept = schedule

    def begin_disable(self, _name: str) -> None:
        self._ask("disable")

    def begin_delete(self, _name: str) -> None:
        self._ask("delete")

    def get(self, _name: str) -> Any:
        self._ask("get")
        return self.kept

    def list(self, list_view_type: str) -> list[Any]:
        self._ask(f"list {list_view_type}")
        return [self.kept]

    def trigger(self, _name: str) -> Any:
        self._ask("trigger")
        return SimpleNamespace(job_name="job-1")

    def _ask(self, what: str) -> None:
        self.made.append(what)
        # Nobody waits, and nothing is printed meanwhile.
        assert self._get_polling("x").finished()  # type: ignore[attr-defined]
        if self.trouble:
            raise self.trouble


@pytest.fixture
def operations() -> Operations:
    return Operations()


@pytest.fixture
def schedules(operations: Operations) -> AzureJobSchedules:
    return AzureJobSchedules(lambda: SimpleNamespace(schedules=operations))


@pytest.mark.parametrize(
    "trigger",
    [
        NativeTrigger(expression="0 6 * * 1", start_time="2026-03-01T12:00:00", time_zone="UTC"),
        NativeTrigger(
            frequency="hour",
            interval=6,
            start_time="2026-03-01T12:00:00",
            end_time="2027-03-01T12:00:00",
            time_zone="UTC",
        ),
        NativeTrigger(
            frequency="month",
            interval=1,
            hours=(6,),
            minutes=(0, 30),
            month_days=(1, 15),
            start_time="2026-03-01T12:00:00",
            time_zone="W. Europe Standard Time",
        ),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_what_is_put_is_read_back_without_a_difference(
    schedules: AzureJobSchedules, trigger: NativeTrigger, enabled: bool
) -> None:
    body = BODY.model_copy(update={"inputs": {"size": 3, "when": "${{name}}"}})
    shown = Studio(display_name="Every night", description="of all shops", tags={"team": "red"})
    asked = wanted(trigger=trigger, enabled=enabled, body=body, studio=shown)
    schedules.put(asked)
    found = schedules.find(asked.name)
    assert found
    assert drift(asked, found) == ()
    assert found.fields["display_name"] == "Every night"
    assert [each.name for each in schedules.all()] == [asked.name]


def test_of_others_only_the_name_is_read(
    schedules: AzureJobSchedules, operations: Operations
) -> None:
    operations.kept = SimpleNamespace(
        name="monitor", tags=None, is_enabled=True, provisioning_state=None
    )
    [found] = schedules.all()
    assert (found.name, found.deployment, found.fields) == ("monitor", None, {})
    assert operations.made == ["list All"]


def test_one_that_the_sdk_cannot_write_hides_no_other_and_differs(
    schedules: AzureJobSchedules, operations: Operations
) -> None:
    schedules.put(wanted())

    def fail(_text: Any) -> None:
        raise TypeError("no such schema")

    operations.kept.dump = fail
    [found] = schedules.all()
    assert (found.name, found.deployment, found.fields) == ("nightly", "prod", {})
    assert drift(wanted(), found)


def test_what_is_not_there_is_no_failure(
    schedules: AzureJobSchedules, operations: Operations
) -> None:
    operations.trouble = ResourceNotFoundError("no such schedule")
    assert schedules.find("x") is None
    schedules.disable("x")
    schedules.delete("x")


def test_what_azureml_does_not_do_now_is_told(
    schedules: AzureJobSchedules, operations: Operations
) -> None:
    assert schedules.trigger("x") == "job-1"
    operations.trouble = HttpResponseError("busy")
    with pytest.raises(WorkspaceUnavailable, match="schedule 'x'"):
        schedules.delete("x")
