"""The API against its own description: whatever is sent, right or wrong, the answer is as told."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from openapi_spec_validator import validate
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.unit.api_client import Api, everything
from tests.unit.scene import event, pipeline
from tests.unit.test_backfills import schedule

scene = everything()
there = scene.index.read().snapshot.triggers.values()
every = [indexed.definition for indexed in there] + [schedule()]
scene.publish(*every, pipelines=[pipeline(), pipeline("scoring")])
# Before its first, the timer is told to fail.
scene.tick.run()
api = Api(scene)

# The functions host asks for the key; here is none.
document: dict[str, Any] = api.get("/openapi.json").json()
del document["security"], document["components"]["securitySchemes"]
schema = schemathesis.openapi.from_dict(document)
schema.app = api.asgi
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
OPERATIONS: list[APIOperation[Any, Any, Any, Any]] = [
    found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)
]

[running] = api.scene.dispatcher.handle(event())
[dead] = api.post("/triggers/on-call/events", {}).json()["decisions"]
asked = {"trigger": "on-call", "outcomes": ["dead_letter"]}
replay = api.post("/replays", asked).json()
assert running.record
assert dead["decision"] == "dead_letter"

#: What is there, by the beginning of the path: most requests should get further than a 404.
THERE = {
    "/api/pipelines/{name}": {"name": "churn-training"},
    "/api/triggers/{name}/sweep": {"name": "on-upload"},
    "/api/triggers/{name}": {"name": "on-call"},
    "/api/schedules/{name}": {"name": "nightly"},
    "/api/computes/{name}": {"name": "cpu-cluster"},
    "/api/runs/{id}/retry": {"id": dead["run"]},
    "/api/runs/{id}": {"id": running.record.run_id},
    "/api/replays/{id}": {"id": replay["id"]},
}


def test_the_description_is_valid_openapi() -> None:
    validate(api.get("/openapi.json").json())


def test_the_description_is_of_every_operation() -> None:
    paths = document["paths"]
    operations = [item[method] for item in paths.values() for method in item]

    assert (
        len({operation["operationId"] for operation in operations})
        == len(operations)
        == len(OPERATIONS)
        == 38
    )
    for operation in operations:
        assert {"401", "422", "500", "503"} <= operation["responses"].keys()
        assert operation["summary"]
        assert operation["tags"]


@pytest.mark.parametrize(
    "operation", OPERATIONS, ids=[f"{each.method} {each.path}" for each in OPERATIONS]
)
@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=strategies.data())
def test_every_operation_answers_as_it_says(
    operation: APIOperation[Any, Any, Any, Any], data: strategies.DataObject
) -> None:
    mode = data.draw(strategies.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case: Case[Any] = data.draw(operation.as_strategy(generation_mode=mode))
    if mode is GenerationMode.POSITIVE and case.path_parameters:
        there = next(names for path, names in THERE.items() if case.path.startswith(path))
        case.path_parameters = {**there}

    # What is well formed may still not fit: a data path that is none, two questions at once.
    case.call_and_validate(excluded_checks=[positive_data_acceptance])
