"""What the job of a batch reads."""

import json

import pytest

from shared import manifests
from shared.errors import StorageUnavailable
from shared.manifests import Manifests
from tests.fakes import MemoryLakes, MemoryWorkspace, World
from tests.unit.scene import event

ADDRESS = "azureml://datastores/workspaceblobstore/paths/"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def lakes(world: World) -> MemoryLakes:
    return MemoryLakes(world)


@pytest.fixture
def rooms(world: World, lakes: MemoryLakes) -> Manifests:
    return Manifests(deployment="test", lakes=lakes, workspace=MemoryWorkspace(world))


def test_a_job_reads_events_as_expressions_find_them(rooms: Manifests, lakes: MemoryLakes) -> None:
    events = [event("sales/north/ä.csv"), event("sales/south/b\n.csv")]
    lines = {one.id: manifests.line(one, {"region": "x"}) for one in events}
    found = rooms.write("of-a-day", "key", lines)

    [(place, content)] = lakes.written.items()
    assert found.startswith(f"{ADDRESS}signalbox/test/of-a-day/key-")
    assert place == f"contosoml/azureml-blobstore/{found.removeprefix(ADDRESS)}"
    assert [json.loads(one) for one in content.splitlines()] == [
        {"event": one.content, "captures": {"region": "x"}} for one in events
    ]


def test_other_events_are_written_elsewhere_and_the_same_once(
    rooms: Manifests, lakes: MemoryLakes
) -> None:
    a, b = "one", "two"
    places = {rooms.write("t", "key", lines) for lines in ({"a": a}, {"a": a, "b": b}, {"a": a})}

    assert len(places) == len(lakes.written) == 2


def test_where_the_datastore_is_is_asked_once(rooms: Manifests, world: World) -> None:
    for key in ("a", "b"):
        rooms.write("t", key, {key: "x"})

    assert world.calls.count("datastore workspaceblobstore") == 1


def test_secrets_are_left_out() -> None:
    signed = "https://x.blob.core.windows.net/c/a.csv?sv=2024&sig=c2VjcmV0LXNlY3JldC1zZWNyZXQ%3D"
    told = manifests.line(event(data={"other": signed, "AccountKey": "c2VjcmV0c2VjcmV0"}), {})

    assert "c2VjcmV0" not in told
    assert json.loads(told)["event"]["data"]["contentLength"] == 12


def test_what_could_not_be_written_is_raised(rooms: Manifests, lakes: MemoryLakes) -> None:
    lakes.trouble = StorageUnavailable("not now")

    with pytest.raises(StorageUnavailable):
        rooms.write("t", "key", {"a": "x"})
