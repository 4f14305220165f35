"""State of an older version, and of a newer one: it is read, and what is not known is kept.

A field that is added needs a default, as here it is missing; one that is required ever since stands
here. What a newer version wrote into it survives a write of this one.
"""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from shared.heartbeat import Beat
from shared.inbox import Numbered
from shared.index import IndexedTrigger, Snapshot
from shared.published import PublishedPipeline
from shared.slots import Slot

AT = "2026-03-01T12:00:00Z"

TRIGGER: dict[str, Any] = {
    "definition": {
        "name": "on-upload",
        "spec": {"blob": {"account": "contosolake", "container": "landing", "path": "a.csv"}},
        "action": {"pipeline": "churn-training"},
    },
    "revision": "r1",
    "effective_from": AT,
}
PIPELINE: dict[str, Any] = {
    "name": "churn-training",
    "version": "v1",
    "component_id": "/components/churn",
    "inputs": {},
    "outputs": {},
    "settings": {},
    "tags": {},
}

#: Each kind of blob with no more than its first version wrote. Records are in test_ledger.
OLD: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (Snapshot, {"schema": 1, "triggers": {"on-upload": TRIGGER}}),
    (IndexedTrigger, TRIGGER),
    (PublishedPipeline, PIPELINE),
    (Slot, {"schema": 1, "holders": {"k1": AT}}),
    (Numbered, {"schema": 1, "birth": "b1"}),
    (Beat, {"schema": 1, "ended": AT, "seconds": 1.5}),
]


@pytest.mark.parametrize(("model", "old"), OLD, ids=lambda given: getattr(given, "__name__", ""))
def test_old_state_is_read_and_what_is_not_known_is_written_back(
    model: type[BaseModel], old: dict[str, Any]
) -> None:
    stored = old | {"of_another_version": {"deep": [1, {"in": None}]}}

    after = json.loads(model.model_validate(stored).model_dump_json(by_alias=True))

    assert after["of_another_version"] == stored["of_another_version"]
    assert old.keys() <= after.keys()
    assert {name: after[name] for name in old if not isinstance(old[name], dict)} == {
        name: value for name, value in old.items() if not isinstance(value, dict)
    }
