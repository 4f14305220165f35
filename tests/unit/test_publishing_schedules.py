"""Publishing schedules that AzureML runs."""

from pathlib import Path
from typing import Any

import pytest

from shared.changes import Did, Prune
from shared.errors import (
    DefinitionsInvalid,
    WorkspaceUnavailable,
)
from shared.index import Index
from shared.native_orders import NativeOrders
from shared.native_plans import FoundSchedule
from shared.native_schedules import NativeSchedules
from shared.native_states import NativeStates
from shared.progress import Progress
from shared.published import Published
from shared.publishing import Plan, Publishing
from tests.fakes import MemoryJobSchedules, MemoryWorkspace
from tests.unit.desk import Desk
from tests.unit.scene import fail

# Schedules that AzureML runs

_NIGHTLY = """
name: nightly
spec: {{schedule: {{cron: "0 {hour} * * *", engine: {engine}}}}}
action: {{pipeline: heartbeat}}
"""


class NativeDesk(Desk):
    """A desk whose AzureML has schedules."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for file in (self.folder / "triggers").glob("*.yml"):
            file.unlink()
        self.azure = MemoryJobSchedules(self.blobs.world)
        self.index = Index(self.blobs)
        published = Published(self.blobs)
        self.native = NativeSchedules(
            deployment="prod",
            index=self.index,
            states=NativeStates(self.blobs),
            orders=NativeOrders(
                deployment="prod", variables={}, published=published, labels=self.registry
            ),
            schedules=self.azure,
            jobs=MemoryWorkspace(),
        )
        self.said: list[str] = []
        self.of_natives = Publishing(
            published, self.index, self.registry, listens=(), native=self.native
        )

    def write(self, engine: str = "azureml", hour: int = 6) -> None:
        (self.folder / "triggers/nightly.yml").write_text(_NIGHTLY.format(engine=engine, hour=hour))

    def plan_natives(self, **options: Any) -> Plan:
        return self.of_natives.plan(self.folder, **options)

    def publish_natives(self, **options: Any) -> None:
        self.of_natives.apply(self.plan_natives(**options), Progress(self.said.append))


@pytest.fixture
def natives(tmp_path: Path) -> NativeDesk:
    return NativeDesk(tmp_path / "definitions")


def test_a_schedule_comes_into_azureml_after_the_index_and_leaves_it_before(
    natives: NativeDesk,
) -> None:
    natives.write()
    assert natives.plan_natives().native.told == {"nightly": "will be created in AzureML"}
    assert natives.azure.there == {}
    order: list[str] = []
    natives.blobs.world.after = lambda call: order.append(call)
    natives.publish_natives()
    assert order.index("swap index.json") < order.index("schedule PUT nightly")
    assert natives.azure.there["nightly"].enabled
    assert not natives.plan_natives().differs
    natives.write(hour=7)
    [told] = natives.plan_natives().native.told.values()
    assert "trigger.expression is '0 6 * * *', and should be '0 7 * * *'" in told
    natives.write("signalbox")
    order.clear()
    natives.publish_natives()
    assert order.index("schedule disable nightly") < order.index("swap index.json")
    assert natives.azure.there == {}
    assert "brought up to date the schedules in AzureML" in natives.said


def test_what_was_changed_in_azureml_is_undone_by_publishing(natives: NativeDesk) -> None:
    natives.write()
    natives.publish_natives()
    natives.azure.there.clear()
    plan = natives.plan_natives()
    assert plan.differs
    assert {change.did for change in plan.changes} == {Did.UNCHANGED}
    natives.publish_natives()
    assert "nightly" in natives.azure.there


def test_a_pruned_trigger_takes_its_schedule_along(natives: NativeDesk) -> None:
    natives.write()
    natives.publish_natives()
    (natives.folder / "triggers/nightly.yml").unlink()
    natives.publish_natives()
    assert natives.azure.there["nightly"].enabled
    natives.publish_natives(prune=Prune.YES)
    assert natives.azure.there == {}


def test_somebody_else_s_schedule_of_that_name_is_a_mistake_in_the_folder(
    natives: NativeDesk,
) -> None:
    natives.azure.there["nightly"] = FoundSchedule(name="nightly", enabled=True)
    natives.write()
    with pytest.raises(DefinitionsInvalid, match=r"nightly.yml:2: AzureML has a schedule"):
        natives.plan_natives()


def test_azureml_s_silence_after_the_index_is_told_and_no_failure(natives: NativeDesk) -> None:
    natives.write()
    plan = natives.plan_natives()
    fail(natives.blobs.world, "schedules", WorkspaceUnavailable("AzureML answered 429."))
    natives.of_natives.apply(plan, Progress(natives.said.append))
    assert any("429" in line and "timer" in line for line in natives.said)
    natives.native.run_due()
    assert natives.azure.there == {}
    natives.blobs.world.pass_time(300)
    natives.native.run_due()
    assert natives.azure.there["nightly"].enabled


def test_what_azureml_cannot_do_is_told_at_its_line_and_hints_are_warnings(
    natives: NativeDesk,
) -> None:
    natives.write()
    natives.publish_natives()
    file = natives.folder / "triggers/nightly.yml"
    text = file.read_text()
    file.write_text(text + "policies: {overlap: buffer_all}\n")
    with pytest.raises(DefinitionsInvalid, match=r"nightly.yml:5: overlap: AzureML starts"):
        natives.plan_natives()
    file.write_text(text.replace("engine", "start_time: '2022-01-01T00:00:00', engine"))
    [warning] = [each for each in natives.plan_natives().warnings if "past" in each]
    assert warning.startswith("triggers/nightly.yml:3: start_time lies in the past")
