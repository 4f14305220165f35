"""Schedules through the official SDK: kept, changed, fired by a clock that is moved, deleted."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, Output, load_component
from azure.ai.ml.entities import (
    CronTrigger,
    JobSchedule,
    PipelineJob,
    PipelineJobSettings,
    RecurrencePattern,
    RecurrenceTrigger,
)
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential

from emulator.stack import LocalAzure
from emulator.topology import Topology, Workspace
from tests.integration.conftest import exported
from tests.integration.workspace import clear_requests, inner_codes, refusal, requests, unique
from tests.loopback import loopback

_PIPELINE = """
type: pipeline
name: {name}
version: "1"
inputs:
  when: {{type: string, default: never}}
  size: {{type: integer, default: 1}}
outputs:
  report: {{type: uri_folder}}
jobs:
  hello:
    type: command
    component:
      type: command
      command: echo ${{{{inputs.when}}}} > ${{{{outputs.report}}}}/when.txt
      environment: azureml://registries/azureml/environments/plain/versions/1
      inputs: {{when: {{type: string}}}}
      outputs: {{report: {{type: uri_folder}}}}
    inputs: {{when: "${{{{parent.inputs.when}}}}"}}
    outputs: {{report: "${{{{parent.outputs.report}}}}"}}
"""
_PAST = "2022-07-10T10:00:00"


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    """A local Azure whose jobs are kept and not run, and whose clock of schedules we move."""
    workspace = Workspace(executes=False)
    with LocalAzure(topology=Topology(workspace=workspace)) as azure, exported(azure):
        yield azure


@pytest.fixture(scope="module")
def client(azure: LocalAzure) -> MLClient:
    topology = azure.topology
    return MLClient(
        DefaultAzureCredential(),
        topology.subscription_id,
        topology.resource_group,
        topology.workspace.name,
        enable_telemetry=False,
        show_progress=False,
        retry_total=0,
    )


@pytest.fixture(scope="module")
def component(client: MLClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ARM id of a registered pipeline."""
    file = tmp_path_factory.mktemp("pipeline") / "pipeline.yml"
    file.write_text(_PIPELINE.format(name=unique("nightly")))
    return str(client.components.create_or_update(load_component(file)).id)


@pytest.fixture
def schedules(client: MLClient, azure: LocalAzure, component: str) -> Iterator["Desk"]:
    desk = Desk(client, azure, component)
    yield desk
    desk.clear()


class Desk:
    """Makes schedules, and moves their clock."""

    def __init__(self, client: MLClient, azure: LocalAzure, component: str) -> None:
        self.client, self._azure, self._component = client, azure, component

    def job(self, **more: Any) -> PipelineJob:
        settings = PipelineJobSettings(default_compute="serverless")
        return PipelineJob(component=self._component, settings=settings, **more)

    def put(self, trigger: Any, *, name: str = "", **more: Any) -> Any:
        more.setdefault("create_job", self.job())
        made = JobSchedule(name=name or unique("nightly"), trigger=trigger, **more)
        return self.client.schedules.begin_create_or_update(made).result(timeout=20)

    def disable(self, name: str) -> None:
        self.client.schedules.begin_disable(name).result(timeout=20)

    def now(self) -> datetime:
        said = loopback.get(f"{self._azure.control_url}/schedules/clock").json()
        return datetime.fromisoformat(said["now"])

    def move(self, **to: Any) -> list[dict[str, str]]:
        """Move the clock; what fired."""
        answer = loopback.post(f"{self._azure.control_url}/schedules/clock", json=to)
        answer.raise_for_status()
        return list(answer.json()["fired"])

    def new_year(self) -> datetime:
        """Move the clock to the beginning of the next year, so that dates are known."""
        start = datetime(self.now().year + 1, 1, 1, tzinfo=UTC)
        self.move(to=start.isoformat())
        return start

    def times(self, start: datetime, days: float) -> list[str]:
        """Move the clock to so many days after a start; the times that fired, without the year."""
        fired = self.move(to=(start + timedelta(days=days)).isoformat())
        return [each["time"].removeprefix(f"{start.year}-") for each in fired]

    def clear(self) -> None:
        for each in list(self.client.schedules.list()):
            self.disable(each.name)


def test_a_schedule_reads_back_as_it_was_put(schedules: Desk) -> None:
    trigger = RecurrenceTrigger(
        frequency="week",
        interval=2,
        schedule=RecurrencePattern(hours=6, minutes=[0, 30], week_days=["monday", "friday"]),
        start_time=_PAST,
        time_zone="W. Europe Standard Time",
    )
    job = schedules.job(
        inputs={"when": "${{creation_context.trigger_time}}", "size": 3},
        outputs={
            "report": Output(path="azureml://datastores/workspaceblobstore/paths/x/${{name}}")
        },
        experiment_name="nights",
        tags={"team": "blue"},
    )
    made = schedules.put(trigger, create_job=job, tags={"a": "b"}, display_name="Nightly")
    found = schedules.client.schedules.get(made.name)
    assert (found.is_enabled, found.provisioning_state) == (True, "Succeeded")
    assert (found.tags, found.display_name) == ({"a": "b"}, "Nightly")
    assert (found.trigger.frequency, found.trigger.interval) == ("week", 2)
    assert found.trigger.schedule.week_days == ["monday", "friday"]
    assert found.trigger.start_time == _PAST
    assert found.trigger.time_zone == "W. Europe Standard Time"
    assert found.create_job.inputs["when"]._data == "${{creation_context.trigger_time}}"
    assert found.create_job.outputs["report"].path.endswith("/x/${{name}}")


def test_one_put_makes_it_and_one_put_changes_it(azure: LocalAzure, schedules: Desk) -> None:
    clear_requests(azure)
    made = schedules.put(CronTrigger(expression="0 6 * * *", start_time=_PAST))
    schedules.put(CronTrigger(expression="0 7 * * *", start_time=_PAST), name=made.name)
    assert schedules.client.schedules.get(made.name).trigger.expression == "0 7 * * *"
    puts = [each for each in requests(azure) if each["method"] == "PUT"]
    assert len(puts) == 2


def test_cron_fires_in_its_zone_and_its_day_and_month_are_ignored(schedules: Desk) -> None:
    start = schedules.new_year()
    zone = "Tokyo Standard Time"
    schedules.put(CronTrigger(expression="30 6 5 7 *", start_time=_PAST, time_zone=zone))
    assert schedules.times(start, 3) == ["01-01T21:30:00Z", "01-02T21:30:00Z", "01-03T21:30:00Z"]


def test_days_that_a_month_does_not_have_are_skipped(schedules: Desk) -> None:
    start = schedules.new_year()
    pattern = RecurrencePattern(hours=6, minutes=0, month_days=[31])
    schedules.put(
        RecurrenceTrigger(frequency="month", interval=1, schedule=pattern, start_time=_PAST)
    )
    assert schedules.times(start, 155) == [
        "01-31T06:00:00Z",
        "03-31T06:00:00Z",
        "05-31T06:00:00Z",
    ]


@pytest.mark.parametrize(
    ("trigger", "times"),
    [
        (
            RecurrenceTrigger(frequency="hour", interval=8, start_time="2022-07-10T10:30:00"),
            ["01-01T02:30:00Z", "01-01T10:30:00Z", "01-01T18:30:00Z"],
        ),
        (
            RecurrenceTrigger(
                frequency="day",
                interval=1,
                schedule=RecurrencePattern(hours=[4, 22], minutes=[0, 30]),
                start_time=_PAST,
            ),
            ["01-01T04:00:00Z", "01-01T04:30:00Z", "01-01T22:00:00Z", "01-01T22:30:00Z"],
        ),
        # The clock of summer: an hour less until the end of March.
        (
            CronTrigger(
                expression="0 6 * * 1-5", start_time=_PAST, time_zone="W. Europe Standard Time"
            ),
            None,
        ),
    ],
)
def test_recurrences(schedules: Desk, trigger: Any, times: list[str] | None) -> None:
    start = schedules.new_year()
    schedules.put(trigger)
    if times is not None:
        assert schedules.times(start, 1) == times
        return
    hours = {each[6:8] for each in schedules.times(start, 80)}
    assert hours == {"05"}
    assert {each[6:8] for each in schedules.times(start, 100) if each > "04"} == {"04"}


def test_a_start_in_the_past_means_the_next_time_and_none_means_now(schedules: Desk) -> None:
    start = schedules.new_year()
    schedules.put(CronTrigger(expression="0 6 * * *", start_time=_PAST))
    at_once = schedules.put(CronTrigger(expression="0 6 * * *"))
    jobs = list(schedules.client.jobs.list(scheduled_job_name=at_once.name))
    assert len(jobs) == 1
    late = (start + timedelta(days=1, hours=7)).replace(tzinfo=None)
    later = schedules.put(CronTrigger(expression="0 6 * * *", start_time=late))
    fired = schedules.move(to=(start + timedelta(days=2, hours=7)).isoformat())
    assert [each["time"][5:10] for each in fired if each["schedule"] == later.name] == ["01-03"]
    assert len(fired) == 3 + 3 + 1


def test_jobs_are_named_for_their_schedule_and_macros_are_filled_in(schedules: Desk) -> None:
    start = schedules.new_year()
    folder = "azureml://datastores/workspaceblobstore/paths/nights"
    job = schedules.job(
        inputs={"when": "at ${{creation_context.trigger_time}}"},
        outputs={"report": Output(path=f"{folder}/${{{{name}}}}")},
        experiment_name="nights",
        tags={"team": "blue"},
    )
    name = schedules.put(CronTrigger(expression="0 6 * * *", start_time=_PAST), create_job=job).name
    schedules.move(to=(start + timedelta(hours=7)).isoformat())
    [fired] = schedules.client.jobs.list(scheduled_job_name=name)
    assert fired.display_name == f"{name}-{start.year}0101T060000Z"
    assert fired.inputs["when"]._data == f"at {start.year}-01-01T06:00:00Z"
    assert fired.outputs["report"].path == f"{folder}/{fired.name}"
    assert (fired.experiment_name, fired.tags) == ("nights", {"team": "blue"})
    others = [each.name for each in schedules.client.jobs.list(schedule_defined=False)]
    assert fired.name not in others


def test_disabled_ones_do_not_fire_and_begin_again_with_the_next_time(schedules: Desk) -> None:
    start = schedules.new_year()
    name = schedules.put(CronTrigger(expression="0 6 * * *", start_time=_PAST)).name
    schedules.disable(name)
    assert schedules.times(start, 2) == []
    assert [each.name for each in schedules.client.schedules.list()] == []
    shown = [each.name for each in schedules.client.schedules.list(list_view_type="DisabledOnly")]
    assert name in shown
    assert schedules.client.schedules.begin_enable(name).result(timeout=20).is_enabled
    assert schedules.times(start, 3) == ["01-03T06:00:00Z"]


def test_it_is_disabled_before_it_is_deleted(schedules: Desk) -> None:
    name = schedules.put(CronTrigger(expression="0 6 * * *", start_time=_PAST)).name
    error = refusal(lambda: schedules.client.schedules.begin_delete(name))
    assert error.status_code == 400
    assert "Disable it" in error.message
    schedules.disable(name)
    schedules.client.schedules.begin_delete(name).result(timeout=20)
    with pytest.raises(ResourceNotFoundError):
        schedules.client.schedules.get(name)
    # What is not there is gone.
    schedules.client.schedules.begin_delete(name).result(timeout=20)


def test_it_can_be_triggered_once_while_it_is_enabled(schedules: Desk) -> None:
    name = schedules.put(CronTrigger(expression="0 6 * * *", start_time=_PAST)).name
    made = schedules.client.schedules.trigger(name, schedule_time="2026-03-01T08:00:00Z")
    assert made.schedule_action_type == "CreateJob"
    job = schedules.client.jobs.get(made.job_name)
    assert job.display_name == f"{name}-20260301T080000Z"
    schedules.disable(name)
    assert refusal(lambda: schedules.client.schedules.trigger(name)).status_code == 400


def test_a_submitted_job_can_be_scheduled_but_not_with_steps_of_its_own(schedules: Desk) -> None:
    start = schedules.new_year()
    submitted = schedules.client.jobs.create_or_update(schedules.job(inputs={"when": "once"}))
    trigger = CronTrigger(expression="0 6 * * *", start_time=_PAST)
    name = schedules.put(trigger, create_job=submitted.id).name
    schedules.move(to=(start + timedelta(hours=7)).isoformat())
    [fired] = schedules.client.jobs.list(scheduled_job_name=name)
    assert fired.inputs["when"]._data == "once"
    inline = schedules.job()
    inline._id = submitted.id
    body: Any = JobSchedule(name=name, trigger=trigger, create_job=inline)._to_rest_object()
    body.properties.action.job_definition["jobs"] = {"x": {}}
    operations = schedules.client.schedules
    error = refusal(
        lambda: operations.service_client.begin_create_or_update(
            operations._operation_scope.resource_group_name,
            operations._workspace_name,
            name,
            body,
        )
    )
    assert "Invalid jobs override" in error.message
    assert inner_codes(error)[-1] == "InvalidJobsOverride"


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        (CronTrigger(expression="0 6 * *"), "five fields"),
        (CronTrigger(expression="0 99 * * *"), "0 99"),
        (CronTrigger(expression="0 6 * * *", time_zone="Europe/Berlin"), "Windows"),
        (CronTrigger(expression="0 6 * * *", start_time="2026-01-01T06:00:00Z"), "offset"),
        (CronTrigger(expression="0 6 * * *", end_time=_PAST), "endTime"),
        (RecurrenceTrigger(frequency="hour", interval=0), "interval"),
        (
            RecurrenceTrigger(
                frequency="hour", interval=1, schedule=RecurrencePattern(hours=[1], minutes=[2])
            ),
            "With frequency hour",
        ),
    ],
)
def test_triggers_that_are_none_are_refused(schedules: Desk, trigger: Any, said: str) -> None:
    error = refusal(lambda: schedules.put(trigger))
    assert error.status_code == 400
    assert said in error.message


def test_a_job_that_could_not_run_is_refused(schedules: Desk) -> None:
    trigger = CronTrigger(expression="0 6 * * *", start_time=_PAST)
    job = schedules.job(inputs={"size": "${{creation_context.trigger_time}}"})
    assert refusal(lambda: schedules.put(trigger, create_job=job)).status_code == 400
    unknown = schedules.job(inputs={"nothing": Input(type="uri_file", path="azureml://x/y")})
    assert "nothing" in refusal(lambda: schedules.put(trigger, create_job=unknown)).message


@pytest.mark.parametrize("action", ["CreateMonitor", "ImportData"])
def test_what_is_not_implemented_is_refused_by_name(schedules: Desk, action: str) -> None:
    operations = schedules.client.schedules
    trigger = CronTrigger(expression="0 6 * * *")
    body: Any = JobSchedule(name="x", trigger=trigger, create_job=schedules.job())._to_rest_object()
    body.properties.action["actionType"] = action
    error = refusal(
        lambda: operations.service_client.begin_create_or_update(
            operations._operation_scope.resource_group_name,
            operations._workspace_name,
            "x",
            body,
        )
    )
    assert error.status_code == 501
    assert {"CreateMonitor": "monitors", "ImportData": "import"}[action] in error.message


def test_the_clock_never_goes_back(azure: LocalAzure, schedules: Desk) -> None:
    address = f"{azure.control_url}/schedules/clock"
    back = (schedules.now() - timedelta(hours=1)).isoformat()
    assert loopback.post(address, json={"to": back}).status_code == 400
    assert loopback.post(address, json={"forward_seconds": -1}).status_code == 400
