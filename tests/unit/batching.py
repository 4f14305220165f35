"""Uploads that wait for one another, and what was recorded of them."""

import json
from typing import Any

from shared.definitions import TriggerDefinition
from shared.ledger import Record
from tests.fakes import World
from tests.unit.scene import (
    TRIGGER,
    Scene,
    event,
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
    found = trigger(name, path=path, **{"inputs": {"data": "${{ manifest }}"}, **(action or {})})
    given = {"group_by": ["date"], "release_on": RELEASE, **batch}
    held = found.policies.model_validate({"batch": given, **(policies or {})})
    return found.model_copy(update={"policies": held})


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
