"""What ports are bound to."""

import pytest

from shared import bindings


def test_every_port_of_every_job_is_found() -> None:
    content = {
        "jobs": {
            "a": {"inputs": {"x": {"path": "${{parent.inputs.x}}"}}, "outputs": {"y": None}},
            "b": {"type": "automl", "training_data": "${{parent.jobs.a.outputs.y}}"},
        }
    }
    found = [(bound.node, bound.port, bound.text) for bound in bindings.bound_in(content)]

    assert found == [
        ("a", "x", "${{parent.inputs.x}}"),
        ("a", "y", "None"),
        ("b", "training_data", "${{parent.jobs.a.outputs.y}}"),
    ]


@pytest.mark.parametrize(
    ("text", "whole"),
    [("${{ parent.inputs.x }}", True), ("a${{parent.inputs.x}}", False), ("x", False)],
)
def test_a_binding_may_be_part_of_a_text(text: str, whole: bool) -> None:
    assert bindings.whole(text) is whole
