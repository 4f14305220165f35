"""AzureML's own schedules, from a folder to the jobs that AzureML starts by itself."""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from emulator.stack import LocalAzure
from shared.blob_state import AzureBlobState
from shared.index import Index
from shared.job_schedules import AzureJobSchedules
from shared.native_orders import NativeOrders
from shared.native_schedules import NativeSchedules
from shared.native_states import NativeStates
from shared.pauses import Pauses
from shared.progress import Progress
from shared.published import Published
from shared.publishing import Publishing
from shared.recurrences import Recurrence
from shared.workspace import AzureWorkspace
from tests.integration.workspace import clear_requests, finished, requests, unique
from tests.loopback import loopback

CORPUS = os.environ.get("SIGNALBOX_CORPUS")

_JOB = """
type: pipeline
display_name: nights
inputs:
  when: never
settings: {default_compute: azureml:cpu-cluster}
jobs:
  tell:
    type: command
    command: echo ${{inputs.when}}
    environment: azureml://registries/azureml/environments/plain/versions/1
    inputs: {when: "${{parent.inputs.when}}"}
"""
_SCHEDULE = """
name: {name}
display_name: Every night
description: of all shops
tags: {{team: red}}
trigger:
  type: recurrence
  frequency: day
  interval: 1
  schedule: {{hours: [4, 22], minutes: [0, 30]}}
  start_time: "2022-07-10T10:00:00"
  time_zone: Tokyo Standard Time
create_job:
  type: pipeline
  job: ./nights.yml
  settings: {{continue_on_step_failure: true}}
  inputs: {{when: "at ${{{{creation_context.trigger_time}}}}"}}
  tags: {{team: blue}}
"""


class Desk:
    """A folder, an app over the local Azure with a state of its own, and the clock of AzureML."""

    def __init__(self, azure: LocalAzure, ml: MLClient, folder: Path) -> None:
        self.azure, self.ml, self.folder = azure, ml, folder
        self.name = unique("nights")
        (folder / "schedules").mkdir()
        credential, topology = DefaultAzureCredential(), azure.topology
        account, container = topology.account("signalboxstate").url, self.name.replace("_", "-")
        ContainerClient(account, container, credential).create_container()
        blobs = AzureBlobState(account, container, credential)
        workspace = AzureWorkspace(
            topology.subscription_id, topology.resource_group, topology.workspace.name, credential
        )
        self.index, published = Index(blobs), Published(blobs)
        self.native = NativeSchedules(
            deployment=self.name,
            index=self.index,
            states=NativeStates(blobs),
            orders=NativeOrders(
                deployment=self.name, variables={}, published=published, labels=workspace
            ),
            schedules=AzureJobSchedules(workspace.client),
            jobs=workspace,
        )
        self.pauses = Pauses(self.index, self.native.follow)
        self._publishing = Publishing(
            published, self.index, workspace, listens=(), native=self.native
        )

    def write(self, **changes: str) -> None:
        text = _SCHEDULE.format(name=self.name)
        for before, after in changes.items():
            text = text.replace(before, after)
        (self.folder / "schedules/nights.yml").write_text(_JOB)
        (self.folder / "schedules/nightly.yml").write_text(text)

    def publish(self) -> list[str]:
        """What was said."""
        said: list[str] = []
        self._publishing.apply(self._publishing.plan(self.folder), Progress(said.append))
        return said

    def fire(self, until: datetime) -> list[dict[str, str]]:
        """Move AzureML's clock; what it started of ours."""
        answer = loopback.post(
            f"{self.azure.control_url}/schedules/clock", json={"to": until.isoformat()}, timeout=30
        )
        answer.raise_for_status()
        mine = self.index.read().snapshot.triggers
        return [each for each in answer.json()["fired"] if each["schedule"] in mine]

    def now(self) -> datetime:
        said = loopback.get(f"{self.azure.control_url}/schedules/clock").json()
        return datetime.fromisoformat(said["now"])

    def times(self, name: str, count: int) -> list[datetime]:
        """The next times of a schedule by Signalbox's own account."""
        indexed = self.index.read().snapshot.triggers[name]
        spec = indexed.definition.spec.schedule
        assert spec
        found = Recurrence(spec, indexed.anchor).after(self.now())
        return [next(found) for _ in range(count)]

    def clear(self) -> None:
        for each in list(self.ml.schedules.list(list_view_type="All")):
            if (each.tags or {}).get("signalbox_deployment") == self.name:
                self.ml.schedules.begin_disable(each.name).result(timeout=20)
                self.ml.schedules.begin_delete(each.name).result(timeout=20)


@pytest.fixture
def desk(local_azure: LocalAzure, ml: MLClient, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(local_azure, ml, tmp_path)
    yield desk
    desk.clear()


def test_azureml_s_yaml_becomes_a_schedule_that_fires_when_signalbox_says(desk: Desk) -> None:
    desk.write()
    desk.publish()
    # By both accounts, at the same times.
    expected = desk.times(desk.name, 3)
    fired = desk.fire(expected[-1])
    assert [each["time"] for each in fired] == [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in expected]
    job = finished(desk.ml, fired[0]["job"])
    assert job.status == "Completed"
    assert job.display_name == f"{desk.name}-{expected[0]:%Y%m%dT%H%M%SZ}"
    assert job.inputs["when"]._data == f"at {expected[0]:%Y-%m-%dT%H:%M:%SZ}"
    assert job.settings.continue_on_step_failure
    tags = {"team": "blue", "signalbox_trigger": desk.name, "signalbox_deployment": desk.name}
    assert tags.items() <= job.tags.items()
    assert "signalbox_run" not in job.tags
    assert len(list(desk.ml.jobs.list(scheduled_job_name=desk.name))) == 3


def test_the_service_gives_back_what_was_put_and_a_change_is_one_put(desk: Desk) -> None:
    desk.write()
    desk.publish()
    assert desk.native.look(desk.name).drift == ()
    assert desk.native.reconcile().steps == ()
    there = desk.ml.schedules.get(desk.name)
    assert (there.display_name, there.description) == ("Every night", "of all shops")
    assert there.tags["team"] == "red"
    desk.write(**{"[4, 22]": "[5]"})
    clear_requests(desk.azure)
    desk.publish()
    puts = [each["path"] for each in requests(desk.azure) if each["method"] == "PUT"]
    assert [path.rpartition("/")[2] for path in puts] == [desk.name]
    assert desk.ml.schedules.get(desk.name).trigger.expression == "0,30 5 * * *"


def test_what_somebody_does_in_azureml_is_shown_and_undone(desk: Desk) -> None:
    desk.write()
    desk.publish()
    there = desk.ml.schedules.get(desk.name)
    there.trigger.expression, there._is_enabled = "0 1 * * *", False
    desk.ml.schedules.begin_create_or_update(there).result(timeout=20)
    assert desk.native.look(desk.name).drift == (
        "enabled is 'false', and should be 'true'",
        "trigger.expression is '0 1 * * *', and should be '0,30 4,22 * * *'",
    )
    assert [step.action for step in desk.native.reconcile().steps] == ["update"]
    assert desk.native.look(desk.name).drift == ()


def test_it_is_paused_resumed_triggered_and_taken_off(desk: Desk) -> None:
    desk.write()
    desk.publish()
    desk.pauses.pause(desk.name, note="moving", by="key")
    assert desk.fire(desk.times(desk.name, 1)[0]) == []
    desk.pauses.resume(desk.name)
    job = desk.native.trigger_now(desk.name, {}, key="k")
    assert str(desk.ml.jobs.get(job).display_name).startswith(f"{desk.name}-")
    given = desk.native.trigger_now(desk.name, {"when": "now"}, key="k")
    assert desk.ml.jobs.get(given).inputs["when"]._data == "now"
    (desk.folder / "schedules/nightly.yml").unlink()
    (desk.folder / "schedules/nights.yml").unlink()
    (desk.folder / "triggers").mkdir()
    (desk.folder / f"triggers/{desk.name}.yml").write_text(
        f"name: {desk.name}\nspec: {{schedule: {{cron: '0 6 * * *'}}}}\n"
        f"action: {{pipeline: {desk.name}}}\n"
    )
    desk.publish()
    with pytest.raises(ResourceNotFoundError):
        desk.ml.schedules.get(desk.name)


@pytest.mark.parametrize(
    ("action", "said", "there"),
    [
        ({"status": 429, "headers": {"Retry-After": "60"}}, "429", False),
        ({"status": 500}, "500", False),
        ({"drop": True}, "could not be reached", False),
        # It took effect, and nobody heard of it.
        ({"apply_then_drop": True}, "could not be reached", True),
    ],
)
def test_what_azureml_does_not_do_now_is_told_at_once_and_done_later(
    desk: Desk, action: dict[str, Any], said: str, there: bool
) -> None:
    desk.write()
    control = f"{desk.azure.control_url}/faults"
    fault = {"method": "PUT", "path_contains": f"/schedules/{desk.name}", "action": action}
    loopback.post(control, json=fault).raise_for_status()
    try:
        told = desk.publish()
    finally:
        loopback.delete(control).raise_for_status()
    assert any(said in line for line in told), told
    assert desk.native.look(desk.name).there is there
    done = desk.native.reconcile()
    assert [step.action.value for step in done.steps] == ([] if there else ["create"])
    assert desk.native.look(desk.name).problem is None


def test_a_schedule_without_a_start_begins_with_its_next_time_not_at_once(desk: Desk) -> None:
    desk.write(**{'  start_time: "2022-07-10T10:00:00"\n': ""})
    desk.publish()
    assert list(desk.ml.jobs.list(scheduled_job_name=desk.name)) == []


@pytest.mark.skipif(CORPUS is None, reason="SIGNALBOX_CORPUS names no folder")
def test_microsoft_s_own_schedules_are_published_as_they_are_and_fire(desk: Desk) -> None:
    assert CORPUS
    for file in (*Path(CORPUS).glob("*-schedule.yml"), Path(CORPUS) / "simple-pipeline-job.yml"):
        shutil.copyfile(file, desk.folder / "schedules" / file.name)
    desk.publish()
    names = [
        "cron_with_settings_job_schedule",
        "simple_cron_job_schedule",
        "simple_recurrence_job_schedule",
    ]
    try:
        start = desk.now()
        # 4:30 in the morning there, which the recurrence is for.
        until = next(at for at in desk.times(names[2], 10) if at.minute == 30)
        expected = {
            name: [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in desk.times(name, 60) if at <= until]
            for name in names
        }
        fired: dict[str, list[Any]] = {name: [] for name in names}
        for each in desk.fire(until):
            fired[each["schedule"]].append(each)
        assert {n: [each["time"] for each in of] for n, of in fired.items()} == expected
        assert until - start < timedelta(days=1)
        [first, *_] = fired["cron_with_settings_job_schedule"]
        job = finished(desk.ml, first["job"], seconds=90)
        assert (job.status, job.inputs["hello_string_top_level_input"]._data) == (
            "Completed",
            job.name,
        )
        assert job.tags["schedule"] == "cron_with_settings_schedule"
    finally:
        for name in names:
            for job in desk.ml.jobs.list(scheduled_job_name=name):
                if job.status not in ("Completed", "Failed", "Canceled"):
                    desk.ml.jobs.begin_cancel(job.name)
