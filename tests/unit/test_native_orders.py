"""Which schedules the index wants of AzureML."""

from typing import Any

import pytest

from shared.errors import Conflict, NotFound
from shared.index import Snapshot
from shared.native_orders import NativeOrders, digest, native, natives
from shared.published import Published
from tests.fakes import MemoryBlobs, MemoryWorkspace
from tests.unit.scene import indexed, pipeline, trigger
from tests.unit.test_native_schedules import schedule


def snapshot(*triggers: Any, **changes: Any) -> Snapshot:
    record = pipeline(inputs={"when": {"type": "string"}}, **changes)
    return Snapshot(
        triggers=indexed(*triggers),
        pipelines={record.name: record.model_dump(mode="json", by_alias=True)},
    )


def orders(workspace: MemoryWorkspace | None = None) -> NativeOrders:
    return NativeOrders(
        deployment="prod",
        variables={},
        published=Published(MemoryBlobs()),
        labels=workspace or MemoryWorkspace(),
    )


def test_only_triggers_that_azureml_runs() -> None:
    there = snapshot(schedule("b"), schedule("a"), schedule("ours", engine="signalbox"), trigger())
    assert [*natives(there)] == ["a", "b"]
    wanted, problems = orders().all(there, indexed(schedule())["nightly"].effective_from)
    assert ([each.name for each in wanted], problems) == (["a", "b"], {})
    assert native(there, "a").definition.name == "a"
    with pytest.raises(Conflict, match="azureml"):
        native(there, "ours")
    with pytest.raises(NotFound, match="a, b"):
        native(there, "c")


def test_what_cannot_be_made_is_told_by_trigger() -> None:
    there = snapshot(schedule("a", inputs={"other": "x"}), schedule("b", pipeline="gone"))
    _, problems = orders().all(there, there.triggers["a"].effective_from)
    assert "no such input" in problems["a"]
    assert "churn-training" in problems["b"]
    latest = snapshot(schedule("a", inputs={"when": "azureml:prices@latest"}))
    record = pipeline(inputs={"when": {"type": "uri_file"}}).model_dump(mode="json", by_alias=True)
    latest = latest.model_copy(update={"pipelines": {"churn-training": record}})
    _, problems = orders().all(latest, latest.triggers["a"].effective_from)
    assert "no data named 'prices'" in problems["a"]


def test_the_digest_is_another_when_something_else_is_wanted() -> None:
    before = snapshot(schedule(), trigger())
    assert digest(before) == digest(snapshot(schedule()))
    others = [
        snapshot(schedule("other")),
        snapshot(schedule(), version="v2"),
        snapshot(),
    ]
    assert len({digest(before), *map(digest, others)}) == 4
    assert digest(snapshot(schedule(engine="signalbox"))) == digest(snapshot())
