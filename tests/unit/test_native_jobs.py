"""The job that AzureML starts by itself: bound once, with AzureML's macros in it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.definitions import TriggerDefinition
from shared.errors import ExpressionInvalid
from shared.native_jobs import body_of, started_by_hand
from shared.workspace import JobBody
from tests.unit.scene import pipeline

TIME = "${{creation_context.trigger_time}}"


def bound(inputs: dict[str, Any], given: dict[str, Any] | None = None, **action: Any) -> JobBody:
    trigger = TriggerDefinition.model_validate(
        {
            "name": "nightly",
            "spec": {"schedule": {"engine": "azureml", "cron": "0 6 * * *"}},
            "action": {"pipeline": "churn-training", "inputs": inputs, **action},
        }
    )
    declared = {
        "when": {"type": "string", "default": "never"},
        "size": {"type": "integer", "default": 1},
        "data": {"type": "uri_file", "path": "azureml:x:1"},
    }
    outputs = {"model": {"type": "uri_folder", "path": "azureml://x/${{name}}"}}
    return body_of(
        trigger,
        pipeline(inputs=declared, outputs=outputs, tags={"of": "pipeline"}),
        deployment="prod",
        variables={"stage": "dev", "bad": "$(rm)"},
        datastores={},
        given=given,
    )


def test_macros_stay_and_settings_are_filled_in() -> None:
    body = bound(
        {"when": f"{{{{}}}} ${{{{ name }}}} {TIME} ${{{{ settings.stage }}}}"},
        tags={"team": "blue"},
        compute="gpu",
    )
    assert body.inputs["when"] == f"{{{{}}}} ${{{{name}}}} {TIME} dev"
    assert body.settings["default_compute"] == "gpu"
    assert body.display_name == "nightly"
    assert body.tags == {
        "of": "pipeline",
        "team": "blue",
        "signalbox_deployment": "prod",
        "signalbox_trigger": "nightly",
        "signalbox_pipeline": "churn-training@v1",
    }


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"size": TIME}, "size"),
        ({"data": f"azureml://{TIME}"}, "text only"),
        ({"when": "${{ settings.bad }}"}, "shell"),
        ({"when": "${{ settings.nothing }}"}, "found nothing"),
        ({"other": "x"}, "no such input"),
    ],
)
def test_what_cannot_be_bound_is_told(inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(ExpressionInvalid, match=said):
        bound(inputs)


def test_given_inputs_are_values_and_no_expressions() -> None:
    body = bound({"when": "x"}, given={"size": 7, "when": "plain"})
    assert (body.inputs["size"], body.inputs["when"]) == (7, "plain")
    with pytest.raises(ExpressionInvalid, match="shell"):
        bound({}, given={"when": TIME})


def test_a_job_started_by_hand_has_what_azureml_would_fill_in() -> None:
    body = started_by_hand(
        bound({"when": f"${{{{name}}}} {TIME}"}), "job-1", datetime(2026, 3, 1, 6, tzinfo=UTC)
    )
    assert body.inputs["when"] == "job-1 2026-03-01T06:00:00Z"
    assert body.outputs["model"].path == "azureml://x/job-1"
