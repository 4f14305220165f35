"""Values in a document, and the components they are for."""

from typing import Any

import pytest

from shared import literals


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        ("3", {"type": "integer"}),
        (3.0, {"type": "integer"}),
        (1, {"type": "number", "min": "0.5", "max": "1"}),
        ("True", {"type": "boolean"}),
        (0, {"type": "boolean"}),
        (5, {"type": "string"}),
        (None, {"type": "integer"}),
        ("${{parent.inputs.x}}", {"type": "integer"}),
        ("azureml:rows:1", {"type": "uri_file"}),
    ],
)
def test_what_azureml_takes_fits(value: Any, declared: dict[str, Any]) -> None:
    assert literals.misfit(value, declared) is None


@pytest.mark.parametrize(
    ("value", "declared", "said"),
    [
        (True, {"type": "integer"}, "not of type integer"),
        (2, {"type": "number", "max": 1}, "beyond the max of 1"),
        ("x", {"type": "string", "enum": ["a", "b"]}, "not one of a, b"),
        (5, {"type": "uri_file"}, "is no data"),
    ],
)
def test_what_azureml_refuses_is_told(value: Any, declared: dict[str, Any], said: str) -> None:
    assert said in str(literals.misfit(value, declared))


def test_a_number_among_words_is_only_doubted() -> None:
    declared = {"type": "string", "enum": ["True", "False"]}

    assert literals.misfit(224, declared) is None
    assert "is not one of True, False" in str(literals.doubt(224, declared))
