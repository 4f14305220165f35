"""Secrets that are written into a trigger."""

from typing import Any

import pytest

from shared import lint
from tests.unit.linting import check, file, made

# Secrets.

KEY = "AccountKey=c2VjcmV0c2VjcmV0"


@pytest.mark.parametrize(
    ("action", "line"),
    [
        ({"tags": {"note": KEY}}, 9),
        ({"tags": {"note": f"{KEY} of ${{{{ event.id }}}}"}}, 9),
        ({"inputs": {"data": "https://x.blob.core.windows.net/a?sv=1&sig=abcdefghijklmnop"}}, 7),
        ({"compute": KEY}, 10),
        ({"experiment_name": "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl"}, 11),
        ({"inputs": {"data": "https://x/a", "db_password": "hunter2"}}, 7),
        ({"tags": {"API_KEY": "hunter2"}}, 2),
    ],
)
def test_a_secret_is_refused_and_not_repeated(action: dict[str, Any], line: int) -> None:
    found = check(file(**action))

    assert len(found) == 1
    assert "looks like a secret" in found[0].message
    assert "key vault" in found[0].message
    assert not any(text in found[0].message for text in ("c2Vj", "hunter2", "abcdefgh", "eyJ"))
    assert line in (found[0].line, 2)


@pytest.mark.parametrize(
    "inputs",
    [
        # A name alone makes no secret of what the event says.
        {"data": "${{ event.data.url }}", "token": "x"},
        {"data": "${{ event.data.url }}", "max_tokens": "5"},
        {"data": "${{ event.data.url }}", "db_password": "${{ settings.vault_name }}"},
        {"data": "${{ event.data.url }}", "secret_name": "db"},
        {"data": "${{ event.data.url }}", "password": ""},
        {"data": "${{ event.data.url }}", "api_key": 7},
    ],
)
def test_what_only_sounds_like_a_secret_is_none(inputs: dict[str, Any]) -> None:
    assert check(file(inputs=inputs)) == []


@pytest.mark.parametrize(
    "studio", [{"description": KEY}, {"display_name": KEY}, {"tags": {"api_key": "hunter2"}}]
)
def test_what_the_studio_shows_of_a_schedule_holds_none(studio: dict[str, Any]) -> None:
    spec = {"schedule": {"cron": "0 6 * * *", "engine": "azureml", "studio": studio}}
    found = check(made(spec))

    assert ["looks like a secret" in each.message for each in found] == [True]
    assert not any(text in found[0].message for text in ("c2Vj", "hunter2"))


def test_the_secrets_of_a_document_are_told_by_their_place() -> None:
    content = {"jobs": {"train": {"environment_variables": {"DB": KEY}}}, "tags": ["plain", KEY]}
    found = list(lint.secrets_of(content))

    assert [place for place, _ in found] == [
        ("jobs", "train", "environment_variables", "DB"),
        ("tags", 1),
    ]
    assert found[0][1].startswith("jobs.train.environment_variables.DB holds a secret")
    assert not any("c2Vj" in message for _, message in found)


def test_plain_text_under_a_key_that_names_a_secret_is_one() -> None:
    content = {
        "inputs": {"password": "hunter2hunter2", "api_key": "abc"},
        "jobs": {
            "train": {
                "environment_variables": {"DB_PASSWORD": "hunter2"},
                "component": {"inputs": {"secret": {"type": "string", "default": "hunter2"}}},
            }
        },
    }
    found = list(lint.secrets_of(content))

    assert [place for place, _ in found] == [
        ("inputs", "password"),
        ("inputs", "api_key"),
        ("jobs", "train", "environment_variables", "DB_PASSWORD"),
        ("jobs", "train", "component", "inputs", "secret", "default"),
    ]
    assert found[0][1].startswith("inputs.password looks like a secret")
    assert not any("hunter2" in message or "abc" in message for _, message in found)


@pytest.mark.parametrize(
    "value", ["${{parent.inputs.password}}", "", 7, True, None, {"type": "string"}]
)
def test_a_key_that_names_a_secret_may_have_none(value: object) -> None:
    assert list(lint.secrets_of({"inputs": {"password": value, "secret_name": "db"}})) == []
