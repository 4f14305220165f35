"""Many events for one run, whoever dies on the way."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared import batches as rooms
from shared.definitions import TriggerDefinition
from shared.errors import StorageUnavailable
from shared.events import BATCH_TYPE
from shared.index import Paused, Snapshot
from shared.inputs import DataInput
from shared.ledger import Record, State
from tests.fakes import MemoryBlobs, MemoryWorkspace, World
from tests.unit.scene import (
    TRIGGER,
    Killed,
    Scene,
    event,
    fail,
    indexed,
    interject,
    pipeline,
    trigger,
)

RELEASE = {"suffix": {"subject": "/_SUCCESS"}}
ADDRESS = "azureml://datastores/workspaceblobstore/paths/"


def batched(
    name: str = TRIGGER,
    *,
    path: str = "sales/{date}/{file}.csv",
    policies: dict[str, Any] | None = None,
    action: dict[str, Any] | None = None,
    **batch: Any,
) -> TriggerDefinition:
    """A trigger whose runs take the uploads of a day."""
    found = trigger(
        name, path=path, inputs={"data": "${{ manifest }}"}, **{"tags": {}, **(action or {})}
    )
    given = {"group_by": ["date"], "release_on": RELEASE, **batch}
    held = found.policies.model_validate({"batch": given, **(policies or {})})
    return found.model_copy(update={"policies": held})


@pytest.fixture
def here() -> Scene:
    scene = Scene()
    scene.publish(batched())
    return scene


def upload(here: Scene, *names: str, day: str = "03-01") -> list[Record]:
    """The records of these uploads, after each was handed over."""
    found = []
    for name in names:
        [decision] = here.dispatcher.handle(event(f"sales/{day}/{name}"))
        assert decision.record is not None
        found.append(decision.record)
    return found


def records(here: Scene, name: str = TRIGGER) -> list[Record]:
    world, here.blobs.world = here.blobs.world, World(now=here.world.now)
    try:
        keys = [
            blob.rpartition("/")[2].removesuffix(".json")
            for blob in here.blobs.stored
            if blob.startswith(f"ledger/{name}/")
        ]
        found = [here.ledger.read(name, key) for key in keys]
    finally:
        here.blobs.world = world
    return [kept.record for kept in found if kept]


def runs(here: Scene, name: str = TRIGGER) -> list[Record]:
    """The runs of batches, oldest first."""
    found = [record for record in records(here, name) if record.member is None]
    return sorted(found, key=lambda record: record.transitions[0].at)


def members(here: Scene, name: str = TRIGGER) -> list[Record]:
    return [record for record in records(here, name) if record.member is not None]


def manifest(here: Scene, run: Record) -> list[str]:
    """The paths that a run's manifest lists."""
    address = run.event.data["manifest"]
    content = here.lakes.written[f"contosoml/azureml-blobstore/{address.removeprefix(ADDRESS)}"]
    subjects = [json.loads(line)["event"]["subject"] for line in content.splitlines()]
    # What came within one second is in no order.
    return sorted(subject.partition("/blobs/")[2] for subject in subjects)


def inbox(here: Scene) -> list[str]:
    return [name for name in here.blobs.stored if name.startswith("inbox/")]


def never() -> bool:
    return False


def test_an_event_waits_for_its_batch(here: Scene) -> None:
    [record] = upload(here, "a.csv")

    assert here.world.calls == [
        "get_if_changed index.json",
        f"create ledger/{TRIGGER}/{record.key}.json",
        f"create inbox/{TRIGGER}/{record.member and record.member.group}/{record.key}",
    ]
    assert record.state is State.WAITING_BATCH
    assert record.reason
    assert record.reason.code == "waiting_batch"
    assert "date=03-01" in record.reason.text
    assert record.member
    assert record.member.captures == {"date": "03-01", "file": "a"}
    assert record.member.until == here.world.now + timedelta(minutes=30)
    assert not here.markers()


def test_one_run_takes_what_waited(here: Scene) -> None:
    upload(here, "a.csv", "b.csv")
    here.world.pass_time(60)
    upload(here, "c.csv", "x.csv", day="03-02")
    here.batches.seal_due(never)
    assert not runs(here)
    here.world.pass_time(60)
    here.batches.seal_due(never)

    [run] = runs(here)
    assert manifest(here, run) == ["sales/03-01/a.csv", "sales/03-01/b.csv"]
    assert run.state is State.SUBMITTED
    assert run.body
    assert run.body.inputs == {"data": DataInput(type="uri_file", path=run.event.data["manifest"])}
    assert run.event.type == BATCH_TYPE
    assert (run.event.id, run.event.subject) == (run.run_id, "date=03-01")
    assert run.event.data["events"] == 2
    taken = [record for record in members(here) if record.state is State.BATCHED]
    assert [record.batch for record in taken] == [run.key] * 2
    assert sorted(record.key for record in taken) == sorted(run.members)
    assert taken[0].reason
    assert taken[0].reason.text == f"It is part of run {run.run_id}."
    assert len(inbox(here)) == 2


def test_what_says_that_they_are_complete_does_not_wait_for_the_tick(here: Scene) -> None:
    upload(here, "a.csv", "b.csv")
    upload(here, "_SUCCESS")

    [run] = runs(here)
    assert manifest(here, run) == ["sales/03-01/a.csv", "sales/03-01/b.csv"]
    assert len(run.members) == 3
    assert {record.state for record in members(here)} == {State.BATCHED}
    assert not inbox(here)
